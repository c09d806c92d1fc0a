"""The persona of the waveform generator Agilent 33522B: its waveforms, bursts and triggers.

The output stage is in `agilent_33500_outputs`. The filters of arbitrary waveforms and the bandwidth of the outputs are
not modelled, and a gated burst never begins, since cables carry edges and not gates.
"""

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_devices.instruments.agilent_33500_memory import DEFAULT, Codes, Fractions, Name
from sim_devices.instruments.agilent_33500_outputs import CHANNELS, RESET_LEVELS, SOURCE, Agilent33500Outputs
from sim_devices.instruments.agilent_33500_waveforms import Bursts, Stretch, Waveform, bit_sequence, edge_length
from sim_devices.instruments.cabling import Times, TriggerLine
from sim_devices.scpi import (
    Boolean,
    Choice,
    Operation,
    Quoted,
    Real,
    ScpiError,
    Session,
    String,
    command,
    query,
    setting,
)
from twin.clock import Clock

HIGHEST_FREQUENCY = {"SIN": 30e6, "SQU": 30e6, "PULS": 30e6, "TRI": 200e3, "RAMP": 200e3}
"""Hz; the other shapes have no frequency of their own."""
RESET_FREQUENCY = 1e3
"""Hz."""
NARROWEST = 16e-9
"""Smallest width of a pulse, s."""
WIDEST_EDGE = 0.36
"""Largest time of an edge of pulses as a fraction of the period: longer ones are shortened with it."""
BURST_RECOVERY = 1e-6
"""Least time from the end of a burst of the internal timer to the next, s: the burst period is extended to it."""

_BITS = bit_sequence()


