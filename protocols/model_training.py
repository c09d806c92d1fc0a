"""Model-based training: a program is fitted on a model of the board, and judged on the board itself."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from bluesky.utils import Msg
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, recorded
from protocols.arguments import (
    LARGEST_SEED,
    LARGEST_SHOTS,
    ArgumentError,
    allowed_by,
    layer_sizes,
    number,
    one_of,
    whole,
)
from protocols.baselines import judge_baselines
from protocols.model_fitting import Fit, fit, gradient_on_model, recipe_for
from protocols.networks import NEURONS, Network
from protocols.ports import Board, BoardModel
from protocols.problems import CLASSIFIER_LAYERS, LAYERS, OBSERVATION_TIME, Problem
from protocols.randomness import noise_seed
from protocols.record import Record
from protocols.tasks import task_data
from protocols.verdicts import deploy, judge_on_board, judging_settings, save_evaluation

Array = NDArray[np.float64]

LARGEST_EPOCHS = 1_000_000
TASKS = ("cosine", "digits", "iris", "mnist5000", "mnist")
SHOTS = {"function": (1000,), "classes": (1, 20, 1000)}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {"train_model_based": {"epochs": 20, "shots": (16,)}}
"""Arguments of a short run of each plan."""


def train_model_based(
    board: Board,
    model: BoardModel,
    *,
    task: Literal["cosine", "digits", "iris", "mnist5000", "mnist"] = "cosine",
    sampling: Literal["reset", "serial"] = "reset",
    split: int = 0,
    images: tuple[Path, Path] | None = None,
    labels: tuple[Path, Path] | None = None,
    epochs: int | None = None,
    shots: tuple[int, ...] | None = None,
    observation_time: float | None = None,
    temperature: float = 0.1,
    layers: tuple[int, ...] | None = None,
    baselines: bool = True,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Program a layered network by the gradient of its loss on a model of the board, and judge it on the board.

    The model simulates noisy trajectories and gives the derivative of what they came to by every parameter; Adam
    follows it. The board is asked only in the end: what counts is what the program does there.

    Parameters
    ----------
    board : Board
        The thermodynamic board that the program is deployed to.
    model : BoardModel
        The model that it is trained on.
    task : str
        "cosine": the function cos(2 pi z) on 0..1, loss (14); "digits", "iris": classes, cross-entropy (18);
        "mnist5000": 5000 digits of MNIST, of the extra `mnist`; "mnist": the files `images` and `labels`.
    sampling : str
        "reset": averages over runs of one observation time; "serial", for the cosine: averages along one trajectory.
    split : int
        Which split of mnist5000, from 0 to 3.
    images : tuple of path, optional
        IDX files of the images of task mnist, compressed or not: those to train on, those to be judged on.
    labels : tuple of path, optional
        IDX files of the labels, in the same order.
    epochs : int, optional
        Passes through the inputs. Default: 2000 for the cosine, 1000 in serial sampling, 80 for classes.
    shots : tuple of int, optional
        Samples of each input in the judgements on the board; the last one is recorded. Default: 1000 for the
        cosine; 1, 20 and 1000 for classes.
    observation_time : float, optional
        Time from the reset to the sample, or between samples, in units of 1/mu. Default: 1 for reset sampling, 0.2 for
        serial sampling.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    layers : tuple of int, optional
        Cells of each layer. Default: 8,8,8,8 for the cosine, 32,32,32 for classes.
    baselines : bool
        Whether logistic regression and a small network learn the same classes, to compare with.
    seed : int
        Seed of all choices and of the noise, from 0 to 4294967295.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        ``final_loss``; for classes ``test_accuracy`` by shots, and ``baselines`` with the ``test_accuracy`` and
        ``core_seconds`` of each; ``training_core_seconds``, the process CPU time of the fit; ``epochs``, ``samples`` on
        the board and ``board_seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed, or data are missing; nothing has been sent then.
    """
    classes = task != "cosine"
    if one_of("sampling", sampling, ("reset", "serial")) == "serial" and classes:
        raise ArgumentError("sampling: 'serial' is not allowed for classes; allowed: reset")
    if whole("split", split, 0, 3) and task != "mnist5000":
        raise ArgumentError(f"split: {split} is not allowed for task {task}; only mnist5000 has splits")
    arguments: dict[str, Any] = {
        "task": one_of("task", task, TASKS),
        "sampling": sampling,
        "split": split,
        "images": None if images is None else [str(path) for path in images],
        "labels": None if labels is None else [str(path) for path in labels],
        "epochs": None if epochs is None else whole("epochs", epochs, 1, LARGEST_EPOCHS),
        "shots": [whole("shots", count, 1, LARGEST_SHOTS) for count in _shots(shots, classes=classes)],
        "observation_time": number(
            "observation_time",
            OBSERVATION_TIME[sampling] if observation_time is None else observation_time,
            0.0,
            1e6,
            above=True,
        ),
        "temperature": number("temperature", temperature, 0.0, 4.0, above=True),
        "layers": layer_sizes("layers", layers, LAYERS.get(task, CLASSIFIER_LAYERS)),
        "baselines": bool(baselines),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }
    fitting = make_fit(arguments)
    arguments["epochs"] = fitting.recipe.epochs
    settings = judging_settings(arguments)
    allowed_by(board, cells=fitting.network.cells, inputs=fitting.network.inputs, **settings)
    body = _train(board, model, fitting, settings, arguments)
    return (yield from recorded(board, "train_model_based", as_json(arguments), body, md))


