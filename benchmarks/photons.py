"""How fast time tags of a photon detector are made: the twin's renewal kernel against NumPy's generators.

Run ``python benchmarks/photons.py`` for a table, ``--json`` for one line, ``--quick`` for a short look. Figures are
nanoseconds per time tag on one thread, best of several rounds: in CPU time, which hardly depends on what else the
machine does, and in wall time.

Both make the same: ascending time tags of a detector in steady light for a given time, with dead time, dark counts,
afterpulses where there are any, and jitter. The peer is what one writes in NumPy: exponential intervals, the shorter of
arrival and afterpulse, a cumulative sum, normal jitter, and a sort where the jitter has changed the order. Beside the
ratio of the CPU times stands how far each rate is from the closed form, in its standard errors.
"""

import math
from collections.abc import Callable

import numpy as np
from measuring import ROUNDS, Column, Row, Timing, least_times, make_parser, print_json, print_table

from twin.models.photon_detector import PhotonDetector

TAGS = 2_000_000
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


def row(timing: Timing, tags: np.ndarray, rate: float) -> Row:
    """Return CPU and wall time in ns per time tag, and the deviation of the rate in standard errors."""
    intervals = np.diff(tags)
    return {
        "work": tags.size,
        "seconds": timing.cpu,
        "cpu_ns": timing.cpu / tags.size * 1e9,
        "wall_ns": timing.wall / tags.size * 1e9,
        "deviation": (intervals.mean() - 1 / rate) / (intervals.std() / math.sqrt(intervals.size)),
    }


def compare(detector: PhotonDetector, arrivals: float, tags: int, rounds: int) -> dict[str, Row]:
    """Time both on one detector."""
    rate = detector.detection_rate(arrivals)
    duration = tags / rate
    rng = np.random.default_rng(1)
    runs: dict[str, Callable[[], np.ndarray]] = {
        "twin": lambda: detector.stream(arrivals, duration, key=(1, 2)),
        "NumPy": lambda: numpy_stream(detector, arrivals, duration, rng),
    }
    rows = {name: row(*found, rate) for name, found in least_times(runs, rounds).items()}
    for each in rows.values():
        each["ratio"] = each["cpu_ns"] / rows["twin"]["cpu_ns"]
    return rows


def main() -> None:
    """Print the table or one line of JSON."""
    arguments = make_parser(__doc__).parse_args()
    tags, rounds = (20_000, 1) if arguments.quick else (TAGS, ROUNDS)
    results = {
        f"{name}, {who}": row for name, case in CASES.items() for who, row in compare(*case, tags, rounds).items()
    }
    if arguments.json:
        print_json(results)
        return
    columns = [
        Column("cpu_ns", "CPU ns", ".2f"), Column("wall_ns", "wall ns", ".2f"), Column("ratio", "theirs / ours", ".2f"),
        Column("deviation", "deviation, s.e.", ".1f"),
    ]  # fmt: skip
    print_table("time tags", results, columns)


if __name__ == "__main__":
    main()
