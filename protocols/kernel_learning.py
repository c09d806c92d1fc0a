"""Learning of logic gates by single photons: the read pulse turns towards the write pulses that are to make a click."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from protocols.acquisition import Plan, configure, measure, recorded, save
from protocols.arguments import LARGEST_SEED, LARGEST_SHOTS, ArgumentError, allowed_by, number, one_of, whole
from protocols.continuation import Continuation, take_up
from protocols.kernel_rules import (
    decision_threshold,
    error_floor,
    overlap_feedback,
    rotated,
    shift_gradient,
    tangents,
    unit_vector,
)
from protocols.logic_gates import Gate, logic_gate
from protocols.ports import PhotonKernel
from protocols.randomness import stream
from protocols.record import Record
from protocols.sampled_feedback import batch_error

Array = NDArray[np.float64]

INITIAL, DATUM = range(2)
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "learn_kernel": {"epochs": 5, "shots": 100, "calibration_shots": 500, "final_shots": 100}
}
"""Arguments of a short run of each plan."""

UNITS = {"weights": ""}
DIMS = {"weights": ("mode",), "wanted": ("row",), "probability": ("row",)}
NEEDS_REFERENCE = ("NOT", "AND", "OR", "NAND")
"""Gates whose outcome changes when all inputs change their sign, which an overlap cannot tell."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """A learning run with every choice made."""

    gate: Gate
    inputs: Array
    method: str
    epochs: int
    shots: int
    rate: float
    calibration_shots: int
    final_shots: int
    seed: int

    def initial(self) -> Array:
        """Draw the first weights: a random direction."""
        direction = stream(self.seed, INITIAL).normal(size=self.inputs.shape[1])
        return unit_vector(direction)

    def datum(self, epoch: int) -> int:
        """Return the row of the truth table that an epoch presents."""
        return int(stream(self.seed, DATUM, epoch).integers(len(self.inputs)))


@dataclass(frozen=True)
class Detection:
    """How often an attempt clicks with full overlap and with none.

    Attributes
    ----------
    full, full_standard_error : float
        Click probability where write and read pulse are the same.
    dark, dark_standard_error : float
        Click probability without light.
    """

    full: float
    full_standard_error: float
    dark: float
    dark_standard_error: float

    @classmethod
    def recorded(cls, continued: Continuation) -> "Detection":
        """Return what a run that is continued has measured."""
        names = (
            "full_probability",
            "full_probability_standard_error",
            "dark_probability",
            "dark_probability_standard_error",
        )
        return cls(*(continued.last(name, "calibration") for name in names))

    @property
    def contrast(self) -> float:
        """Rise of the click probability from no overlap to full overlap."""
        return self.full - self.dark


@dataclass
class Progress:
    """Where a learning run stands."""

    weights: Array
    shots: int = 0
    seconds: float = 0.0
    errors: list[float] = field(default_factory=list)
    standard_errors: list[float] = field(default_factory=list)

    @classmethod
    def after(cls, continued: Continuation) -> "Progress":
        """Return where a learning run stood after its last recorded epoch."""
        return cls(
            continued.last("weights"),
            shots=continued.last("shots"),
            seconds=continued.last("seconds"),
            errors=continued.column("error").tolist(),
            standard_errors=continued.column("error_standard_error").tolist(),
        )


def learn_kernel(
    photon: PhotonKernel,
    *,
    gate: Literal["NOT", "AND", "OR", "NAND", "XOR"] = "XOR",
    method: Literal["gradient", "parameter_shift"] = "gradient",
    epochs: int = 200,
    shots: int = 200,
    rate: float = 0.5,
    reference_mode: bool | None = None,
    calibration_shots: int = 20000,
    final_shots: int = 2000,
    seed: int = 0,
    continued: Continuation | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Teach a logic gate to single photons, each spread over modes by its inputs and read through trained weights.

    An attempt clicks with a probability that rises linearly with the overlap of inputs and weights; a click is the
    outcome +1. An epoch presents one random row of the truth table, samples the clicks, and turns the weights, which
    stay on the unit sphere. Clicks with full overlap and without light are measured first.

    Parameters
    ----------
    photon : PhotonKernel
        The photon kernel.
    gate : str
        "NOT", "AND", "OR", "NAND" or "XOR"; true is +1, false is -1.
    method : str
        "gradient": by the overlap that inputs and weights ought to have; "parameter_shift": by clicks alone, with the
        weights turned by plus and minus 45 degrees in each direction.
    epochs : int
        Updates of the weights.
    shots : int
        Attempts for each setting, at least 2.
    rate : float
        Learning rate, above 0 and up to 1000.
    reference_mode : bool, optional
        Whether one more mode carries a constant input of one. Default: for all gates but XOR, which needs none because
        its outcome stays when all inputs change their sign.
    calibration_shots : int
        Attempts with full overlap, and without light, at least 100.
    final_shots : int
        Attempts for each row of the final truth table, at least 2.
    seed : int
        Seed of the first weights and the rows presented, from 0 to 4294967295.
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
        List ``weights``, that of the reference mode last; by epoch ``error``, the measured error probability of the row
        presented, and ``error_standard_error``; ``truth_table``: for each row its ``input``, the ``wanted`` outcome
        and the measured ``probability`` of a click with ``probability_standard_error``; ``final_error``, the mean error
        over that table, with ``final_error_standard_error``; ``error_floor``: the error if the overlap were one where a
        click is wanted and else none. ``full_probability`` and ``dark_probability`` of a click with their standard
        errors; ``threshold``: fraction of clicks above which repeated attempts decide for +1, None where the rows
        are not separated. ``shots`` and ``seconds`` of the epochs.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    task = logic_gate(gate)
    reference = gate in NEEDS_REFERENCE if reference_mode is None else bool(reference_mode)
    arguments: dict[str, Any] = {
        "gate": gate,
        "method": one_of("method", method, ("gradient", "parameter_shift")),
        "epochs": whole("epochs", epochs, 1, 10_000_000),
        "shots": whole("shots", shots, 2, LARGEST_SHOTS),
        "rate": number("rate", rate, 0.0, 1000.0, above=True),
        "calibration_shots": whole("calibration_shots", calibration_shots, 100, LARGEST_SHOTS),
        "final_shots": whole("final_shots", final_shots, 2, LARGEST_SHOTS),
        "seed": whole("seed", seed, 0, LARGEST_SEED),
    }
    inputs = np.column_stack([task.inputs, np.ones(len(task.inputs))]) if reference else task.inputs
    if inputs.shape[1] > photon.modes:
        raise ArgumentError(
            f"gate: {gate} needs {inputs.shape[1]} modes; {photon.name} has {photon.modes}, so many are allowed"
        )
    for count in (shots, calibration_shots, final_shots):
        allowed_by(photon, shots=count)
    lesson = Lesson(**{**arguments, "gate": task}, inputs=inputs)
    return (
        yield from recorded(
            photon, "learn_kernel", {**arguments, "reference_mode": reference}, _learn(photon, lesson, continued), md
        )
    )


def _learn(photon: PhotonKernel, lesson: Lesson, continued: Continuation | None) -> Plan[dict[str, Any]]:
    if continued is None:
        detection = yield from _calibrate(photon, lesson)
        progress = Progress(lesson.initial())
    else:
        detection, progress = Detection.recorded(continued), Progress.after(continued)
        yield from configure(photon, light=True)
        yield from take_up(continued)
    learning = Record("learning", units=UNITS, dims=DIMS)
    for epoch in range(len(progress.errors), lesson.epochs):
        yield from _epoch(photon, lesson, detection, progress, epoch)
        yield from save(
            learning,
            epoch=epoch + 1,
            error=progress.errors[-1],
            error_standard_error=progress.standard_errors[-1],
            weights=progress.weights,
            shots=progress.shots,
            seconds=progress.seconds,
        )
    evaluation = yield from _evaluate(photon, lesson, progress.weights)
    return {
        "weights": progress.weights.tolist(),
        "error": progress.errors,
        "error_standard_error": progress.standard_errors,
        **evaluation,
        "error_floor": error_floor(lesson.gate.wanted, detection.full, detection.dark),
        "full_probability": detection.full,
        "full_probability_standard_error": detection.full_standard_error,
        "dark_probability": detection.dark,
        "dark_probability_standard_error": detection.dark_standard_error,
        "shots": progress.shots,
        "seconds": progress.seconds,
    }


def _calibrate(photon: PhotonKernel, lesson: Lesson) -> Plan[Detection]:
    """Measure clicks with full overlap and without light, and save both in the stream "calibration"."""
    pulse = lesson.inputs[-1]
    yield from measure(photon, inputs=pulse, weights=pulse, light=False, shots=lesson.calibration_shots)
    dark, dark_error = _clicks(photon)
    yield from measure(photon, light=True)
    full, full_error = _clicks(photon)
    yield from save(
        Record("calibration"),
        full_probability=full,
        full_probability_standard_error=full_error,
        dark_probability=dark,
        dark_probability_standard_error=dark_error,
    )
    return Detection(full, full_error, dark, dark_error)


def _epoch(photon: PhotonKernel, lesson: Lesson, detection: Detection, progress: Progress, epoch: int) -> Plan[None]:
    """Present one row, and turn the weights."""
    row = lesson.datum(epoch)
    inputs, wanted = lesson.inputs[row], float(lesson.gate.wanted[row])
    probability, error = yield from _sample(photon, lesson, progress, inputs, progress.weights)
    if lesson.method == "gradient":
        gradient = detection.contrast * overlap_feedback(progress.weights, inputs)
    else:
        gradient = yield from _shifted(photon, lesson, progress, inputs)
    progress.weights = unit_vector(progress.weights + lesson.rate * wanted * gradient)
    progress.errors.append(float(batch_error(2.0 * probability - 1.0, wanted)))
    progress.standard_errors.append(error)


def _shifted(photon: PhotonKernel, lesson: Lesson, progress: Progress, inputs: Array) -> Plan[Array]:
    """Measure the derivative of the click probability by the weights, along the sphere."""
    directions = tangents(progress.weights)
    differences = []
    for direction in directions:
        pair = []
        for angle in (np.pi / 4.0, -np.pi / 4.0):
            weights = rotated(progress.weights, direction, angle)
            probability, _ = yield from _sample(photon, lesson, progress, inputs, weights)
            pair.append(probability)
        differences.append(pair[0] - pair[1])
    return shift_gradient(directions, differences)


def _sample(
    photon: PhotonKernel, lesson: Lesson, progress: Progress, inputs: Array, weights: Array
) -> Plan[tuple[float, float]]:
    """Make the attempts of one setting; return the fraction of clicks and its standard error."""
    progress.seconds += yield from measure(photon, inputs=inputs, weights=weights, shots=lesson.shots)
    progress.shots += lesson.shots
    return _clicks(photon)


def _clicks(photon: PhotonKernel) -> tuple[float, float]:
    return float(photon.click_probability.get()), float(photon.click_probability_standard_error.get())


def _evaluate(photon: PhotonKernel, lesson: Lesson, weights: Array) -> Plan[dict[str, Any]]:
    """Measure the truth table with fresh attempts, and save it in the stream "evaluation"."""
    probabilities, errors = [], []
    for inputs in lesson.inputs:
        yield from measure(photon, inputs=inputs, weights=weights, shots=lesson.final_shots)
        probability, error = _clicks(photon)
        probabilities.append(probability)
        errors.append(error)
    wanted = lesson.gate.wanted
    final = {
        "final_error": float(batch_error(2.0 * np.array(probabilities) - 1.0, wanted).mean()),
        "final_error_standard_error": float(np.linalg.norm(errors) / len(errors)),
    }
    yield from save(
        Record("evaluation", units=UNITS, dims={**DIMS, "inputs": ("row", "mode")}),
        **final,
        inputs=lesson.inputs,
        wanted=wanted,
        probability=np.array(probabilities),
        probability_standard_error=np.array(errors),
        weights=weights,
    )
    rows = zip(lesson.gate.inputs, wanted, probabilities, errors, strict=True)
    table = [
        {"input": inputs.tolist(), "wanted": int(n), "probability": p, "probability_standard_error": error}
        for inputs, n, p, error in rows
    ]
    return {"truth_table": table, **final, "threshold": decision_threshold(probabilities, wanted)}