def _shots(shots: Sequence[int] | None, *, classes: bool) -> Sequence[int]:
    if shots is not None and not len(shots):
        raise ArgumentError("shots: none given; at least one number of shots is needed")
    return SHOTS["classes" if classes else "function"] if shots is None else shots


def make_fit(arguments: Mapping[str, Any]) -> Fit:
    """Return the fit that the arguments of a plan ask for; without epochs, as many as the recipe has."""
    problem = Problem(arguments["task"], task_data(arguments))
    recipe = recipe_for(problem, arguments["sampling"])
    return Fit(
        problem=problem,
        network=Network(problem.inputs, tuple(arguments["layers"]), problem.outputs, NEURONS["quadratic-quartic"]),
        recipe=replace(recipe, epochs=arguments["epochs"] or recipe.epochs),
        serial=arguments["sampling"] == "serial",
        temperature=arguments["temperature"],
        observation_time=arguments["observation_time"],
        seed=arguments["seed"],
    )


def _train(
    board: Board, model: BoardModel, fitting: Fit, settings: Mapping[str, Any], arguments: Mapping[str, Any]
) -> Plan[dict[str, Any]]:
    parameters, seconds = yield from timed_fit(model, fitting)
    yield from deploy(board, fitting, settings)
    verdicts = []
    for index, shots in enumerate(arguments["shots"]):
        seed = noise_seed(fitting.seed, index)
        verdicts.append((yield from judge_on_board(board, fitting, parameters, shots=shots, seed=seed)))
    last = verdicts[-1]
    result: dict[str, Any] = {"final_loss": last.loss}
    data = fitting.problem.data
    if data:
        by_shots = {str(shots): each.accuracy for shots, each in zip(arguments["shots"], verdicts, strict=True)}
        result["test_accuracy"] = by_shots
        yield from save_evaluation(fitting, parameters, last, accuracy_by_shots=list(by_shots.values()))
        if arguments["baselines"]:
            result["baselines"] = yield from judge_baselines(data, Record("baselines"))
    else:
        yield from save_evaluation(fitting, parameters, last)
    return {
        **result,
        "training_core_seconds": seconds,
        "epochs": fitting.recipe.epochs,
        "samples": sum(each.samples for each in verdicts),
        "board_seconds": sum(each.board_seconds for each in verdicts),
    }


def timed_fit(model: BoardModel, fitting: Fit) -> Plan[tuple[Array, float]]:
    """Fit a program on a model; return its parameters and the process CPU time that it took, s.

    A model compiles what it is made of when it is first used; that is not counted.
    """
    stage, _ = fitting.stage(0)
    inputs, target = next(fitting.batches(0))
    gradient_on_model(model, fitting, stage, fitting.initial(), inputs[:2], target[:2], 0)
    yield Msg("checkpoint", None)
    began = time.process_time()
    parameters = yield from fit(model, fitting, Record("epochs"))
    return parameters, time.process_time() - began
