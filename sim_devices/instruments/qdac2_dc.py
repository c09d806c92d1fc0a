"""The DC generators of the QDAC-II: fixed voltages, lists and sweeps, all of which obey the slew."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim_devices.instruments.cabling import Times
from sim_devices.instruments.qdac2_outputs import (
    CHANNELS,
    FASTEST,
    RANGES,
    SLOWEST,
    ChannelOutput,
    Floats,
    Slew,
    Word,
    channel_setting,
)
from sim_devices.instruments.qdac2_triggers import (
    LONGEST,
    Marks,
    Qdac2Triggers,
    Unit,
    declare,
    trigger_declarations,
)
from sim_devices.instruments.qdac2_waveforms import UPDATE, Piece, Targets, UnsettledError, cycles, follow, steps
from sim_devices.scpi import Integer, Real, ScpiError, Session, command, query

NODE = f"SOURce<1:{CHANNELS}>"
LIST_POINTS = 65536
"""Largest number of points of a list or a sweep."""
HIGHEST = RANGES["HIGH"]


@dataclass(frozen=True)
class Run:
    """Something that goes through cycles."""

    start: float
    period: float
    count: float
    end: float
    """When its output has come to rest, s."""

    def cycles_done(self, time: float) -> float:
        """Return how many cycles are complete."""
        return min(max(0, math.floor((time - self.start) / self.period)), self.count)


def endless(count: int) -> float:
    """Return a count of cycles, of which -1 stands for no end."""
    return math.inf if count < 0 else float(count)


class Qdac2Dc(Qdac2Triggers):
    """Fixed voltages, lists and sweeps.

    A list or sweep takes the slew that is set when it starts; a fixed voltage takes a new slew on the way. What is
    aborted stays where it is. In fixed mode a trigger brings the output to the triggered voltage.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.outputs = {number: ChannelOutput() for number in range(1, CHANNELS + 1)}
        self.lists: dict[int, np.ndarray] = {}
        self.runs: dict[Unit, Run] = {}
        self._positions: dict[int, int] = {}
        super().__init__(*args, **kwargs)

    def output(self, number: int) -> ChannelOutput:
        """Return the output terminal of a channel, 1 to 24."""
        return self.outputs[number]

    # ---- range and filter ------------------------------------------------------------------------------------------

    voltage_range = channel_setting(f"{NODE}:RANGe", Word(*RANGES), reset="HIGH")
    voltage_filter = channel_setting(f"{NODE}:FILTer", Word("DC", "MEDium", "HIGH"), reset="HIGH")

    @voltage_range.check
    def _check_range(self, channel: int, word: str) -> str:
        voltages = [self.outputs[channel].programmed(self.clock.now())]
        if self.mode[channel] == "FIX":
            voltages.append(self.level[channel])
        if max(map(abs, voltages)) > RANGES[word]:
            raise ScpiError(
                -221, f"the output is at or goes to {voltages[-1]:.6g} V, {word} ends at {RANGES[word]:g} V"
            )
        return word

    @voltage_range.changed
    def _configure_range(self, channel: int, word: str) -> None:
        self.outputs[channel].configure(word, self.voltage_filter[channel])

    @voltage_filter.changed
    def _configure_filter(self, channel: int, word: str) -> None:
        self.outputs[channel].configure(self.voltage_range[channel], word)

    @query(f"{NODE}:RANGe:LOW:MINimum?")
    def _low_minimum(self, _: Session, _channel: int) -> float:
        return -RANGES["LOW"]

    @query(f"{NODE}:RANGe:LOW:MAXimum?")
    def _low_maximum(self, _: Session, _channel: int) -> float:
        return RANGES["LOW"]

    @query(f"{NODE}:RANGe:HIGH:MINimum?")
    def _high_minimum(self, _: Session, _channel: int) -> float:
        return -RANGES["HIGH"]

    @query(f"{NODE}:RANGe:HIGH:MAXimum?")
    def _high_maximum(self, _: Session, _channel: int) -> float:
        return RANGES["HIGH"]

    # ---- fixed voltage ---------------------------------------------------------------------------------------------

    mode = channel_setting(f"{NODE}:VOLTage:MODE", Word("FIXed", "LIST", "SWEep"), reset="FIX")
    level = channel_setting(f"{NODE}:VOLTage[:LEVel][:IMMediate][:AMPLitude]", Real(-HIGHEST, HIGHEST, "V"), reset=0.0)
    triggered = channel_setting(
        f"{NODE}:VOLTage[:LEVel]:TRIGgered[:AMPLitude]", Real(-HIGHEST, HIGHEST, "V"), reset=0.0
    )
    slew = Slew(f"{NODE}:VOLTage:SLEW", Real(SLOWEST, FASTEST, also=("INFinity",)), reset=FASTEST)

    @level.check
    def _check_level(self, channel: int, volts: float) -> float:
        self.within_range(channel, np.array([volts]))
        return volts

    @triggered.check
    def _check_triggered(self, channel: int, volts: float) -> float:
        self.within_range(channel, np.array([volts]))
        return volts

    def within_range(self, channel: int, volts: np.ndarray) -> None:
        """Raise -222 where a voltage is beyond the range of its channel."""
        bound = RANGES[self.voltage_range[channel]]
        if volts.size and np.abs(volts).max() > bound:
            raise ScpiError(-222, f"{volts[np.abs(volts).argmax()]:.6g} V, the range ends at {bound:g} V")

    @mode.changed
    def _change_mode(self, channel: int, word: str) -> None:
        self._hold(channel)
        if word == "FIX":
            self._go(channel, self.clock.now(), self.level[channel])

    @level.changed
    def _change_level(self, channel: int, volts: float) -> None:
        if self.mode[channel] == "FIX":
            self._go(channel, self.clock.now(), volts)

    @slew.changed
    def _change_slew(self, channel: int, _: float) -> None:
        if self.mode[channel] == "FIX" and self.outputs[channel].tracks["dc"].end > self.clock.now():
            self._go(channel, self.clock.now(), self.level[channel])

    @query(f"{NODE}:VOLTage:LAST?")
    def _ask_last(self, _: Session, channel: int) -> float:
        return self._now(channel)

    def _now(self, channel: int) -> float:
        return self.outputs[channel].tracks["dc"].at(self.clock.now())

    def _go(self, channel: int, time: float, volts: float) -> None:
        self.outputs[channel].ramp("dc", time, volts, self.slew[channel])

    def _hold(self, channel: int) -> None:
        """Stop where the output is."""
        self.runs.pop(Unit("dc", channel), None)
        self.disarm(Unit("dc", channel))
        self._positions.pop(channel, None)
        self._go(channel, self.clock.now(), self._now(channel))

    def abort(self, unit: Unit) -> None:
        """End what a unit does, and let it wait for nothing."""
        self._hold(unit.channel)
        if self.mode[unit.channel] == "FIX":
            self.level[unit.channel] = self._now(unit.channel)

    # ---- lists -----------------------------------------------------------------------------------------------------

    list_dwell = channel_setting(f"{NODE}:LIST:DWELl", Real(UPDATE, LONGEST, "s"), reset=1e-3)
    list_trigger = channel_setting(f"{NODE}:LIST:TMODe", Word("AUTO", "STEPped"), reset="AUTO")
    list_direction = channel_setting(f"{NODE}:LIST:DIRection", Word("UP", "DOWN"), reset="UP")
    list_count = channel_setting(f"{NODE}:LIST:COUNt", Integer(-1, 2**31 - 1), reset=1)

    @command(f"{NODE}:LIST:VOLTage", Floats(-HIGHEST, HIGHEST, "V"))
    def _set_list(self, _: Session, channel: int, volts: np.ndarray) -> None:
        self._keep_list(channel, volts)

    @command(f"{NODE}:LIST:VOLTage:APPend", Floats(-HIGHEST, HIGHEST, "V"))
    def _append_list(self, _: Session, channel: int, volts: np.ndarray) -> None:
        self._keep_list(channel, np.append(self.lists.get(channel, []), volts))

    def _keep_list(self, channel: int, volts: np.ndarray) -> None:
        if volts.size > LIST_POINTS:
            raise ScpiError(-223, f"{volts.size} points, a list holds {LIST_POINTS}")
        self.within_range(channel, volts)
        self.lists[channel] = volts

    @query(f"{NODE}:LIST:VOLTage?")
    def _ask_list(self, _: Session, channel: int) -> np.ndarray:
        return self.lists.get(channel, np.zeros(0))

    @query(f"{NODE}:LIST:POINts?")
    def _ask_list_points(self, _: Session, channel: int) -> int:
        return len(self.lists.get(channel, ()))

    # ---- sweeps ----------------------------------------------------------------------------------------------------

    sweep_start = channel_setting(f"{NODE}:SWEep:STARt", Real(-HIGHEST, HIGHEST, "V"), reset=0.0)
    sweep_stop = channel_setting(f"{NODE}:SWEep:STOP", Real(-HIGHEST, HIGHEST, "V"), reset=0.0)
    sweep_points = channel_setting(f"{NODE}:SWEep:POINts", Integer(2, LIST_POINTS), reset=11)
    sweep_dwell = channel_setting(f"{NODE}:SWEep:DWELl", Real(UPDATE, LONGEST, "s"), reset=1e-3)
    sweep_direction = channel_setting(f"{NODE}:SWEep:DIRection", Word("UP", "DOWN"), reset="UP")
    sweep_count = channel_setting(f"{NODE}:SWEep:COUNt", Integer(-1, 2**31 - 1), reset=1)
    sweep_generation = channel_setting(f"{NODE}:SWEep:GENeration", Word("STEPped", "ANALog", "AUTO"), reset="STEP")

    @query(f"{NODE}:SWEep:TIME?")
    def _ask_sweep_time(self, _: Session, channel: int) -> float:
        return self.sweep_points[channel] * self.sweep_dwell[channel]

    @query(f"{NODE}:LIST:NCLeft?")
    def _ask_list_left(self, _: Session, channel: int) -> int:
        return self.cycles_left(Unit("dc", channel)) if self.mode[channel] == "LIST" else 0

    @query(f"{NODE}:SWEep:NCLeft?")
    def _ask_sweep_left(self, _: Session, channel: int) -> int:
        return self.cycles_left(Unit("dc", channel)) if self.mode[channel] == "SWE" else 0

    def cycles_left(self, unit: Unit) -> int:
        """Let time go on to the end of the cycle of a unit, and return how many are left, -1 for no end.

        Of a unit that waits for its trigger all are left.
        """
        run = self.runs.get(unit)
        if unit in self.armed and (run is None or run.end <= self.clock.now()):
            return self.count_of(unit)
        if run is None:
            return 0
        if run.count == math.inf:
            return -1
        done = min(run.cycles_done(self.clock.now()) + 1, run.count)
        self.clock.sleep_until(run.end if done == run.count else run.start + done * run.period)
        return int(run.count - done)

    def count_of(self, unit: Unit) -> int:
        """Return how many cycles a unit is set to make."""
        counts = {"LIST": self.list_count, "SWE": self.sweep_count}.get(self.mode[unit.channel])
        return counts[unit.channel] if counts else 1

    # ---- starting --------------------------------------------------------------------------------------------------

    def check(self, unit: Unit) -> None:
        """Raise ScpiError where a DC generator cannot be started with its settings."""
        if unit.kind != "dc":
            super().check(unit)
            return
        channel = unit.channel
        if self.mode[channel] == "LIST" and not len(self.lists.get(channel, ())):
            raise ScpiError(-221, "the list is empty")
        if self.mode[channel] != "FIX":
            self._pieces(channel, self.clock.now())

    def start_dc(self, channel: int, times: Times) -> Marks:
        """Start what the mode says, at each of some times."""
        mode = self.mode[channel]
        if mode == "LIST" and self.list_trigger[channel] == "STEP":
            return self._step(channel, times)
        if mode == "FIX":
            time = float(times[0])
            self._go(channel, time, self.triggered[channel])
            self.level[channel] = self.triggered[channel]
            return self._marks(channel, times[:1], np.array([self.outputs[channel].tracks["dc"].end]))
        for time in times.tolist():
            self.outputs[channel].put("dc", self._pieces(channel, time))
        targets, count = self._targets(channel), endless(self.count_of(Unit("dc", channel)))
        end = self.outputs[channel].tracks["dc"].end
        self.runs[Unit("dc", channel)] = Run(time, targets.period, count, end)
        cycles_marked = 1 if count == math.inf else int(count)
        begins = np.concatenate([[0.0], np.cumsum(targets.durations)[:-1]])
        edges = (np.arange(cycles_marked)[:, None] * targets.period + begins).ravel()
        ends = (np.arange(cycles_marked)[:, None] * targets.period + np.cumsum(targets.durations)).ravel()
        started = times[:, None]
        return self._marks(
            channel, times, times + cycles_marked * targets.period, (started + edges).ravel(), (started + ends).ravel()
        )

    def _targets(self, channel: int) -> Targets:
        if self.mode[channel] == "LIST":
            values, dwell = self.lists[channel], self.list_dwell[channel]
            down = self.list_direction[channel] == "DOWN"
        else:
            values = np.linspace(self.sweep_start[channel], self.sweep_stop[channel], self.sweep_points[channel])
            dwell, down = self.sweep_dwell[channel], self.sweep_direction[channel] == "DOWN"
        values = values[::-1] if down else values
        if self.mode[channel] == "SWE" and self.sweep_generation[channel] == "ANAL":
            period = len(values) * dwell
            return Targets(values[:1], np.array([period]), np.array([values[-1] - values[0]]) / period)
        return steps(values, dwell)

    def _pieces(self, channel: int, time: float) -> Piece:
        level = self.outputs[channel].tracks["dc"].at(time)
        count = endless(self.count_of(Unit("dc", channel)))
        if count == 0:
            raise ScpiError(-221, "a count of 0 cycles")
        targets = self._targets(channel)
        self.within_range(channel, targets.values + targets.rates * targets.durations)
        try:
            return cycles(level, time, targets, self.slew[channel], count)
        except UnsettledError as error:
            raise ScpiError(-221, str(error)) from error

    def _step(self, channel: int, times: Times) -> Marks:
        """Go one value of the list on at each of some times."""
        values = self._targets(channel).values
        position = self._positions.get(channel, 0)
        chosen = values[(position + np.arange(len(times))) % len(values)]
        self._positions[channel] = (position + len(times)) % len(values)
        last = 2 * HIGHEST / self.slew[channel]
        durations = np.append(np.diff(times), last)
        level = self.outputs[channel].tracks["dc"].at(float(times[0]))
        targets = Targets(chosen, durations, np.zeros(len(times)))
        self.outputs[channel].put("dc", follow(level, float(times[0]), targets, self.slew[channel]))
        return self._marks(channel, times, times, times, times)

    def _marks(self, channel: int, *edges: Times) -> Marks:
        """Return the triggers fired at start, end, begin and end of steps, as far as they are given."""
        numbers = (self.dc_mark_start, self.dc_mark_end, self.dc_mark_sstart, self.dc_mark_send)
        marks = zip((number[channel] for number in numbers), edges, strict=False)
        return [(number, np.sort(times)) for number, times in marks if number]

    dc_mark_start: Any
    dc_mark_end: Any
    dc_mark_sstart: Any
    dc_mark_send: Any


declare(Qdac2Dc, trigger_declarations("dc", f"{NODE}:DC", ("STARt", "END", "SSTart", "SEND")))
