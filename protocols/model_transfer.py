"""Transfer: a program that was fitted on an ideal model is put on a board, and goes on learning on it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, recorded, save
from protocols.arguments import (
    LARGEST_SEED,
    LARGEST_SHOTS,
    SLOTS,
    allowed_by,
    layer_sizes,
    number,
    one_of,
    whole,
)
from protocols.model_fitting import Fit, outputs_on_model
from protocols.model_training import LARGEST_EPOCHS, TASKS, make_fit, timed_fit
from protocols.ports import Board, BoardModel
from protocols.problems import CLASSIFIER_LAYERS, LAYERS
from protocols.randomness import noise_seed
from protocols.record import Record
from protocols.recovery import Effort, Recovery, recover_by_feedback, recover_by_selection, steps_until
from protocols.verdicts import (
    Verdict,
    deploy,
    judge_on_board,
    judged,
    judging_settings,
    measures,
    save_evaluation,
)

Array = NDArray[np.float64]

MODEL_STEP = 0.02
"""Largest time step of the model where it is judged."""
ON_MODEL = 10**6
"""Address of the noise of that judgement, beyond those of the fit."""
STAGES = ("ideal", "deployed", "genetic", "feedback")
ALLOWED_LOSS = 2.0
"""A function has recovered when its loss is so many times that of the ideal board."""
RECOVERED_SHARE = 0.8
"""Classes have recovered when so much of the accuracy that was lost is back."""
RATES = {"function": 0.005, "classes": 0.002}
SHOTS = {"function": 1000, "classes": 100}
ROWS = {"function": (32, 64), "classes": (200, 500)}
"""Inputs of a generation, and of an update."""
SAMPLES = {"function": (256, 256), "classes": (20, 50)}
"""Samples of each of them."""
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "transfer": {"epochs": 20, "shots": 16, "generations": 2, "updates": 2, "population": 8}
}
"""Arguments of a short run of each plan."""


def transfer(
    board: Board,
    model: BoardModel,
    *,
    task: Literal["cosine", "digits", "iris", "mnist5000"] = "cosine",
    split: int = 0,
    epochs: int | None = None,
    shots: int | None = None,
    generations: int = 10,
    population: int = 50,
    parents: int = 5,
    mutation: float = 0.02,
    updates: int = 20,
    learning_rate: float | None = None,
    observation_time: float = 1.0,
    temperature: float = 0.1,
    layers: tuple[int, ...] | None = None,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Carry a program from an ideal model to a board, say what was lost on the way, and win it back on the board.

    The program is fitted on the model as by `train_model_based`. It is judged on the model, which is the ideal, and on
    the board. From there it goes on learning on the board alone, in two ways that begin with the same program: by
    the genetic algorithm, and by feedback from the covariances of the board's own fluctuations.

    Parameters
    ----------
    board : Board
        The thermodynamic board that the program is put on.
    model : BoardModel
        The ideal model that it is fitted on.
    task : str
        "cosine": the function cos(2 pi z) on 0..1; "digits", "iris", "mnist5000": classes.
    split : int
        Which split of mnist5000, from 0 to 3.
    epochs : int, optional
        Passes of the fit through the inputs. Default: as for `train_model_based`.
    shots : int, optional
        Samples of each input in every judgement. Default: 1000 for the cosine, 100 for classes.
    generations : int
        Steps by the genetic algorithm.
    population, parents : int
        Individuals of a generation, up to the 64 program slots of the board, and those selected from it, fewer.
    mutation : float
        Standard deviation of a mutation at fan-in one, in model units.
    updates : int
        Steps by feedback.
    learning_rate : float, optional
        Of the feedback, above 0 and up to 10. Default: 0.005 for the cosine, 0.002 for classes.
    observation_time : float
        Time from the reset to the sample, in units of 1/mu.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    layers : tuple of int, optional
        Cells of each layer. Default: 8,8,8,8 for the cosine, 32,32,32 for classes.
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
        ``ideal`` and ``deployed``: ``loss`` and, for classes, ``accuracy`` on the model and on the board; ``genetic``
        and ``feedback``: the same of the step that is kept, judged once more, its number ``kept_step`` of the
        ``steps``, and ``steps_to_recover``, ``samples_to_recover`` and ``board_seconds_to_recover``, None where it has
        not recovered; for classes also ``recovered_share`` of the accuracy that was lost; ``training_core_seconds``,
        the process CPU time of the fit.

    Raises
    ------
    ArgumentError
        An argument is not allowed, or data are missing; nothing has been sent then.
    """
    one_of("task", task, [name for name in TASKS if name != "mnist"])
    kind = "function" if task == "cosine" else "classes"
    population = whole("population", population, 2, SLOTS)
    arguments: dict[str, Any] = {
        "task": task,
        "sampling": "reset",
        "split": whole("split", split, 0, 3),
        "epochs": None if epochs is None else whole("epochs", epochs, 1, LARGEST_EPOCHS),
        "shots": whole("shots", SHOTS[kind] if shots is None else shots, 1, LARGEST_SHOTS),
        "generations": whole("generations", generations, 1, 10_000),
        "population": population,
        "parents": whole("parents", parents, 1, population - 1),
        "mutation": number("mutation", mutation, 0.0, 8.0),
        "updates": whole("updates", updates, 1, 10_000),
        "learning_rate": number(
            "learning_rate", RATES[kind] if learning_rate is None else learning_rate, 0.0, 10.0, above=True
        ),
        "observation_time": number("observation_time", observation_time, 0.0, 1e6, above=True),
        "temperature": number("temperature", temperature, 0.0, 4.0, above=True),
        "layers": layer_sizes("layers", layers, LAYERS.get(task, CLASSIFIER_LAYERS)),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }
    fitting = make_fit(arguments)
    arguments["epochs"] = fitting.recipe.epochs
    settings = judging_settings(arguments)
    allowed_by(board, cells=fitting.network.cells, inputs=fitting.network.inputs, **settings)
    body = _transfer(board, model, fitting, settings, arguments)
    return (yield from recorded(board, "transfer", as_json(arguments), body, md))


