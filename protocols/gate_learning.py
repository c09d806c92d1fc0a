"""Learning of logic gates by activation switches: sampled feedback, whatever body the switches have."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, measure, recorded, save
from protocols.arguments import (
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
from protocols.logic_gates import Gate, logic_gate
from protocols.ports import ActivationSwitch
from protocols.randomness import stream
from protocols.record import Record
from protocols.sampled_feedback import RULES, Batch, SwitchNetwork, batch_error, bernoulli_shots
from protocols.switch_calibration import SwitchCalibration
from protocols.thermodynamics import Ledger, Quenches, landauer_bound, sampled_entropy
from protocols.transition import SEARCH_SHOTS, calibrate, calibration_record, save_calibration

Array = NDArray[np.float64]

DATUM, ORDER = range(2)
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "learn_gate": {"epochs": 5, "shots": 100, "calibration_shots": 500, "final_shots": 100}
}
"""Arguments of a short run of each plan."""

UNITS = {"weights": "", "bias": ""}
DIMS = {"weights": ("weight",), "bias": ("unit",), "record_entropy": ("presentation",), "quenches": ("unit", "amount")}


@dataclass(frozen=True, eq=False)
class Lesson:
    """A learning run with every choice made."""

    gate: Gate
    rule: str
    epochs: int
    shots: int
    rate: float
    beta: float
    start: tuple[float, ...]
    presentation: str
    calibration_shots: int
    final_shots: int
    seed: int

    def data(self, epoch: int) -> list[int]:
        """Return the rows of the truth table that an epoch presents, in order."""
        rows = len(self.gate.inputs)
        if self.presentation == "random":
            return [int(stream(self.seed, DATUM, epoch).integers(rows))]
        return stream(self.seed, ORDER, epoch).permutation(rows).tolist()

    def network(self, parameters: Array) -> SwitchNetwork:
        """Return the parameters as weights and biases."""
        return SwitchNetwork.of(parameters, self.gate.inputs.shape[1], self.gate.hidden)


@dataclass
class Unit:
    """One switch of the machine: the body it stands on, how that is driven, and what it has gone through."""

    body: ActivationSwitch
    calibration: SwitchCalibration
    quenches: Quenches = field(default_factory=Quenches)

    def spread(self) -> float:
        """Return by how much the memory that the datasheet admits may widen a standard error."""
        memory = self.body.memory
        return float(np.sqrt((1.0 + memory) / (1.0 - memory))) if memory < 1.0 else 1.0


@dataclass
class Progress:
    """Where a learning run stands."""

    parameters: Array
    presentations: int = 0
    shots: int = 0
    seconds: float = 0.0
    errors: list[float] = field(default_factory=list)
    standard_errors: list[float] = field(default_factory=list)
    record_entropies: list[float] = field(default_factory=list)

    @classmethod
    def after(cls, continued: Continuation) -> "Progress":
        """Return where a learning run stood after its last recorded epoch."""
        return cls(
            np.concatenate([continued.last("weights"), continued.last("bias")]),
            presentations=continued.last("step"),
            shots=continued.last("shots"),
            seconds=continued.last("seconds"),
            errors=continued.column("error").tolist(),
            standard_errors=continued.column("error_standard_error").tolist(),
            record_entropies=continued.column("record_entropy").ravel().tolist(),
        )


def learn_gate(
    switch: ActivationSwitch | Sequence[ActivationSwitch],
    *,
    gate: Literal["NOT", "AND", "OR", "NAND", "XOR"] = "NOT",
    rule: Literal["sampled", "mean_field", "exact"] | None = None,
    epochs: int = 100,
    shots: int = 200,
    wanted_error: float | None = None,
    rate: float = 1.0,
    beta: float = 1.0,
    start: Sequence[float] | None = None,
    presentation: Literal["random", "all"] = "random",
    calibration_shots: int = 2000,
    calibration: SwitchCalibration | None = None,
    final_shots: int = 2000,
    seed: int = 0,
    continued: Continuation | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Teach a logic gate to activation switches by sampled feedback, and measure the truth table they have learnt.

    A switch at activation A gives +1 with probability sigma(beta A); which drive that takes is calibrated first. An
    epoch presents one random row of the truth table, samples the outcomes, and changes weights and biases against the
    error. NOT, AND, OR and NAND take a single switch, XOR two hidden ones and an output, which is driven at each
    sampled hidden pattern for as many shots as the pattern occurred.

    Parameters
    ----------
    switch : ActivationSwitch or sequence of ActivationSwitch
        One switch, which is every unit of the machine in turn, or as many as the machine has units: the hidden ones
        and then the output.
    gate : str
        "NOT", "AND", "OR", "NAND" or "XOR"; true is +1, false is -1.
    rule : str, optional
        "sampled": by the mean outcome, for a single switch; "mean_field": by mean outcomes layer by layer, for XOR;
        "exact": by an unbiased estimate of the gradient. Default: sampled, for XOR mean_field.
    epochs : int
        Updates of the weights.
    shots : int
        Outcomes sampled for each row presented, at least 2.
    wanted_error : float, optional
        Standard error of a sampled probability, above 0 and below 0.5, that sets the shots in place of `shots`.
    rate : float
        Learning rate, above 0 and up to 1000.
    beta : float
        Slope of the logit by the activation, above 0 and up to 1000.
    start : sequence of float, optional
        First weights and then biases; for XOR hidden weights row by row (one row an input), output weights, hidden
        biases, output bias. Default: weights 0.01 and bias 1; for XOR -5,8,-2,3,-2,-3,-1,-3,-1.
    presentation : str
        "random": one random row an epoch; "all": every row, in random order, before each update.
    calibration_shots : int
        Questions at each of the drives of the calibration, at least 100.
    calibration : SwitchCalibration, optional
        Run of switch_curve or learn_gate whose calibration is used for the one switch. Default: calibrate now.
    final_shots : int
        Outcomes sampled for each row of the final truth table, at least 2.
    seed : int
        Seed of the rows presented and of the order of calibration drives, from 0 to 4294967295.
    continued : Continuation, optional
        What a run with these arguments recorded before it was cut short; learning goes on after its last epoch.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        Lists ``weights`` and ``bias`` in the order of `start`; by epoch ``error``, the measured error probability of
        the rows presented, and its ``error_standard_error``;
        ``truth_table``: for each row its ``input``, the ``wanted`` outcome and the measured ``probability`` of +1 with
        ``probability_standard_error``; ``final_error``, the mean error over that table, with
        ``final_error_standard_error``. ``shots`` and ``seconds`` of the epochs; ``calibrations``: for each switch
        ``beta_per_drive`` and ``offset`` with standard errors. ``work``, ``heat``, ``energy_change``,
        ``free_energy_change`` in kT, ``entropy_change`` and ``entropy_production`` in nats, each for ``all`` changes
        of the drive, the ``updates`` of weights and the ``presentations`` of rows, summed over the units, each of which
        relaxes after every change. ``record_entropy``: nats in one stored outcome of the output, by presentation;
        ``landauer_bound``: least heat of erasing them all, kT.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    CalibrationError
        The transition of a switch has not been found.
    """
    task = logic_gate(gate)
    arguments: dict[str, Any] = {
        "gate": gate,
        "rule": _rule(task, rule),
        "epochs": whole("epochs", epochs, 1, 10_000_000),
        "shots": _shots(shots, wanted_error),
        "rate": number("rate", rate, 0.0, 1000.0, above=True),
        "beta": number("beta", beta, 0.0, 1000.0, above=True),
        "start": numbers("start", task.start if start is None else start, -1e6, 1e6, length=task.parameters),
        "presentation": one_of("presentation", presentation, ("random", "all")),
        "calibration_shots": whole("calibration_shots", calibration_shots, 100, LARGEST_SHOTS),
        "final_shots": whole("final_shots", final_shots, 2, LARGEST_SHOTS),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }
    switches = _switches(switch, task, calibration)
    for body in switches:
        for count in (arguments["shots"], final_shots, calibration_shots, SEARCH_SHOTS):
            allowed_by(body, shots=count)
    lesson = Lesson(**{**arguments, "gate": task})
    recorded_arguments = as_json(arguments) | ({} if calibration is None else {"calibration": calibration.uid})
    body_plan = _learn(switches, lesson, calibration, continued)
    return (yield from recorded(switches, "learn_gate", recorded_arguments, body_plan, md))


