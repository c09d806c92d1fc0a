"""How far every way of solving the equation of motion is off, at the step that the board takes by default.

Run ``python benchmarks/bias.py`` for a table, ``--json`` for one line. Every row compares means and variances with a
reference and tells the deviation in per cent of the observable, with its standard error:

- one cell, J = (1, 0, 1), the largest deviation for bias 1 to 5: at t = 1 after a reset from the Fokker-Planck equation
  on a grid, which is exact in time; at t = 3 from quadrature of the Boltzmann weight;
- one harmonic cell, J = (1, 0, 0), likewise from the closed form;
- one loop of a reduced mass, likewise: in equilibrium from quadrature, at t = 1 from the same scheme with an eighth of
  the step;
- the cosine board, four layers of eight cells with couplings of standard deviation 1, the root mean square over its
  cells without the part that is noise: from ``ros2`` with normal noise and an eighth of the step. Means are compared
  with their root mean square, for many are close to 0.
"""

import argparse
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

from twin.models.network import Noise, Scheme
from twin.models.thermodynamic_board import Circuit, Integrator, Program, Schedule, ThermodynamicBoard

BIASES = np.arange(1.0, 6.0)
TEMPERATURES = (0.1, 1.0)
MASSES = (0.01, 0.1, 1.0)
SOLVERS: tuple[tuple[Scheme, Noise], ...] = (
    ("ros2", "matched"),
    ("ros2", "rademacher"),
    ("ros2", "popcount"),
    ("ros2", "gaussian"),
    ("euler", "gaussian"),
)
FINE = 8
BATCHES = 32
TRAJECTORIES = 1_000_000


def energy(x: np.ndarray, bias: float) -> np.ndarray:
    """Return the energy of a cell with J = (1, 0, 1)."""
    return x**2 + x**4 - bias * x


