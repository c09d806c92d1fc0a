"""Training by genetic algorithm: a thermodynamic computer that computes out of equilibrium, at the observation time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, board_settings, configure, recorded, save
from protocols.arguments import (
    LARGEST_SEED,
    LARGEST_SHOTS,
    SLOTS,
    ArgumentError,
    allowed_by,
    layer_sizes,
    number,
    one_of,
    whole,
)
from protocols.candidates import Judgement, judge_candidates
from protocols.continuation import Continuation, take_up
from protocols.genetic_algorithm import (
    WINDOW,
    initial_population,
    is_stagnant,
    mutate,
    mutation_scale,
    select,
    shrinkage,
)
from protocols.networks import FULL_SCALE, NEURONS, Network
from protocols.ports import Board
from protocols.problems import CLASSIFIER_LAYERS, LAYERS, OBSERVATION_TIME, Problem
from protocols.randomness import noise_seed, stream
from protocols.record import Record
from protocols.tasks import CLASSIFICATIONS, classification
from protocols.verdicts import judged, save_evaluation

Array = NDArray[np.float64]

INITIAL, MUTATION, BATCH = range(3)
ENDLESS = 10_000_000
PATIENCE = {"cosine": 800}
TARGET_LOSS = {"cosine": 0.03}
INPUTS = {"reset": 8, "serial": 24}
BATCH_SIZE = 16
LIMITS = {**FULL_SCALE, "bias": 4.0, "readout": 4.0}
"""Where the parameters that selection hardly feels are kept from drifting to, in model units."""

SHOTS = {"reset": 64, "serial": 500}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "train_genetic": {"generations": 3, "population": 10, "inputs": 4, "shots": 8, "final_shots": 16}
}
"""Arguments of a short run of each plan."""


@dataclass(frozen=True, eq=False)
class Evolution:
    """A run of the genetic algorithm with every choice made."""

    problem: Problem
    network: Network
    population: int
    parents: int
    generations: int
    inputs: int
    mutation: float
    shrink: bool
    patience: int
    target_loss: float
    initial_spread: float
    final_shots: int
    seed: int
    settings: Mapping[str, Any]


@dataclass
class Tally:
    """What the boards have done so far."""

    acquisitions: int = 0
    samples: int = 0
    board_seconds: float = 0.0


@dataclass
class Progress:
    """Where an evolution stands between two generations.

    Attributes
    ----------
    individuals : ndarray, shape (population, parameters)
        Those to be judged next.
    history : list of float
        Loss of the best individual of each generation.
    lineage : list of float
        Mean loss of the parents of each generation since the last newcomers.
    finalists : list of ndarray, shape (parents, parameters)
        Parents of the last generations, the latest first.
    tally : Tally
        What the boards have done.
    """

    individuals: Array
    history: list[float] = field(default_factory=list)
    lineage: list[float] = field(default_factory=list)
    finalists: list[Array] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def start(cls, evolution: Evolution) -> "Progress":
        """Return where an evolution begins."""
        return cls(_newcomers(evolution, 0))

    @classmethod
    def after(cls, evolution: Evolution, continued: Continuation) -> "Progress":
        """Return where an evolution stood after its last recorded generation."""
        columns = [continued.column(key) for key in ("losses", "loss", "parents")]
        progress = cls(np.empty((0, evolution.network.size)))
        for fitness, loss, parents in zip(*columns, strict=True):
            if progress.is_stagnant(evolution):
                progress.lineage = []
            progress.note(evolution, fitness, float(loss), parents)
        progress.tally = Tally(continued.steps, continued.last("samples"), continued.last("board_seconds"))
        progress.breed(evolution)
        return progress

    def note(self, evolution: Evolution, fitness: Array, loss: float, parents: Array) -> None:
        """Note the losses of a generation, that of its best individual, and its parents."""
        self.history.append(loss)
        self.lineage.append(float(fitness[select(fitness, evolution.parents)].mean()))
        self.finalists = [parents, *self.finalists][: max(1, evolution.population // evolution.parents)]

    def breed(self, evolution: Evolution) -> None:
        """Replace the individuals by children of the parents noted last, or by newcomers where nothing was learnt."""
        if self.is_stagnant(evolution):
            self.individuals, self.lineage = _newcomers(evolution, len(self.history)), []
        else:
            generation = len(self.history) - 1
            self.individuals = _children(evolution, generation, self.finalists[0], self.spread(evolution))

    def spread(self, evolution: Evolution) -> float:
        """Return the standard deviation of the next mutations."""
        factor = shrinkage(self.lineage[-1], self.lineage[0]) if evolution.shrink else 1.0
        return evolution.mutation * factor

    def is_stagnant(self, evolution: Evolution) -> bool:
        """Say whether the lineage has drifted for long without learning."""
        return is_stagnant(self.lineage, evolution.patience)

    def has_learnt(self, evolution: Evolution) -> bool:
        """Say whether the target is reached."""
        return len(self.history) >= WINDOW and bool(np.mean(self.history[-WINDOW:]) <= evolution.target_loss)


def train_genetic(
    board: Board | Sequence[Board],
    *,
    task: Literal["cosine", "digits", "iris", "xor"] = "cosine",
    neuron: Literal["quadratic", "quadratic-quartic"] = "quadratic-quartic",
    sampling: Literal["reset", "serial"] = "reset",
    generations: int = 2000,
    population: int = 50,
    parents: int = 5,
    inputs: int | None = None,
    shots: int | None = None,
    mutation: float = 0.3,
    shrink: bool = True,
    patience: int | None = None,
    target_loss: float | None = None,
    initial_spread: float = 0.1,
    observation_time: float | None = None,
    temperature: float = 0.1,
    layers: tuple[int, ...] | None = None,
    final_shots: int = 1000,
    seed: int = 0,
    continued: Continuation | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Program a layered network by the genetic algorithm, out of equilibrium if the observation time is short.

    A generation is one run of the board: every individual is a program slot, and is shown every input. Several boards
    share the individuals out and run at the same time; on equal boards the result is that of one. The best few are
    cloned and mutated. In the end the parents of the last generations are judged on inputs of their own, and the best
    of them once more there with the final number of shots.

    Parameters
    ----------
    board : Board or sequence of Board
        The thermodynamic board, or several.
    task : str
        "cosine": the function cos(2 pi z) on 0..1, loss (14); "digits", "iris", "xor": classes, cross-entropy (18).
    neuron : str
        "quadratic-quartic": stiffness (1, 0, 1); "quadratic": (1, 0, 0), a linear machine, which cannot learn the
        cosine.
    sampling : str
        "reset": averages over runs of one observation time; "serial": averages along one trajectory.
    generations : int
        Largest number of generations.
    population : int
        Individuals of a generation, up to the 64 program slots of the board.
    parents : int
        Individuals selected from each generation, fewer than the population.
    inputs : int, optional
        Inputs of a generation: points of an even grid from 0 to 1, or examples drawn anew for each generation. Default:
        8 for the cosine, 24 in serial sampling, 16 for classes.
    shots : int, optional
        Samples of each input. Default: 64 for reset sampling, 500 for serial sampling.
    mutation : float
        Standard deviation of a mutation at fan-in one, in model units.
    shrink : bool
        Whether mutations shrink with the square root of the parents' loss, relative to the first generation.
    patience : int, optional
        Generations after which a population that has not learnt anything is replaced by a new one. Default: 800 for the
        cosine, no end for classes.
    target_loss : float, optional
        Loss of the best individual, averaged over 50 generations, at which the training ends. Default: 0.03 for the
        cosine, 0 for classes.
    initial_spread : float
        Standard deviation of the parameters of the first generation, in model units.
    observation_time : float, optional
        Time from the reset to the sample, or between samples, in units of 1/mu. Default: 1 for reset sampling, 0.2 for
        serial sampling.
    temperature : float
        Noise temperature kT in model units, above 0 and up to 4.
    layers : tuple of int, optional
        Cells of each layer. Default: 8,8,8,8 for the cosine, 32,32,32 for classes.
    final_shots : int
        Samples of each input of the final judgement.
    seed : int
        Seed of all choices and of the noise, from 0 to 4294967295.
    continued : Continuation, optional
        What a run with these arguments recorded before it was cut short; breeding goes on after its last generation.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        List ``loss`` of the best individual by generation; numbers ``final_loss``, ``shots``, ``generations``,
        ``samples`` and ``board_seconds``; for classes also ``test_accuracy``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    one_of("task", task, ("cosine", *CLASSIFICATIONS))
    one_of("sampling", sampling, ("reset", "serial"))
    sizes = layer_sizes("layers", layers, LAYERS.get(task, CLASSIFIER_LAYERS))
    arguments: dict[str, Any] = {
        "task": task,
        "neuron": one_of("neuron", neuron, NEURONS),
        "sampling": sampling,
        "generations": whole("generations", generations, 1, ENDLESS),
        "population": whole("population", population, 2, SLOTS),
        "parents": whole("parents", parents, 1, whole("population", population, 2, SLOTS) - 1),
        "inputs": whole("inputs", _inputs(task, sampling) if inputs is None else inputs, 2, 65536),
        "shots": whole("shots", SHOTS[sampling] if shots is None else shots, 1, LARGEST_SHOTS),
        "mutation": number("mutation", mutation, 0.0, 8.0),
        "shrink": bool(shrink),
        "patience": whole("patience", PATIENCE.get(task, ENDLESS) if patience is None else patience, 1, ENDLESS),
        "target_loss": number(
            "target_loss", TARGET_LOSS.get(task, 0.0) if target_loss is None else target_loss, 0, 1e9
        ),
        "initial_spread": number("initial_spread", initial_spread, 0.0, 8.0),
        "observation_time": number(
            "observation_time",
            OBSERVATION_TIME[sampling] if observation_time is None else observation_time,
            0.0,
            1e6,
            above=True,
        ),
        "temperature": number("temperature", temperature, 0.0, 4.0, above=True),
        "layers": sizes,
        "final_shots": whole("final_shots", final_shots, 1, LARGEST_SHOTS),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }
    evolution = _evolution(arguments)
    boards = _each_once(board)
    for each in boards:
        allowed_by(each, cells=evolution.network.cells, inputs=evolution.network.inputs, **evolution.settings)
        allowed_by(each, shots=evolution.final_shots)
    return (yield from recorded(boards, "train_genetic", as_json(arguments), _evolve(boards, evolution, continued), md))


def _inputs(task: str, sampling: str) -> int:
    """Return the inputs of a generation; between the few that reset sampling needs, a trajectory may get stuck."""
    return INPUTS[sampling] if task == "cosine" else BATCH_SIZE


def _each_once(board: Board | Sequence[Board]) -> list[Board]:
    """Return one or several boards as a list; two shares of a population on one board would take each other's slots."""
    boards = list(board) if isinstance(board, Sequence) else [board]
    if not boards or len(set(map(id, boards))) < len(boards):
        names = ", ".join(each.name for each in boards) or "none"
        raise ArgumentError(f"board: {names} given; allowed: one or several, each once")
    return boards