class Agilent33500(Agilent33500Outputs):
    """The generator as its clients see it.

    Parameters
    ----------
    clock, worker, name, loads, seed
        As of `Agilent33500Outputs`.
    trigger
        Cable at the trigger input.
    sync
        Cable at the sync output: an edge at the start of every burst, or of every cycle without bursts.
    trigger_out
        Cable at the trigger output: the same, where OUTPut:TRIGger is on.
    """

    def __init__(
        self,
        clock: Clock,
        worker: Executor,
        name: str = "awg",
        *,
        trigger: TriggerLine | None = None,
        sync: TriggerLine | None = None,
        trigger_out: TriggerLine | None = None,
        loads: Mapping[int, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.sync = sync or TriggerLine()
        self.trigger_out = trigger_out or TriggerLine()
        self.frequency = dict.fromkeys(CHANNELS, RESET_FREQUENCY)
        super().__init__(clock, worker, name, loads, seed)
        self.reset()
        (trigger or TriggerLine()).listen(self._take_edges)

    # ---- shape -----------------------------------------------------------------------------------------------------

    shape = setting(
        f"{SOURCE}FUNCtion[:SHAPe]",
        Choice("SINusoid", "SQUare", "TRIangle", "RAMP", "PULSe", "PRBS", "NOISe", "ARBitrary", "DC"),
        reset="SIN",
    )
    phase = setting(f"{SOURCE}PHASe", Real(-360, 360, "DEG"), reset=0.0)
    duty = setting(f"{SOURCE}FUNCtion:SQUare:DCYCle", Real(0.01, 99.99), reset=50.0)
    symmetry = setting(f"{SOURCE}FUNCtion:RAMP:SYMMetry", Real(0, 100), reset=100.0)
    width = setting(f"{SOURCE}FUNCtion:PULSe:WIDTh", Real(NARROWEST, 1e6, "S"), reset=1e-4)
    edge = setting(f"{SOURCE}FUNCtion:PULSe:TRANsition[:BOTH]", Real(8.4e-9, 1e-6, "S"), reset=1e-8)
    hold = setting(f"{SOURCE}FUNCtion:PULSe:HOLD", Choice("WIDTh", "DCYCle"), reset="WIDT")
    bandwidth = setting(f"{SOURCE}FUNCtion:NOISe:BANDwidth", Real(1e-3, 30e6, "HZ"), reset=1e5)
    bit_rate = setting(f"{SOURCE}FUNCtion:PRBS:BRATe", Real(1e-3, 50e6), reset=1e3)
    sample_rate = setting(f"{SOURCE}FUNCtion:ARBitrary:SRATe", Real(1e-6, 250e6), reset=4e4)
    arb_filter = setting(f"{SOURCE}FUNCtion:ARBitrary:FILTer", Choice("NORMal", "STEP", "OFF"), reset="STEP")
    arb_advance = setting(f"{SOURCE}FUNCtion:ARBitrary:ADVance", Choice("SRATe", "TRIGger"), reset="SRAT")
    selected = setting(f"{SOURCE}FUNCtion:ARBitrary", Name(), reset=DEFAULT)

    burst_on = setting(f"{SOURCE}BURSt:STATe", Boolean(), reset=False)
    burst_mode = setting(f"{SOURCE}BURSt:MODE", Choice("TRIGgered", "GATed"), reset="TRIG")
    burst_cycles = setting(f"{SOURCE}BURSt:NCYCles", Real(1, 1e8, also=("INFinity",)), reset=1.0)
    burst_period = setting(f"{SOURCE}BURSt:INTernal:PERiod", Real(1e-6, 8000, "S"), reset=1e-2)
    trigger_source = setting("TRIGger<1:2>:SOURce", Choice("IMMediate", "EXTernal", "BUS"), reset="IMM")

    @shape.check
    def _shape_allowed(self, channel: int, shape: str) -> str:
        highest = HIGHEST_FREQUENCY.get(shape, math.inf)
        if self.frequency[channel] > highest:
            raise ScpiError(-221, f"{self.frequency[channel]:g} Hz, {shape} goes up to {highest:g} Hz")
        self.require_levels(channel, *self.levels[channel], shape)
        return shape

    @width.check
    def _width_allowed(self, channel: int, width: float) -> float:
        self._require_pulse(channel, width, self.edge[channel])
        return width

    @edge.check
    def _edge_allowed(self, channel: int, edge: float) -> float:
        self._require_pulse(channel, self.width[channel], edge)
        return edge

    def _require_pulse(self, channel: int, width: float, edge: float) -> None:
        least, most = edge_length(edge), 1 / self.frequency[channel] - edge_length(edge)
        if not least <= width <= most * (1 + 1e-9):
            raise ScpiError(-221, f"a width of {width:g} s: edges and period allow {least:g} to {most:g} s")

    @selected.check
    def _selected_allowed(self, channel: int, name: str) -> str:
        self.memories_of_arbs[channel].find(name)
        return name

    @burst_cycles.check
    def _cycles_allowed(self, _: int, cycles: float | str) -> float:
        return math.inf if cycles == "INF" else float(round(float(cycles)))

    @trigger_source.check
    def _source_allowed(self, _: int, source: str) -> str:
        if source == "EXT" and self.trigger_output:
            raise ScpiError(-221, "the trigger connector is an output, OUTPut:TRIGger OFF comes first")
        return source

    @shape.changed
    @phase.changed
    @duty.changed
    @symmetry.changed
    @width.changed
    @edge.changed
    @bandwidth.changed
    @bit_rate.changed
    @sample_rate.changed
    @selected.changed
    @burst_on.changed
    @burst_mode.changed
    @burst_cycles.changed
    @burst_period.changed
    @trigger_source.changed
    def restart(self, channel: int, _: Any = None) -> None:
        """Give the waveform that is set from its beginning on."""
        self._begin(channel, self.clock.now())

    def _begin(self, channel: int, now: float) -> None:
        waveform = self._waveform(channel)
        bursts = self._bursts(channel, waveform.period) if self.burst_on[channel] else None
        self.output(channel).program(Stretch(now, self.on[channel], waveform, now, bursts))
        self._let_edges_come()

    def update(self, channel: int) -> None:
        """Give the waveform that runs at the levels that are set, without a break."""
        terminal = self.output(channel)
        terminal.program(
            replace(terminal.present, begin=self.clock.now(), on=self.on[channel], waveform=self._waveform(channel))
        )

    def _waveform(self, channel: int) -> Waveform:
        shape = self.shape[channel]
        samples, period, phase = None, 1 / self.frequency[channel], self.phase[channel] / 360
        if shape == "ARB":
            samples, phase = self.points(channel), 0.0
            period = len(samples) / self.sample_rate[channel]
        elif shape == "PRBS":
            samples, phase, period = _BITS, 0.0, len(_BITS) / self.bit_rate[channel]
        amplitude, offset = self.at_terminal(channel)
        return Waveform(
            shape=shape,
            amplitude=amplitude,
            offset=offset,
            period=period,
            phase=phase,
            share={"SQU": self.duty[channel], "RAMP": self.symmetry[channel]}.get(shape, 50.0) / 100,
            width=self.width[channel],
            edge=self.edge[channel],
            samples=samples,
            bandwidth=self.bandwidth[channel],
            key=self.noise_keys[channel],
        )

    # ---- frequency -------------------------------------------------------------------------------------------------

    @command(f"{SOURCE}FREQuency", Real(1e-6, 120e6, "HZ"))
    def _set_frequency(self, _: Session, channel: int, frequency: float) -> None:
        if self.shape[channel] == "ARB":
            rate = frequency * len(self.points(channel))
            if not 1e-6 <= rate <= 250e6:
                raise ScpiError(-222, f"{rate:g} Sa/s is not within 1e-6 to 250e6 Sa/s")
            self.sample_rate[channel] = rate
            self.restart(channel)
        else:
            self._change_frequency(channel, frequency)

    @query(f"{SOURCE}FREQuency?")
    def _ask_frequency(self, _: Session, channel: int) -> float:
        if self.shape[channel] == "ARB":
            return self.sample_rate[channel] / len(self.points(channel))
        return self.frequency[channel]

    @command(f"{SOURCE}FUNCtion:PULSe:PERiod", Real(33e-9, 1e6, "S"))
    def _set_pulse_period(self, _: Session, channel: int, period: float) -> None:
        self._change_frequency(channel, 1 / period)

    @query(f"{SOURCE}FUNCtion:PULSe:PERiod?")
    def _ask_pulse_period(self, _: Session, channel: int) -> float:
        return 1 / self.frequency[channel]

    def _change_frequency(self, channel: int, frequency: float) -> None:
        """Set the frequency; pulses keep their width or their duty cycle as far as the period leaves room for it."""
        highest = HIGHEST_FREQUENCY.get(self.shape[channel], HIGHEST_FREQUENCY["SIN"])
        if frequency > highest * (1 + 1e-9):
            raise ScpiError(-222, f"{frequency:g} Hz, {self.shape[channel]} goes up to {highest:g} Hz")
        width = self.width[channel]
        if self.hold[channel] == "DCYC":
            width *= self.frequency[channel] / frequency
        self.edge[channel] = min(self.edge[channel], WIDEST_EDGE / frequency)
        full = edge_length(self.edge[channel])
        self.width[channel] = max(min(width, 1 / frequency - full), full, NARROWEST)
        self.frequency[channel] = frequency
        self.restart(channel)

    @command(f"{SOURCE}FUNCtion:PULSe:DCYCle", Real(0, 100))
    def _set_pulse_duty(self, _: Session, channel: int, percent: float) -> None:
        width = percent / 100 / self.frequency[channel]
        if width < NARROWEST:
            raise ScpiError(-221, f"a width of {width:g} s, at least {NARROWEST:g} s is allowed")
        self.width[channel] = self._width_allowed(channel, width)
        self.restart(channel)

    @query(f"{SOURCE}FUNCtion:PULSe:DCYCle?")
    def _ask_pulse_duty(self, _: Session, channel: int) -> float:
        return 100 * self.width[channel] * self.frequency[channel]

    @command(f"{SOURCE}PHASe:SYNChronize")
    def _synchronise(self, _session: Session, _channel: int) -> None:
        now = self.clock.now()
        for channel in CHANNELS:
            self._begin(channel, now)

    # ---- arbitrary waveforms ---------------------------------------------------------------------------------------

    def points(self, channel: int) -> npt.NDArray[np.float64]:
        """Return the points of the arbitrary waveform that is selected, -1 to 1."""
        return self.memories_of_arbs[channel].find(self.selected[channel])

    @command(f"{SOURCE}DATA:ARBitrary:DAC", Name(), Codes())
    def _add_codes(self, _: Session, channel: int, name: str, points: npt.NDArray[np.float64]) -> None:
        self.memories_of_arbs[channel].add(name, points)

    @command(f"{SOURCE}DATA:ARBitrary", Name(), Fractions())
    def _add_fractions(self, _: Session, channel: int, name: str, points: npt.NDArray[np.float64]) -> None:
        self.memories_of_arbs[channel].add(name, points)

    @query(f"{SOURCE}DATA:VOLatile:CATalog?")
    def _ask_catalog(self, _: Session, channel: int) -> tuple[Quoted, ...]:
        return tuple(Quoted(name) for name in self.memories_of_arbs[channel].names)

    @query(f"{SOURCE}DATA:VOLatile:FREE?")
    def _ask_free(self, _: Session, channel: int) -> int:
        return self.memories_of_arbs[channel].free

    @command(f"{SOURCE}DATA:VOLatile:CLEar")
    def _clear_memory(self, _: Session, channel: int) -> None:
        self.memories_of_arbs[channel].clear()
        self.selected[channel] = DEFAULT
        self.restart(channel)

    @query(f"{SOURCE}FUNCtion:ARBitrary:POINts?")
    def _ask_points(self, _: Session, channel: int) -> int:
        return len(self.points(channel))

    # ---- bursts and triggers ---------------------------------------------------------------------------------------

    sync_output = setting("OUTPut:SYNC[:STATe]", Boolean(), reset=True)
    sync_source = setting("OUTPut:SYNC:SOURce", Choice("CH1", "CH2"), reset="CH1")
    trigger_output = setting("OUTPut:TRIGger[:STATe]", Boolean(), reset=False)
    trigger_output_source = setting("OUTPut:TRIGger:SOURce", Choice("CH1", "CH2"), reset="CH1")

    @trigger_output.check
    def _trigger_output_allowed(self, on: bool) -> bool:
        if on and "EXT" in self.trigger_source.values():
            raise ScpiError(-221, "the trigger connector is an input, TRIGger:SOURce EXTernal is set")
        return on

    def _bursts(self, channel: int, period: float) -> Bursts:
        duration = self.burst_cycles[channel] * period
        if self.burst_mode[channel] == "TRIG" and self.trigger_source[channel] == "IMM":
            return Bursts(duration, max(self.burst_period[channel], duration + BURST_RECOVERY))
        return Bursts(duration)

    def trigger(self, _: Session) -> Operation | None:
        """Start the bursts that wait for ``*TRG``; complete when they have ended, at once where they never do."""
        waiting = self._waiting("BUS")
        if not waiting:
            raise ScpiError(-211, "no burst waits for a trigger by BUS")
        end = self._start(waiting, np.array([self.clock.now()]))
        return Operation(self.worker.submit(self.clock.sleep_until, end)) if math.isfinite(end) else None

    def _take_edges(self, times: Times) -> None:
        """Start the bursts that wait for edges at the trigger input."""
        with self.lock:
            end = self._start(self._waiting("EXT"), times)
        if math.isfinite(end):
            self.clock.sleep_until(end)

    def _waiting(self, source: str) -> tuple[int, ...]:
        return tuple(
            channel
            for channel in CHANNELS
            if self.burst_on[channel] and self.burst_mode[channel] == "TRIG" and self.trigger_source[channel] == source
        )

    def _start(self, channels: Iterable[int], times: Times) -> float:
        """Start a burst of some channels at each of the times; return the end of the last, minus infinity for none."""
        end, started = -math.inf, dict.fromkeys(CHANNELS, times[:0])
        for channel in channels:
            terminal = self.output(channel)
            before = terminal.present.bursts
            if before is None or not times.size:
                continue
            bursts, started[channel] = before.triggered(times)
            terminal.program(replace(terminal.present, begin=min(self.clock.now(), float(times[0])), bursts=bursts))
            end = max(end, float(bursts.starts[-1]) + bursts.duration)
        for cable, source in self._cables():
            if started[source].size:
                cable.send(started[source])
        return end

    @sync_output.changed
    @sync_source.changed
    @trigger_output.changed
    @trigger_output_source.changed
    def _let_edges_come(self, _: Any = None) -> None:
        """Let the cables have the edges of waveforms and bursts that need no trigger."""
        driven = {id(cable) for cable, _ in self._cables()}
        for cable in (self.sync, self.trigger_out):
            if id(cable) not in driven:
                cable.run(None)
        for cable, source in self._cables():
            cable.run(self.output(source).present.schedule())

    def _cables(self) -> list[tuple[TriggerLine, int]]:
        """Return the cables that get edges, and the channels they get them of."""
        cables = [
            (self.sync, self.sync_output, self.sync_source),
            (self.trigger_out, self.trigger_output, self.trigger_output_source),
        ]
        return [(cable, int(source[-1])) for cable, on, source in cables if on]

    # ---- system ----------------------------------------------------------------------------------------------------

    @command("SYSTem:BEEPer[:IMMediate]")
    def _beep(self, _: Session) -> None:
        """Nobody hears it."""

    text = setting("DISPlay:TEXT", String(0, 40), reset="")

    @command("DISPlay:TEXT:CLEar")
    def _clear_text(self, _: Session) -> None:
        self.text = ""

    def reset(self) -> None:
        """Take the rest of the state that ``*RST`` asks for: outputs off, memories empty."""
        for channel in CHANNELS:
            self.levels[channel] = RESET_LEVELS
            self.frequency[channel] = RESET_FREQUENCY
            self.memories_of_arbs[channel].clear()
            self.restart(channel)

    def save_state(self) -> Any:
        """Return levels and frequencies."""
        return dict(self.levels), dict(self.frequency)

    def recall_state(self, state: Any) -> None:
        """Take what `save_state` returned; a waveform that is not in memory any more gives way to the built-in one."""
        levels, frequency = state
        self.levels, self.frequency = dict(levels), dict(frequency)
        for channel in CHANNELS:
            if self.selected[channel] not in self.memories_of_arbs[channel].names:
                self.selected[channel] = DEFAULT
            self.restart(channel)
