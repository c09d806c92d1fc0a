"""The waveform generators of the QDAC-II: square, sine, triangle and arbitrary, which add to the DC voltage."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sim_devices.instruments.cabling import Times
from sim_devices.instruments.qdac2_dc import HIGHEST, NODE, Qdac2Dc, Run, endless
from sim_devices.instruments.qdac2_outputs import FASTEST, GENERATORS, SLOWEST, Floats, Slew, Word, channel_setting
from sim_devices.instruments.qdac2_triggers import Marks, Unit, declare, trigger_declarations
from sim_devices.instruments.qdac2_waveforms import (
    UPDATE,
    Piece,
    Sine,
    Targets,
    UnsettledError,
    cycles,
    ramp,
    sine,
    steps,
)
from sim_devices.scpi import Integer, Quoted, Real, ScpiError, Session, String, command, query

WAVES = GENERATORS[1:]
TRACE_POINTS = 1 << 20
"""Largest number of samples of all traces together."""
FREQUENCIES = {"squ": 100e3, "sine": 400e3, "tri": 100e3}
"""Highest frequency of each periodic generator, Hz."""
NODES = {"squ": "SQUare", "sine": "SINE", "tri": "TRIangle", "awg": "AWG"}


class Qdac2Generators(Qdac2Dc):
    """Square, sine, triangle and arbitrary waveforms.

    A generator takes its settings when it starts. It begins at what it puts out, nothing as a rule, and goes back to
    nothing when it ends or is aborted, both no faster than its slew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.traces: dict[str, np.ndarray] = {}
        super().__init__(*args, **kwargs)

    def check(self, unit: Unit) -> None:
        """Raise ScpiError where a generator cannot be started with its settings."""
        if unit.kind in WAVES:
            self._pieces_of(unit, self.clock.now())
        super().check(unit)

    def abort(self, unit: Unit) -> None:
        """End what a unit does, and let it wait for nothing."""
        if unit.kind not in WAVES:
            super().abort(unit)
            return
        self.disarm(unit)
        now = self.clock.now()
        if self.outputs[unit.channel].tracks[unit.kind].end > now:
            slew = self.of(unit, "slew")
            self.outputs[unit.channel].ramp(unit.kind, now, 0.0, slew)
            self.runs[unit] = Run(now, UPDATE, 0, self.outputs[unit.channel].tracks[unit.kind].end)

    def of(self, unit: Unit, name: str) -> Any:
        """Return a setting of a generator."""
        return getattr(self, f"{unit.kind}_{name}")[unit.channel]

    def count_of(self, unit: Unit) -> int:
        """Return how many cycles a unit is set to make."""
        return self.of(unit, "count") if unit.kind in WAVES else super().count_of(unit)

    # ---- starting --------------------------------------------------------------------------------------------------

    def _start_wave(self, unit: Unit, times: Times) -> Marks:
        for time in times.tolist():
            pieces, period = self._pieces_of(unit, time)
            self.outputs[unit.channel].put(unit.kind, *pieces)
        count = endless(self.count_of(unit))
        self.runs[unit] = Run(time, period, count, pieces[-1].end)
        marked = period * np.arange(1 if count == math.inf else int(count))
        edges = {
            "start": times,
            "end": times + count * period,
            "pstart": (times[:, None] + marked).ravel(),
            "pend": (times[:, None] + marked + period).ravel(),
        }
        return [
            (self.of(unit, f"mark_{mark}"), np.sort(at))
            for mark, at in edges.items()
            if self.of(unit, f"mark_{mark}") and np.isfinite(at).all()
        ]

    def start_squ(self, channel: int, times: Times) -> Marks:
        """Start the square wave at some times."""
        return self._start_wave(Unit("squ", channel), times)

    def start_sine(self, channel: int, times: Times) -> Marks:
        """Start the sine at some times."""
        return self._start_wave(Unit("sine", channel), times)

    def start_tri(self, channel: int, times: Times) -> Marks:
        """Start the triangle at some times."""
        return self._start_wave(Unit("tri", channel), times)

    def start_awg(self, channel: int, times: Times) -> Marks:
        """Start the arbitrary waveform at some times."""
        return self._start_wave(Unit("awg", channel), times)

    def _pieces_of(self, unit: Unit, time: float) -> tuple[tuple[Piece, ...], float]:
        """Return what a generator puts out when it starts at a time, and its period, s."""
        level, count = self.outputs[unit.channel].tracks[unit.kind].at(time), self.count_of(unit)
        if count == 0:
            raise ScpiError(-221, "a count of 0 cycles")
        slew = self.of(unit, "slew")
        if unit.kind == "sine":
            wave = self._sine(unit, time, endless(count))
            if 2 * math.pi * wave.frequency * abs(wave.amplitude) > slew:
                raise ScpiError(-221, f"the sine is faster than its slew of {slew:.6g} V/s")
            pieces, period = sine(level, time, wave, slew), 1 / wave.frequency
        else:
            targets = self._patterns[unit.kind](self, unit)
            period = targets.period
            try:
                pieces = (cycles(level, time, targets, slew, endless(count)),)
            except UnsettledError as error:
                raise ScpiError(-221, str(error)) from error
        end = pieces[-1].end
        if not math.isfinite(end):
            return pieces, period
        return (*pieces, ramp(float(pieces[-1].voltage(np.array([end]))[0]), end, 0.0, slew)), period

    def _sign(self, unit: Unit) -> float:
        return -1.0 if self.of(unit, "polarity") == "INV" else 1.0

    def _sine(self, unit: Unit, time: float, count: float) -> Sine:
        amplitude = self._sign(unit) * self.of(unit, "span") / 2
        return Sine(time, time, self.of(unit, "frequency"), amplitude, self.of(unit, "offset"), count)

    def _square(self, unit: Unit) -> Targets:
        span, duty, period = self.of(unit, "span"), self.of(unit, "duty") / 100, 1 / self.of(unit, "frequency")
        low, high = {"SYMM": (-span / 2, span / 2), "POS": (0.0, span), "NEG": (-span, 0.0)}[self.of(unit, "type")]
        values = self.of(unit, "offset") + self._sign(unit) * np.array([high, low])
        return Targets(values, np.array([duty, 1 - duty]) * period, np.zeros(2))

    def _triangle(self, unit: Unit) -> Targets:
        span, duty, period = self.of(unit, "span"), self.of(unit, "duty") / 100, 1 / self.of(unit, "frequency")
        durations = np.array([duty, 1 - duty]) * period
        values = self._sign(unit) * np.array([-span / 2, span / 2])
        rates = self._sign(unit) * np.array([span, -span]) / durations
        return Targets(self.of(unit, "offset") + values, durations, rates)

    def _arbitrary(self, unit: Unit) -> Targets:
        name = self.of(unit, "trace")
        if name not in self.traces:
            raise ScpiError(-221, f"there is no trace {name!r}")
        return steps(self.of(unit, "offset") + self.of(unit, "scale") * self.traces[name], UPDATE)

    _patterns: dict[str, Callable[["Qdac2Generators", Unit], Targets]] = {  # noqa: RUF012 -- never changed
        "squ": _square,
        "tri": _triangle,
        "awg": _arbitrary,
    }

    # ---- traces ----------------------------------------------------------------------------------------------------

    @command("TRACe:DEFine", String(1, 32), Integer(1, TRACE_POINTS))
    def _define_trace(self, _: Session, name: str, points: int) -> None:
        others = sum(len(trace) for other, trace in self.traces.items() if other != name)
        if others + points > TRACE_POINTS:
            raise ScpiError(-225, f"{points} samples beside {others}, traces hold {TRACE_POINTS}")
        self.traces[name] = np.zeros(points)

    @command("TRACe[:DATA]", String(1, 32), Floats(-HIGHEST, HIGHEST, "V"))
    def _set_trace(self, _: Session, name: str, volts: np.ndarray) -> None:
        if name not in self.traces:
            raise ScpiError(-224, f"there is no trace {name!r}")
        if len(volts) != len(self.traces[name]):
            raise ScpiError(-224, f"{len(volts)} samples, trace {name!r} has {len(self.traces[name])}")
        self.traces[name] = volts

    @query("TRACe:CATalog?")
    def _ask_traces(self, _: Session) -> tuple[Quoted, ...] | str:
        return tuple(Quoted(name) for name in self.traces) or ""

    @command("TRACe:REMove:ALL")
    def _remove_traces(self, _: Session) -> None:
        self.traces = {}


