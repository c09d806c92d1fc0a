"""Fitting a program on a model of a board: the gradient of a loss through simulated, noisy trajectories."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from bluesky.utils import Msg
from numpy.typing import NDArray

from protocols.acquisition import Plan, save
from protocols.learning_rules import AdamState, adam, clip_norm
from protocols.mnist import shifted
from protocols.networks import Network
from protocols.ports import BoardModel
from protocols.problems import Problem
from protocols.randomness import stream
from protocols.record import Record
from protocols.sample_losses import ensemble_loss, shot_cross_entropy, time_average_loss
from protocols.tasks import cosine

Array = NDArray[np.float64]

INITIAL, ORDER, SHIFT = range(3)
LARGEST_GRADIENT = 1.0
"""Norm that a gradient is shortened to."""
LARGEST_CHUNK = 2**13
"""Trajectories that are simulated between two points of return."""
SPREAD: Mapping[str, float] = MappingProxyType({"bias": 0.7, "weights": 8.0, "couplings": 2.8, "readout": 0.7})
"""Standard deviation of the first parameters of each kind at fan-in one, in model units."""
LOOSE = MappingProxyType({**SPREAD, "bias": 0.3, "couplings": 1.2})
"""The same for machines that are to have one stable state."""
LIGHT = MappingProxyType({**SPREAD, "weights": 1.0, "readout": 1.5})
"""The same for images: pixels that are hardly ever inked keep the weights they begin with."""
EVENTS = 60
"""Events of a learning curve, at most about so many."""


@dataclass(frozen=True)
class Stage:
    """A part of a fit.

    Attributes
    ----------
    share : float
        Fraction of the epochs.
    rows : int
        Inputs of an update: points of the grid, or examples of a minibatch.
    trajectories : int
        Trajectories of each input.
    step : float
        Largest time step of the model, in units of 1/mu.
    rates : (first, last)
        Learning rate at its beginning and at its end; linear between.
    """

    share: float
    rows: int
    trajectories: int
    step: float
    rates: tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """How a kind of task is fitted.

    Attributes
    ----------
    epochs : int
        Passes through the inputs.
    stages : tuple of Stage
        From coarse to fine.
    spread : mapping of str to float
        Standard deviation of the first parameters of each kind at fan-in one, in model units.
    observations : int
        Observations along each trajectory, of which the time average is judged; 1 for reset sampling.
    burn_in : float
        Time before the first of them, in units of 1/mu.
    variance_weight : float
        Weight of the variance of a sample in the loss.
    """

    epochs: int
    stages: tuple[Stage, ...]
    spread: Mapping[str, float]
    observations: int = 1
    burn_in: float = 0.0
    variance_weight: float = 0.0


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "reset": Recipe(
            epochs=2000,
            stages=(
                Stage(0.15, rows=16, trajectories=16, step=0.1, rates=(0.05, 0.03)),
                Stage(0.25, rows=32, trajectories=32, step=0.05, rates=(0.03, 0.03)),
                Stage(0.6, rows=32, trajectories=64, step=0.03, rates=(0.03, 0.0)),
            ),
            spread=SPREAD,
            variance_weight=0.01,
        ),
        "serial": Recipe(
            epochs=1000,
            stages=(Stage(1.0, rows=32, trajectories=4, step=0.1, rates=(0.04, 0.0)),),
            spread=LOOSE,
            observations=80,
            burn_in=4.0,
        ),
        "classes": Recipe(
            epochs=80,
            stages=(Stage(1.0, rows=256, trajectories=1, step=1 / 12, rates=(0.02, 0.0)),),
            spread=SPREAD,
        ),
        "images": Recipe(
            epochs=80,
            stages=(Stage(1.0, rows=256, trajectories=1, step=1 / 12, rates=(0.03, 0.0)),),
            spread=LIGHT,
        ),
    }
)
"""Recipes for a function by the kind of sampling, for classes, and for classes of images that may be moved."""


def recipe_for(problem: Problem, sampling: str) -> Recipe:
    """Return how a problem is fitted."""
    if problem.data is None:
        return RECIPES[sampling]
    return RECIPES["images" if problem.data.image else "classes"]


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit with every choice made.

    Attributes
    ----------
    problem : Problem
        What is to be learnt.
    network : Network
        Which machine learns it.
    recipe : Recipe
        How.
    serial : bool
        Whether the machine answers with the average along one trajectory.
    temperature, observation_time : float
        As on the board, in model units and units of 1/mu.
    seed : int
        Seed of all choices and of the noise.
    """

    problem: Problem
    network: Network
    recipe: Recipe
    serial: bool
    temperature: float
    observation_time: float
    seed: int

    def stage(self, epoch: int) -> tuple[Stage, float]:
        """Return the stage that an epoch, from 0, belongs to, and how far through it the epoch is, from 0 to 1."""
        ends = np.cumsum([stage.share for stage in self.recipe.stages]) * self.recipe.epochs
        ends[-1] = self.recipe.epochs
        number = int(np.searchsorted(ends, epoch, side="right"))
        begin = ends[number - 1] if number else 0.0
        return self.recipe.stages[number], float((epoch - begin) / (ends[number] - begin))

    def batches(self, epoch: int) -> Iterator[tuple[Array, NDArray[Any]]]:
        """Yield inputs and what they should give, for each update of an epoch; images are moved by up to a pixel."""
        stage, data = self.stage(epoch)[0], self.problem.data
        if data is None:
            yield cosine(stage.rows)
            return
        train, moves = data.train, stream(self.seed, SHIFT, epoch)
        order = stream(self.seed, ORDER, epoch).permutation(len(train))
        for chosen in np.array_split(order, max(1, round(len(order) / stage.rows))):
            inputs = train.inputs[chosen]
            yield (shifted(inputs, data.image, moves) if data.image else inputs), train.labels[chosen]

    def loss(self, outputs: Array, target: NDArray[Any]) -> tuple[float, Array]:
        """Return the loss of outputs, shape (rows, trajectories, observations, outputs), and its derivative by them."""
        if self.problem.data:
            value, derivative = shot_cross_entropy(outputs[:, :, 0], target)
        elif self.serial:
            value, derivative = time_average_loss(outputs[..., 0], target)
        else:
            value, derivative = ensemble_loss(outputs[:, :, 0, 0], target, self.recipe.variance_weight)
        return value, derivative.reshape(outputs.shape)

    def initial(self) -> Array:
        """Draw the first parameters: normal, of a standard deviation that falls with the root of the fan-in.

        The biases of the first layer of a function are such that each cell turns somewhere within the inputs; from
        elsewhere, a machine may rest for long at an output of zero.
        """
        network, parts = self.network, self.network.parts
        generator = stream(self.seed, INITIAL)
        parameters = generator.normal(size=network.size) / np.sqrt(network.fan_in)
        for kind, part in parts.items():
            parameters[part] *= self.recipe.spread[kind]
        if self.problem.data is None:
            first = network.layers[0]
            parameters[:first] = parameters[parts["weights"]] * generator.random(first)
        return network.clipped(parameters)


