"""The waveform generators of a channel of the QDAC-II, and the currents it senses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pymeasure.instruments.validators import strict_discrete_set

from drivers.channel import InstrumentChannel
from drivers.errors import OutputLimitError
from drivers.properties import choice, control, integer, measurement, real, strict_real
from drivers.replies import unquoted

if TYPE_CHECKING:
    from drivers.qdevil_qdac2_channel import Qdac2Channel

SOURCES = {
    **{word: word[:3] if word == "immediate" else word for word in ("immediate", "bus", "hold")},
    **{f"int{number}": f"int{number}" for number in range(1, 15)},
    **{f"ext{number}": f"ext{number}" for number in range(1, 5)},
}
OVERLOAD = 9.9e37
INFINITE = 9e36
SLOWEST = 0.01
HIGHEST = 10.0


class Reach(NamedTuple):
    """The lowest and the highest voltage that something puts out, V."""

    low: float
    high: float

    @staticmethod
    def of(*volts: float) -> Reach:
        """Return what holds some voltages."""
        return Reach(min(volts), max(volts))


class Motion(NamedTuple):
    """What a generator that may run adds to its channel: its reach, V, and its largest slope, V/s."""

    reach: Reach
    slew: float


def switch(header: str, docs: str) -> property:
    """Return a property that is on or off, and said so in words."""
    return control(
        f"{header}?",
        f"{header} %s",
        docs,
        validator=strict_discrete_set,
        values=(True, False),
        set_process=lambda on: "on" if on else "off",
        cast=bool,
    )


def rate(header: str, docs: str) -> property:
    """Return a property that is a slew in V/s, infinite for no limit."""
    return control(
        f"{header}?",
        f"{header} %s",
        docs,
        validator=lambda value, _: value if value == math.inf else strict_real(value, (SLOWEST, math.inf)),
        set_process=lambda value: f"{value:.9g}",
        preprocess_reply=unquoted,
        get_process=lambda value: math.inf if value > INFINITE else value,
    )


def admitted(name: str, plain: property) -> property:
    """Return a property that its owner's ``admit(name, value)`` is asked about before anything is sent.

    Parameters
    ----------
    name : str
        Name of the property.
    plain : property
        How it is asked and sent.
    """

    def fset(self: Any, value: Any) -> None:
        with self.lock:
            self.admit(name, value)
            with self.parent.permitted():
                plain.__set__(self, value)

    return property(plain.fget, fset, doc=plain.__doc__)


def harmless(plain: property) -> property:
    """Return a property of a source that moves no output by itself, and so is sent without being checked."""

    def fset(self: Any, value: Any) -> None:
        with self.parent.permitted():
            plain.__set__(self, value)

    return property(plain.fget, fset, doc=plain.__doc__)


def marker(header: str, where: str) -> property:
    """Return a property that is an internal trigger, 0 for none."""
    docs = f"Control which internal trigger is fired at {where} (int from 0, none, to 14)."
    return harmless(integer(header, docs, 0, 14))


class Generator(InstrumentChannel):
    """A generator that adds a waveform to its channel.

    Where the channel is protected its settings are changed only while it cannot run, and it starts only where the
    worst case of all that the channel adds up is within the limits and no faster than the largest slew.

    Parameters
    ----------
    channel : Qdac2Channel
        The channel.
    """

    kind: ClassVar[str]

    def __init__(self, channel: Qdac2Channel) -> None:
        super().__init__(channel.parent, channel.id)
        self.channel = channel
        self.aborted = False

    def insert_id(self, command: str) -> str:
        """Insert the number of the channel and the kind of the generator into a command."""
        return command.format(ch=self.id, kind=self.kind)

    offset = admitted(
        "offset", real("sour{ch}:{kind}:offs", """Control the offset in volts (float from -10 to 10).""", -10, 10)
    )
    slew = admitted(
        "slew", rate("sour{ch}:{kind}:slew", """Control the largest slope in V/s (float from 0.01, or infinite).""")
    )
    count = admitted(
        "count",
        integer("sour{ch}:{kind}:coun", """Control the number of cycles (int, -1 for no end).""", -1, 2**31 - 1),
    )
    delay = admitted(
        "delay", real("sour{ch}:{kind}:del", """Control the delay after the trigger in s (float from 0).""", 0, 3600)
    )
    trigger_source = admitted(
        "trigger_source",
        choice(
            "sour{ch}:{kind}:trig:sour", """Control what starts it: immediate, bus, hold, int1, ext1 (str).""", SOURCES
        ),
    )
    continuous = admitted(
        "continuous", switch("sour{ch}:{kind}:init:cont", """Control whether it waits for further triggers (bool).""")
    )
    cycles_left = measurement(
        "sour{ch}:{kind}:ncl?", """Get how many cycles are left (int, -1 for no end).""", cast=float, get_process=int
    )
    marker_start = marker("sour{ch}:{kind}:mark:star", "the start")
    marker_end = marker("sour{ch}:{kind}:mark:end", "the end")
    marker_period_start = marker("sour{ch}:{kind}:mark:pstart", "the start of each period")
    marker_period_end = marker("sour{ch}:{kind}:mark:pend", "the end of each period")

    def reach(self, **changed: Any) -> Reach:
        """Return the voltages that it adds while it runs, with some of its settings changed, V."""
        raise NotImplementedError

    def slope(self) -> float:
        """Return the largest slope of the waveform as it is set, V/s, as far as the slew need not limit it."""
        return 0.0

    def _value(self, name: str, changed: dict[str, Any]) -> Any:
        return changed[name] if name in changed else getattr(self, name)

    def admit(self, name: str, value: Any) -> None:
        """Raise OutputLimitError where a setting cannot be changed so."""
        channel = self.channel
        if not channel.protected:
            return
        self._require_idle()
        if name == "slew" and not value <= channel.largest_slew:
            raise OutputLimitError(
                f"{channel.name}: {self.kind} at {value:.6g} V/s; at most {channel.largest_slew:.6g} V/s is allowed"
            )
        if name in ("offset", "span", "kind_of_levels", "trace", "scale"):
            channel.admit_reach(self.reach(**{name: value}), f"{self.kind} with {name} {value}")

    def _require_idle(self) -> None:
        if self.kind in self.channel.motions():
            self.channel.drop_finished()
        if self.kind in self.channel.motions():
            raise OutputLimitError(f"{self.channel.name}: {self.kind} may be running; abort it first")

    def start(self) -> None:
        """Start, or wait for the trigger.

        Raises
        ------
        OutputLimitError
            If what the channel adds up could leave its limits or be faster than its largest slew.
        """
        with self.lock:
            if self.channel.protected:
                self._require_idle()
                self.channel.admit_motion(self.kind, self._motion())
            else:
                self.channel.forget()
            self.aborted = False
            with self.parent.permitted():
                self.execute("sour{ch}:{kind}:init")

    def _motion(self) -> Motion:
        slope, slew = self.slope(), float(self.slew)
        if slope > slew:
            raise OutputLimitError(
                f"{self.channel.name}: {self.kind} rises by {slope:.6g} V/s; its slew lets {slew:.6g} V/s pass"
            )
        return Motion(self.reach(), slew)

    def adopted(self) -> Motion | None:
        """Return what it adds to its channel if it may run, else None."""
        return Motion(self.reach(), max(float(self.slew), self.slope())) if self.may_run() else None

    def may_run(self) -> bool:
        """Return whether it runs, or may start without being told to."""
        waits = not self.aborted and (self.trigger_source not in ("immediate", "hold") or self.continuous)
        return waits or self.cycles_left != 0

    def abort(self) -> None:
        """Stop; what it adds goes to nothing at its slew."""
        with self.lock, self.parent.permitted():
            self.execute("sour{ch}:{kind}:init:cont off")
            self.execute("sour{ch}:{kind}:abor")
            self.aborted = True


class Periodic(Generator):
    """A generator with a frequency."""

    frequency = admitted(
        "frequency", real("sour{ch}:{kind}:freq", """Control the frequency in hertz (float from 0.001).""", 1e-3, 5e5)
    )
    span = admitted(
        "span",
        real("sour{ch}:{kind}:span", """Control the peak-to-peak voltage in volts (float from 0 to 20).""", 0, 20),
    )
    polarity = admitted(
        "polarity",
        choice(
            "sour{ch}:{kind}:pol",
            """Control the polarity (str, "normal" or "inverted").""",
            {"normal": "norm", "inverted": "inv"},
        ),
    )

    def reach(self, **changed: Any) -> Reach:
        """Return the voltages that it adds while it runs, with some of its settings changed, V."""
        offset, half = self._value("offset", changed), self._value("span", changed) / 2
        return Reach(min(0.0, offset - half), max(0.0, offset + half))


class Sine(Periodic):
    """The sine generator."""

    kind = "sine"

    def slope(self) -> float:
        """Return the largest slope, V/s."""
        return math.pi * self.frequency * self.span


class Triangle(Periodic):
    """The triangle generator."""

    kind = "tri"
    duty_cycle = admitted(
        "duty_cycle", real("sour{ch}:tri:dcyc", """Control the rising part of a period in percent (float).""", 0, 100)
    )

    def slope(self) -> float:
        """Return the largest slope, V/s."""
        shorter = min(self.duty_cycle, 100 - self.duty_cycle) / 100
        return self.span * self.frequency / shorter if shorter > 0 else math.inf


class Square(Periodic):
    """The square-wave generator."""

    kind = "squ"
    duty_cycle = admitted(
        "duty_cycle", real("sour{ch}:squ:dcyc", """Control the first part of a period in percent (float).""", 0, 100)
    )
    kind_of_levels = admitted(
        "kind_of_levels",
        choice(
            "sour{ch}:squ:typ",
            """Control where the levels are about the offset (str, "symmetric", "positive" or "negative").""",
            {"symmetric": "symm", "positive": "pos", "negative": "neg"},
        ),
    )

    def reach(self, **changed: Any) -> Reach:
        """Return the voltages that it adds while it runs, with some of its settings changed, V."""
        offset, span = self._value("offset", changed), self._value("span", changed)
        half = span / 2 if self._value("kind_of_levels", changed) == "symmetric" else span
        return Reach(min(0.0, offset - half), max(0.0, offset + half))


class ArbitraryWaveform(Generator):
    """The generator that puts out a trace of the DAC, one sample a microsecond."""

    kind = "awg"
    trace = admitted(
        "trace",
        control(
            "sour{ch}:awg:def?",
            'sour{ch}:awg:def "%s"',
            """Control the name of the trace (str).""",
            cast=str,
            maxsplit=0,
            get_process=unquoted,
        ),
    )
    scale = admitted(
        "scale", real("sour{ch}:awg:scal", """Control the factor of the trace (float from -10 to 10).""", -10, 10)
    )

    def reach(self, **changed: Any) -> Reach:
        """Return the voltages that it adds while it runs, with some of its settings changed, V.

        A trace that this driver has not defined may hold anything.
        """
        trace, scale = self._value("trace", changed), self._value("scale", changed)
        low, high = self.parent.traces.get(trace, (-HIGHEST, HIGHEST) if trace else (0.0, 0.0))
        offset = self._value("offset", changed)
        return Reach.of(0.0, offset + scale * low, offset + scale * high)
