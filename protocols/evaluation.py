"""Evaluation: a stored program is run on a board, as it was trained to be or otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, board_settings, configure, measure, recorded, save
from protocols.arguments import LARGEST_SEED, LARGEST_SHOTS, ArgumentError, allowed_by, number, one_of, whole
from protocols.genetic_algorithm import function_loss
from protocols.ports import Board
from protocols.randomness import noise_seed
from protocols.readout import Readout
from protocols.record import Record
from protocols.stored_run import StoredRun
from protocols.tasks import FINAL_POINTS, Classification, cosine, task_data

Array = NDArray[np.float64]
EXAMPLES: Mapping[str, Mapping[str, Any]] = {"evaluate": {"shots": 20}, "loss_curve": {"shots": (2, 20)}}
"""Arguments of a short run of each plan, beside the run to evaluate."""

SERIES: Mapping[str, Sequence[int]] = {"reset": (1, 10, 100, 1000, 10000), "serial": (1, 10, 100, 1000)}
"""Numbers of shots of a loss curve, by sampling."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A stored program and how it is run.

    Attributes
    ----------
    run : StoredRun
        The run that trained it.
    data : Classification or None
        The examples of a classification task; None for the cosine.
    settings : mapping
        Settings of the board, by signal name.
    """

    run: StoredRun
    data: Classification | None
    settings: Mapping[str, Any]

    @property
    def inputs(self) -> Array:
        """Inputs it is judged on, shape (rows, inputs)."""
        return self.data.test.inputs if self.data else cosine(FINAL_POINTS)[0]

    @property
    def samples(self) -> int:
        """Samples of one run of the board."""
        return len(self.inputs) * int(self.settings["shots"])

    @property
    def readout(self) -> Readout:
        """How outputs are read."""
        return Readout(self.run.readout, self.data.targets if self.data else None)

    def with_settings(self, **settings: Any) -> "Trial":
        """Return the trial with other settings."""
        return replace(self, settings={**self.settings, **settings})


def evaluate(
    board: Board,
    *,
    run: StoredRun,
    shots: int | None = None,
    observation_time: float | None = None,
    temperature: float | None = None,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Run a trained program on the inputs it was judged on, and compare with what it did where it was trained.

    Parameters
    ----------
    board : Board
        The thermodynamic board, the one the program was trained on or another.
    run : StoredRun
        The training run: its unique identifier or the beginning of it.
    shots : int, optional
        Samples of each input. Default: as in the last judgement of the training.
    observation_time : float, optional
        Time from the reset to the sample, or between samples, in units of 1/mu. Default: as trained.
    temperature : float, optional
        Noise temperature kT in model units, above 0 and up to 4. Default: as trained.
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
        ``loss`` and ``trained_loss``; for classes ``accuracy``, ``trained_accuracy`` and ``agreement``, the fraction
        of the inputs that are read as where it was trained; ``shots``, ``samples`` and ``board_seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed, or the run holds no trained program; nothing has been sent then.
    """
    trial = _trial(run, _data(run), shots=shots, observation_time=observation_time, temperature=temperature)
    whole("seed", seed, 0, LARGEST_SEED)
    _check_size(board, trial)
    arguments = {**trial.settings, "run": run.uid, "seed": seed}
    del arguments["saturation_limit"]
    return (yield from recorded(board, "evaluate", as_json(arguments), _evaluate(board, trial, seed), md))


