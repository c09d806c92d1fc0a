"""How fast time tags of a photon detector are made: the twin's renewal kernel against NumPy's generators.

Run ``python benchmarks/photons.py`` for a table, ``--json`` for one line. Figures are nanoseconds per time tag on one
thread, best of several rounds: in CPU time, which hardly depends on what else the machine does, and in wall time.

Both make the same: ascending time tags of a detector in steady light for a given time, with dead time, dark counts,
afterpulses where there are any, and jitter. The peer is what one writes in NumPy: exponential intervals, the shorter of
arrival and afterpulse, a cumulative sum, normal jitter, and a sort where the jitter has changed the order. Beside the
ratio of the CPU times stands how far each rate is from the closed form, in its standard errors.
"""

import argparse
import json
import math
import time
from collections.abc import Callable

import numpy as np

from twin.models.photon_detector import PhotonDetector

TAGS = 2_000_000
ROUNDS = 7
CASES = {
    "nanowire, 1e6 photons/s": (PhotonDetector.superconducting_nanowire(), 1e6),
    "silicon, 1e6 photons/s": (PhotonDetector.silicon_avalanche_diode(), 1e6),
    "silicon, 1e7 photons/s": (PhotonDetector.silicon_avalanche_diode(), 1e7),
}


def numpy_stream(detector: PhotonDetector, arrivals: float, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Return the time tags of a renewal process with vectorised NumPy."""
    expected = detector.detection_rate(arrivals) * duration
    count = math.ceil(expected + 6 * math.sqrt(expected)) + 1
    tags = rng.standard_exponential(count)
    tags /= detector.efficiency * arrivals + detector.dark_rate
    if detector.afterpulse_probability:
        followed = np.flatnonzero(rng.random(count - 1) < detector.afterpulse_probability) + 1
        delays = rng.exponential(detector.afterpulse_time, followed.size)
        tags[followed] = np.minimum(tags[followed], delays)
    tags[1:] += detector.dead_time
    np.cumsum(tags, out=tags)
    tags = tags[: np.searchsorted(tags, duration)]
    tags += detector.jitter * rng.standard_normal(tags.size)
    if (tags[1:] < tags[:-1]).any():
        tags.sort()
    return tags


def timed(stream: Callable[[], np.ndarray], rate: float) -> dict[str, float]:
    """Return the least CPU and wall time in ns per time tag, and the deviation of the rate in standard errors."""
    intervals = np.diff(stream())
    error = intervals.std() / math.sqrt(intervals.size)
    best = {"cpu_ns": math.inf, "wall_ns": math.inf, "deviation": (intervals.mean() - 1 / rate) / error}
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        tags = stream().size
        best["cpu_ns"] = min(best["cpu_ns"], (time.process_time() - cpu) / tags * 1e9)
        best["wall_ns"] = min(best["wall_ns"], (time.perf_counter() - wall) / tags * 1e9)
    return best


def compare(detector: PhotonDetector, arrivals: float) -> dict[str, dict[str, float]]:
    """Time both on one detector."""
    rate = detector.detection_rate(arrivals)
    duration = TAGS / rate
    rng = np.random.default_rng(1)
    return {
        "twin": timed(lambda: detector.stream(arrivals, duration, key=(1, 2)), rate),
        "NumPy": timed(lambda: numpy_stream(detector, arrivals, duration, rng), rate),
    }


def main() -> None:
    """Print the table or one line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args()
    results = {name: compare(*case) for name, case in CASES.items()}
    for result in results.values():
        for row in result.values():
            row["relative"] = result["NumPy"]["cpu_ns"] / row["cpu_ns"]
    if arguments.json:
        print(json.dumps(results))
        return
    print(f"{'time tags':32} {'CPU ns':>9} {'wall ns':>9} {'relative':>9} {'deviation':>10}")
    for name, result in results.items():
        for contender, row in result.items():
            print(
                f"{name + ', ' + contender:32} {row['cpu_ns']:9.2f} {row['wall_ns']:9.2f} {row['relative']:9.2f}"
                f" {row['deviation']:8.1f} s"
            )


if __name__ == "__main__":
    main()
