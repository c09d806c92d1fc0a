"""Activation switches: things that are driven and then asked, on (+1) or off (-1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Kind

from lab.devices.driver_device import DriverDevice
from lab.signals import AcquisitionStatus, DriverSignal, driver_signal, result_signal

LARGEST_SHOTS = 16777216


class HeldSignal(DriverSignal):
    """A quantity the device itself holds and uses at the next trigger."""

    def fetch(self) -> Any:
        """Return what was set last."""
        return self.last

    def apply(self, value: Any) -> None:
        """Keep `value`."""
        self.store(value)


@dataclass(frozen=True, eq=False)
class Answers:
    """What a body answered.

    Attributes
    ----------
    on : ndarray of bool, shape (shots,)
        Whether it was on, in the order of the shots.
    times : ndarray, shape (shots,)
        When each shot was taken, s from the beginning of the first.
    seconds : float
        Time on the instruments, s.
    """

    on: NDArray[np.bool_]
    times: NDArray[np.float64]
    seconds: float


class ActivationSwitch(DriverDevice):
    """The base of all activation switches: set `drive` and `shots`, trigger, read how often it was on.

    A body implements `ask`, which asks it `shots` times at `drive`, and the hooks of `DriverDevice`. It stands on
    another device, the body, whose thread its acquisitions run on, and which it stages unless that is done already.

    Parameters
    ----------
    body : DriverDevice
        The device it stands on.
    name : str
        Name in the record.
    span : (low, high)
        Drives between which the switch turns from nearly always off to nearly always on.
    drive_limits : (low, high)
        Drives allowed.
    units : str
        Unit of the drive.
    memory : float
        Largest correlation between one shot and the next that the datasheet admits.
    drive : float, optional
        Drive to begin with; by default the middle of the span.
    shots : int
        Shots to begin with.
    **kwargs
        As of `DriverDevice`.
    """

    drive = driver_signal("drive", cls=HeldSignal, kind=Kind.normal, limits=(-1, 1))
    shots = driver_signal("shots", cls=HeldSignal, dtype="integer", limits=(1, LARGEST_SHOTS))
    on_count = result_signal(numpy_type=np.int64)
    off_count = result_signal(numpy_type=np.int64)
    probability = result_signal(kind=Kind.hinted)
    probability_standard_error = result_signal()
    run_time = result_signal(units="s")
    outcomes = result_signal(dims=("shot",), numpy_type=np.int8, kind=Kind.omitted)
    shot_times = result_signal(dims=("shot",), units="s", kind=Kind.omitted)

    def __init__(
        self,
        body: DriverDevice,
        *,
        name: str,
        span: tuple[float, float],
        drive_limits: tuple[float, float],
        units: str,
        memory: float,
        drive: float | None = None,
        shots: int = 1000,
        **kwargs: Any,
    ) -> None:
        limits = kwargs.pop("limits", None) or {}
        super().__init__(body.driver, name=name, **kwargs)
        self.body = body
        self.stopped = body.stopped  # what stops one stops the other, which acquires for it
        self.span = span
        self.memory = memory
        self.drive.units = units
        for key, (low, high) in {"drive": drive_limits, **limits}.items():
            self.limit(key, low, high)
        self.drive.store(sum(span) / 2 if drive is None else drive)
        self.shots.store(shots)
        self._staged_body = False

    def length(self, dim: str) -> int:
        """Return the length of an axis of the next results."""
        return {"shot": self.shots.last}[dim]

    def instruments(self) -> Sequence[Any]:
        """Those of the body."""
        return self.body.instruments()

    def persist(self, work: Callable[[], Any]) -> Any:
        """Do `work`; it is the body that does things again."""
        return work()

    _repeated = persist

    def ask(self, status: AcquisitionStatus) -> Answers:
        """Ask the body `shots` times at `drive`, on the thread of the body."""
        raise NotImplementedError

    def acquire(self, status: AcquisitionStatus) -> None:
        """Ask on the thread of the body, so that it does nothing else meanwhile, and fill the results."""
        self.body.do(lambda: self._acquire(status))

    def _acquire(self, status: AcquisitionStatus) -> None:
        answers = self.ask(status)
        self.go_on()
        on = int(np.count_nonzero(answers.on))
        probability, error = fraction(on, answers.on.size - on)
        self.on_count.store(on)
        self.off_count.store(answers.on.size - on)
        self.probability.store(probability)
        self.probability_standard_error.store(error)
        self.run_time.store(answers.seconds)
        self.outcomes.store(np.where(answers.on, 1, -1))
        self.shot_times.store(answers.times)

    def prepare_acquisition(self) -> None:
        """Stage the body, unless it is already."""
        if not self.body.staged:
            self.body.stage()
            self._staged_body = True

    def release(self) -> None:
        """Unstage the body, if it was staged from here."""
        if self._staged_body:
            self._staged_body = False
            self.body.unstage()

    @property
    def at_rest(self) -> bool:
        """Whether the body is."""
        return self.body.at_rest

    def safety_steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """Those of the body."""
        return self.body.safety_steps()


def fraction(on: int, off: int) -> tuple[float, float]:
    """Return the fraction of `on` and its standard error.

    The variance p(1 - p)/N is taken at p = (on + 1)/(N + 2), so that the error of a fraction of 0 or 1 is not zero.

    Raises
    ------
    ValueError
        If nothing was counted.
    """
    shots = on + off
    if shots < 1 or min(on, off) < 0:
        raise ValueError(f"{on} on and {off} off are no counts")
    smoothed = (on + 1) / (shots + 2)
    return on / shots, math.sqrt(smoothed * (1 - smoothed) / shots)
