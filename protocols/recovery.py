"""Recovery on the instrument: a program that was made for another board goes on learning on the one that it is on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, measure, save
from protocols.candidates import judge_candidates
from protocols.genetic_algorithm import mutate, mutation_scale, select, shrinkage
from protocols.learning_rules import AdamState, adam, clip_norm, cross_entropy, thermal_gradient
from protocols.model_fitting import LARGEST_GRADIENT, Fit
from protocols.ports import Board
from protocols.randomness import noise_seed, stream
from protocols.record import Record
from protocols.verdicts import Verdict, judge_on_board, measures

Array = NDArray[np.float64]

BATCH, MUTATION = range(2)
FEEDBACK_TASK, GENETIC_TASK = 101, 102
"""What the choices of each way are addressed by, beside those of the fit."""


@dataclass(frozen=True)
class Effort:
    """How much a board is asked in one step of a recovery.

    Attributes
    ----------
    steps : int
        Generations, or updates.
    rows, shots : int
        Inputs of a step, and samples of each.
    """

    steps: int
    rows: int
    shots: int


@dataclass
class Recovery:
    """How a board went on from a program that was put on it.

    Attributes
    ----------
    method : str
        "genetic" or "feedback".
    programs : list of ndarray, shape (parameters,)
        The parameters before the first step and after every step.
    verdicts : list of Verdict
        How well each of them did, at the shots of the final judgement.
    samples : list of int
        Samples that learning had taken by then; those of the judgements are not counted.
    board_seconds : list of float
        Time on the board that learning had taken by then, s.
    """

    method: str
    programs: list[Array]
    verdicts: list[Verdict]
    samples: list[int] = field(default_factory=lambda: [0])
    board_seconds: list[float] = field(default_factory=lambda: [0.0])

    @property
    def kept(self) -> int:
        """The step whose program is kept: of a function that with the smallest loss, 0 before the first one.

        Of classes it is the last one: examples that are to judge must not choose.
        """
        if self.verdicts[0].accuracy is not None:
            return len(self.verdicts) - 1
        return int(np.argmin([verdict.loss for verdict in self.verdicts]))

    def add(self, program: Array, verdict: Verdict, samples: int, seconds: float) -> None:
        """Take a step."""
        self.programs.append(program)
        self.verdicts.append(verdict)
        self.samples.append(self.samples[-1] + samples)
        self.board_seconds.append(self.board_seconds[-1] + seconds)


def recover_by_selection(
    board: Board,
    task: Fit,
    recovery: Recovery,
    effort: Effort,
    record: Record,
    *,
    population: int,
    parents: int,
    mutation: float,
    shots: int,
) -> Plan[Recovery]:
    """Let mutants of a program compete on the board by the genetic algorithm, and save what each generation is worth.

    What is judged after a generation is the mean of the parents that it gave: it has what they have in common, and less
    of the mutations that selection has not felt.

    Parameters
    ----------
    board : Board
        Configured for the task.
    task : Fit
        What is to be learnt.
    recovery : Recovery
        Where it begins; it is carried on.
    effort : Effort
        Generations, and what a candidate is judged by.
    record : Record
        The stream: one event a generation.
    population, parents : int
        Candidates of a generation, and those that are selected.
    mutation : float
        Standard deviation of a mutation at fan-in one, in model units; it shrinks with the root of the parents' loss.
    shots : int
        Samples of each input in the judgement after a generation.
    """
    network = task.network
    spread = mutation
    chosen = recovery.programs[-1][np.newaxis]
    parents_losses: list[float] = []
    for generation in range(effort.steps):
        generator = stream(task.seed, GENETIC_TASK, MUTATION, generation)
        scale = mutation_scale(network.fan_in, spread)
        candidates = network.clipped(mutate(generator, chosen, population, scale))
        inputs, target = task.problem.batch(stream(task.seed, BATCH, GENETIC_TASK, generation), effort.rows)
        judged = yield from judge_candidates(
            [board],
            network,
            candidates,
            rows=len(inputs),
            noise_seed=noise_seed(task.seed, 1000 * GENETIC_TASK + generation),
            input_table=inputs,
            shots=effort.shots,
        )
        losses = np.where(judged.free, task.problem.losses(judged.outputs, target), np.inf)
        best = select(losses, parents)
        chosen = candidates[best]
        parents_losses.append(float(losses[best].mean()))
        spread = mutation * shrinkage(parents_losses[-1], parents_losses[0])
        samples = population * len(inputs) * effort.shots
        yield from _judge_step(board, task, recovery, record, chosen.mean(axis=0), samples, judged.board_seconds, shots)
    return recovery


def recover_by_feedback(
    board: Board,
    task: Fit,
    recovery: Recovery,
    effort: Effort,
    record: Record,
    *,
    learning_rate: float,
    shots: int,
) -> Plan[Recovery]:
    """Let the fluctuations of the board itself tell how its program should change, and save what each step is worth.

    The gradient is read from the covariance of the cells with the combination of outputs that would lower the loss
    (`protocols.learning_rules.thermal_gradient`): exact in equilibrium, and as good as the machine has relaxed by the
    observation time.

    Parameters
    ----------
    board, task, recovery, record, shots
        As for `recover_by_selection`.
    effort : Effort
        Updates, and the samples of each.
    learning_rate : float
        Of Adam.
    """
    network = task.network
    optimiser = AdamState.start(network.size)
    parameters = recovery.programs[-1]
    for step in range(effort.steps):
        inputs, target = task.problem.batch(stream(task.seed, BATCH, FEEDBACK_TASK, step), effort.rows)
        seconds = yield from measure(
            board,
            noise_seed=noise_seed(task.seed, 1000 * FEEDBACK_TASK + step),
            input_table=inputs,
            shots=effort.shots,
            readout="samples",
            programs=[network.program(parameters)],
            rows=(1, len(inputs)),
        )
        samples = np.asarray(board.samples.get(), dtype=float)[0]
        gradient = feedback_gradient(task, parameters, samples, inputs, target)
        optimiser, change = adam(optimiser, clip_norm(gradient, LARGEST_GRADIENT), learning_rate)
        parameters = network.clipped(parameters + change)
        taken = len(inputs) * effort.shots
        yield from _judge_step(board, task, recovery, record, parameters, taken, seconds, shots)
    return recovery


def feedback_gradient(task: Fit, parameters: Array, samples: Array, inputs: Array, target: NDArray[Any]) -> Array:
    """Return the gradient of the loss by the parameters, from samples of the board.

    Parameters
    ----------
    task : Fit
        What is to be learnt.
    parameters : ndarray, shape (parameters,)
        The samples are of the machine that has these.
    samples : ndarray, shape (rows, shots, cells)
    inputs : ndarray, shape (rows, inputs)
    target : ndarray, shape (rows,)
        Values of the function, or classes.
    """
    network = task.network
    readout = network.readout(parameters)
    mean = samples[:, :, network.read].mean(axis=1)
    outputs = mean @ readout.T
    error = cross_entropy(outputs, target)[1] if task.problem.data else 2 * (outputs - target[:, np.newaxis])
    delta = np.zeros((len(inputs), network.cells))
    delta[:, network.read] = error @ readout
    gradient = thermal_gradient(samples, delta, task.temperature, inputs)
    return network.flatten(gradient, error.T @ mean / len(inputs))


def _judge_step(
    board: Board,
    task: Fit,
    recovery: Recovery,
    record: Record,
    parameters: Array,
    samples: int,
    seconds: float,
    shots: int,
) -> Plan[None]:
    """Judge the program after a step as in the end, and save it."""
    step = len(recovery.verdicts)
    seed = noise_seed(task.seed, step)
    verdict = yield from judge_on_board(board, task, parameters, shots=shots, seed=seed)
    recovery.add(parameters, verdict, samples, seconds)
    yield from save(
        record,
        method=recovery.method,
        step=step,
        **measures(verdict),
        samples=recovery.samples[-1],
        board_seconds=recovery.board_seconds[-1],
        parameters=parameters,
    )


def steps_until(recovery: Recovery, recovered: Sequence[bool]) -> dict[str, Any]:
    """Return steps, samples and seconds on the board until a judgement says that the program has recovered, or None."""
    step = next((number for number, yes in enumerate(recovered) if yes), None)
    if step is None:
        return dict.fromkeys(("steps_to_recover", "samples_to_recover", "board_seconds_to_recover"))
    return {
        "steps_to_recover": step,
        "samples_to_recover": recovery.samples[step],
        "board_seconds_to_recover": recovery.board_seconds[step],
    }
