"""Evaluation: a stored program is run on a board, and compared with what it did where it was trained."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, board_settings, configure, measure, recorded, save
from protocols.arguments import LARGEST_SEED, LARGEST_SHOTS, allowed_by, number, one_of, whole
from protocols.genetic_algorithm import function_loss
from protocols.ports import Board
from protocols.randomness import noise_seed
from protocols.readout import Readout
from protocols.record import Record
from protocols.stored_run import StoredRun
from protocols.tasks import CLASSIFICATIONS, FINAL_POINTS, Classification, classification, cosine

Array = NDArray[np.float64]
EXAMPLES: Mapping[str, Mapping[str, Any]] = {"evaluate": {"shots": 20}}
"""Arguments of a short run of each plan, beside the run to evaluate."""


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
    trained = run.plan_args
    task = one_of("run: task", str(trained.get("task")), ("cosine", *CLASSIFICATIONS))
    default_shots = trained.get("final_shots", trained.get("shots", 50))
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
    whole("seed", seed, 0, LARGEST_SEED)
    program = run.program
    allowed_by(board, cells=program.cells, inputs=program.inputs, **settings)
    arguments = {**settings, "run": run.uid, "seed": seed}
    del arguments["saturation_limit"]
    body = _evaluate(board, run, task, settings, seed)
    return (yield from recorded(board, "evaluate", as_json(arguments), body, md))


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _evaluate(board: Board, run: StoredRun, task: str, settings: Mapping[str, Any], seed: int) -> Plan[dict[str, Any]]:
    program = run.program
    data = None if task == "cosine" else classification(task)
    inputs = data.test.inputs if data else cosine(FINAL_POINTS)[0]
    yield from configure(board, cells=program.cells, inputs=program.inputs, **settings, projections=None)
    seconds = yield from measure(
        board,
        noise_seed=noise_seed(seed, 0),
        input_table=inputs,
        programs=[program],
        rows=(1, len(inputs)),
        readout="statistics",
    )
    mean = np.asarray(board.mean.get(), dtype=float)[0]
    readout = Readout(run.readout, data.targets if data else None)
    outputs = readout.outputs(mean[:, program.cells - run.readout.shape[1] :])
    values, arrays = _compare_classes(run, readout, outputs, data) if data else _compare_function(run, outputs)
    result = {
        **values,
        "shots": settings["shots"],
        "samples": len(inputs) * settings["shots"],
        "board_seconds": seconds,
    }
    yield from save(Record("evaluation"), **result, inputs=inputs, **arrays)
    return result


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
