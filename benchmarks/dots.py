"""How fast the physics of dots is, beside what one would use without it.

Run ``python benchmarks/dots.py`` for a table, ``--json`` for one line. Figures are CPU time of all threads, which
hardly depends on what else the machine does, best of several rounds after one for compilation. A peer that is not
installed is named and skipped: ``pip install .[benchmark]``.

- Charge filter, a given record: probability of the occupied state after each of its samples, beside the same recursion
  as a ``jax.lax.scan`` in double precision. Agreement is the largest difference of the probabilities.
- Charge filter, record made on the way: one trajectory of record and conditional state with all its random numbers,
  beside a jitted ``jax.lax.scan`` of the same recursion that draws them with ``jax.random`` in every step, as we do,
  that draws all of them before (in memory that grows with the record), or is given them (we draw, JAX does not), and
  beside the stochastic master equation of QuTiP (``smesolve``, two levels, its default method, fixed steps of the same
  length). Agreement is the difference of the mean square of the conditional mean from theory, in standard errors of the
  peer's.
- Charge stability: mean charges of a double dot at 200 x 200 gate voltages, beside qarray (its Rust and its JAX
  implementation; two gates, the same capacitances) at T = 0 and 0.1 K. Agreement is the largest difference of a charge;
  at T = 0 it is the share of points with other charges, which ties on the lines of degeneracy allow.
"""

import argparse
import importlib
import json
import math
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import numpy as np

from twin import compute
from twin.kernels.charge_filter import filter_record, observe_switch
from twin.models.charge_detection import filter_accuracy
from twin.models.gated_device import GATES
from twin.models.quantum_dot import DoubleDot, Parameters, Sample

ROUNDS = 15
UP = DOWN = 0.5
INFORMATION, STEP = 10.0, 0.002
SAMPLES = 1_000_000
TRAJECTORY = 20_000
PIXELS = 200
ARMS = ((0.1, 0.012), (0.012, 0.09))

Row = dict[str, Any]
Draws = Literal["each step", "before", "given"]


def optional(name: str) -> ModuleType | None:
    """Return a module, or nothing where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def timed(run: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, Any]:
    """Return the least CPU time of a run in s, after one that compiles, and what it returned."""
    run()
    best, result = math.inf, None
    for _ in range(rounds):
        start = time.process_time()
        result = run()
        best = min(best, time.process_time() - start)
    return best, result


def observe(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a record and the conditional mean, kappa = 1."""
    switch, record, output, conditional = np.empty(steps, np.int8), *np.empty((3, steps))
    observe_switch(1, 0, UP, DOWN, 1.0, 2 / INFORMATION, 0.0, STEP, switch, record, output, conditional)
    return record, conditional


def row(ours: float, peer: float, work: int, agreement: float) -> Row:
    """Return a line of the table: times per unit of work in ns, their ratio and the agreement."""
    return {"ours_ns": ours / work * 1e9, "peer_ns": peer / work * 1e9, "ratio": peer / ours, "agreement": agreement}


def against_jax_scan() -> Row | str:
    """Filter a given record."""
    jax = optional("jax")
    if jax is None:
        return "jax is not installed"
    jax.config.update("jax_enable_x64", True)
    record, _ = observe(SAMPLES)
    probability = np.empty(SAMPLES)
    ours, _ = timed(lambda: filter_record(record, INFORMATION, 0.0, UP, DOWN, STEP, 0.0, 1.0, probability))
    decay = math.exp(-(UP + DOWN) * STEP)
    rise, fall = UP / (UP + DOWN) * (1 - decay), DOWN / (UP + DOWN) * (1 - decay)

    def step(odds: Any, sample: Any) -> tuple[Any, Any]:
        odds = (odds * (1 - fall) + rise) / (odds * fall + (1 - rise)) * jax.numpy.exp(INFORMATION * sample)
        return odds, odds / (1 + odds)

    scan = jax.jit(lambda samples: jax.lax.scan(step, 1.0, samples)[1])
    on_device = jax.numpy.asarray(record)
    peer, result = timed(lambda: scan(on_device).block_until_ready())
    return row(ours, peer, SAMPLES, float(np.abs(np.asarray(result) - probability).max()))


def against_qutip() -> Row | str:
    """Make a record and its filter."""
    qutip = optional("qutip")
    if qutip is None:
        return "qutip is not installed"
    ours, _ = timed(lambda: observe(SAMPLES))
    occupied, empty = qutip.basis(2, 0), qutip.basis(2, 1)
    times = np.arange(TRAJECTORY + 1) * STEP
    noise_free = [math.sqrt(UP) * occupied * empty.dag(), math.sqrt(DOWN) * empty * occupied.dag()]

    def run() -> np.ndarray:
        solved = qutip.smesolve(
            0 * qutip.sigmaz(), (qutip.fock_dm(2, 0) + qutip.fock_dm(2, 1)) / 2, times, c_ops=noise_free,
            sc_ops=[math.sqrt(INFORMATION / 8) * qutip.sigmaz()], e_ops=[qutip.sigmaz()], ntraj=1, seeds=[3],
            options={"dt": STEP, "progress_bar": "", "keep_runs_results": True},
        )  # fmt: skip
        return np.real(solved.expect[0]).ravel()

    peer, conditional = timed(run, 1)
    peer *= SAMPLES / TRAJECTORY
    return row(ours, peer, SAMPLES, off_theory(conditional))