def moments(x: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return mean and variance of a distribution on a grid."""
    weight = weight / weight.sum()
    mean = weight @ x
    return float(mean), float(weight @ (x - mean) ** 2)


def in_equilibrium(bias: float, kT: float) -> tuple[float, float]:
    """Return mean and variance of a cell in equilibrium."""
    x = np.linspace(-6, 6, 60_001)
    height = energy(x, bias)
    return moments(x, np.exp(-(height - height.min()) / kT))


def fokker_planck(bias: float, kT: float, time: float, points: int = 801) -> np.ndarray:
    """Return mean and variance of a cell released at 0 from its Fokker-Planck equation.

    Hopping between neighbouring points of a grid at rates with detailed balance is of second order in the spacing,
    which two grids extrapolate to the fourth. Its generator is similar to a symmetric tridiagonal matrix, whose
    eigenvectors give any time exactly.
    """
    coarse, fine = (on_grid(bias, kT, time, count) for count in (points // 2 + 1, points))
    return (4 * fine - coarse) / 3


def on_grid(bias: float, kT: float, time: float, points: int) -> np.ndarray:
    """Return mean and variance of a cell released at 0 that hops between the points of a grid."""
    x = np.linspace(-3.5, 3.5, points)
    height = energy(x, bias) / (2 * kT)
    up, down = np.exp(-np.diff(height)), np.exp(np.diff(height))
    leaving = np.append(up, 0.0) + np.append(0.0, down)
    values, vectors = eigh_tridiagonal(-leaving, np.ones(points - 1))
    start = points // 2
    weight = vectors @ (np.exp(values * kT * time / (x[1] - x[0]) ** 2) * vectors[start])
    return np.array(moments(x, np.exp(height[start] - height) * weight))


def cells(quartic: float) -> list[Program]:
    """Return one program of one cell for each bias."""
    one = np.ones(1)
    return [Program(np.zeros((1, 1)), bias * one, np.zeros((1, 0)), one, 0 * one, quartic * one) for bias in BIASES]


def cosine_board() -> list[Program]:
    """Return a program with couplings between neighbouring layers and biases of the size that training leaves."""
    rng = np.random.default_rng(1)
    layer = np.arange(32) // 8
    upper = rng.normal(size=(32, 32)) * (layer[None, :] - layer[:, None] == 1)
    ones = np.ones(32)
    return [Program(upper + upper.T, rng.normal(size=32), np.zeros((32, 0)), ones, 0 * ones, ones)]


class Estimate(NamedTuple):
    """Means and variances (programs, cells) with their standard errors."""

    mean: np.ndarray
    variance: np.ndarray
    mean_error: np.ndarray
    variance_error: np.ndarray


def simulate(
    programs: list[Program],
    time: float,
    kT: float,
    shots: int,
    integrator: Integrator,
    mass: float = 0.0,
    seed: int = 0,
) -> Estimate:
    """Return the moments of programs at a time after a reset, in batches that tell their errors."""
    circuit = Circuit()
    circuit = Circuit(inductance=mass * circuit.resistance * circuit.time_constant)
    board = ThermodynamicBoard(circuit=circuit, integrator=integrator)
    record = board.simulate(
        programs, np.zeros((BATCHES, 0)), Schedule("reset", max(2, shots // BATCHES), time), temperature=kT, seed=seed,
        acquisition=1, keep_samples=False, covariances=False,
    )  # fmt: skip
    both = np.stack([record.mean, record.variance])
    return Estimate(*both.mean(axis=2), *both.std(axis=2, ddof=1) / math.sqrt(BATCHES))


def compare(estimate: Estimate, reference: np.ndarray, noise: np.ndarray | float = 0.0) -> dict[str, float]:
    """Return the largest deviations of programs of one cell in per cent, with the standard errors there.

    Reference and its noise, if it has any, are means and variances (2, programs).
    """
    row = {}
    values, errors = np.reshape(estimate, (2, 2, -1))
    errors = np.hypot(errors, noise)
    for what, value, error, true in zip(("mean", "variance"), values, errors, reference, strict=True):
        worst = np.argmax(np.abs(value / true - 1))
        row[f"{what}_percent"] = 100 * float(abs(value / true - 1)[worst])
        row[f"{what}_error"] = 100 * float((error / true)[worst])
    return row


def compare_cells(estimate: Estimate, fine: Estimate) -> dict[str, float]:
    """Return the root mean square deviations of the cells of a program in per cent; both estimates are noisy."""
    row = {}
    scale = {"mean": np.sqrt(np.mean(fine.mean**2)), "variance": fine.variance}
    for what, one in scale.items():
        square = ((getattr(estimate, what) - getattr(fine, what)) / one) ** 2
        noise = (getattr(estimate, f"{what}_error") ** 2 + getattr(fine, f"{what}_error") ** 2) / one**2
        row[f"{what}_percent"] = 100 * math.sqrt(max(0.0, float(np.mean(square - noise))))
        row[f"{what}_error"] = 100 * float(np.mean(noise) * math.sqrt(2 / noise.size)) ** 0.5
    return row


def one_cell(shots: int, solvers: Sequence[tuple[Scheme, Noise]] = SOLVERS) -> dict[str, dict[str, float]]:
    """Compare schemes and noises on one cell."""
    rows = {}
    for kT in TEMPERATURES:
        references = {
            1.0: np.transpose([fokker_planck(bias, kT, 1.0) for bias in BIASES]),
            3.0: np.transpose([in_equilibrium(bias, kT) for bias in BIASES]),
        }
        for scheme, noise in solvers:
            for time, reference in references.items():
                simulated = simulate(cells(1.0), time, kT, shots, Integrator(scheme=scheme, noise=noise))
                rows[f"cell, kT = {kT:g}, t = {time:g}: {scheme} {noise}"] = compare(simulated, reference)
    return rows


def harmonic_cell(shots: int) -> dict[str, dict[str, float]]:
    """Compare exact sampling of a harmonic cell with the closed form."""
    rows = {}
    for kT in TEMPERATURES:
        mean, variance = BIASES / 2 * -np.expm1(-2.0), np.full(BIASES.size, kT / 2 * -np.expm1(-4.0))
        simulated = simulate(cells(0.0), 1.0, kT, shots, Integrator())
        rows[f"harmonic cell, kT = {kT:g}, t = 1: exact"] = compare(simulated, np.stack([mean, variance]))
    return rows


def one_loop(shots: int, masses: Sequence[float] = MASSES) -> dict[str, dict[str, float]]:
    """Compare the underdamped scheme on one loop."""
    rows, kT = {}, TEMPERATURES[0]
    integrator = Integrator()
    for mass in masses:
        step = integrator.step_for(cells(1.0)[-1], kT, Schedule("reset", 1, 1.0), mass)
        fine = simulate(cells(1.0), 1.0, kT, shots, Integrator(step=step / FINE), mass, seed=1)
        simulated = simulate(cells(1.0), 1.0, kT, shots, integrator, mass)
        rows[f"loop, m = {mass:g}, kT = {kT:g}, t = 1: BAOAB"] = compare(simulated, *np.reshape(fine, (2, 2, -1)))
        time = max(3.0, 20 * mass)
        simulated = simulate(cells(1.0), time, kT, shots, integrator, mass)
        reference = np.transpose([in_equilibrium(bias, kT) for bias in BIASES])
        rows[f"loop, m = {mass:g}, kT = {kT:g}, t = {time:g}: BAOAB"] = compare(simulated, reference)
    return rows


def network(shots: int, solvers: Sequence[tuple[Scheme, Noise]] = SOLVERS) -> dict[str, dict[str, float]]:
    """Compare the schemes on the cosine board."""
    kT, programs = TEMPERATURES[0], cosine_board()
    fine = simulate(programs, 1.0, kT, shots, Integrator(step=0.02 / FINE, scheme="ros2", noise="gaussian"), seed=1)
    rows = {}
    for scheme, noise in solvers:
        simulated = simulate(programs, 1.0, kT, shots, Integrator(scheme=scheme, noise=noise))
        rows[f"cosine board, kT = {kT:g}, t = 1: {scheme} {noise}"] = compare_cells(simulated, fine)
    return rows


def table(trajectories: int = TRAJECTORIES) -> dict[str, dict[str, float]]:
    """Return the deviations of every scheme from its reference, in per cent."""
    return one_cell(trajectories) | harmonic_cell(trajectories) | one_loop(trajectories) | network(trajectories)


def main() -> None:
    """Print the table or one line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--trajectories", type=int, default=TRAJECTORIES, help="of every cell")
    arguments = parser.parse_args()
    rows = table(arguments.trajectories)
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{'deviation in %':52} {'mean':>16} {'variance':>16}")
    for name, row in rows.items():
        mean, variance = (
            f"{row[f'{what}_percent']:7.3f} +- {row[f'{what}_error']:.3f}" for what in ("mean", "variance")
        )
        print(f"{name:52} {mean:>16} {variance:>16}")


if __name__ == "__main__":
    main()
