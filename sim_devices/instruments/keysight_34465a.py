"""The persona of the Keysight 34465A multimeter: direct voltage and current, averaged over an aperture."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, ClassVar

import numpy as np

from sim_devices.instruments.cabling import OPEN, SignalInput, Times, TriggerLine, Values
from sim_devices.instruments.keysight_readings import Burst, KeysightReadings, Order, Switch
from sim_devices.scpi import Boolean, Choice, Operation, Quoted, Real, ScpiError, Session, command, query, setting
from twin.clock import Clock

IDENTITY = "Keysight Technologies,34465A,MY54500001,A.03.03-03.15-03.03-00.52-03-02"
LINE_FREQUENCY = 50.0
"""Frequency of the mains, Hz."""
OVERHEAD = 20e-6
"""Time between the end of one reading and the earliest beginning of the next, s."""
AUTO_DELAYS = (1.0e-3, 1.5e-3)
"""Automatic trigger delay, s: below one power line cycle, and from there on."""
OVERLOAD = 9.9e37
"""Stands for a reading beyond the range, with its sign."""

RANGES: Mapping[str, Values] = {
    "VOLT": np.array([0.1, 1, 10, 100, 1000]),
    "CURR": np.array([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 3, 10]),
}
"""Ranges of the functions, in V and A."""
OVERRANGE = 1.2
"""How far every range but the largest reaches beyond its name."""
RESOLUTIONS: Mapping[float, float] = {
    0.001: 30e-6,
    0.002: 15e-6,
    0.006: 6e-6,
    0.02: 3e-6,
    0.06: 1.5e-6,
    0.2: 0.7e-6,
    1: 0.3e-6,
    10: 0.1e-6,
    100: 0.03e-6,
}
"""Least step of a reading, as a fraction of the range, by power line cycles."""
SLOW_CYCLES = 0.02
"""Shortest aperture without option DIG, in power line cycles."""
SHORTEST_APERTURE, SHORTEST_DIGITIZING_APERTURE, LONGEST_APERTURE = 200e-6, 20e-6, 1.0
"""Apertures that are given as a time, s."""
APERTURE_STEPS = 500_000
"""Steps of such an aperture in a second."""

_WORDS = ("AUTO",)


def _range_setting(function: str) -> setting:
    """Return the setting of a function's range, which takes the smallest that holds a value and ends autoranging."""
    ranges = RANGES[function[:4]]
    declared = setting(
        f"[SENSe:]{function}[:DC]:RANGe[:UPPer]",
        Real(0, float(ranges[-1]), default=float(ranges[2])),
        reset=float(ranges[2]),
        guards=("idle",),
    )

    @declared.check
    def _check(_: "Keysight34465A", value: float) -> float:
        return float(ranges[np.searchsorted(ranges, value)])

    @declared.changed
    def _changed(meter: "Keysight34465A", _: float) -> None:
        meter.settings[f"{function.lower()}_autorange"] = False

    return declared


def _autorange_setting(function: str) -> setting:
    declared = setting(f"[SENSe:]{function}[:DC]:RANGe:AUTO", Switch(), reset=True, guards=("idle",))

    @declared.check
    def _check(meter: "Keysight34465A", value: bool | str) -> bool:
        if value == "ONCE":
            meter.range_once(function.lower())
        return value is True

    return declared


def _cycles_setting(function: str) -> setting:
    """Return the setting of a function's aperture in power line cycles, which replaces one in seconds."""
    declared = setting(f"[SENSe:]{function}[:DC]:NPLC", Real(_least_cycles, 100.0), reset=10.0, guards=("idle",))

    @declared.check
    def _check(_: "Keysight34465A", value: float) -> float:
        if value not in RESOLUTIONS:
            raise ScpiError(-224, f"{value:g} is none of {', '.join(f'{cycles:g}' for cycles in RESOLUTIONS)}")
        return value

    @declared.changed
    def _changed(meter: "Keysight34465A", value: float) -> None:
        meter.settings[f"{function.lower()}_aperture"] = value / LINE_FREQUENCY
        meter.settings[f"{function.lower()}_aperture_enabled"] = False

    return declared