def _of_wave(kind: str) -> dict[str, Any]:
    """Return what every waveform generator declares."""
    node = f"{NODE}:{NODES[kind]}"

    def left(self: Qdac2Generators, _: Session, channel: int) -> int:
        return self.cycles_left(Unit(kind, channel))

    return {
        **trigger_declarations(kind, node, ("STARt", "END", "PSTart", "PEND")),
        f"{kind}_offset": channel_setting(f"{node}:OFFSet", Real(-HIGHEST, HIGHEST, "V"), reset=0.0),
        f"{kind}_slew": Slew(f"{node}:SLEW", Real(SLOWEST, FASTEST, also=("INFinity",)), reset=FASTEST),
        f"{kind}_count": channel_setting(f"{node}:COUNt", Integer(-1, 2**31 - 1), reset=-1),
        f"_ask_{kind}_left": query(f"{node}:NCLeft?")(left),
    }


def _of_periodic(kind: str) -> dict[str, Any]:
    """Return what the generators with a frequency declare beside."""
    node, highest = f"{NODE}:{NODES[kind]}", FREQUENCIES[kind]

    def set_period(self: Qdac2Generators, _: Session, channel: int, seconds: float) -> None:
        getattr(self, f"{kind}_frequency")[channel] = 1 / seconds

    def ask_period(self: Qdac2Generators, _: Session, channel: int) -> float:
        return 1 / getattr(self, f"{kind}_frequency")[channel]

    return {
        f"{kind}_frequency": channel_setting(f"{node}:FREQuency", Real(1e-3, highest, "HZ"), reset=1e3),
        f"_set_{kind}_period": command(f"{node}:PERiod", Real(1 / highest, 1e3, "s"))(set_period),
        f"_ask_{kind}_period": query(f"{node}:PERiod?")(ask_period),
        f"{kind}_span": channel_setting(f"{node}:SPAN", Real(0, 2 * HIGHEST, "V"), reset=0.2),
        f"{kind}_polarity": channel_setting(f"{node}:POLarity", Word("NORMal", "INVerted"), reset="NORM"),
    }


for _kind in WAVES:
    declare(Qdac2Generators, _of_wave(_kind))
    if _kind in FREQUENCIES:
        declare(Qdac2Generators, _of_periodic(_kind))
declare(
    Qdac2Generators,
    {
        "squ_duty": channel_setting(f"{NODE}:SQUare:DCYCle", Real(1, 99), reset=50.0),
        "tri_duty": channel_setting(f"{NODE}:TRIangle:DCYCle", Real(1, 99), reset=50.0),
        "squ_type": channel_setting(f"{NODE}:SQUare:TYPe", Word("SYMMetric", "POSitive", "NEGative"), reset="SYMM"),
        "awg_trace": channel_setting(f"{NODE}:AWG:DEFine", String(0, 32), reset=""),
        "awg_scale": channel_setting(f"{NODE}:AWG:SCALe", Real(-10, 10), reset=1.0),
    },
)