def loss_curve(
    board: Board,
    *,
    run: StoredRun,
    shots: Sequence[int] | None = None,
    observation_time: Sequence[float] | None = None,
    temperature: float | None = None,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Judge a trained program at a series of shots, or at a series of observation times, with fresh noise at each.

    Parameters
    ----------
    board : Board
        The thermodynamic board, the one the program was trained on or another.
    run : StoredRun
        The training run: its unique identifier or the beginning of it.
    shots : sequence of int, optional
        Samples of each input. Default: 1,10,100,1000 and in reset sampling 10000; with a series of times as in the last
        judgement of the training.
    observation_time : sequence of float, optional
        Times from the reset to the sample, or between samples, in units of 1/mu. Default: as trained.
    temperature : float, optional
        Noise temperature kT in model units, above 0 and up to 4. Default: as trained.
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
        Lists ``shots``, ``observation_time`` and ``loss``, for classes also ``accuracy``; ``trained_loss``,
        ``samples`` and ``board_seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed, both series have several values, or the run holds no trained program; nothing has
        been sent then.
    """
    points, data = _points(run, shots, observation_time), _data(run)
    trials = [_trial(run, data, shots=count, observation_time=time, temperature=temperature) for count, time in points]
    whole("seed", seed, 0, LARGEST_SEED)
    for trial in trials:
        _check_size(board, trial)
    arguments: dict[str, Any] = {**trials[0].settings, "run": run.uid, "task": run.plan_args["task"], "seed": seed}
    arguments |= {key: [trial.settings[key] for trial in trials] for key in ("shots", "observation_time")}
    arguments["trained_observation_time"] = run.plan_args["observation_time"]
    del arguments["saturation_limit"]
    return (yield from recorded(board, "loss_curve", as_json(arguments), _loss_curve(board, trials, seed), md))


def _points(
    run: StoredRun, shots: Sequence[int] | None, observation_time: Sequence[float] | None
) -> list[tuple[int | None, float | None]]:
    """Return shots and observation times, None where they are those of the training."""
    times: list[float | None] = [None] if observation_time is None else list(observation_time)
    counts: list[int | None] = [None] if shots is None else list(shots)
    if shots is None and observation_time is None:
        counts = list(SERIES[one_of("run: sampling", str(run.plan_args.get("sampling")), SERIES)])
    if not counts or not times or min(len(counts), len(times)) > 1:
        given = f"{len(counts)} shots and {len(times)} observation times"
        raise ArgumentError(f"shots, observation_time: {given} given; allowed: a series of one of them")
    return [(count, time) for count in counts for time in times]


def _data(run: StoredRun) -> Classification | None:
    """Return the examples a program was judged by; None for the cosine."""
    return task_data({"task": "", **run.plan_args})


def _trial(
    run: StoredRun,
    data: Classification | None,
    *,
    shots: int | None,
    observation_time: float | None,
    temperature: float | None,
) -> Trial:
    """Return how a program is run: as trained where nothing is given."""
    trained = run.plan_args
    default_shots = np.atleast_1d(trained.get("final_shots", trained.get("shots", 50)))[-1]
    settings = board_settings(
        temperature=number("temperature", _given(temperature, trained["temperature"]), 0.0, 4.0, above=True),
        sampling=one_of("run: sampling", trained["sampling"], ("reset", "serial")),
        shots=whole("shots", _given(shots, default_shots), 1, LARGEST_SHOTS),
        observation_time=number(
            "observation_time", _given(observation_time, trained["observation_time"]), 0.0, 1e6, above=True
        ),
        burn_in=number("run: burn_in", trained.get("burn_in", 0.0), 0.0, 1e6),
        saturation_limit=1.0,
    )
    return Trial(run, data, settings)


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _check_size(board: Board, trial: Trial) -> None:
    program = trial.run.program
    allowed_by(board, cells=program.cells, inputs=program.inputs, **trial.settings)


def _configure(board: Board, trial: Trial) -> Plan[None]:
    program = trial.run.program
    yield from configure(board, cells=program.cells, inputs=program.inputs, **trial.settings, projections=None)
    yield from configure(board, input_table=trial.inputs, programs=[program], readout="statistics")


def _outputs(board: Board, trial: Trial, seed: int) -> Plan[tuple[Array, float]]:
    """Run the program once on all inputs; return its outputs, shape (rows, outputs), and the seconds on the board."""
    seconds = yield from measure(board, noise_seed=seed, rows=(1, len(trial.inputs)))
    mean = np.asarray(board.mean.get(), dtype=float)[0]
    return trial.readout.outputs(mean[:, -trial.run.readout.shape[1] :]), seconds


def _evaluate(board: Board, trial: Trial, seed: int) -> Plan[dict[str, Any]]:
    yield from _configure(board, trial)
    outputs, seconds = yield from _outputs(board, trial, noise_seed(seed, 0))
    values, arrays = _compared(trial, outputs)
    result = {**values, "shots": trial.settings["shots"], "samples": trial.samples, "board_seconds": seconds}
    yield from save(Record("evaluation"), **result, inputs=trial.inputs, **arrays)
    return result


def _loss_curve(board: Board, trials: Sequence[Trial], seed: int) -> Plan[dict[str, Any]]:
    record = Record("primary")
    measures = ("loss", "accuracy") if trials[0].data else ("loss",)
    points: list[dict[str, Any]] = []
    yield from _configure(board, trials[0])
    for index, trial in enumerate(trials):
        yield from configure(board, **{key: trial.settings[key] for key in ("shots", "observation_time")})
        outputs, seconds = yield from _outputs(board, trial, noise_seed(seed, index))
        values, arrays = _compared(trial, outputs)
        point = {key: trial.settings[key] for key in ("shots", "observation_time")}
        point |= {key: values[key] for key in measures} | {"samples": trial.samples, "board_seconds": seconds}
        points.append(point)
        yield from save(record, **point, inputs=trial.inputs, **arrays)
    return {
        **{key: [point[key] for point in points] for key in ("shots", "observation_time", *measures)},
        "trained_loss": values["trained_loss"],
        **{key: sum(point[key] for point in points) for key in ("samples", "board_seconds")},
    }


def _compared(trial: Trial, outputs: Array) -> tuple[dict[str, float], dict[str, Any]]:
    """Return how well a program did beside where it was trained, and the arrays that show it."""
    if trial.data:
        return _compare_classes(trial.run, trial.readout, outputs, trial.data)
    return _compare_function(trial.run, outputs)


def _compare_classes(
    run: StoredRun, readout: Readout, outputs: Array, data: Classification
) -> tuple[dict[str, float], dict[str, Any]]:
    """Compare the reading of the test examples with the one recorded by the training run."""
    labels = data.test.labels
    probabilities = readout.probabilities(outputs)
    predictions = probabilities.argmax(axis=1)
    before = np.asarray(run.arrays["predictions"])
    values = {
        "loss": float(readout.loss(outputs, labels)[0].mean()),
        "trained_loss": float(np.asarray(run.arrays["final_loss"])),
        "accuracy": float(np.mean(predictions == labels)),
        "trained_accuracy": float(np.mean(before == labels)),
        "agreement": float(np.mean(before == predictions)),
    }
    return values, {"labels": labels, "predictions": predictions, "probabilities": probabilities}


def _compare_function(run: StoredRun, outputs: Array) -> tuple[dict[str, float], dict[str, Any]]:
    """Compare the output with the function, and its loss with the one recorded by the training run."""
    target = cosine(FINAL_POINTS)[1]
    values = {
        "loss": float(function_loss(outputs[:, 0], target)),
        "trained_loss": float(np.asarray(run.arrays["final_loss"])),
    }
    return values, {"target": target, "outputs": outputs}
