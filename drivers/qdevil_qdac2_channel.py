"""A channel of the QDAC-II: its DC voltage, lists, sweeps and waveforms, none of which leaves the channel's limits."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.arrays import block
from drivers.errors import OutputLimitError
from drivers.properties import strict_real
from drivers.qdevil_qdac2_generators import (
    HIGHEST,
    ArbitraryWaveform,
    Motion,
    Reach,
    Sine,
    Square,
    Triangle,
)
from drivers.qdevil_qdac2_registers import MODES, Qdac2ChannelRegisters

RESOLUTION = 1e-6
"""Limits hold to within this voltage, V: a bit of the DAC, and what a 32-bit float loses."""
ROUNDING = 1e-6
"""Slews hold to within this fraction."""
NO_LIMITS = (-math.inf, math.inf)
SOURCES_OF_DC = ("immediate", "hold")
"""Trigger sources on which nothing starts unasked."""


class Qdac2Channel(Qdac2ChannelRegisters):
    """One channel.

    `protect` gives it limits and a largest slew; whatever would take the output beyond them raises OutputLimitError and
    is not sent. What counts is the worst case of the sum: the DC voltage and every generator that may be running. The
    driver asks the instrument for what it needs to know the first time, so that this holds for a DAC that already runs.
    Other programs that move the outputs meanwhile are beyond it.

    Parameters
    ----------
    parent : Qdac2
        The DAC.
    id : int
        Number of the channel, 1 to 24.

    Attributes
    ----------
    limits : tuple of float
        Lowest and highest voltage allowed, V.
    largest_slew : float
        Largest slope allowed, V/s.
    sine, triangle, square, awg : Generator
        The waveform generators.
    """

    def __init__(self, parent: Any, id: int) -> None:  # noqa: A002 -- as pymeasure calls it
        super().__init__(parent, id)
        self.limits: tuple[float, float] = NO_LIMITS
        self.largest_slew = math.inf
        self._chosen_slew = math.inf
        self.sine = Sine(self)
        self.triangle = Triangle(self)
        self.square = Square(self)
        self.awg = ArbitraryWaveform(self)
        self.generators = {wave.kind: wave for wave in (self.sine, self.triangle, self.square, self.awg)}
        self.forget()

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"{self.parent.name} channel {self.id}"

    def protect(self, limits: tuple[float, float] = NO_LIMITS, slew: float = math.inf) -> None:
        """Set what hangs on the output may take; nothing is sent.

        Parameters
        ----------
        limits : tuple of float
            Lowest and highest voltage, V.
        slew : float
            Largest slope, V/s.

        Raises
        ------
        ValueError
            If the limits are not in ascending order or the slew is not positive.
        """
        low, high = map(float, limits)
        if not low <= high or not slew > 0:
            raise ValueError(
                f"{self.name}: limits of {low} to {high} V at {slew} V/s; low <= high and slew > 0 is allowed"
            )
        with self.lock:
            self.limits, self.largest_slew = (low, high), float(slew)
            self.forget()

    @property
    def protected(self) -> bool:
        """Whether there are any limits."""
        return self.limits != NO_LIMITS or self.largest_slew < math.inf

    # ---- what is known of the instrument ---------------------------------------------------------------------------

    def forget(self) -> None:
        """Ask the instrument anew before the next thing that could move the output."""
        self._mode: str | None = None
        self._slew: float | None = None
        self._range: Reach | None = None
        self._motions: dict[str, Motion] | None = None

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """Let commands through; after a failure nothing is known any more."""
        with self.lock, self.parent.permitted():
            try:
                yield
            except Exception:
                self.forget()
                raise

    def motions(self) -> dict[str, Motion]:
        """Return what the generators that may run add to the output, by their kind."""
        if self._motions is None:
            adopted = {kind: wave.adopted() for kind, wave in self.generators.items()}
            self._motions = {kind: motion for kind, motion in adopted.items() if motion is not None}
        return self._motions

    def drop_finished(self) -> None:
        """Ask the generators that may run whether they still do."""
        self._motions = {kind: motion for kind, motion in self.motions().items() if self.generators[kind].may_run()}

    def _known_mode(self) -> str:
        if self._mode is None:
            self._mode = self.mode
        return self._mode

    def _known_slew(self) -> float:
        if self._slew is None:
            self._slew = self.slew
        return self._slew

    def _known_range(self) -> Reach:
        if self._range is None:
            self._range = self._range_of(self.voltage_range)
        return self._range

    def _range_of(self, word: str) -> Reach:
        low, high = (self.values(f"sour{{ch}}:rang:{word}:{end}?")[0] for end in ("min", "max"))
        return Reach(low, high)

    # ---- limits ----------------------------------------------------------------------------------------------------

    def admit(self, name: str, value: Any) -> None:
        """Raise OutputLimitError where a setting cannot be changed so."""
        if not self.protected:
            return
        if name == "voltage_range":
            self._admit_range(value)
        elif name in ("triggered_voltage", "sweep_start", "sweep_stop"):
            volts = strict_real(value, (-HIGHEST, HIGHEST))
            self._admit(Reach(volts, volts), f"{name} {volts:.6g} V")
        elif name == "trigger_source" and value not in SOURCES_OF_DC:
            self._admit(self._dc_reach(triggered=True), f"a start on {value}")

    def _admit(self, dc: Reach, what: str, bounds: Reach | None = None) -> None:
        """Raise OutputLimitError unless DC voltages are within the limits, whatever the generators add."""
        if self.protected and not self._within(dc, bounds):
            self.drop_finished()
            if not self._within(dc, bounds):
                low, high = self._total(dc)
                raise OutputLimitError(
                    f"{self.name}: {what} could put out {low:.6g} to {high:.6g} V; "
                    f"{self._bounds().low:.6g} to {self._bounds().high:.6g} V is allowed"
                )

    def _bounds(self) -> Reach:
        known = self._known_range()
        return Reach(max(self.limits[0], known.low), min(self.limits[1], known.high))

    def _total(self, dc: Reach) -> Reach:
        added = [motion.reach for motion in self.motions().values()]
        return Reach(dc.low + sum(reach.low for reach in added), dc.high + sum(reach.high for reach in added))

    def _within(self, dc: Reach, bounds: Reach | None = None) -> bool:
        (low, high), total = bounds or self._bounds(), self._total(dc)
        return low - RESOLUTION <= total.low and total.high <= high + RESOLUTION

    def _admit_range(self, word: str) -> None:
        """Raise OutputLimitError unless the output rests within both ranges: a clipped one would jump."""
        if self._known_mode() != "fixed":
            raise OutputLimitError(f"{self.name}: the range changes in fixed mode only; it is in {self._mode} mode")
        if self.motions():
            self.drop_finished()
        if self.motions():
            raise OutputLimitError(
                f"{self.name}: the range changes without waveforms only; {', '.join(self.motions())} may run"
            )
        reach, allowed = self._dc_reach(), self._range_of(word)
        if not (allowed.low <= reach.low and reach.high <= allowed.high):
            raise OutputLimitError(
                f"{self.name}: {reach.low:.6g} to {reach.high:.6g} V is beyond the {word} range of {allowed.high:.6g} V"
            )
        self._range = None

    def admit_reach(self, reach: Reach, what: str) -> None:
        """Raise OutputLimitError where a waveform would go beyond the limits from where the output is."""
        self._admit(Reach(self.actual_voltage + reach.low, self.actual_voltage + reach.high), what)

    def admit_motion(self, kind: str, motion: Motion) -> None:
        """Take a waveform into account from now on, and make room for its slew.

        Raises
        ------
        OutputLimitError
            If the sum could leave the limits or be faster than the largest slew.
        """
        dc = self._dc_reach()
        self.drop_finished()
        self._admit(Reach(dc.low + motion.reach.low, dc.high + motion.reach.high), f"{kind} beside DC voltages")
        others = self.motions()
        self._motions = {**others, kind: motion}
        try:
            self._put_slew_in_force(self._available_slew())
        except OutputLimitError:
            self._motions = others
            raise

    def _available_slew(self) -> float:
        return self.largest_slew - sum(motion.slew for motion in self.motions().values())

    def _free_slew(self) -> float:
        """Return what waveforms leave of the largest slew, V/s; those that leave too little are asked if they run."""
        if self.largest_slew < math.inf and self._available_slew() < min(self._chosen_slew, self.largest_slew):
            self.drop_finished()
        return self._available_slew() if self.largest_slew < math.inf else math.inf

    def _put_slew_in_force(self, available: float) -> None:
        """Set the slew of DC voltages to what was chosen, as far as it is available."""
        if available == math.inf:
            return
        if available <= 0:
            raise OutputLimitError(
                f"{self.name}: waveforms leave {available:.6g} of {self.largest_slew:.6g} V/s; allowed is more than 0"
            )
        wanted, present = min(self._chosen_slew, available), self._known_slew()
        if math.isclose(wanted, present, rel_tol=ROUNDING):
            return
        if self._known_mode() != "fixed":
            if present <= available * (1 + ROUNDING):
                return
            raise OutputLimitError(
                f"{self.name}: {present:.6g} V/s is set, {available:.6g} V/s is allowed; it changes in fixed mode only"
            )
        with self._sending():
            self.execute(f"sour{{ch}}:volt:slew {wanted:.9g}")
            self._slew = wanted

    # ---- fixed voltage ---------------------------------------------------------------------------------------------

    @property
    def slew(self) -> float:
        """Control the slew of DC voltages in V/s (float from 0.01, or infinite)."""
        return self.slew_register

    @slew.setter
    def slew(self, value: float) -> None:
        with self.lock:
            if self.largest_slew < math.inf:
                self._admit_slew(value)
            with self._sending():
                self.slew_register = value
            self._slew = self._chosen_slew = float(value)

    def _admit_slew(self, value: float) -> None:
        """Raise OutputLimitError where a slew is too fast, or something may go on with the one before."""
        if self._known_mode() != "fixed" and value != self._known_slew():
            raise OutputLimitError(f"{self.name}: the slew changes in fixed mode only; it is in {self._mode} mode")
        if not value <= self._available_slew() * (1 + ROUNDING):
            self.drop_finished()
        if not value <= self._available_slew() * (1 + ROUNDING):
            raise OutputLimitError(
                f"{self.name}: a slew of {value:.6g} V/s; at most {self._available_slew():.6g} V/s is allowed"
            )

    @property
    def mode(self) -> str:
        """Control the mode (str, "fixed", "list" or "sweep"); the output stays where it is."""
        return self.mode_register

    @mode.setter
    def mode(self, value: str) -> None:
        if value not in MODES:
            raise ValueError(f"{value!r} is no mode; {', '.join(MODES)} are")
        with self.lock:
            self.hold()
            self._put_slew_in_force(self._free_slew())
            if value != "fixed":
                with self._sending():
                    self.mode_register = value
                    self._mode = value

    @property
    def voltage(self) -> float:
        """Control the fixed voltage in volts (float); setting ramps to it at the slew, in fixed mode."""
        return self.level

    @voltage.setter
    def voltage(self, value: float) -> None:
        self.ramp(value)

    def ramp(self, volts: float) -> float:
        """Begin to ramp to a voltage, V, at the slew, and return how long it takes, s.

        Raises
        ------
        OutputLimitError
            If the voltage could leave the limits with what the waveforms add; nothing has been sent then.
        """
        volts = strict_real(volts, (-HIGHEST, HIGHEST))
        with self.lock:
            self._admit(Reach(volts, volts), f"{volts:.6g} V")
            if self._known_mode() != "fixed":
                self.hold()
            self._put_slew_in_force(self._free_slew())
            distance = abs(volts - self.actual_voltage)
            with self._sending():
                self.execute(f"sour{{ch}}:volt {volts:.9g}")
            return distance / self._known_slew()

    def hold(self) -> None:
        """Stop where the output is, in fixed mode: lists, sweeps and ramps end, waveforms go on."""
        with self._sending():
            self.execute("sour{ch}:dc:abor")
            self.execute(f"sour{{ch}}:volt {self.actual_voltage:.9g}")
            self.execute("sour{ch}:volt:mode fix")
            self._mode = "fixed"

    def stopped(self) -> None:
        """Hold after everything has been aborted."""
        for wave in self.generators.values():
            wave.aborted = True
        self.hold()

    # ---- lists and sweeps ------------------------------------------------------------------------------------------

    def set_list(self, values: ArrayLike, *, binary: bool = True) -> None:
        """Set the list.

        Parameters
        ----------
        values : array_like, shape (n,)
            Voltages, V.
        binary : bool
            Whether they travel as a block of 32-bit floats, else as text.

        Raises
        ------
        OutputLimitError
            If one could leave the limits; nothing has been sent then.
        """
        self._send_values("sour{ch}:list:volt", values, binary)

    def append_list(self, values: ArrayLike, *, binary: bool = True) -> None:
        """Append voltages, V, to the list; see `set_list`."""
        self._send_values("sour{ch}:list:volt:app", values, binary)

    def admit_list(self, values: ArrayLike, dwell: float | None) -> None:
        """Raise OutputLimitError where a list could leave the limits, or a step takes longer than the dwell, s."""
        array = voltages(values)
        self._admit(Reach.of(*array.tolist()), f"a list of {len(array)} voltages")
        if dwell is None:
            return
        free, present = min(self._free_slew(), self._chosen_slew), self._known_slew()
        slew = present if free == math.inf else free
        steps = np.abs(np.diff(array, prepend=self.actual_voltage))
        if steps.max() > slew * dwell + RESOLUTION:
            index = int(steps.argmax())
            raise OutputLimitError(
                f"{self.name}: value {index + 1} of a list, {array[index]:.6g} V, is {steps[index]:.6g} V away; "
                f"at {slew:.6g} V/s a dwell of at least {steps[index] / slew:.6g} s is allowed, not {dwell:.6g} s"
            )

    def _send_values(self, header: str, values: ArrayLike, binary: bool) -> None:
        array = voltages(values)
        with self.lock:
            self._admit(Reach.of(*array.tolist()), f"a list of {len(array)} voltages")
            with self._sending():
                self.parent.execute_values(self.insert_id(header), array, binary=binary)

    # ---- triggers of the DC generator ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start what the mode says, or wait for the trigger: a list, a sweep, the triggered voltage.

        Raises
        ------
        OutputLimitError
            If it could leave the limits or be faster than the largest slew; nothing has been started then.
        """
        with self.lock:
            if self.protected:
                self._admit(self._dc_reach(triggered=True), f"a start in {self._known_mode()} mode")
                self._put_slew_in_force(self._free_slew())
            with self._sending():
                self.execute("sour{ch}:dc:init")

    def abort(self) -> None:
        """End lists, sweeps and ramps; the output stays where it is."""
        with self._sending():
            self.execute("sour{ch}:dc:init:cont off")
            self.execute("sour{ch}:dc:abor")

    def admit_trigger(self) -> None:
        """Raise OutputLimitError where a trigger could take the output beyond its limits or slew."""
        if self.protected and self.trigger_source not in SOURCES_OF_DC:
            self._admit(self._dc_reach(), f"a trigger in {self._known_mode()} mode")
            self._put_slew_in_force(self._free_slew())

    def _dc_reach(self, *, triggered: bool = False) -> Reach:
        """Ask where the DC generator is, and where it may go from there in its mode, with a trigger or without, V."""
        volts = [self.level, self.actual_voltage]
        if self._known_mode() == "list":
            volts += self.list_values.tolist()
        elif self._known_mode() == "sweep":
            volts += [self.sweep_start, self.sweep_stop]
        elif triggered or self.trigger_source not in SOURCES_OF_DC:
            volts.append(self.triggered_voltage)
        return Reach.of(*volts)


def voltages(values: ArrayLike) -> NDArray[np.float64]:
    """Return values as a list of voltages.

    Raises
    ------
    ValueError
        If there are none, or one is not a finite number.
    """
    array = np.asarray(values, float)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"a list of shape {array.shape} that is empty or not finite; at least one finite voltage is allowed"
        )
    return array


def values_argument(values: Sequence[float] | NDArray[np.float64], *, binary: bool) -> bytes:
    """Return voltages as the argument of a command: a block of 32-bit floats, least significant byte first, or text."""
    if binary:
        return block(np.asarray(values, "<f4").tobytes())
    return ",".join(f"{value:.9g}" for value in np.asarray(values, float).tolist()).encode()