def _aperture_setting(function: str) -> setting:
    declared = setting(
        f"[SENSe:]{function}[:DC]:APERture",
        Real(_least_aperture, LONGEST_APERTURE, "s"),
        reset=10 / LINE_FREQUENCY,
        guards=("idle",),
    )

    @declared.check
    def _check(_: "Keysight34465A", value: float) -> float:
        return round(value * APERTURE_STEPS) / APERTURE_STEPS

    @declared.changed
    def _changed(meter: "Keysight34465A", _: float) -> None:
        meter.settings[f"{function.lower()}_aperture_enabled"] = True

    return declared


def _aperture_enabled_setting(function: str) -> setting:
    return setting(f"[SENSe:]{function}[:DC]:APERture:ENABled", Boolean(), reset=False, guards=("idle",))


def _autozero_setting(function: str) -> setting:
    declared = setting(f"[SENSe:]{function}[:DC]:ZERO:AUTO", Switch(), reset=True, guards=("idle",))

    @declared.check
    def _check(_: "Keysight34465A", value: bool | str) -> bool:
        return value is True

    return declared


def _least_cycles(meter: "Keysight34465A") -> float:
    return min(RESOLUTIONS) if meter.digitizing else SLOW_CYCLES


def _least_aperture(meter: "Keysight34465A") -> float:
    return SHORTEST_DIGITIZING_APERTURE if meter.digitizing else SHORTEST_APERTURE