def _evolution(arguments: Mapping[str, Any]) -> Evolution:
    task = arguments["task"]
    problem = Problem(task, None if task == "cosine" else classification(task))
    network = Network(problem.inputs, arguments["layers"], problem.outputs, NEURONS[arguments["neuron"]])
    settings = {name: arguments[name] for name in ("temperature", "sampling", "shots", "observation_time")}
    names = (
        "population",
        "parents",
        "generations",
        "inputs",
        "mutation",
        "shrink",
        "patience",
        "target_loss",
        "initial_spread",
        "final_shots",
        "seed",
    )
    return Evolution(
        problem=problem,
        network=network,
        settings=board_settings(**settings, burn_in=0.0, saturation_limit=1.0),
        **{name: arguments[name] for name in names},
    )


def _evolve(boards: Sequence[Board], evolution: Evolution, continued: Continuation | None) -> Plan[dict[str, Any]]:
    record = Record("learning")
    network, problem = evolution.network, evolution.problem
    progress = Progress.start(evolution) if continued is None else Progress.after(evolution, continued)
    tally = progress.tally
    for board in boards:
        yield from configure(
            board,
            cells=network.cells,
            inputs=network.inputs,
            **evolution.settings,
            projections=None,
            readout="statistics",
        )
    if continued is not None:
        yield from take_up(continued)
    first = len(progress.history)
    for generation in range(first, evolution.generations):
        if progress.has_learnt(evolution):
            break
        inputs, target = problem.batch(stream(evolution.seed, BATCH, generation), evolution.inputs)
        table = {} if generation > first and problem.data is None else {"input_table": inputs}
        judgement = yield from _judge(boards, evolution, progress.individuals, len(inputs), tally, **table)
        losses = problem.losses(judgement.outputs, target)
        fitness = np.where(judgement.free, losses, np.inf)
        parents = progress.individuals[select(fitness, evolution.parents)]
        progress.note(evolution, fitness, float(losses[select(fitness, 1)[0]]), parents)
        yield from save(
            record,
            generation=generation + 1,
            loss=progress.history[-1],
            mutation=progress.spread(evolution),
            samples=tally.samples,
            board_seconds=tally.board_seconds,
            losses=fitness,
            parents=parents,
        )
        progress.breed(evolution)
    final = yield from _final(boards, evolution, np.concatenate(progress.finalists), tally)
    return {
        "loss": progress.history,
        **final,
        "shots": evolution.settings["shots"],
        "generations": len(progress.history),
        "samples": tally.samples,
        "board_seconds": tally.board_seconds,
    }


