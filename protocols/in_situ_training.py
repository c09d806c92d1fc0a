"""In-situ training: a thermodynamic computer learns from how its own fluctuations correlate with its errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, board_settings, configure, measure, recorded, save
from protocols.arguments import (
    LARGEST_RECORD,
    LARGEST_SEED,
    LARGEST_SHOTS,
    ArgumentError,
    allowed_by,
    number,
    numbers,
    one_of,
    whole,
)
from protocols.continuation import Continuation, take_up
from protocols.learning_rules import AdamState, Gradient, adam, factorised_gradient, thermal_gradient
from protocols.networks import Network, program_arrays
from protocols.ports import Board
from protocols.randomness import noise_seed, stream
from protocols.readout import Readout
from protocols.record import Record
from protocols.tasks import CLASSIFICATIONS, Classification, Examples, classification

Array = NDArray[np.float64]

INITIAL, ORDER = range(2)
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "train_in_situ": {"task": "xor", "epochs": 3, "shots": 20, "observation_time": 1.0}
}
"""Arguments of a short run of each plan."""


@dataclass(frozen=True)
class Defaults:
    """What a task is trained with unless told otherwise."""

    hidden: int
    epochs: int
    shots: int
    batch_size: int
    gain: float


TASK_DEFAULTS: Mapping[str, Defaults] = MappingProxyType(
    {
        "digits": Defaults(hidden=32, epochs=12, shots=50, batch_size=32, gain=8.0),
        "iris": Defaults(hidden=8, epochs=30, shots=50, batch_size=10, gain=8.0),
        "xor": Defaults(hidden=4, epochs=300, shots=100, batch_size=4, gain=1.0),
    }
)


@dataclass(frozen=True, eq=False)
class Recipe:
    """A training with every choice made."""

    task: Classification
    network: Network
    estimator: str
    epochs: int
    batch_size: int
    learning_rate: float
    gain: float
    seed: int
    settings: Mapping[str, Any]

    @property
    def batches(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.task.train) // self.batch_size)

    def by_epoch(self, values: Sequence[float]) -> list[float]:
        """Return the means over each epoch that is complete of what every step had as a mean over its minibatch."""
        sizes = np.full(self.batches, self.batch_size)
        sizes[-1] = len(self.task.train) - (self.batches - 1) * self.batch_size
        epochs = len(values) // self.batches
        return np.average(np.reshape(values[: epochs * self.batches], (epochs, -1)), axis=1, weights=sizes).tolist()

    def readout(self, parameters: Array) -> Readout:
        """Return the read-out: trained weights, or the gain on each cell of the last layer."""
        trained = self.network.outputs > 0
        weights = self.network.readout(parameters) if trained else self.gain * np.eye(self.network.layers[-1])
        return Readout(weights, self.task.targets)

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch: a fifth in the last third."""
        return self.learning_rate if 3 * epoch < 2 * self.epochs else self.learning_rate / 5

    def initial(self) -> Array:
        """Draw the first parameters: normal, of variance one over the fan-in; biases zero, read-out at the gain."""
        network, parts = self.network, self.network.parts
        parameters = stream(self.seed, INITIAL).normal(size=network.size) / np.sqrt(network.fan_in)
        parameters[parts["bias"]] = 0.0
        if network.outputs:
            parameters[parts["readout"]] = self.gain * np.eye(network.outputs, network.layers[-1]).ravel()
        return parameters


@dataclass
class Progress:
    """Where a training stands."""

    parameters: Array
    optimiser: AdamState
    step: int = 0
    acquisitions: int = 0
    samples: int = 0
    board_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, recipe: Recipe) -> "Progress":
        """Return where a training begins."""
        return cls(recipe.initial(), AdamState.start(recipe.network.size))

    @classmethod
    def after(cls, recipe: Recipe, continued: Continuation) -> "Progress":
        """Return where a training stood after its last recorded step."""
        step, tests = continued.steps, len(continued.column("epoch", "epochs"))
        return cls(
            parameters=_parameters(recipe.network, continued),
            optimiser=AdamState(step, continued.last("gradient_mean"), continued.last("gradient_square")),
            step=step,
            acquisitions=step * (2 if recipe.estimator == "factorised" else 1) + tests,
            samples=continued.last("samples"),
            board_seconds=continued.last("board_seconds"),
            losses=continued.column("loss").tolist(),
            accuracies=continued.column("accuracy").tolist(),
        )