def _rule(gate: Gate, rule: str | None) -> str:
    """Return the rule, which must be one for the machine of the gate."""
    allowed = ("mean_field", "exact") if gate.hidden else ("sampled", "exact")
    return allowed[0] if rule is None else one_of(f"rule (for {gate.name})", rule, allowed)


def _shots(shots: int, wanted_error: float | None) -> int:
    """Return the shots of a row: as given, or as many as the wanted error takes at most."""
    if wanted_error is None:
        return whole("shots", shots, 2, LARGEST_SHOTS)
    smallest = 0.5 / np.sqrt(LARGEST_SHOTS)
    return max(2, bernoulli_shots(number("wanted_error", wanted_error, smallest, 0.5)))


def _switches(
    switch: ActivationSwitch | Sequence[ActivationSwitch], gate: Gate, calibration: SwitchCalibration | None
) -> list[ActivationSwitch]:
    """Return the switches, as many as the machine has units, or one."""
    switches = list(switch) if isinstance(switch, Sequence) else [switch]
    if len(switches) not in (1, gate.units):
        needed = f"1 or {gate.units}" if gate.hidden else "1"
        raise ArgumentError(f"switch: {len(switches)} switches given for {gate.name}; allowed: {needed}")
    if calibration is None:
        return switches
    if len(switches) > 1:
        raise ArgumentError(f"calibration: one for {len(switches)} switches; allowed: none, they are calibrated here")
    if switches[0].name != calibration.switch:
        raise ArgumentError(f"calibration: that of {calibration.switch}; allowed: one of {switches[0].name}")
    return switches


