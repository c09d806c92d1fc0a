"""Triggers of the QDAC-II: what waits for what, and what a trigger sets off in its turn."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sim_devices.instruments.cabling import Times, TriggerLine
from sim_devices.instruments.qdac2_outputs import (
    CHANNELS,
    INTERNAL,
    OUTPUTS,
    Switch,
    TriggerSource,
    Word,
    channel_setting,
)
from sim_devices.scpi import (
    ChannelList,
    Instrument,
    Integer,
    Real,
    ScpiError,
    Session,
    command,
    setting,
)
from twin.clock import Clock

SOURCES = ("IMMediate", "BUS", "HOLD")
LONGEST = 3600.0
"""Longest delay, s."""

Marks = list[tuple[int, Times]]
"""Internal triggers that something fires, and when."""


class Unit(NamedTuple):
    """Something that starts on a trigger: a generator or the current sensor of a channel."""

    kind: str
    channel: int


class Qdac2Triggers(Instrument):
    """The trigger system.

    A unit is armed by ``init`` and starts on its source; with ``init:cont on`` it stays armed. A trigger that a unit
    fires at its start, its steps or its end starts other units in the same way, and leaves through the trigger outputs
    that are connected to it. Within one such chain a unit starts once.

    Parameters
    ----------
    identity : str
        Reply to ``*IDN?``.
    clock : twin.clock.Clock
        Clock of the bench.
    trigger_inputs : sequence of TriggerLine
        The cables of ``ext1`` and the following.

    Attributes
    ----------
    trigger_outputs : dict of int to TriggerLine
        The cables of trigger outputs 1 to 5.
    """

    def __init__(self, identity: str, clock: Clock, trigger_inputs: Sequence[TriggerLine] = ()) -> None:
        self.clock = clock
        self.armed: set[Unit] = set()
        self.trigger_outputs = {number: TriggerLine() for number in range(1, OUTPUTS + 1)}
        super().__init__(identity)
        for number, line in enumerate(trigger_inputs, 1):
            line.listen(partial(self._arrived, f"EXT{number}"))

    # ---- units -----------------------------------------------------------------------------------------------------

    def start(self, unit: Unit, times: Times) -> Marks:
        """Start a unit at some times, one after the other, and return the triggers that it fires."""
        return getattr(self, f"start_{unit.kind}")(unit.channel, times)

    def check(self, unit: Unit) -> None:
        """Raise ScpiError where a unit cannot be started with its settings."""

    def initiate(self, unit: Unit) -> None:
        """Arm a unit, and start it at once where it waits for nothing."""
        self.check(unit)
        self.armed.add(unit)
        if self._source(unit) == "IMM":
            self._carry_on([(unit, np.array([self.clock.now()]))], [])

    def disarm(self, unit: Unit) -> None:
        """Let a unit wait for nothing any more."""
        self.armed.discard(unit)

    def _source(self, unit: Unit) -> str:
        return getattr(self, f"{unit.kind}_source")[unit.channel]

    # ---- firing ----------------------------------------------------------------------------------------------------

    def fire(self, source: str, times: Times) -> None:
        """Let a trigger come at some times."""
        self._carry_on([(unit, times) for unit in self._waiting(source)], [(source, times)])

    def _waiting(self, source: str) -> list[Unit]:
        return sorted(unit for unit in self.armed if self._source(unit) == source)

    def _carry_on(self, pending: list[tuple[Unit, Times]], fired: list[tuple[str, Times]]) -> None:
        """Start units and what they set off, then send the edges, then measure."""
        started: set[Unit] = set()
        sensors = []
        while pending:
            unit, times = pending.pop(0)
            if unit in started:
                continue
            started.add(unit)
            if not getattr(self, f"{unit.kind}_continuous")[unit.channel]:
                self.disarm(unit)
                times = times[:1]
            times = times + getattr(self, f"{unit.kind}_delay")[unit.channel]
            if unit.kind == "sens":
                sensors.append((unit, times))
                continue
            for number, marked in self.start(unit, times):
                fired.append((f"INT{number}", marked))
                pending += [(waiting, marked) for waiting in self._waiting(f"INT{number}")]
        for source, marked in fired:
            self._send(source, marked)
        for unit, times in sensors:
            self.start(unit, times)

    def _send(self, source: str, times: Times) -> None:
        for number, line in self.trigger_outputs.items():
            if self.output_source[number] == source:
                line.send(times + self.output_delay[number])

    def _arrived(self, source: str, times: Times) -> None:
        """Take edges at a trigger input; what they cannot start goes to the error queues."""
        with self.lock:
            try:
                self.fire(source, np.asarray(times, float))
            except ScpiError as error:
                self.report(error)

    # ---- commands --------------------------------------------------------------------------------------------------

    output_source = setting(f"OUTPut:TRIGger<1:{OUTPUTS}>:SOURce", TriggerSource("BUS", "HOLD"), reset="HOLD")
    output_width = setting(f"OUTPut:TRIGger<1:{OUTPUTS}>:WIDTh", Real(1e-6, 1.0, "s"), reset=1e-6)
    output_delay = setting(f"OUTPut:TRIGger<1:{OUTPUTS}>:DELay", Real(0, LONGEST, "s"), reset=0.0)
    output_polarity = setting(f"OUTPut:TRIGger<1:{OUTPUTS}>:POLarity", Word("NORMal", "INVerted"), reset="NORM")

    @command(f"OUTPut:TRIGger<1:{OUTPUTS}>:SIGNal")
    def _signal(self, _: Session, number: int) -> None:
        """Send one edge."""
        self.trigger_outputs[number].send(np.array([self.clock.now() + self.output_delay[number]]))

    def trigger(self, _: Session) -> None:
        """Carry out ``*TRG``: what waits for the bus starts."""
        self.fire("BUS", np.array([self.clock.now()]))

    @command("TINTernal", Integer(1, INTERNAL))
    def _fire_internal(self, _: Session, number: int) -> None:
        self.fire(f"INT{number}", np.array([self.clock.now()]))


def trigger_declarations(kind: str, node: str, marks: Iterable[str] = ()) -> dict[str, Any]:
    """Return what every unit declares below a node of the command tree.

    Parameters
    ----------
    kind : str
        Kind of the unit, with which the names begin.
    node : str
        The node: ``SOURce<1:24>:SINE``.
    marks : iterable of str
        What the unit can fire an internal trigger at: ``STARt``. No trigger is 0.
    """
    members: dict[str, Any] = {
        f"{kind}_source": channel_setting(f"{node}:TRIGger:SOURce", TriggerSource(*SOURCES), reset="IMM"),
        f"{kind}_continuous": channel_setting(f"{node}:INITiate:CONTinuous", Switch(), reset=False),
        f"{kind}_delay": channel_setting(f"{node}:DELay", Real(0, LONGEST, "s"), reset=0.0),
        f"_initiate_{kind}": _for_channels(
            f"{node}:INITiate[:IMMediate]", lambda qdac, unit: qdac.initiate(unit), kind
        ),
        f"_abort_{kind}": _for_channels(f"{node}:ABORt", lambda qdac, unit: qdac.abort(unit), kind),
    }
    for mark in marks:
        name = f"{kind}_mark_{mark.lower()}"
        members[name] = channel_setting(f"{node}:MARKer:{mark}", Integer(0, INTERNAL), reset=0)
    return members


def _for_channels(header: str, action: Callable[[Any, Unit], None], kind: str) -> Any:
    def method(self: Any, _: Session, channel: int, channels: tuple[int, ...] | None) -> None:
        for number in channels or (channel,):
            action(self, Unit(kind, number))

    return command(header, ChannelList(1, CHANNELS, optional=True))(method)


def declare(cls: type, members: dict[str, Any]) -> None:
    """Give a class, which no instrument has been made of yet, declarations that are built in a loop."""
    for name, member in members.items():
        setattr(cls, name, member)
        member.__set_name__(cls, name)
