"""How fast the Langevin kernel is, on the cosine board: four layers of eight cells, J = (1, 0, 1), kT = 0.1.

Run ``python benchmarks/langevin.py`` for a table, ``--json`` for one line. Figures are nanoseconds per neuron-step,
best of several rounds: in CPU time (all threads), which hardly depends on what else the machine does, and in wall time.

The peers are what one writes without this kernel: a vectorised NumPy step over 4096 trajectories, and a compiled Euler
loop over the couplings that are not zero, one trajectory after another; both with Gaussian noise of NumPy's generator.
A splitting step does more than an Euler step and may be longer: the last column says how many trajectories of unit
length are done in the CPU time that the compiled loop needs for one, at the step of the row. Euler is given 0.001, as
in the paper: with it the bias of both schemes is of the same size.
"""

import argparse
import json
import math
import time
from collections.abc import Callable

import numba
import numpy as np

from twin import compute
from twin.models.network import Noise, Scheme, sample_network

CELLS, LAYER = 32, 8
TEMPERATURE = 0.1
EULER_STEP = 0.001
ROUNDS = 5


def cosine_board() -> tuple[np.ndarray, np.ndarray]:
    """Return couplings between neighbouring layers and biases, of the size that training leaves."""
    rng = np.random.default_rng(1)
    layer = np.arange(CELLS) // LAYER
    upper = rng.normal(size=(CELLS, CELLS)) * (layer[None, :] - layer[:, None] == 1)
    return upper + upper.T, rng.normal(size=CELLS)


COUPLINGS, BIAS = cosine_board()


def timed(run: Callable[[], float]) -> dict[str, float]:
    """Return the least CPU and wall time in ns per neuron-step of a run that returns its neuron-steps."""
    run()
    best = {"cpu_ns": math.inf, "wall_ns": math.inf}
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        count = run()
        best["cpu_ns"] = min(best["cpu_ns"], (time.process_time() - cpu) / count * 1e9)
        best["wall_ns"] = min(best["wall_ns"], (time.perf_counter() - wall) / count * 1e9)
    return best


def kernel(step: float, scheme: Scheme, noise: Noise, threads: int) -> dict[str, float]:
    """Time the kernel on a generation: 50 programs, 16 rows, 64 shots, unit time."""
    programs, rows, shots = 50, 16, 64
    couplings = np.broadcast_to(COUPLINGS, (programs, CELLS, CELLS)).astype(np.float32)
    fields = np.broadcast_to(BIAS, (programs, rows, CELLS)).astype(np.float32)
    stiffness = np.broadcast_to(np.float32([1, 0, 1]), (programs, CELLS, 3))

    def run() -> float:
        sample_network(
            couplings, fields, stiffness, TEMPERATURE, trajectories=shots, key=(1, 2), first=1.0,
            step=step, scheme=scheme, noise=noise, read=np.arange(CELLS - LAYER, CELLS),
        )  # fmt: skip
        return programs * rows * shots * CELLS * round(1 / step)

    compute.set_threads(threads)
    return timed(run)


def numpy_euler() -> dict[str, float]:
    """Time a vectorised Euler step in NumPy."""
    rng = np.random.default_rng(1)
    couplings, bias = COUPLINGS.astype(np.float32), BIAS.astype(np.float32)
    h, size = np.float32(EULER_STEP), np.float32(math.sqrt(2 * TEMPERATURE * EULER_STEP))
    x = np.zeros((4096, CELLS), np.float32)

    def run() -> float:
        for _ in range(20):
            force = bias - x @ couplings - 2 * x - 4 * x * x * x
            x[:] += h * force + size * rng.standard_normal(x.shape, np.float32)
        return 20 * x.size

    return timed(run)


@numba.njit(fastmath=True)
def euler_loop(rng, starts, neighbours, weights, bias, trajectories, steps, h, size):  # type: ignore[no-untyped-def]
    """Run trajectories one after another; return the sum of where they end."""
    n, total = bias.size, np.float32(0)
    x, force = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for _ in range(trajectories):
        x[:] = 0
        for _ in range(steps):
            for i in range(n):
                field = bias[i] - np.float32(2) * x[i] - np.float32(4) * x[i] * x[i] * x[i]
                for k in range(starts[i], starts[i + 1]):
                    field -= weights[k] * x[neighbours[k]]
                force[i] = field
            for i in range(n):
                x[i] += h * force[i] + size * np.float32(rng.standard_normal())
        total += x.sum()
    return total


def numba_euler() -> dict[str, float]:
    """Time a compiled Euler loop."""
    rng = np.random.default_rng(1)
    rows, neighbours = np.nonzero(COUPLINGS)
    starts = np.searchsorted(rows, np.arange(CELLS + 1))
    weights, bias = COUPLINGS[rows, neighbours].astype(np.float32), BIAS.astype(np.float32)
    h, size = np.float32(EULER_STEP), np.float32(math.sqrt(2 * TEMPERATURE * EULER_STEP))

    def run() -> float:
        euler_loop(rng, starts, neighbours, weights, bias, 64, 1000, h, size)
        return 64 * 1000 * CELLS

    return timed(run)


def main() -> None:
    """Print the table or one line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args()
    step = 0.02
    results = {
        "ros2 matched, 1 thread": kernel(step, "ros2", "matched", 1) | {"step": step},
        "ros2 matched, 2 threads": kernel(step, "ros2", "matched", 2) | {"step": step},
        "ros2 gaussian, 1 thread": kernel(step, "ros2", "gaussian", 1) | {"step": step},
        "euler gaussian, 1 thread": kernel(EULER_STEP * 10, "euler", "gaussian", 1) | {"step": EULER_STEP},
        "NumPy euler, vectorised": numpy_euler() | {"step": EULER_STEP},
        "Numba euler, one by one": numba_euler() | {"step": EULER_STEP},
    }
    reference = results["Numba euler, one by one"]
    for result in results.values():
        cost, base = result["cpu_ns"] / result["step"], reference["cpu_ns"] / reference["step"]
        result["trajectories_per_cpu_second_relative"] = base / cost
    if arguments.json:
        print(json.dumps(results))
        return
    print(f"{'4 x 8 board':26} {'CPU ns':>9} {'wall ns':>9} {'step':>7} {'relative':>9}")
    for name, result in results.items():
        speed = result["trajectories_per_cpu_second_relative"]
        print(f"{name:26} {result['cpu_ns']:9.3f} {result['wall_ns']:9.3f} {result['step']:7} {speed:9.1f}")


if __name__ == "__main__":
    main()