class Keysight34465A(KeysightReadings):
    """The multimeter as its clients see it.

    A reading is the mean of the input over the aperture, rounded to the resolution of range and aperture. With
    autozero it takes twice as long. Both slopes of the trigger input are at the same time: its edges are short pulses.

    Parameters
    ----------
    clock : twin.clock.Clock
        Clock of the bench.
    _worker : concurrent.futures.Executor
        The bench's worker thread; readings are there at once and need none.
    name : str
        Name of the meter on its bench.
    voltage, current : SignalInput
        What is connected to the voltage and the current terminals.
    trigger : TriggerLine, optional
        Cable at the input "Ext Trig"; by default one without a sender.
    installed : sequence of str
        Options: "DIG" allows apertures down to 20 us, "MEM" a memory of two million readings.
    identity : str
        Reply to ``*IDN?``.
    """

    most_samples: ClassVar[int] = 1_000_000_000
    ascii_digits: ClassVar[int] = 9

    def __init__(
        self,
        clock: Clock,
        _worker: Executor,
        name: str = "dmm",
        *,
        voltage: SignalInput = OPEN,
        current: SignalInput = OPEN,
        trigger: TriggerLine | None = None,
        installed: Sequence[str] = (),
        identity: str = IDENTITY,
    ) -> None:
        self.inputs = {"VOLT": voltage, "CURR": current}
        self.installed = tuple(installed)
        super().__init__(clock, name, identity, trigger or TriggerLine())

    @property
    def digitizing(self) -> bool:
        """Whether option DIG is installed."""
        return "DIG" in self.installed

    def memory_size(self) -> int:
        """Return how many readings the memory holds."""
        return 2_000_000 if "MEM" in self.installed else 50_000

    def unit(self) -> str:
        """Return what follows the number in the reply to ``DATA:LAST?``."""
        return {"VOLT": " VDC", "CURR": " ADC"}[self.function]

    # ---- function and aperture -------------------------------------------------------------------------------------

    function = setting(
        "[SENSe:]FUNCtion[:ON]",
        Choice("VOLTage", "VOLTage:DC", "VOLT:DC", "CURRent", "CURRent:DC", "CURR:DC", quoted=True),
        reset="VOLT",
        guards=("idle",),
    )
    voltage_range = _range_setting("VOLTage")
    voltage_autorange = _autorange_setting("VOLTage")
    voltage_nplc = _cycles_setting("VOLTage")
    voltage_aperture = _aperture_setting("VOLTage")
    voltage_aperture_enabled = _aperture_enabled_setting("VOLTage")
    voltage_autozero = _autozero_setting("VOLTage")
    current_range = _range_setting("CURRent")
    current_autorange = _autorange_setting("CURRent")
    current_nplc = _cycles_setting("CURRent")
    current_aperture = _aperture_setting("CURRent")
    current_aperture_enabled = _aperture_enabled_setting("CURRent")
    current_autozero = _autozero_setting("CURRent")
    automatic_impedance = setting("INPut:IMPedance:AUTO", Boolean(), reset=False)

    def _sense(self, name: str) -> Any:
        """Return a setting of the function in force."""
        return self.settings[f"{_full_name(self.function)}_{name}"]

    def _aperture(self) -> float:
        """Return the aperture in force, s."""
        return self._sense("aperture") if self._sense("aperture_enabled") else self._sense("nplc") / LINE_FREQUENCY

    def _resolution(self) -> float:
        """Return the resolution that the aperture in force gives, as a fraction of the range."""
        cycles = self._aperture() * LINE_FREQUENCY
        return RESOLUTIONS[max((known for known in RESOLUTIONS if known <= cycles * 1.001), default=min(RESOLUTIONS))]

    def reading_time(self) -> float:
        """Return the least time from one reading to the next, s."""
        return self._aperture() * (2 if self._sense("autozero") else 1) + OVERHEAD

    @query("SYSTem:LFRequency?")
    def _ask_line_frequency(self, _: Session) -> int:
        return round(LINE_FREQUENCY)

    @query("*OPT?")
    def _common_options(self, _: Session) -> str:
        return ",".join((*self.installed, "0", "0", "0", "0", "0")[:5])

    @query("SYSTem:LICense:CATalog?")
    def _ask_licenses(self, _: Session) -> str:
        return ",".join(f'"{option}"' for option in self.installed or ("",))

    # ---- sampling and triggers -------------------------------------------------------------------------------------

    sample_source = setting("SAMPle:SOURce", Choice("IMMediate", "TIMer"), reset="IMM", guards=("idle",))
    sample_interval = setting(
        "SAMPle:TIMer", Real(lambda meter: meter.reading_time(), 3600, "s"), reset=1.0, guards=("idle",)
    )
    trigger_delay = setting("TRIGger[:SEQuence]:DELay", Real(0, 3600, "s"), reset=0.0, guards=("idle",))
    automatic_delay = setting("TRIGger[:SEQuence]:DELay:AUTO", Boolean(), reset=True, guards=("idle",))

    @trigger_delay.changed
    def _trigger_delay_changed(self, _: float) -> None:
        self.automatic_delay = False

    def _delay(self) -> float:
        if self.automatic_delay:
            return AUTO_DELAYS[self._aperture() * LINE_FREQUENCY >= 1]
        return self.trigger_delay

    def order(self) -> Order:
        """Return what an INITiate now asks for."""
        length = interval = self.reading_time()
        if self.sample_source == "TIM":
            interval = self.sample_interval
            if interval < length:
                raise ScpiError(-221, f"readings of {length:.6g} s do not follow each other every {interval:.6g} s")
        burst = Burst(self.sample_count, self._delay(), interval, length, self._measurement())
        return Order(self.trigger_source, self.triggers_wanted(), burst)

    # ---- readings --------------------------------------------------------------------------------------------------

    def _measurement(self) -> Any:
        """Return how readings are taken with the settings in force."""
        ranges = RANGES[self.function]
        if not self._sense("autorange"):
            ranges = ranges[ranges == self._sense("range")]
        return partial(self._readings_within, self.function, ranges, self._aperture(), self._resolution())

    def _readings_within(
        self, function: str, ranges: Values, aperture: float, resolution: float, starts: Times, acquisition: int
    ) -> Values:
        """Take readings, each on the smallest of some ranges that holds it."""
        values = np.asarray(self.inputs[function].mean(starts, aperture, acquisition), float)
        reach = np.where(ranges < RANGES[function][-1], OVERRANGE, 1.0) * ranges
        chosen = np.searchsorted(reach, np.abs(values))
        scale = ranges[np.minimum(chosen, ranges.size - 1)]
        self.settings[f"{_full_name(function)}_range"] = float(scale[-1])
        step = resolution * scale
        return np.where(chosen < ranges.size, np.rint(values / step) * step + 0.0, np.copysign(OVERLOAD, values))

    def range_once(self, function: str) -> None:
        """Choose the range of a function, "voltage" or "current", for what its input is at now."""
        node = function[:4].upper()
        now = np.array([self.clock.now()])
        self._readings_within(node, RANGES[node], 1 / LINE_FREQUENCY, min(RESOLUTIONS.values()), now, self.acquisitions)
        self.acquisitions += 1
        self.clock.sleep_until(now[0] + 1 / LINE_FREQUENCY)

    # ---- configure -------------------------------------------------------------------------------------------------

    @command("CONFigure:VOLTage[:DC]", Real(0, 1000, "V", also=_WORDS, default="AUTO", optional=True),
             Real(0, 1000, "V", optional=True), guards=("idle",))  # fmt: skip
    def _configure_voltage(self, _: Session, full_scale: float | str | None, resolution: float | None) -> None:
        self.configure("voltage", full_scale, resolution)

    @command("CONFigure:CURRent[:DC]", Real(0, 10, "A", also=_WORDS, default="AUTO", optional=True),
             Real(0, 10, "A", optional=True), guards=("idle",))  # fmt: skip
    def _configure_current(self, _: Session, full_scale: float | str | None, resolution: float | None) -> None:
        self.configure("current", full_scale, resolution)

    @query("CONFigure?")
    def _ask_configuration(self, _: Session) -> Quoted:
        full_scale = self._sense("range")
        return Quoted(f"{self.function} {full_scale:+.8E},{self._resolution() * full_scale:+.8E}")

    @query("MEASure[:VOLTage][:DC]?", owner=True, guards=("idle",))
    def _measure_voltage(self, session: Session) -> Operation:
        self.configure("voltage", None, None)
        return self.reading(session)

    @query("MEASure:CURRent[:DC]?", owner=True, guards=("idle",))
    def _measure_current(self, session: Session) -> Operation:
        self.configure("current", None, None)
        return self.reading(session)

    def configure(self, function: str, full_scale: float | str | None, resolution: float | None) -> None:
        """Reset function and triggers, and choose a range (V or A; AUTO or None for autorange) and an aperture.

        Raises
        ------
        ScpiError
            -221 if no aperture gives the resolution.
        """
        node = function[:4].upper()
        known = None if isinstance(full_scale, str) else full_scale
        ranges = RANGES[node]
        scale = float(ranges[2] if known is None else ranges[np.searchsorted(ranges, known)])
        cycles = 10.0 if resolution is None else self._cycles_for(resolution / scale)
        self.function = node
        self.settings |= {
            f"{function}_range": scale,
            f"{function}_autorange": known is None,
            f"{function}_nplc": cycles,
            f"{function}_aperture": cycles / LINE_FREQUENCY,
            f"{function}_aperture_enabled": False,
            f"{function}_autozero": True,
        }
        self.sample_source, self.automatic_delay = "IMM", True
        self.reset_triggers()

    def _cycles_for(self, resolution: float) -> float:
        """Return the least power line cycles that give a resolution, as a fraction of the range."""
        for cycles, step in RESOLUTIONS.items():
            if cycles >= _least_cycles(self) and step <= resolution * 1.001:
                return float(cycles)
        raise ScpiError(-221, f"{resolution:.3g} of the range is finer than {min(RESOLUTIONS.values())}")


def _full_name(node: str) -> str:
    return {"VOLT": "voltage", "CURR": "current"}[node]