def _newcomers(evolution: Evolution, generation: int) -> Array:
    """Draw a first generation."""
    generator = stream(evolution.seed, INITIAL, generation)
    size = (evolution.population, evolution.network.size)
    return evolution.network.clipped(initial_population(generator, *size, evolution.initial_spread), LIMITS)


def _children(evolution: Evolution, generation: int, parents: Array, spread: float) -> Array:
    """Clone and mutate the parents of a generation."""
    scale = mutation_scale(evolution.network.fan_in, spread)
    generator = stream(evolution.seed, MUTATION, generation)
    return evolution.network.clipped(mutate(generator, parents, evolution.population, scale), LIMITS)


def _judge(
    boards: Sequence[Board], evolution: Evolution, individuals: Array, rows: int, tally: Tally, **settings: Any
) -> Plan[Judgement]:
    """Run all individuals over the rows of the input table, and add to the tally."""
    seed = noise_seed(evolution.seed, tally.acquisitions)
    judgement = yield from judge_candidates(
        boards, evolution.network, individuals, rows=rows, noise_seed=seed, **settings
    )
    tally.acquisitions += 1
    tally.board_seconds += judgement.board_seconds
    tally.samples += len(individuals) * rows * settings.get("shots", evolution.settings["shots"])
    return judgement


def _final(boards: Sequence[Board], evolution: Evolution, finalists: Array, tally: Tally) -> Plan[dict[str, float]]:
    """Pick the best of the finalists on the final inputs, judge it once more with the final shots, and record it."""
    problem = evolution.problem
    inputs, target = problem.final()
    trial = yield from _judge(boards, evolution, finalists, len(inputs), tally, input_table=inputs)
    winner = finalists[select(np.where(trial.free, problem.losses(trial.outputs, target), np.inf), 1)]
    parameters = winner[0]
    last = yield from _judge(boards, evolution, winner, len(inputs), tally, shots=evolution.final_shots)
    verdict = judged(evolution, last.outputs[0], target)
    yield from save_evaluation(evolution, parameters, verdict)
    return {
        "final_loss": verdict.loss,
        **({} if verdict.accuracy is None else {"test_accuracy": verdict.accuracy}),
    }
