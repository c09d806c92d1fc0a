"""One cell: mean activity, fluctuation and switching probability against drive, and how its activity moves in time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, board_settings, configure, measure, recorded, save
from protocols.arguments import (
    LARGEST_SEED,
    LARGEST_SHOTS,
    SLOTS,
    ArgumentError,
    allowed_by,
    number,
    numbers,
    one_of,
    whole,
)
from protocols.ports import Board, BoardProgram
from protocols.randomness import noise_seed
from protocols.record import Record
from protocols.statistics import fit_switching, mean_with_error

RAW_VALUES = 2**24
"""Raw samples of one run that the host takes at a time."""
TRAJECTORY_UNITS = {"activity": "model unit", "moment": "1/mu"}
LONGEST = 1_000_000
"""Samples of one trajectory."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "activation_curve": {"drive": (-1.0, 0.0, 1.0), "shots": 200, "observation_time": 1.0},
    "trajectory": {"drive": (-1.0, 1.0), "shots": 20},
}
"""Arguments of a short run of each plan."""


def activation_curve(
    board: Board,
    *,
    drive: Sequence[float] = (-5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    stiffness: tuple[float, float, float] = (1.0, 0.0, 1.0),
    temperature: float = 0.1,
    shots: int = 20000,
    observation_time: float = 5.0,
    sampling: Literal["reset", "serial"] = "reset",
    burn_in: float = 10.0,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Sweep the bias of one cell, and record its mean and variance against the drive.

    Every drive is a program of its own, so up to 64 of them are one run of the board. A bistable cell (J2 below 0) is
    an activation switch: the probability of a positive activity is recorded too, and a logistic function is fitted to
    it.

    Parameters
    ----------
    board : Board
        The thermodynamic board.
    drive : sequence of float
        Biases of the cell in model units, each from -16 to 16.
    stiffness : tuple of float
        J2, J3 and J4 of the cell: J2 from -4 to 4, J3 from -2 to 2, J4 from 0 to 4.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    shots : int
        Samples of each drive, from 2 to 16777216.
    observation_time : float
        Time from the reset to the sample (reset sampling) or between samples (serial sampling), in units of 1/mu.
    sampling : str
        "reset": every shot starts from zero; "serial": shots follow each other along one trajectory.
    burn_in : float
        Time before the first shot of serial sampling, in units of 1/mu.
    seed : int
        Seed of the noise, from 0 to 4294967295.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        Lists ``drive``, ``mean``, ``mean_standard_error``, ``variance``, ``variance_standard_error``, numbers
        ``samples`` and ``board_seconds``; for a bistable cell also the lists ``probability`` and
        ``probability_standard_error``, and ``fit``: its ``offset`` and ``width`` in units of the drive with their
        standard errors, or None where the drives do not determine it.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    drive = numbers("drive", drive, -16.0, 16.0)
    stiffness = _cell(stiffness)
    settings = board_settings(
        temperature=number("temperature", temperature, 0.0, 4.0, above=True),
        sampling=one_of("sampling", sampling, ("reset", "serial")),
        shots=whole("shots", shots, 2, LARGEST_SHOTS),
        observation_time=number("observation_time", observation_time, 0.0, 1e6, above=True),
        burn_in=number("burn_in", burn_in, 0.0, 1e6),
        saturation_limit=1.0,
    )
    whole("seed", seed, 0, LARGEST_SEED)
    allowed_by(board, cells=1, inputs=0, **settings)
    arguments = {**settings, "drive": drive, "stiffness": stiffness, "seed": seed}
    del arguments["saturation_limit"]
    body = _sweep(board, drive, stiffness, settings, seed)
    return (yield from recorded(board, "activation_curve", as_json(arguments), body, md))


def _sweep(
    board: Board, drive: Sequence[float], stiffness: Sequence[float], settings: Mapping[str, Any], seed: int
) -> Plan[dict[str, Any]]:
    record = Record("primary")
    yield from configure(board, cells=1, inputs=0, **settings, rows=None, projections=None, readout="samples")
    points: list[dict[str, float]] = []
    board_seconds = 0.0
    for index, chunk in enumerate(_runs(drive, settings["shots"])):
        programs = [_program(bias, stiffness) for bias in chunk]
        board_seconds += yield from measure(board, noise_seed=noise_seed(seed, index), programs=programs)
        samples = np.asarray(board.samples.get())[:, 0, :, 0]
        for bias, series in zip(chunk, samples, strict=True):
            points.append(_point(bias, series, correlated=settings["sampling"] == "serial", bistable=stiffness[0] < 0))
            yield from save(record, **points[-1])
    result: dict[str, Any] = {key: [point[key] for point in points] for key in points[0]}
    if stiffness[0] < 0:
        result["fit"] = fit_switching(drive, result["probability"], result["probability_standard_error"])
    return {**result, "samples": len(drive) * settings["shots"], "board_seconds": board_seconds}


def _cell(stiffness: Sequence[float]) -> tuple[float, float, float]:
    """Return the stiffness of a cell whose energy is bounded, or that at least stays on the rails."""
    quadratic, cubic, quartic = numbers("stiffness", stiffness, -4.0, 4.0, length=3)
    number("stiffness (J3)", cubic, -2.0, 2.0)
    number("stiffness (J4)", quartic, 0.0, 4.0)
    if cubic and not quartic:
        raise ArgumentError("stiffness: J3 without J4 leaves the energy unbounded; J4 above 0 is needed")
    return quadratic, cubic, quartic


def _runs(drive: Sequence[float], shots: int) -> Iterator[Sequence[float]]:
    """Yield the drives in groups that fit the board's program slots and the host's memory."""
    size = max(1, min(SLOTS, RAW_VALUES // shots))
    for first in range(0, len(drive), size):
        yield drive[first : first + size]


def _program(bias: float, stiffness: Sequence[float]) -> BoardProgram:
    quadratic, cubic, quartic = (np.array([value]) for value in stiffness)
    return BoardProgram(
        couplings=np.zeros((1, 1)), bias=np.array([bias]), quadratic=quadratic, cubic=cubic, quartic=quartic
    )


def _point(bias: float, series: NDArray[np.float32], *, correlated: bool, bistable: bool) -> dict[str, float]:
    mean, mean_error = mean_with_error(series, correlated=correlated)
    variance, variance_error = mean_with_error((series - mean) ** 2, correlated=correlated)
    point = {
        "drive": bias,
        "mean": mean,
        "mean_standard_error": mean_error,
        "variance": variance * len(series) / (len(series) - 1),
        "variance_standard_error": variance_error,
    }
    if bistable:
        probability, error = mean_with_error(series > 0, correlated=correlated)
        point |= {"probability": probability, "probability_standard_error": error}
    return point


def trajectory(
    board: Board,
    *,
    drive: Sequence[float] = (-5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    stiffness: tuple[float, float, float] = (1.0, 0.0, 1.0),
    temperature: float = 0.01,
    shots: int = 160,
    observation_time: float = 0.025,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Record how the activity of one cell moves from zero, once for each drive.

    Parameters
    ----------
    board : Board
        The thermodynamic board.
    drive : sequence of float
        Biases of the cell in model units, each from -16 to 16.
    stiffness : tuple of float
        J2, J3 and J4 of the cell: J2 from -4 to 4, J3 from -2 to 2, J4 from 0 to 4.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    shots : int
        Samples of each trajectory, up to 1000000.
    observation_time : float
        Time from one sample to the next, in units of 1/mu.
    seed : int
        Seed of the noise, from 0 to 4294967295.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        Lists ``drive``, ``final_activity`` and ``sign_changes``: how often each trajectory changed its sign;
        ``duration`` of each in units of 1/mu; ``samples`` and ``board_seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    drive = numbers("drive", drive, -16.0, 16.0)
    arguments: dict[str, Any] = {
        "drive": drive,
        "stiffness": _cell(stiffness),
        "temperature": number("temperature", temperature, 0.0, 4.0, above=True),
        "shots": whole("shots", shots, 1, LONGEST),
        "observation_time": number("observation_time", observation_time, 0.0, 1e6, above=True),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }
    settings = board_settings(
        temperature=temperature,
        sampling="serial",
        shots=shots,
        observation_time=observation_time,
        burn_in=0.0,
        saturation_limit=1.0,
    )
    allowed_by(board, cells=1, inputs=0, **settings)
    body = _record_trajectories(board, drive, stiffness, settings, seed)
    return (yield from recorded(board, "trajectory", as_json(arguments), body, md))


def _record_trajectories(
    board: Board, drive: Sequence[float], stiffness: Sequence[float], settings: Mapping[str, Any], seed: int
) -> Plan[dict[str, Any]]:
    record = Record("primary", units=TRAJECTORY_UNITS, dims={"moment": ("shot",), "activity": ("shot",)})
    yield from configure(board, cells=1, inputs=0, **settings, rows=None, projections=None, readout="samples")
    interval, shots = float(board.observation_time.get()), int(settings["shots"])
    recorded_activity: list[NDArray[np.float64]] = []
    board_seconds = 0.0
    for index, chunk in enumerate(_runs(drive, shots)):
        programs = [_program(bias, stiffness) for bias in chunk]
        board_seconds += yield from measure(board, noise_seed=noise_seed(seed, index), programs=programs)
        activity = np.asarray(board.samples.get(), dtype=float)[:, 0, :, 0]
        for bias, series in zip(chunk, activity, strict=True):
            recorded_activity.append(series)
            yield from save(record, drive=bias, moment=interval * np.arange(1, shots + 1), activity=series)
    return {
        "drive": list(drive),
        "final_activity": [float(series[-1]) for series in recorded_activity],
        "sign_changes": [int(np.count_nonzero(np.diff(np.sign(series)))) for series in recorded_activity],
        "duration": interval * shots,
        "samples": len(drive) * shots,
        "board_seconds": board_seconds,
    }
