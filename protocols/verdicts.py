"""Judgement: what a machine gives on a board at the inputs that it is finally judged by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, board_settings, configure, measure, save
from protocols.learning_rules import softmax
from protocols.networks import program_arrays
from protocols.ports import Board
from protocols.problems import Learning
from protocols.readout import Readout
from protocols.record import Record

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Verdict:
    """How well a machine did.

    Attributes
    ----------
    outputs : ndarray, shape (rows, outputs)
        Mean outputs.
    loss : float
        Of the task.
    accuracy : float or None
        Fraction of the test examples read right; None for a function.
    samples : int
        Samples taken.
    board_seconds : float
        Time on the board, s.
    """

    outputs: Array
    loss: float
    accuracy: float | None
    samples: int
    board_seconds: float


def judging_settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a board that is to judge a machine, by signal name, from the arguments of a plan."""
    return board_settings(
        temperature=arguments["temperature"],
        sampling=arguments["sampling"],
        shots=int(np.max(arguments["shots"])),
        observation_time=arguments["observation_time"],
        burn_in=0.0,
        saturation_limit=1.0,
    )


def deploy(board: Board, task: Learning, settings: Mapping[str, Any]) -> Plan[None]:
    """Configure a board for the machine of a task."""
    network = task.network
    yield from configure(board, cells=network.cells, inputs=network.inputs, **settings, projections=None)


def judge_on_board(board: Board, task: Learning, parameters: Array, *, shots: int, seed: int) -> Plan[Verdict]:
    """Run a machine on a board that is configured for it, and judge what it gave.

    Parameters
    ----------
    board : Board
        The board.
    task : Learning
        What is to be learnt, and by which machine.
    parameters : ndarray, shape (parameters,)
        Of the machine.
    shots : int
        Samples of each input.
    seed : int
        Seed of the noise.

    Yields
    ------
    Msg

    Returns
    -------
    Verdict
    """
    network = task.network
    inputs, target = task.problem.final()
    seconds = yield from measure(
        board,
        noise_seed=seed,
        input_table=inputs,
        shots=shots,
        readout="statistics",
        programs=[network.program(parameters)],
        rows=(1, len(inputs)),
    )
    means = np.asarray(board.mean.get(), dtype=float)[0, :, network.read]
    return judged(task, Readout(network.readout(parameters)).outputs(means), target, len(inputs) * shots, seconds)


def judged(
    task: Learning, outputs: Array, target: NDArray[Any], samples: int = 0, board_seconds: float = 0.0
) -> Verdict:
    """Judge outputs, shape (rows, outputs), by what they should be."""
    loss = float(task.problem.losses(outputs[np.newaxis], target)[0])
    accuracy = float(np.mean(outputs.argmax(axis=1) == target)) if task.problem.data else None
    return Verdict(outputs, loss, accuracy, samples, board_seconds)


def measures(verdict: Verdict) -> dict[str, float]:
    """Return the loss and, of classes, the accuracy by name."""
    return {"loss": verdict.loss} | ({} if verdict.accuracy is None else {"accuracy": verdict.accuracy})


def save_evaluation(task: Learning, parameters: Array, verdict: Verdict, **more: Any) -> Plan[None]:
    """Save the program with what it gave in the last verdict."""
    inputs, target = task.problem.final()
    arrays: dict[str, Any] = {"target": target}
    if task.problem.data:
        probabilities = softmax(verdict.outputs)
        arrays = {
            "test_accuracy": verdict.accuracy,
            "labels": target,
            "predictions": probabilities.argmax(axis=1),
            "probabilities": probabilities,
        }
    yield from save(
        Record("evaluation"),
        final_loss=verdict.loss,
        **arrays,
        **more,
        outputs=verdict.outputs,
        inputs=inputs,
        readout=task.network.readout(parameters),
        **program_arrays(task.network.program(parameters)),
    )