def against_jax_trajectory(draws: Draws) -> Row | str:
    """Make a record and its filter; JAX draws its random numbers in every step, all before the scan, or has them."""
    jax = optional("jax")
    if jax is None:
        return "jax is not installed"
    jax.config.update("jax_enable_x64", True)
    ours, _ = timed(lambda: observe(SAMPLES))
    decay = math.exp(-(UP + DOWN) * STEP)
    rise, fall = UP / (UP + DOWN) * (1 - decay), DOWN / (UP + DOWN) * (1 - decay)
    deviation = math.sqrt(2 / INFORMATION * STEP)

    def step(carried: Any, drawn: Any) -> tuple[Any, Any]:
        (switch, odds), (choice, noise) = carried, drawn
        switch = jax.numpy.where(choice < jax.numpy.where(switch > 0, fall, rise), -switch, switch)
        sample = switch * STEP + deviation * noise
        odds = (odds * (1 - fall) + rise) / (odds * fall + (1 - rise)) * jax.numpy.exp(INFORMATION * sample)
        return (switch, odds), (sample, (odds - 1) / (odds + 1))

    def drawing_step(carried: Any, key: Any) -> tuple[Any, Any]:
        first, second = jax.random.split(key)
        return step(carried, (jax.random.uniform(first), jax.random.normal(second)))

    def draw(key: Any) -> tuple[Any, Any]:
        first, second = jax.random.split(key)
        return jax.random.uniform(first, (SAMPLES,)), jax.random.normal(second, (SAMPLES,))

    start, key = (1.0, 1.0), jax.random.key(1)
    scans: dict[Draws, Callable[[Any], Any]] = {
        "each step": lambda key: jax.lax.scan(drawing_step, start, jax.random.split(key, SAMPLES))[1],
        "before": lambda key: jax.lax.scan(step, start, draw(key))[1],
        "given": lambda drawn: jax.lax.scan(step, start, drawn)[1],
    }
    trajectory = jax.jit(scans[draws])
    given = jax.block_until_ready(draw(key)) if draws == "given" else key
    peer, (_, conditional) = timed(lambda: jax.block_until_ready(trajectory(given)))
    return row(ours, peer, SAMPLES, off_theory(np.asarray(conditional)))


def off_theory(conditional: np.ndarray) -> float:
    """Return how far the mean square of a conditional mean lies from theory, in its standard errors."""
    square = conditional[len(conditional) // 10 :] ** 2
    parts = [part.mean() for part in np.array_split(square, 20)]
    exact = filter_accuracy(INFORMATION, UP, DOWN).second_moment
    return float(abs(square.mean() - exact) / (np.std(parts, ddof=1) / math.sqrt(len(parts))))


def stability_sample(temperature: float) -> tuple[Sample, np.ndarray]:
    """Return a double dot under two plungers and the voltages (n, 2) of a map."""
    arms = np.zeros((2, len(GATES)))
    arms[:, [GATES.index("plunger"), GATES.index("plunger_2")]] = ARMS
    sample = Sample(Parameters(dots=DoubleDot(gate_lever_arms=tuple(map(tuple, arms)), temperature=temperature)))
    axis = np.linspace(0.02, 0.10, PIXELS)
    x, y = np.meshgrid(axis, axis)
    return sample, np.stack((x.ravel(), y.ravel()), axis=1)


def against_qarray(implementation: str, temperature: float) -> Row | str:
    """Map the charges of a double dot, in the ground state or thermally."""
    qarray = optional("qarray")
    if qarray is None:
        return "qarray is not installed"
    sample, volts = stability_sample(temperature or 0.1)
    gates = np.zeros((len(volts), len(GATES)))
    gates[:, [GATES.index("plunger"), GATES.index("plunger_2")]] = volts
    dots = sample.parameters.dots
    stiffness = np.diag(dots.charging_energies) + dots.mutual_energy * (1 - np.eye(2))
    compliance = np.linalg.inv(stiffness)
    peer_array = qarray.DotArray(
        cdd=2 * compliance, cgd=compliance @ np.array(ARMS), algorithm="default", implementation=implementation,
        charge_carrier="e", T=temperature,
    )  # fmt: skip
    solve = sample.ground_state if temperature == 0 else lambda gates: sample.occupation(gates, 0.0)
    ours, charges = timed(lambda: solve(gates))
    peer, result = timed(lambda: np.asarray(peer_array.ground_state_open(volts)))
    difference = np.abs(np.asarray(result) - charges).max(axis=1)
    agreement = float(np.mean(difference > 0.5)) if temperature == 0 else float(difference.max())
    return row(ours, peer, len(volts), agreement)


def main() -> None:
    """Print the table or one line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args()
    results: dict[str, Row | str] = {
        "filter of a record / JAX scan": against_jax_scan(),
        "record and filter / JAX, drawing each step": against_jax_trajectory("each step"),
        "record and filter / JAX, drawing before": against_jax_trajectory("before"),
        "record and filter / JAX, its draws given": against_jax_trajectory("given"),
        "record and filter / QuTiP smesolve": against_qutip(),
    }
    for implementation in ("rust", "jax"):
        for temperature in (0.0, 0.1):
            name = f"200 x 200 charges at {temperature:g} K / qarray {implementation}"
            results[name] = against_qarray(implementation, temperature)
    if arguments.json:
        print(json.dumps({"threads": compute.threads()} | results))
        return
    title = f"ours / peer, {compute.threads()} threads"
    print(f"{title:46} {'ns each':>9} {'peer ns':>10} {'ratio':>8} {'agreement':>10}")
    for name, result in results.items():
        if isinstance(result, str):
            print(f"{name:46} {'skipped: ' + result}")
        else:
            print(
                f"{name:46} {result['ours_ns']:9.1f} {result['peer_ns']:10.1f} {result['ratio']:8.1f}"
                f" {result['agreement']:10.1e}"
            )


if __name__ == "__main__":
    main()