def _learn(
    switches: Sequence[ActivationSwitch],
    lesson: Lesson,
    calibration: SwitchCalibration | None,
    continued: Continuation | None,
) -> Plan[dict[str, Any]]:
    if continued is None:
        units = yield from _calibrated(switches, lesson, calibration)
        progress = Progress(np.array(lesson.start))
    else:
        units, progress = _taken_over(switches, lesson, continued), Progress.after(continued)
        yield from take_up(continued)
    learning = Record("learning", units=UNITS, dims=DIMS)
    for epoch in range(len(progress.errors), lesson.epochs):
        error, standard_error = yield from _epoch(units, lesson, progress, epoch)
        network = lesson.network(progress.parameters)
        yield from save(
            learning,
            epoch=epoch + 1,
            error=error,
            error_standard_error=standard_error,
            weights=network.weights,
            bias=network.bias,
            step=progress.presentations,
            shots=progress.shots,
            seconds=progress.seconds,
            record_entropy=np.array(progress.record_entropies[-len(lesson.data(epoch)) :]),
            quenches=np.array([unit.quenches.state for unit in units]),
        )
    network = lesson.network(progress.parameters)
    updates, presentations = _costs(units)
    evaluation = yield from _evaluate(units, lesson, progress.parameters)
    return {
        "weights": network.weights.tolist(),
        "bias": network.bias.tolist(),
        "error": progress.errors,
        "error_standard_error": progress.standard_errors,
        **evaluation,
        "shots": progress.shots,
        "seconds": progress.seconds,
        "calibrations": [_summary(calibration) for calibration in _distinct(units)],
        **_by_cause(updates, presentations),
        "record_entropy": progress.record_entropies,
        "landauer_bound": landauer_bound(progress.record_entropies, lesson.shots),
    }


def _calibrated(
    switches: Sequence[ActivationSwitch], lesson: Lesson, calibration: SwitchCalibration | None
) -> Plan[list[Unit]]:
    """Return the units of the machine on calibrated switches; one switch is all of them."""
    calibrations, record = [], calibration_record()
    for body in switches:
        if calibration is None:
            fitted = yield from calibrate(body, record, shots=lesson.calibration_shots, seed=lesson.seed)
        else:
            fitted = calibration
            yield from save_calibration(fitted, record)
        calibrations.append(fitted)
    pairs = list(zip(switches, calibrations, strict=True))
    return [Unit(*pairs[index % len(pairs)]) for index in range(lesson.gate.units)]


def _taken_over(switches: Sequence[ActivationSwitch], lesson: Lesson, continued: Continuation) -> list[Unit]:
    """Return the units of the machine as they were after the last recorded epoch."""
    calibrations = [SwitchCalibration.from_dict(event) for event in continued.events("calibration")]
    pairs = list(zip(switches, calibrations, strict=True))
    states = continued.last("quenches")
    return [Unit(*pairs[index % len(pairs)], Quenches(states[index])) for index in range(lesson.gate.units)]


def _epoch(units: Sequence[Unit], lesson: Lesson, progress: Progress, epoch: int) -> Plan[tuple[float, float]]:
    """Present the rows of an epoch, and update once; return the error of the batches and its standard error."""
    network = lesson.network(progress.parameters)
    change = np.zeros_like(progress.parameters)
    errors, variances = [], []
    for row in lesson.data(epoch):
        inputs, wanted = lesson.gate.inputs[row], float(lesson.gate.wanted[row])
        batch, pattern, seconds = yield from _present(units, lesson, network, inputs, lesson.shots)
        change += RULES[lesson.rule](batch, network, inputs, wanted, beta=lesson.beta, rate=lesson.rate)
        errors.append(float(batch_error(batch.output_mean, wanted)))
        variances.append(batch.probability_standard_error**2)
        _count(progress, batch, seconds, lesson)
    progress.parameters = progress.parameters + change
    _note_update(units, lesson, lesson.network(progress.parameters), inputs, pattern)
    progress.errors.append(float(np.mean(errors)))
    progress.standard_errors.append(float(np.sqrt(sum(variances)) / len(errors)))
    return progress.errors[-1], progress.standard_errors[-1]