def train_in_situ(
    board: Board,
    *,
    task: Literal["digits", "iris", "xor"] = "digits",
    estimator: Literal["covariance", "factorised"] = "covariance",
    epochs: int | None = None,
    shots: int | None = None,
    hidden: int | None = None,
    batch_size: int | None = None,
    learning_rate: float = 0.02,
    gain: float | None = None,
    readout: Literal["fixed", "trained"] = "fixed",
    stiffness: tuple[float, float, float] = (1.0, 0.0, 1.0),
    temperature: float = 0.1,
    sampling: Literal["reset", "serial"] = "reset",
    observation_time: float | None = None,
    burn_in: float = 5.0,
    seed: int = 0,
    continued: Continuation | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Train a layered network on the board by sampled feedback, and judge it on examples it has not seen.

    A minibatch is one run of the board. The gradient of the loss is read from the correlations of the free, unclamped
    fluctuations with the linear combination of outputs that would lower the loss; Adam follows it. The learning rate is
    divided by five for the last third of the epochs. The parameters after every step are recorded.

    Parameters
    ----------
    board : Board
        The thermodynamic board.
    task : str
        "digits": 8 x 8 handwritten digits, "iris": three kinds of flower, "xor": exclusive or of two inputs.
    estimator : str
        "covariance": gradients from raw samples; "factorised": from means and on-board correlations only, in two runs.
    epochs : int, optional
        Passes through the training examples. Default: 12 for digits, 30 for iris, 300 for xor.
    shots : int, optional
        Samples of each example, at least 2. Default: 50 for digits and iris, 100 for xor.
    hidden : int, optional
        Cells of the hidden layer. Default: 32 for digits, 8 for iris, 4 for xor.
    batch_size : int, optional
        Examples of a minibatch. Default: 32 for digits, 10 for iris, 4 for xor.
    learning_rate : float
        Learning rate of Adam, above 0 and up to 10.
    gain : float, optional
        Factor from the mean activity of an output cell to its logit (xor: to the output). Default: 8, for xor 1.
    readout : str
        "fixed": one output cell a class; "trained": read-out weights on the host are trained too.
    stiffness : tuple of float
        J2, J3 and J4 of every cell; J4 above 0.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    sampling : str
        "reset": every shot starts from zero; "serial": shots follow each other along one trajectory.
    observation_time : float, optional
        Time from the reset to the sample, or between samples, in units of 1/mu. Default: 5 for reset sampling, 0.48 for
        serial sampling.
    burn_in : float
        Time before the first shot of serial sampling, in units of 1/mu.
    seed : int
        Seed of the initial parameters, the order of the examples and the noise, from 0 to 4294967295.
    continued : Continuation, optional
        What a run with these arguments recorded before it was cut short; training goes on after its last step.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        ``train_accuracy`` and ``test_accuracy`` of the last epoch, the first one while learning; ``loss`` by epoch;
        ``samples``, ``board_seconds``, ``steps``; and the curves ``train_accuracy_by_epoch`` and
        ``test_accuracy_by_epoch``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    one_of("task", task, CLASSIFICATIONS)
    defaults = TASK_DEFAULTS[task]
    serial = one_of("sampling", sampling, ("reset", "serial")) == "serial"
    arguments = {
        "task": task,
        "estimator": one_of("estimator", estimator, ("covariance", "factorised")),
        "epochs": whole("epochs", defaults.epochs if epochs is None else epochs, 1, 1_000_000),
        "shots": whole("shots", defaults.shots if shots is None else shots, 2, LARGEST_SHOTS),
        "hidden": whole("hidden", defaults.hidden if hidden is None else hidden, 1, 256),
        "batch_size": whole("batch_size", defaults.batch_size if batch_size is None else batch_size, 1, 65536),
        "learning_rate": number("learning_rate", learning_rate, 0.0, 10.0, above=True),
        "gain": number("gain", defaults.gain if gain is None else gain, 0.0, 1000.0, above=True),
        "readout": one_of("readout", readout, ("fixed", "trained")),
        "stiffness": numbers("stiffness", stiffness, -4.0, 4.0, length=3),
        "temperature": number("temperature", temperature, 0.0, 4.0, above=True),
        "sampling": sampling,
        "observation_time": number(
            "observation_time",
            (0.48 if serial else 5.0) if observation_time is None else observation_time,
            0.0,
            1e6,
            above=True,
        ),
        "burn_in": number("burn_in", burn_in, 0.0, 1e6),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }
    recipe = _recipe(arguments)
    allowed_by(board, cells=recipe.network.cells, inputs=recipe.network.inputs, **recipe.settings)
    return (yield from recorded(board, "train_in_situ", as_json(arguments), _train(board, recipe, continued), md))


def _recipe(arguments: Mapping[str, Any]) -> Recipe:
    number("stiffness (J4)", arguments["stiffness"][2], 0.0, 4.0, above=True)
    outputs = {"digits": 10, "iris": 3, "xor": 1}[arguments["task"]]
    batch = arguments["batch_size"]
    cells = arguments["hidden"] + outputs
    if arguments["estimator"] == "covariance" and batch * arguments["shots"] * cells > LARGEST_RECORD:
        raise ArgumentError(
            f"shots: a minibatch of {batch} examples x {arguments['shots']} shots x {cells} cells is more than the "
            f"{LARGEST_RECORD} raw samples a run may keep; allowed: up to {LARGEST_RECORD // (batch * cells)} shots"
        )
    task = classification(arguments["task"])
    network = Network(
        inputs=task.inputs,
        layers=(arguments["hidden"], outputs),
        outputs=outputs if arguments["readout"] == "trained" else 0,
        stiffness=arguments["stiffness"],
    )
    settings = {name: arguments[name] for name in ("temperature", "sampling", "shots", "observation_time", "burn_in")}
    chosen = {name: arguments[name] for name in ("estimator", "epochs", "batch_size", "learning_rate", "gain", "seed")}
    return Recipe(task=task, network=network, settings=board_settings(**settings), **chosen)


def _train(board: Board, recipe: Recipe, continued: Continuation | None) -> Plan[dict[str, Any]]:
    learning = Record("learning")
    epochs = Record("epochs")
    network, batches = recipe.network, recipe.batches
    progress = Progress.start(recipe) if continued is None else Progress.after(recipe, continued)
    test_accuracies = [] if continued is None else continued.column("test_accuracy", "epochs").tolist()
    yield from configure(board, cells=network.cells, inputs=network.inputs, **recipe.settings)
    if continued is not None:
        yield from take_up(continued)
    for epoch in range(len(test_accuracies), recipe.epochs):
        order = stream(recipe.seed, ORDER, epoch).permutation(len(recipe.task.train))
        shuffled = Examples(recipe.task.train.inputs[order], recipe.task.train.labels[order])
        yield from configure(board, input_table=np.concatenate([shuffled.inputs, recipe.task.test.inputs]))
        for batch in range(progress.step - epoch * batches, batches):
            yield from _step(board, recipe, progress, epoch, batch, shuffled, learning)
        outputs = yield from _read_test(board, recipe, progress)
        test_accuracies.append(recipe.readout(progress.parameters).accuracy(outputs, recipe.task.test.labels))
        yield from save(
            epochs,
            epoch=epoch + 1,
            loss=recipe.by_epoch(progress.losses)[-1],
            train_accuracy=recipe.by_epoch(progress.accuracies)[-1],
            test_accuracy=test_accuracies[-1],
            samples=progress.samples,
            board_seconds=progress.board_seconds,
        )
    yield from save(Record("evaluation"), **_evaluation(recipe, progress.parameters, outputs))
    train_accuracies = recipe.by_epoch(progress.accuracies)
    return {
        "train_accuracy": train_accuracies[-1],
        "test_accuracy": test_accuracies[-1],
        "loss": recipe.by_epoch(progress.losses),
        "samples": progress.samples,
        "board_seconds": progress.board_seconds,
        "steps": progress.step,
        "train_accuracy_by_epoch": train_accuracies,
        "test_accuracy_by_epoch": test_accuracies,
    }


def _step(
    board: Board, recipe: Recipe, progress: Progress, epoch: int, batch: int, shuffled: Examples, learning: Record
) -> Plan[None]:
    """Learn from one minibatch of an epoch, whose examples the board's input table holds."""
    first = batch * recipe.batch_size
    examples = Examples(
        shuffled.inputs[first : first + recipe.batch_size], shuffled.labels[first : first + recipe.batch_size]
    )
    gradient, loss, accuracy = yield from _gradient(board, recipe, progress, first, examples)
    progress.optimiser, change = adam(progress.optimiser, gradient, recipe.rate(epoch))
    progress.parameters = recipe.network.clipped(progress.parameters + change)
    progress.step += 1
    progress.losses.append(loss)
    progress.accuracies.append(accuracy)
    yield from save(
        learning,
        step=progress.step,
        epoch=epoch + 1,
        loss=loss,
        accuracy=accuracy,
        samples=progress.samples,
        board_seconds=progress.board_seconds,
        gradient_mean=progress.optimiser.first,
        gradient_square=progress.optimiser.second,
        **_arrays(recipe, progress.parameters),
    )


def _gradient(
    board: Board, recipe: Recipe, progress: Progress, first: int, batch: Examples
) -> Plan[tuple[Array, float, float]]:
    """Run a minibatch; return the gradient by the vector of parameters, the mean loss and the accuracy."""
    network, kT = recipe.network, recipe.settings["temperature"]
    readout = recipe.readout(progress.parameters)
    rows = (first + 1, len(batch))
    raw = recipe.estimator == "covariance"
    programs = [network.program(progress.parameters)]
    yield from _run(
        board,
        recipe,
        progress,
        programs=programs,
        rows=rows,
        projections=None,
        readout="samples" if raw else "statistics",
    )
    samples = np.asarray(board.samples.get(), dtype=float)[0] if raw else None
    mean = np.asarray(board.mean.get(), dtype=float)[0] if samples is None else samples.mean(axis=1)
    outputs = readout.outputs(mean[:, network.read])
    losses, error = readout.loss(outputs, batch.labels)
    delta = np.zeros((len(batch), network.cells))
    delta[:, network.read] = error @ readout.weights
    gradient: Gradient
    if samples is not None:
        gradient = thermal_gradient(samples, delta, kT, batch.inputs)
    else:
        yield from _run(board, recipe, progress, projections=delta[:, np.newaxis, :])
        covariance = np.asarray(board.projection_covariance.get(), dtype=float)[0, :, 0]
        gradient = factorised_gradient(mean, covariance, kT, batch.inputs)
    by_readout = error.T @ mean[:, network.read] / len(batch) if network.outputs else ()
    return network.flatten(gradient, by_readout), float(losses.mean()), readout.accuracy(outputs, batch.labels)


def _read_test(board: Board, recipe: Recipe, progress: Progress) -> Plan[Array]:
    """Run the test examples, which follow the training examples in the input table; return the outputs."""
    yield from _run(
        board,
        recipe,
        progress,
        programs=[recipe.network.program(progress.parameters)],
        rows=(len(recipe.task.train) + 1, len(recipe.task.test)),
        projections=None,
        readout="statistics",
    )
    mean = np.asarray(board.mean.get(), dtype=float)[0]
    return recipe.readout(progress.parameters).outputs(mean[:, recipe.network.read])


def _run(board: Board, recipe: Recipe, progress: Progress, **settings: Any) -> Plan[None]:
    """Run the board once on noise of its own, and count samples and board time."""
    seed = noise_seed(recipe.seed, progress.acquisitions)
    seconds = yield from measure(board, noise_seed=seed, **settings)
    progress.acquisitions += 1
    progress.board_seconds += seconds
    rows = np.asarray(board.mean.get()).shape[1]
    progress.samples += rows * recipe.settings["shots"]


def _arrays(recipe: Recipe, parameters: Array) -> dict[str, Array]:
    program = program_arrays(recipe.network.program(parameters))
    return {**program, "readout": recipe.readout(parameters).weights}


def _parameters(network: Network, continued: Continuation) -> Array:
    """Return the vector of the parameters that the last step was recorded with, array by array."""
    arrays = {name: continued.last(name) for name in ("couplings", "bias", "weights")}
    return network.flatten(Gradient(**arrays), continued.last("readout") if network.outputs else ())


def _evaluation(recipe: Recipe, parameters: Array, outputs: Array) -> dict[str, Any]:
    readout, test = recipe.readout(parameters), recipe.task.test
    probabilities = readout.probabilities(outputs)
    return {
        "test_accuracy": readout.accuracy(outputs, test.labels),
        "final_loss": float(readout.loss(outputs, test.labels)[0].mean()),
        "inputs": test.inputs,
        "labels": test.labels,
        "predictions": probabilities.argmax(axis=1),
        "probabilities": probabilities,
        **_arrays(recipe, parameters),
    }