def fit(model: BoardModel, task: Fit, record: Record) -> Plan[Array]:
    """Fit the parameters of a machine on a model, and save its learning curve.

    Parameters
    ----------
    model : BoardModel
        The model.
    task : Fit
        What is to be fitted.
    record : Record
        The stream of the learning curve: one event every few epochs, with the parameters after it.

    Yields
    ------
    Msg
        Among them a checkpoint after every update, where the run may be paused.

    Returns
    -------
    ndarray, shape (parameters,)
    """
    parameters = task.initial()
    optimiser = AdamState.start(task.network.size)
    every = max(1, task.recipe.epochs // EVENTS)
    updates, trajectories = 0, 0
    losses: list[float] = []
    for epoch in range(task.recipe.epochs):
        stage, progress = task.stage(epoch)
        rate = stage.rates[0] + progress * (stage.rates[1] - stage.rates[0])
        for inputs, target in task.batches(epoch):
            loss, gradient = gradient_on_model(model, task, stage, parameters, inputs, target, updates)
            optimiser, change = adam(optimiser, clip_norm(gradient, LARGEST_GRADIENT), rate)
            parameters = task.network.clipped(parameters + change)
            updates += 1
            trajectories += len(inputs) * stage.trajectories
            losses.append(loss)
            yield Msg("checkpoint", None)
        if (epoch + 1) % every == 0 or epoch + 1 == task.recipe.epochs:
            mean = float(np.mean(losses))
            losses.clear()
            yield from save(
                record, epoch=epoch + 1, loss=mean, rate=rate, trajectories=trajectories, parameters=parameters
            )
    return parameters


def gradient_on_model(
    model: BoardModel,
    task: Fit,
    stage: Stage,
    parameters: Array,
    inputs: Array,
    target: NDArray[Any],
    acquisition: int,
) -> tuple[float, Array]:
    """Return the loss of a batch on a model, and its derivative by the parameters, noise held fixed.

    Parameters
    ----------
    model, task, stage
        What is simulated.
    parameters : ndarray, shape (parameters,)
        Of the network.
    inputs : ndarray, shape (rows, inputs)
    target : ndarray, shape (rows,)
        Values of the function, or classes.
    acquisition : int
        Address of the noise.
    """
    network = task.network
    readout = network.readout(parameters)
    run = model.run(
        network.program(parameters),
        inputs,
        temperature=task.temperature,
        trajectories=stage.trajectories,
        observation_time=task.observation_time,
        observations=task.recipe.observations,
        burn_in=task.recipe.burn_in,
        step=stage.step,
        cells=range(network.read.start, network.read.stop),
        seed=task.seed,
        acquisition=acquisition,
    )
    samples = np.asarray(run.samples, dtype=float)
    loss, derivative = task.loss(samples @ readout.T, target)
    by_readout = np.tensordot(derivative, samples, axes=((0, 1, 2), (0, 1, 2)))
    return loss, network.flatten(run.gradient(derivative @ readout), by_readout)


def outputs_on_model(
    model: BoardModel, task: Fit, parameters: Array, inputs: Array, *, shots: int, step: float, acquisition: int
) -> Plan[Array]:
    """Return the mean outputs that a machine has on a model in reset sampling, as a board would judge it.

    Parameters
    ----------
    model, task, parameters, inputs, acquisition
        As for `gradient_on_model`; the noise of `acquisition` and those after it is used.
    shots : int
        Samples of each input.
    step : float
        Largest time step of the model.

    Yields
    ------
    Msg

    Returns
    -------
    ndarray, shape (rows, outputs)
    """
    network = task.network
    total, done = np.zeros((len(inputs), network.layers[-1])), 0
    while done < shots:
        trajectories = min(shots - done, max(1, LARGEST_CHUNK // len(inputs)))
        run = model.run(
            network.program(parameters),
            inputs,
            temperature=task.temperature,
            trajectories=trajectories,
            observation_time=task.observation_time,
            step=step,
            cells=range(network.read.start, network.read.stop),
            seed=task.seed,
            acquisition=acquisition,
        )
        total += run.samples.sum(axis=(1, 2), dtype=float)
        done += trajectories
        acquisition += 1
        yield Msg("checkpoint", None)
    return total / done @ network.readout(parameters).T