def _transfer(
    board: Board, model: BoardModel, fitting: Fit, settings: Mapping[str, Any], arguments: Mapping[str, Any]
) -> Plan[dict[str, Any]]:
    shots = arguments["shots"]
    parameters, core_seconds = yield from timed_fit(model, fitting)
    inputs, target = fitting.problem.final()
    outputs = yield from outputs_on_model(
        model, fitting, parameters, inputs, shots=shots, step=MODEL_STEP, acquisition=ON_MODEL
    )
    ideal = judged(fitting, outputs, target)
    record = Record("stages")
    yield from deploy(board, fitting, settings)
    deployed = yield from judge_on_board(board, fitting, parameters, shots=shots, seed=noise_seed(fitting.seed, 0))
    ways = yield from _recover(board, fitting, parameters, deployed, arguments)
    finals = []
    for way in ways:
        seed = noise_seed(fitting.seed, len(way.verdicts))
        finals.append((yield from judge_on_board(board, fitting, way.programs[way.kept], shots=shots, seed=seed)))
    for stage, verdict in zip(STAGES, (ideal, deployed, *finals), strict=True):
        yield from save(record, stage=stage, **measures(verdict), outputs=verdict.outputs)
    number = int(np.argmin([verdict.loss for verdict in finals]))
    yield from save_evaluation(fitting, ways[number].programs[ways[number].kept], finals[number])
    return {
        "ideal": measures(ideal),
        "deployed": measures(deployed),
        **{way.method: _account(way, final, ideal) for way, final in zip(ways, finals, strict=True)},
        "training_core_seconds": core_seconds,
    }


def _recover(
    board: Board, fitting: Fit, parameters: Array, deployed: Verdict, arguments: Mapping[str, Any]
) -> Plan[tuple[Recovery, Recovery]]:
    """Let the program go on learning in both ways."""
    kind = "classes" if fitting.problem.data else "function"
    genetic, feedback = (Recovery(method, [parameters], [deployed]) for method in ("genetic", "feedback"))
    record = Record("learning")
    yield from recover_by_selection(
        board,
        fitting,
        genetic,
        Effort(arguments["generations"], ROWS[kind][0], SAMPLES[kind][0]),
        record,
        population=arguments["population"],
        parents=arguments["parents"],
        mutation=arguments["mutation"],
        shots=arguments["shots"],
    )
    yield from recover_by_feedback(
        board,
        fitting,
        feedback,
        Effort(arguments["updates"], ROWS[kind][1], SAMPLES[kind][1]),
        record,
        learning_rate=arguments["learning_rate"],
        shots=arguments["shots"],
    )
    return genetic, feedback


def _account(way: Recovery, final: Verdict, ideal: Verdict) -> dict[str, Any]:
    """Say how a way of recovering went."""
    account = {**measures(final), "steps": len(way.verdicts) - 1, "kept_step": way.kept}
    if ideal.accuracy is None:
        recovered = [verdict.loss <= ALLOWED_LOSS * ideal.loss for verdict in way.verdicts]
    else:
        accuracies = [verdict.accuracy or 0.0 for verdict in (*way.verdicts, final)]
        *shares, account["recovered_share"] = _recovered_shares(accuracies, ideal.accuracy).tolist()
        recovered = [share >= RECOVERED_SHARE for share in shares]
    return account | steps_until(way, recovered)


def _recovered_shares(accuracies: Sequence[float], ideal: float) -> Array:
    """Return how much of what the first accuracy had lost is back in each; all of it where nothing was lost."""
    lost = ideal - accuracies[0]
    return (np.asarray(accuracies) - accuracies[0]) / lost if lost > 0 else np.ones(len(accuracies))
