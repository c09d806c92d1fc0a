"""How fast the physics of dots is, beside what one would use without it.

Run ``python benchmarks/dots.py`` for a table, ``--json`` for one line, ``--quick`` for a short look. Figures are CPU
time of all threads, which hardly depends on what else the machine does, best of several rounds after one for
compilation. A peer that is not installed is named and skipped: ``pip install .[benchmark]``.

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

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from measuring import Column, Row, attempt, contender, least_time, make_parser, print_json, print_table

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

Draws = Literal["each step", "before", "given"]
Measure = Callable[[int], Row]


def cpu_time(run: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return the least CPU time of a run in s, and what it returned."""
    timing, result = least_time(run, rounds)
    return timing.cpu, result


def observe(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a record and the conditional mean, kappa = 1."""
    switch, record, output, conditional = np.empty(steps, np.int8), *np.empty((3, steps))
    observe_switch(1, 0, UP, DOWN, 1.0, 2 / INFORMATION, 0.0, STEP, switch, record, output, conditional)
    return record, conditional


def row(ours: float, peer: float, work: int, agreement: float) -> Row:
    """Return a line of the table: times in s, per unit of work in ns, their ratio and the agreement."""
    return {
        "work": work,
        "seconds": ours,
        "ours_ns": ours / work * 1e9,
        "peer_ns": peer / work * 1e9,
        "ratio": peer / ours,
        "agreement": agreement,
    }


def against_jax_scan(rounds: int) -> Row:
    """Filter a given record."""
    jax = contender("jax")
    jax.config.update("jax_enable_x64", True)
    record, _ = observe(SAMPLES)
    probability = np.empty(SAMPLES)
    ours, _ = cpu_time(lambda: filter_record(record, INFORMATION, 0.0, UP, DOWN, STEP, 0.0, 1.0, probability), rounds)
    decay = math.exp(-(UP + DOWN) * STEP)
    rise, fall = UP / (UP + DOWN) * (1 - decay), DOWN / (UP + DOWN) * (1 - decay)

    def step(odds: Any, sample: Any) -> tuple[Any, Any]:
        odds = (odds * (1 - fall) + rise) / (odds * fall + (1 - rise)) * jax.numpy.exp(INFORMATION * sample)
        return odds, odds / (1 + odds)

    scan = jax.jit(lambda samples: jax.lax.scan(step, 1.0, samples)[1])
    on_device = jax.numpy.asarray(record)
    peer, result = cpu_time(lambda: scan(on_device).block_until_ready(), rounds)
    return row(ours, peer, SAMPLES, float(np.abs(np.asarray(result) - probability).max()))


def against_qutip(rounds: int) -> Row:
    """Make a record and its filter."""
    qutip = contender("qutip")
    ours, _ = cpu_time(lambda: observe(SAMPLES), rounds)
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

    peer, conditional = cpu_time(run, 1)
    peer *= SAMPLES / TRAJECTORY
    return row(ours, peer, SAMPLES, off_theory(conditional))


def against_jax_trajectory(rounds: int, draws: Draws) -> Row:
    """Make a record and its filter; JAX draws its random numbers in every step, all before the scan, or has them."""
    jax = contender("jax")
    jax.config.update("jax_enable_x64", True)
    ours, _ = cpu_time(lambda: observe(SAMPLES), rounds)
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
    peer, (_, conditional) = cpu_time(lambda: jax.block_until_ready(trajectory(given)), rounds)
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


def against_qarray(rounds: int, implementation: str, temperature: float) -> Row:
    """Map the charges of a double dot, in the ground state or thermally."""
    qarray = contender("qarray")
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
    ours, charges = cpu_time(lambda: solve(gates), rounds)
    peer, result = cpu_time(lambda: np.asarray(peer_array.ground_state_open(volts)), rounds)
    difference = np.abs(np.asarray(result) - charges).max(axis=1)
    agreement = float(np.mean(difference > 0.5)) if temperature == 0 else float(difference.max())
    return row(ours, peer, len(volts), agreement)


def comparisons() -> dict[str, Measure]:
    """Return what is compared."""
    measures: dict[str, Measure] = {
        "filter of a record / JAX scan": against_jax_scan,
        "record and filter / JAX, drawing each step": partial(against_jax_trajectory, draws="each step"),
        "record and filter / JAX, drawing before": partial(against_jax_trajectory, draws="before"),
        "record and filter / JAX, its draws given": partial(against_jax_trajectory, draws="given"),
        "record and filter / QuTiP smesolve": against_qutip,
    }
    for implementation in ("rust", "jax"):
        for temperature in (0.0, 0.1):
            name = f"200 x 200 charges at {temperature:g} K / qarray {implementation}"
            measures[name] = partial(against_qarray, implementation=implementation, temperature=temperature)
    return measures


def main() -> None:
    """Print the table or one line of JSON."""
    arguments = make_parser(__doc__).parse_args()
    rounds = 1 if arguments.quick else ROUNDS
    results = {name: attempt(partial(measure, rounds)) for name, measure in comparisons().items()}
    if arguments.json:
        print_json({"threads": compute.threads()} | results)
        return
    columns = [
        Column("ours_ns", "ns each"),
        Column("peer_ns", "peer ns"),
        Column("ratio", "ratio"),
        Column("agreement", "agreement", ".1e"),
    ]
    print_table(f"ours / peer, {compute.threads()} threads", results, columns)


if __name__ == "__main__":
    main()