def _count(progress: Progress, batch: Batch, seconds: float, lesson: Lesson) -> None:
    """Count what one presentation took, and what its stored outcomes of the output hold."""
    progress.presentations += 1
    progress.shots += lesson.shots * lesson.gate.units
    progress.seconds += seconds
    on = round(batch.probability * lesson.shots)
    progress.record_entropies.append(float(sampled_entropy(on, lesson.shots)))


def _present(
    units: Sequence[Unit], lesson: Lesson, network: SwitchNetwork, inputs: Array, shots: int
) -> Plan[tuple[Batch, Array, float]]:
    """Sample the machine at one row; return the batch, the signals the output saw last, and the time it took in s."""
    *hidden, output = units
    sampled, seconds = [], 0.0
    for unit, activation in zip(hidden, network.hidden_activations(inputs), strict=True):
        seconds += yield from _ask(unit, lesson.beta * float(activation), shots)
        sampled.append(np.asarray(unit.body.outcomes.get(), dtype=float))
    patterns, counts = inputs[np.newaxis], np.array([shots])
    if sampled:
        patterns, counts = np.unique(np.column_stack(sampled), axis=0, return_counts=True)
    means, errors = [], []
    for pattern, count in zip(patterns, counts.tolist(), strict=True):
        seconds += yield from _ask(output, lesson.beta * float(network.output_activations(pattern)), count)
        means.append(2.0 * float(output.body.probability.get()) - 1.0)
        errors.append(float(output.body.probability_standard_error.get()) * output.spread())
    return Batch(patterns, counts, np.array(means), np.array(errors)), patterns[-1], seconds


def _ask(unit: Unit, activation: float, shots: int) -> Plan[float]:
    """Ask a unit at an activation ``beta A``; return the time it took in s."""
    unit.quenches.present(unit.calibration.reached(activation))
    return (yield from measure(unit.body, drive=unit.calibration.drive(activation), shots=shots))


def _note_update(units: Sequence[Unit], lesson: Lesson, network: SwitchNetwork, inputs: Array, pattern: Array) -> None:
    """Note that an update has changed the activation of every unit at the signals it saw last."""
    activations = [*network.hidden_activations(inputs).tolist(), float(network.output_activations(pattern))]
    for unit, activation in zip(units, activations, strict=True):
        unit.quenches.update(unit.calibration.reached(lesson.beta * activation))


def _evaluate(units: Sequence[Unit], lesson: Lesson, parameters: Array) -> Plan[dict[str, Any]]:
    """Measure the truth table with fresh shots, and save it in the stream "evaluation"."""
    network = lesson.network(parameters)
    probabilities, errors = [], []
    for inputs in lesson.gate.inputs:
        batch, _, _ = yield from _present(units, lesson, network, inputs, lesson.final_shots)
        probabilities.append(batch.probability)
        errors.append(batch.probability_standard_error)
    wanted = lesson.gate.wanted
    final = {
        "final_error": float(batch_error(2.0 * np.array(probabilities) - 1.0, wanted).mean()),
        "final_error_standard_error": float(np.linalg.norm(errors) / len(errors)),
    }
    record = Record("evaluation", units=UNITS, dims={**DIMS, "wanted": ("row",), "probability": ("row",)})
    yield from save(
        record,
        **final,
        inputs=lesson.gate.inputs,
        wanted=wanted,
        probability=np.array(probabilities),
        probability_standard_error=np.array(errors),
        weights=network.weights,
        bias=network.bias,
    )
    rows = zip(lesson.gate.inputs, wanted, probabilities, errors, strict=True)
    table = [
        {"input": inputs.tolist(), "wanted": int(n), "probability": p, "probability_standard_error": error}
        for inputs, n, p, error in rows
    ]
    return {"truth_table": table, **final}


def _costs(units: Sequence[Unit]) -> tuple[Ledger, Ledger]:
    """Return what updates and presentations did to all units together."""
    ledgers = [unit.quenches.ledgers() for unit in units]
    return sum((one for one, _ in ledgers), Ledger()), sum((other for _, other in ledgers), Ledger())


def _by_cause(updates: Ledger, presentations: Ledger) -> dict[str, dict[str, float]]:
    causes = {"all": updates + presentations, "updates": updates, "presentations": presentations}
    return {name: {cause: asdict(ledger)[name] for cause, ledger in causes.items()} for name in asdict(updates)}


def _distinct(units: Sequence[Unit]) -> list[SwitchCalibration]:
    """Return one calibration for each switch."""
    return list({unit.body.name: unit.calibration for unit in units}.values())


def _summary(calibration: SwitchCalibration) -> dict[str, Any]:
    values = calibration.summary()
    renamed = {f"beta_per_drive{suffix}": values.pop(f"beta{suffix}") for suffix in ("", "_standard_error")}
    return {"switch": calibration.switch, "unit": calibration.unit, **renamed, **values}
