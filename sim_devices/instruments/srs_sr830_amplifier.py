"""The lock-in of the SR830: reference, input, gain, filters, outputs and auxiliary terminals."""

import bisect
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from sim_devices.instruments.cabling import OPEN, Output, SignalInput, Times, Values
from sim_devices.instruments.source_outputs import HeldSine, HeldVoltage, Terminal
from sim_devices.instruments.srs_sr830_detector import Detector, SignalPath
from sim_devices.instruments.srs_sr830_status import (
    INPUT_OVERLOAD,
    OUTPUT_OVERLOAD,
    RANGE_CHANGED,
    TIME_CONSTANT_CHANGED,
    UNLOCKED,
    SR830Status,
)
from sim_devices.scpi import Boolean, Integer, Real, ScpiError, Session, command, query, setting
from twin.clock import Clock
from twin.models.lock_in import OutputFilter

IDENTITY = "Stanford_Research_Systems,SR830,s/n30001,ver1.07"
SENSITIVITIES = tuple(float(f"{digit}e{power}") for power in range(-9, 1) for digit in (1, 2, 5))[1:28]
"""Full scales in V; in uA for currents."""
TIME_CONSTANTS = tuple(float(f"{digit}e{power}") for power in range(-5, 5) for digit in (1, 3))
"""In s."""
INPUT_LIMITS = (1.0, 1.0, 1e-6, 1e-8)
"""Largest inputs of A, A - B and the two current gains: V, V, A, A rms."""
EXPANSIONS = (1, 10, 100)
OVERLOAD = 1.09
"""Largest output, in full scales."""
HIGHEST_FREQUENCY, UPPER_RANGE = 102e3, 200.0
"""Of detection, Hz; and where its upper range begins, in which time constants end at 30 s."""
LONGEST_IN_UPPER_RANGE = TIME_CONSTANTS.index(30.0)
AUX_RESOLUTION, AUX_APERTURE = 1 / 3000, 1 / 512
"""Of the auxiliary inputs, V and s."""
AUTO_SETTLING = 10
"""Time constants that the automatic functions wait."""


