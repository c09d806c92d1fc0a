"""The persona of the Keysight 53220A counter: pulses totalised within gates, and frequencies."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, ClassVar

import numpy as np

from sim_devices.instruments.cabling import OPEN, PulseInput, Times, TriggerLine, Values
from sim_devices.instruments.keysight_readings import NOT_A_READING, Burst, KeysightReadings, Order, Switch
from sim_devices.scpi import (
    Boolean,
    ChannelList,
    Choice,
    Instrument,
    Integer,
    Operation,
    Quoted,
    Real,
    ScpiError,
    Session,
    command,
    query,
    setting,
)
from sim_devices.scpi.syntax import Token
from twin.clock import Clock

IDENTITY = "Keysight Technologies,53220A,MY50000001,03.02-1926.2831-1.19-4.15-127-155-35"
GATE_GAP = 1e-6
"""Time between the end of one gate and the beginning of the next, s."""
SHORTEST_GATE, LONGEST_GATE = 100e-6, 1000.0
"""Times of gates, s."""
GATE_STEPS = 100_000
"""Steps of the time of a gate in a second."""
LEVEL_STEPS = 2000
"""Steps from zero to the largest level of an input range."""
SLOWEST_AUTO_LEVEL = 50.0
"""Least rate of pulses at which an automatic level is found, 1/s."""
NEVER = 9.9e37
"""A time-out that does not come."""

_CHANNEL = ChannelList(1, 2, optional=True)


class NumberOrChannel(Real):
    """A number, or the channel list where the number before it is left out."""

    def parse(self, token: Token, instrument: Instrument) -> Any:
        """Read a number or a channel list."""
        channels = isinstance(token, bytes) and token.startswith(b"(@")
        return _CHANNEL.parse(token, instrument) if channels else super().parse(token, instrument)


class NR3(Real):
    """A number that is answered with 15 digits and three of exponent."""

    def response(self, value: Any) -> Any:
        """Return the number as text."""
        return number_text(value)


def number_text(value: float) -> str:
    """Write a number as the counter does."""
    return _wide_exponents(f"{value:+.14E}")


def _wide_exponents(text: str) -> str:
    return re.sub(r"E([+-])(\d\d)(?!\d)", r"E\g<1>0\2", text)


def _gate_step(time: float) -> float:
    return round(time * GATE_STEPS) / GATE_STEPS


_GATE = NumberOrChannel(SHORTEST_GATE, LONGEST_GATE, "s", default=0.1, optional=True)
_EXPECTED = NumberOrChannel(0.1, 350e6, "HZ", default=10e6, optional=True)
_RESOLUTION = NumberOrChannel(0, optional=True, default=0.1)


class Keysight53220A(KeysightReadings):
    """The counter as its clients see it.

    Gates that are timed follow each other `GATE_GAP` apart. Gates of the external gate input open at its edges, for
    the width of its pulses. An automatic level is found when a measurement begins, at its percentage of the height of
    the highest pulses that come at 50 per second or more, else at 0 V. Coupling, impedance, filter and noise rejection
    are kept and change nothing: the cable gives the pulses as they are at the comparator.

    Parameters
    ----------
    clock : twin.clock.Clock
        Clock of the bench.
    _worker : concurrent.futures.Executor
        The bench's worker thread; readings are there at once and need none.
    name : str
        Name of the counter on its bench.
    pulses1, pulses2 : PulseInput
        What is connected to channels 1 and 2.
    trigger, gate : TriggerLine, optional
        Cables at the inputs "Trig In" and "Gate In"; by default ones without a sender.
    gate_width : float
        Width of the pulses of the gate cable, s.
    identity : str
        Reply to ``*IDN?``.
    """

    most_samples: ClassVar[int] = 1_000_000
    ascii_digits: ClassVar[int] = 15
    definite: ClassVar[bool] = False

    def __init__(
        self,
        clock: Clock,
        _worker: Executor,
        name: str = "counter",
        *,
        pulses1: PulseInput = OPEN,
        pulses2: PulseInput = OPEN,
        trigger: TriggerLine | None = None,
        gate: TriggerLine | None = None,
        gate_width: float = 1e-6,
        identity: str = IDENTITY,
    ) -> None:
        self.inputs = {1: pulses1, 2: pulses2}
        self.gate_width = gate_width
        self.channel = 1
        super().__init__(clock, name, identity, trigger or TriggerLine())
        self.plug("GATE", gate or TriggerLine())

    def memory_size(self) -> int:
        """Return how many readings the memory holds."""
        return 1_000_000

    def text(self, readings: Values) -> str:
        """Write readings with commas between them and three digits of exponent."""
        return _wide_exponents(super().text(readings))

    def reset(self) -> None:
        """Take the rest of the state that ``*RST`` asks for."""
        super().reset()
        self.channel = 1

    def save_state(self) -> int:
        """Return which channel is measured."""
        return self.channel

    def recall_state(self, state: int) -> None:
        """Measure the channel that `save_state` returned."""
        self.channel = state

    # ---- inputs ----------------------------------------------------------------------------------------------------

    level = setting("INPut<1:2>:LEVel[:ABSolute]", NR3(-51.25, 51.25, "V"), reset=0.0, guards=("idle",))
    relative_level = setting("INPut<1:2>:LEVel:RELative", Integer(10, 90), reset=50, guards=("idle",))
    automatic_level = setting("INPut<1:2>:LEVel:AUTO", Switch(), reset=True, guards=("idle",))
    slope = setting("INPut<1:2>:SLOPe", Choice("POSitive", "NEGative"), reset="POS", guards=("idle",))
    coupling = setting("INPut<1:2>:COUPling", Choice("AC", "DC"), reset="AC", guards=("idle",))
    impedance = setting("INPut<1:2>:IMPedance", NR3(50, 1e6, "OHM"), reset=1e6, guards=("idle",))
    input_range = setting("INPut<1:2>:RANGe", NR3(5, 50, "V"), reset=5.0, guards=("idle",))
    low_pass = setting("INPut<1:2>:FILTer[:LPASs][:STATe]", Boolean(), reset=False, guards=("idle",))
    noise_rejection = setting("INPut<1:2>:NREJection", Boolean(), reset=False, guards=("idle",))

    @level.check
    def _check_level(self, channel: int, value: float) -> float:
        """Round to the step of the input range, 2.5 mV on 5 V."""
        largest = 1.025 * self.input_range[channel]
        if abs(value) > largest:
            raise ScpiError(-222, f"{value:g} V is not within {largest:g} V, the range of input {channel}")
        scale = self.input_range[channel]
        return round(value * LEVEL_STEPS / scale) * scale / LEVEL_STEPS

    @level.changed
    def _level_changed(self, channel: int, _: float) -> None:
        self.automatic_level[channel] = False

    @relative_level.changed
    def _relative_level_changed(self, channel: int, _: int) -> None:
        self.automatic_level[channel] = True

    @automatic_level.check
    def _check_automatic_level(self, channel: int, value: bool | str) -> bool:
        if value == "ONCE":
            self._find_level(channel)
        return value is True

    @impedance.check
    def _check_impedance(self, _: int, value: float) -> float:
        return 50.0 if value < 1e3 else 1e6

    @input_range.check
    def _check_input_range(self, _: int, value: float) -> float:
        return 5.0 if value <= 5 else 50.0

    def _find_level(self, channel: int) -> None:
        """Set the level to its percentage of the height of the pulses; the search halves the levels left."""
        window = 1 / SLOWEST_AUTO_LEVEL
        now = np.array([self.clock.now()])
        scale = self.input_range[channel]
        low, high = 0, LEVEL_STEPS
        while high - low > 1:
            middle = (low + high) // 2
            crossed = self.inputs[channel].count(now, window, middle * scale / LEVEL_STEPS, self.acquisitions)[0]
            low, high = (middle, high) if crossed else (low, middle)
        self.acquisitions += 1
        self.clock.sleep_until(now[0] + window)
        self.level[channel] = round(low * self.relative_level[channel] / 100) * scale / LEVEL_STEPS

    # ---- gates -----------------------------------------------------------------------------------------------------

    function = setting(
        "[SENSe:]FUNCtion[:ON]", Choice("TOTalize", "FREQuency", quoted=True), reset="FREQ", guards=("idle",)
    )
    gate_source = setting("[SENSe:]TOTalize:GATE:SOURce", Choice("TIME", "EXTernal"), reset="TIME", guards=("idle",))
    gate_time = setting(
        "[SENSe:]TOTalize:GATE:TIME", NR3(SHORTEST_GATE, LONGEST_GATE, "s"), reset=0.1, guards=("idle",)
    )
    gate_polarity = setting(
        "[SENSe:]TOTalize:GATE:POLarity", Choice("POSitive", "NEGative"), reset="NEG", guards=("idle",)
    )
    frequency_gate_time = setting(
        "[SENSe:]FREQuency:GATE:TIME", NR3(SHORTEST_GATE, LONGEST_GATE, "s"), reset=0.1, guards=("idle",)
    )
    trigger_delay = setting("TRIGger[:SEQuence]:DELay", NR3(0, 3600, "s"), reset=0.0, guards=("idle",))
    timeout = setting("SYSTem:TIMeout", NR3(0.01, NEVER, "s", also=("INFinity",)), reset=1.0, guards=("idle",))
    gate_output = setting("OUTPut[:STATe]", Boolean(), reset=False, guards=("idle",))

    @gate_time.check
    def _check_gate_time(self, value: float) -> float:
        return _gate_step(value)

    @frequency_gate_time.check
    def _check_frequency_gate_time(self, value: float) -> float:
        return _gate_step(value)

    @timeout.check
    def _check_timeout(self, value: float | str) -> float:
        if value in ("INF", NEVER):
            return NEVER
        if not isinstance(value, float) or value > 2000:
            raise ScpiError(-222, f"{value} is neither within 0.01 to 2000 s nor INFinity")
        return value

    # ---- measurements ----------------------------------------------------------------------------------------------

    def order(self) -> Order:
        """Return what an INITiate now asks for; an automatic level is found first."""
        external = self.function == "TOT" and self.gate_source == "EXT"
        if external:
            self._check_external_gate()
        triggers = self.triggers_wanted()
        if self.automatic_level[self.channel]:
            self._find_level(self.channel)
        if external:
            burst = Burst(1, 0.0, self.gate_width, self.gate_width, self._counts(self.gate_width))
            return Order("GATE", triggers * self.sample_count, burst)
        gate = self.gate_time if self.function == "TOT" else self.frequency_gate_time
        measure = self._counts(gate) if self.function == "TOT" else self._frequencies(gate)
        if gate > self.timeout:
            gate, measure = self.timeout, lambda starts, _: np.full(starts.size, NOT_A_READING)
        return Order(
            self.trigger_source, triggers, Burst(self.sample_count, self.trigger_delay, gate + GATE_GAP, gate, measure)
        )

    def _check_external_gate(self) -> None:
        if self.gate_output:
            raise ScpiError(-221, "OUTPut ON takes the connector of the external gate")
        if self.trigger_source != "IMM":
            raise ScpiError(-221, "an external gate after a trigger is not simulated")
        if self.gate_polarity != "POS":
            raise ScpiError(-221, "of the external gate, POLarity POSitive is simulated")

    def _counts(self, gate: float) -> Callable[[Times, int], Values]:
        """Return how pulses within gates are counted with the settings in force."""
        pulses, level = self.inputs[self.channel], self.level[self.channel]
        return lambda starts, acquisition: pulses.count(starts, gate, level, acquisition).astype(float)

    def _frequencies(self, gate: float) -> Callable[[Times, int], Values]:
        """Return how frequencies are measured; without pulses within the gate there is no reading."""
        counts = self._counts(gate)

        def measure(starts: Times, acquisition: int) -> Values:
            pulses = counts(starts, acquisition)
            return np.where(pulses > 0, pulses / gate, NOT_A_READING)

        return measure

    # ---- configure -------------------------------------------------------------------------------------------------

    @command("CONFigure:TOTalize:TIMed", _GATE, _CHANNEL, guards=("idle",))
    def _configure_totalize(self, _: Session, *gate_and_channel: Any) -> None:
        self.configure("TOT", gate_and_channel)

    @command("CONFigure:FREQuency", _EXPECTED, _RESOLUTION, _CHANNEL, guards=("idle",))
    def _configure_frequency(self, _: Session, *expected_and_channel: Any) -> None:
        self.configure("FREQ", (None, *expected_and_channel[2:], *expected_and_channel[:2]))

    @query("CONFigure?")
    def _ask_configuration(self, _: Session) -> Quoted:
        gate = self.gate_time if self.function == "TOT" else self.frequency_gate_time
        return Quoted(f"{self.function} {number_text(gate)},(@{self.channel})")

    @query("MEASure:TOTalize:TIMed?", _GATE, _CHANNEL, owner=True, guards=("idle",))
    def _measure_totalize(self, session: Session, *gate_and_channel: Any) -> Operation:
        self.configure("TOT", gate_and_channel)
        return self.reading(session)

    def configure(self, function: str, values: Sequence[Any]) -> None:
        """Choose what is measured; gate, triggers and the level of the channel, automatic at 50 %, are reset.

        Parameters
        ----------
        function : str
            TOT or FREQ.
        values : sequence
            Gate, s, or None; the channel is the first tuple among the values, else 1.

        Raises
        ------
        ScpiError
            -108 for more than one channel.
        """
        channels = next((value for value in values if isinstance(value, tuple)), (1,))
        if len(channels) > 1:
            raise ScpiError(-108, "one channel is measured")
        self.function = function
        (self.channel,) = channels
        gate = _gate_step(values[0]) if isinstance(values[0], float) else 0.1
        self.gate_time = self.frequency_gate_time = gate
        self.gate_source, self.gate_polarity = "TIME", "NEG"
        self.trigger_delay = 0.0
        self.automatic_level[self.channel] = True
        self.relative_level[self.channel] = 50
        self.slope[self.channel] = "POS"
        self.reset_triggers()