class path_setting(setting):  # noqa: N801 -- reads as a declaration, like setting
    """A setting of the signal path; what has happened before it is detected in the old way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._changed = lambda amplifier, _: amplifier.retune()


class SR830Amplifier(SR830Status):
    """The settings of the signal path, and what comes out of it.

    Parameters
    ----------
    clock
        Clock of the bench.
    worker
        The bench's worker thread; what this instrument does is short and runs where it is asked.
    name
        Name of the instrument on its bench.
    voltage_input, current_input
        What the inputs A (and A - B) and I are connected to.
    aux_inputs
        What the auxiliary inputs 1 to 4 are connected to; those left out are open.
    """

    def __init__(
        self,
        clock: Clock,
        worker: Executor,
        name: str = "srs_sr830",
        *,
        voltage_input: SignalInput = OPEN,
        current_input: SignalInput = OPEN,
        aux_inputs: Mapping[int, SignalInput] | None = None,
    ) -> None:
        self.clock = clock
        self.worker = worker
        self.name = name
        self.acquisitions = 0
        self.inputs = (voltage_input, voltage_input, current_input, current_input)
        self.aux_inputs = dict.fromkeys(range(1, 5), OPEN) | dict(aux_inputs or {})
        self.sine_out = Terminal(HeldSine(HeldVoltage(voltages=(1.0,)), HeldVoltage(voltages=(1000.0,))))
        self.aux_outputs = {number: Terminal(HeldVoltage()) for number in range(1, 5)}
        self.detector = Detector(clock.now(), self.next_acquisition)
        self.offsets = {1: 0.0, 2: 0.0, 3: 0.0}
        self.expansions = {1: 0, 2: 0, 3: 0}
        super().__init__(IDENTITY)
        self.detector.tune(self.path())

    def next_acquisition(self) -> int:
        """Return the next acquisition number."""
        number = self.acquisitions
        self.acquisitions += 1
        return number

    def output(self) -> Output:
        """Return the terminal SINE OUT."""
        return self.sine_out

    def aux_output(self, number: int) -> Output:
        """Return the terminal AUX OUT of a number from 1 to 4."""
        return self.aux_outputs[number]

    # ---- reference -------------------------------------------------------------------------------------------------

    frequency = path_setting("FREQ", Real(1e-3, HIGHEST_FREQUENCY, "Hz"), reset=1000.0)
    amplitude = path_setting("SLVL", Real(0.004, 5.0, "V"), reset=1.0)
    phase = path_setting("PHAS", Real(-360, 729.99), reset=0.0)
    harmonic = path_setting("HARM", Integer(1, 19999), reset=1)
    internal = path_setting("FMOD", Integer(0, 1), reset=1)
    reference_slope = setting("RSLP", Integer(0, 2), reset=0)

    @frequency.check
    def _check_frequency(self, value: float) -> float:
        if not self.internal:
            raise ScpiError(-221, "the reference is external")
        self._require_detectable(value, self.harmonic)
        digits = max(4 - math.floor(math.log10(value)), 0)
        return round(value, min(digits, 4))

    @harmonic.check
    def _check_harmonic(self, value: int) -> int:
        self._require_detectable(self.frequency, value)
        return value

    @staticmethod
    def _require_detectable(frequency: float, harmonic: int) -> None:
        if frequency * harmonic > HIGHEST_FREQUENCY:
            raise ScpiError(-222, f"{harmonic} times {frequency:g} Hz is beyond {HIGHEST_FREQUENCY:g} Hz")

    @amplitude.check
    def _check_amplitude(self, value: float) -> float:
        return round(value / 0.002) * 0.002

    @phase.check
    def _check_phase(self, value: float) -> float:
        return _wrapped(value)

    @property
    def detection_frequency(self) -> float:
        """Frequency in Hz that is detected; 0 without a reference."""
        return self.frequency * self.harmonic if self.internal else 0.0

    # ---- input and filters -----------------------------------------------------------------------------------------

    input_source = path_setting("ISRC", Integer(0, 3), reset=0)
    grounding = setting("IGND", Integer(0, 1), reset=0)
    coupling = setting("ICPL", Integer(0, 1), reset=0)
    line_filters = setting("ILIN", Integer(0, 3), reset=0)
    sensitivity_index = setting("SENS", Integer(0, len(SENSITIVITIES) - 1), reset=len(SENSITIVITIES) - 1)
    reserve = setting("RMOD", Integer(0, 2), reset=2)
    time_constant_index = path_setting("OFLT", Integer(0, len(TIME_CONSTANTS) - 1), reset=TIME_CONSTANTS.index(0.1))
    slope_index = path_setting("OFSL", Integer(0, 3), reset=1)
    synchronous = setting("SYNC", Boolean(), reset=False)

    @sensitivity_index.check
    def _check_sensitivity(self, value: int) -> int:
        self.catch_up()
        return value

    @time_constant_index.check
    def _check_time_constant(self, value: int) -> int:
        if value > LONGEST_IN_UPPER_RANGE and self.detection_frequency > UPPER_RANGE:
            raise ScpiError(-222, f"time constants end at 30 s above {UPPER_RANGE:g} Hz")
        return value

    @property
    def time_constant(self) -> float:
        """Time constant of the output filters in s."""
        return TIME_CONSTANTS[self.time_constant_index]

    @property
    def sensitivity(self) -> float:
        """Full scale, V or A."""
        return SENSITIVITIES[self.sensitivity_index] * (1e-6 if self.input_source >= 2 else 1.0)

    def path(self) -> SignalPath:
        """Return how the settings say that the input is detected."""
        return SignalPath(
            signal=self.inputs[self.input_source],
            full_scale=INPUT_LIMITS[self.input_source],
            frequency=self.detection_frequency,
            amplitude=self.amplitude if self.harmonic == 1 else 0.0,
            phase=self.phase,
            output=OutputFilter(self.time_constant, self.slope_index + 1),
        )

    def retune(self) -> None:
        """Detect in the old way up to now, and as the settings say from now on."""
        self.catch_up()
        now, before = self.clock.now(), self.detector.path.frequency
        frequency = self.detection_frequency
        if before > UPPER_RANGE or frequency > UPPER_RANGE:
            self.note(RANGE_CHANGED, (before > UPPER_RANGE) != (frequency > UPPER_RANGE))
        if frequency > UPPER_RANGE and self.time_constant_index > LONGEST_IN_UPPER_RANGE:
            self.time_constant_index = LONGEST_IN_UPPER_RANGE
            self.note(TIME_CONSTANT_CHANGED)
        self.detector.tune(self.path())
        sine = self.sine_out.record
        self.sine_out.record = HeldSine(
            sine.amplitudes.then(now, self.amplitude),
            sine.frequencies.then(now, self.frequency if self.internal else 0.0),
        )

    # ---- outputs ---------------------------------------------------------------------------------------------------

    def latest(self) -> Values:
        """Return X and Y now as they come out of the filters, V or A, shape (1, 2)."""
        self.catch_up()
        return self.detector.advance(self.clock.now())[None, :]

    def quantity(self, number: int, xy: Values) -> Values:
        """Return X, Y, R in V or A, or theta in degrees (1 to 4), with their offsets, of filter outputs (n, 2)."""
        if number == 4:
            return np.degrees(np.arctan2(xy[:, 1], xy[:, 0]))
        value = (xy[:, 0], xy[:, 1], np.hypot(xy[:, 0], xy[:, 1]))[number - 1]
        limit = OVERLOAD * self.sensitivity
        return np.clip(value - self.offsets[number] / 100 * self.sensitivity, -limit, limit)

    def look_for_overload(self, xy: Values) -> None:
        """Note overloads of input and outputs, and a missing reference."""
        self.note(INPUT_OVERLOAD, self.detector.overloaded)
        self.detector.overloaded = False
        values = (xy[:, 0], xy[:, 1], np.hypot(xy[:, 0], xy[:, 1]))
        for number, value in enumerate(values, 1):
            scaled = np.abs(value / self.sensitivity - self.offsets[number] / 100).max() * self.expansion(number)
            self.note(OUTPUT_OVERLOAD, bool(scaled > OVERLOAD))
        self.note(UNLOCKED, not self.internal)

    def expansion(self, number: int) -> int:
        """Return the factor by which X, Y or R is expanded."""
        return EXPANSIONS[self.expansions[number]]

    def display(self, channel: int, xy: Values, times: Times) -> Values:
        """Return what a display shows for filter outputs (n, 2) at some times."""
        chosen = self.displays[channel - 1]
        if chosen == 0:
            return self.quantity(channel, xy)
        if chosen == 1:
            return self.quantity(2 + channel, xy)
        if chosen == 2:
            return np.full(len(xy), self.detector.noise()[channel - 1])
        return self.aux_in(2 * channel + chosen - 4, times)

    def aux_in(self, number: int, times: Times) -> Values:
        """Return the voltage of an auxiliary input at some times, V."""
        seen = self.aux_inputs[number].mean(times, AUX_APERTURE, self.next_acquisition())
        return np.round(np.clip(seen, -10.5, 10.5) / AUX_RESOLUTION) * AUX_RESOLUTION

    displays: Sequence[int] = (0, 0)

    @query("OUTP?", Integer(1, 4))
    def _ask_output(self, _: Session, number: int) -> str:
        return _text(self.quantity(number, self.latest())[0])

    @query("OUTR?", Integer(1, 2))
    def _ask_display(self, _: Session, channel: int) -> str:
        return _text(self.display(channel, self.latest(), np.array([self.clock.now()]))[0])

    @query("SNAP?", Integer(1, 11), Integer(1, 11), *(Integer(1, 11, optional=True) for _ in range(4)))
    def _snap(self, _: Session, *numbers: int | None) -> str:
        return ",".join(_text(self._snapped(number)) for number in numbers if number is not None)

    def _snapped(self, number: int) -> float:
        xy, now = self.latest(), np.array([self.clock.now()])
        if number <= 4:
            return self.quantity(number, xy)[0]
        if number <= 8:
            return self.aux_in(number - 4, now)[0]
        return self.frequency if number == 9 else self.display(number - 9, xy, now)[0]

    @query("OAUX?", Integer(1, 4))
    def _ask_aux_in(self, _: Session, number: int) -> str:
        return _text(self.aux_in(number, np.array([self.clock.now()]))[0])

    @command("AUXV", Integer(1, 4), Real(-10.5, 10.5, "V"))
    def _set_aux_out(self, _: Session, number: int, value: float) -> None:
        terminal = self.aux_outputs[number]
        terminal.record = terminal.record.then(self.clock.now(), round(value, 3))

    @query("AUXV?", Integer(1, 4))
    def _ask_aux_out(self, _: Session, number: int) -> str:
        return _text(self.aux_outputs[number].record.voltages[-1])

    @command("DDEF", Integer(1, 2), Integer(0, 4), Integer(0, 2))
    def _set_display(self, _: Session, channel: int, shown: int, ratio: int) -> None:
        if ratio:
            raise ScpiError(-222, "ratios to auxiliary inputs are not simulated")
        self.catch_up()
        self.displays = (shown, self.displays[1]) if channel == 1 else (self.displays[0], shown)

    @query("DDEF?", Integer(1, 2))
    def _ask_display_definition(self, _: Session, channel: int) -> tuple[int, int]:
        return self.displays[channel - 1], 0

    @command("OEXP", Integer(1, 3), Real(-105, 105), Integer(0, 2))
    def _set_offset(self, _: Session, number: int, percent: float, expansion: int) -> None:
        self.offsets[number] = round(percent, 2)
        self.expansions[number] = expansion

    @query("OEXP?", Integer(1, 3))
    def _ask_offset(self, _: Session, number: int) -> str:
        return f"{self.offsets[number]:.2f},{self.expansions[number]}"

    # ---- automatic functions ---------------------------------------------------------------------------------------

    def _settled(self) -> Values:
        """Let the outputs settle and return X and Y, shape (1, 2)."""
        self.clock.sleep(AUTO_SETTLING * self.time_constant)
        return self.latest()

    @command("AGAN")
    def _auto_gain(self, _: Session) -> None:
        """Choose the smallest full scale that takes R; nothing happens where the time constant is above 1 s."""
        if self.time_constant <= 1:
            unit = self.sensitivity / SENSITIVITIES[self.sensitivity_index]
            size = float(np.hypot(*self._settled()[0])) / unit
            self.sensitivity_index = min(bisect.bisect_left(SENSITIVITIES, size), len(SENSITIVITIES) - 1)

    @command("APHS")
    def _auto_phase(self, _: Session) -> None:
        """Turn the reference so that theta becomes 0."""
        self.phase = round(_wrapped(self.phase + float(self.quantity(4, self._settled())[0])), 2)
        self.retune()

    @command("ARSV")
    def _auto_reserve(self, _: Session) -> None:
        """Take the least reserve, for which the simulated input stage has use."""
        self._settled()
        self.reserve = 2

    @command("AOFF", Integer(1, 3))
    def _auto_offset(self, _: Session, number: int) -> None:
        xy = self.latest()
        self.offsets[number] = 0.0
        percent = round(100 * float(self.quantity(number, xy)[0]) / self.sensitivity, 2)
        self.offsets[number] = max(-105.0, min(105.0, percent))


def _wrapped(degrees: float) -> float:
    """Return an angle within -180 to 180 degrees, to 0.01."""
    turned = round(math.remainder(degrees, 360.0), 2)
    return 180.0 if turned == -180.0 else turned


def _text(value: float) -> str:
    return f"{value:.6g}"
