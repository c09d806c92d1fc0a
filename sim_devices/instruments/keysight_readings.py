"""What Keysight's meters and counters have in common: a trigger system, a memory of readings, and how it is read out.

A trigger comes at once (IMMediate), with ``*TRG`` (BUS) or over a cable, and makes the instrument take the readings of
a :class:`Burst`. They are in the memory as soon as the trigger is known; the clock of the bench moves to their end.
"""

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from sim_devices.instruments.cabling import Times, TriggerLine, Values
from sim_devices.scpi import (
    EXECUTION_ERROR,
    Block,
    Boolean,
    Choice,
    Instrument,
    Integer,
    Operation,
    ScpiError,
    Session,
    command,
    query,
    setting,
)
from sim_devices.scpi.response import DataFormat
from sim_devices.scpi.syntax import Token
from twin.clock import Clock

NOT_A_READING = 9.91e37
"""Stands for a reading that was not taken."""
JITTER = 1e-9
"""A trigger that comes this much too early, s, is not missed."""
WAITING, ENOUGH_READINGS = 5, 9
"""Bits of the operation condition register."""
MEMORY_OVERFLOW = 14
"""Bit of the questionable condition register."""


@dataclass(frozen=True)
class Burst:
    """The readings that one trigger causes.

    Parameters
    ----------
    samples : int
        How many.
    delay : float
        Time from the trigger to the first, s.
    interval : float
        Time from the beginning of one to the beginning of the next, s.
    length : float
        Time that one takes, s; at most `interval`.
    measure : callable
        Takes the beginnings of readings, s, and the number of an acquisition, and returns the readings.
    """

    samples: int
    delay: float
    interval: float
    length: float
    measure: Callable[[Times, int], Values]

    @property
    def duration(self) -> float:
        """Time from the trigger to the end of the last reading, s."""
        return self.delay + (self.samples - 1) * self.interval + self.length

    def starts(self, triggers: Times, first: int) -> Times:
        """Return when the readings of all triggers begin, in order, without the first `first` of them."""
        trigger, sample = np.divmod(np.arange(first, triggers.size * self.samples), self.samples)
        return triggers[trigger] + self.delay + sample * self.interval


@dataclass(frozen=True)
class Order:
    """What an INITiate asks for: `triggers` triggers from `source`, each with the readings of `burst`."""

    source: str
    triggers: float
    burst: Burst


@dataclass(eq=False)
class Acquisition:
    """An accepted INITiate; `left` triggers are still to come, and none is taken before `ready`, s."""

    order: Order
    ready: float
    left: float
    future: "Future[None]" = field(default_factory=Future)


class Switch(Boolean):
    """ON, OFF or ONCE; the value of ONCE is that word, for a check to act on and turn into False."""

    def parse(self, token: Token, instrument: Instrument) -> Any:
        """Read ON, OFF, ONCE or a number."""
        once = isinstance(token, bytes) and token.upper() == b"ONCE"
        return "ONCE" if once else super().parse(token, instrument)


class KeysightReadings(Instrument):
    """An instrument that takes readings on triggers and keeps them in a memory.

    Settings of a measurement are refused (-221) while it waits for triggers; ABORt ends it and keeps its readings.
    Triggers that come while a reading is taken are missed. A memory that is full loses its oldest readings, which bit
    14 of QUEStionable shows until the next INITiate.

    Parameters
    ----------
    clock : twin.clock.Clock
        Clock of the bench, which readings move to their end.
    name : str
        Name of the instrument on its bench.
    identity : str
        Reply to ``*IDN?``.
    trigger : TriggerLine
        Cable at the input for external triggers.

    Attributes
    ----------
    acquisitions : int
        Number of the next acquisition, from 0 since power-on; each call of a cable is one.
    missed_triggers : int
        Edges of the last measurement that came too early.
    most_samples : int
        Class attribute: largest ``SAMPle:COUNt``.
    ascii_digits : int
        Class attribute: significant digits of a reading that is written as text.
    definite : bool
        Class attribute: whether the blocks of FETCh? and READ? say their length.
    """

    errors: ClassVar[Mapping[int, tuple[str, int]]] = {-214: ("Trigger deadlock", EXECUTION_ERROR)}
    most_samples: ClassVar[int]
    ascii_digits: ClassVar[int]
    definite: ClassVar[bool] = True

    def __init__(self, clock: Clock, name: str, identity: str, trigger: TriggerLine) -> None:
        self.clock = clock
        self.name = name
        self.acquisitions = 0
        self.missed_triggers = 0
        self._acquisition: Acquisition | None = None
        self._readings: Values = np.zeros(0)
        self._last = NOT_A_READING
        self._waiting: list[tuple[float, Future[None]]] = []
        self._cables: dict[str, TriggerLine] = {}
        super().__init__(identity)
        self.plug("EXT", trigger)

    def plug(self, source: str, cable: TriggerLine) -> None:
        """Plug a trigger cable into an input: EXT is the trigger input, others are the instrument's own."""
        self._cables[source] = cable
        cable.listen(partial(self.take_edges, source), self._take_upcoming)

    # ---- for the instruments ---------------------------------------------------------------------------------------

    def order(self) -> Order:
        """Return what an INITiate now asks for; ScpiError (-221) where the settings contradict each other."""
        raise NotImplementedError

    def memory_size(self) -> int:
        """Return how many readings the memory holds."""
        raise NotImplementedError

    def text(self, readings: Values) -> str:
        """Write readings with commas between them."""
        return ",".join([f"%+.{self.ascii_digits - 1}E"] * len(readings)) % tuple(readings.tolist())

    def unit(self) -> str:
        """Return what follows the number in the reply to ``DATA:LAST?``."""
        return ""

    def idle(self) -> None:
        """Raise -221 while a measurement waits for triggers."""
        if self._acquisition is not None:
            raise ScpiError(-221, "a measurement waits for triggers, ABORt ends it")

    def check_recall(self) -> None:
        """Refuse ``*SAV`` and ``*RCL`` while a measurement waits for triggers."""
        self.idle()

    def reset(self) -> None:
        """Take the rest of the state that ``*RST`` asks for: nothing waits, no readings."""
        self.abort()
        self._forget()

    def reset_triggers(self) -> None:
        """Take the state that CONFigure leaves: one trigger at once, one sample, no readings."""
        self.trigger_source, self.trigger_count, self.sample_count = "IMM", 1, 1
        self._forget()

    def close(self) -> None:
        """End the measurement and every session."""
        with self.lock:
            self.abort()
        super().close()

    # ---- triggers --------------------------------------------------------------------------------------------------

    sample_count = setting(
        "SAMPle:COUNt", Integer(1, lambda instrument: instrument.most_samples), reset=1, guards=("idle",)
    )
    trigger_source = setting(
        "TRIGger[:SEQuence]:SOURce", Choice("IMMediate", "EXTernal", "BUS"), reset="IMM", guards=("idle",)
    )
    trigger_count = setting(
        "TRIGger[:SEQuence]:COUNt", Integer(1, 1_000_000, also=("INFinity",)), reset=1, guards=("idle",)
    )
    trigger_slope = setting("TRIGger[:SEQuence]:SLOPe", Choice("POSitive", "NEGative"), reset="NEG", guards=("idle",))

    def triggers_wanted(self) -> float:
        """Return the number of triggers of a measurement; -221 for an endless one that nothing but time ends."""
        if self.trigger_count != "INF":
            return self.trigger_count
        if self.trigger_source == "IMM":
            raise ScpiError(-221, "immediate triggers without end are not simulated")
        return math.inf

    @command("INITiate[:IMMediate]")
    def _initiate(self, _: Session) -> Operation:
        return Operation(self._begin().future)

    def _begin(self) -> Acquisition:
        """Accept a measurement; immediate triggers, and with them the whole of it, are carried out here."""
        if self._acquisition is not None:
            raise ScpiError(-213, "a measurement waits for triggers")
        order = self.order()
        self._forget()
        self.missed_triggers = 0
        self._acquisition = acquisition = Acquisition(order, self.clock.now(), order.triggers)
        self._waiting.append((math.inf, acquisition.future))
        self.set_condition("operation", WAITING, True)
        if order.source == "IMM":
            self._measure(acquisition, acquisition.ready + order.burst.duration * np.arange(order.triggers))
        self._take_upcoming()
        self._release(self._satisfied())
        return acquisition

    def _take_upcoming(self) -> None:
        """Take as many edges as are wanted from a cable on which they come on their own."""
        with self.lock:
            while (acquisition := self._acquisition) is not None and acquisition.order.source in self._cables:
                source, wanted = acquisition.order.source, int(min(acquisition.left, self.memory_size()))
                edges = self._cables[source].upcoming(max(acquisition.ready, self.clock.now()), wanted)
                if not edges.size:
                    return
                self.take_edges(source, edges)

    def trigger(self, _: Session) -> None:
        """Give the measurement that waits its trigger; -211 where none waits for ``*TRG``."""
        acquisition = self._acquisition
        if acquisition is None or acquisition.order.source != "BUS":
            raise ScpiError(-211, "no measurement waits for *TRG")
        self._measure(acquisition, np.array([self.clock.now()]))
        self._release(self._satisfied())

    def take_edges(self, source: str, edges: Times) -> None:
        """Take the edges of a cable; called on the thread of their sender.

        Parameters
        ----------
        source : str
            Which input they arrive at: EXT for the trigger input.
        edges : ndarray
            Their times, s, in ascending order.
        """
        with self.lock:
            acquisition = self._acquisition
            if acquisition is None or acquisition.order.source != source:
                return
            triggers = self._accepted(acquisition, edges)
            if triggers.size:
                self._measure(acquisition, triggers)
            satisfied = self._satisfied()
        self._release(satisfied)

    def _accepted(self, acquisition: Acquisition, edges: Times) -> Times:
        """Return the edges that find the instrument ready."""
        accepted: list[float] = []
        for edge in edges.tolist():
            if len(accepted) == acquisition.left:
                break
            if edge < acquisition.ready - JITTER:
                self.missed_triggers += 1
                continue
            accepted.append(edge)
            acquisition.ready = edge + acquisition.order.burst.duration
        return np.array(accepted)

    def _measure(self, acquisition: Acquisition, triggers: Times) -> None:
        """Take the readings of some triggers, of those that the memory cannot hold only the last."""
        burst = acquisition.order.burst
        lost = max(0, triggers.size * burst.samples - self.memory_size())
        number = self.acquisitions
        self.acquisitions += 1
        try:
            readings = burst.measure(burst.starts(triggers, lost), number)
        except Exception:
            self.abort()
            raise
        self._keep(readings, lost)
        self.clock.sleep_until(triggers[-1] + burst.duration)
        acquisition.left -= triggers.size
        if not acquisition.left:
            self._end()

    @command("ABORt")
    def _abort(self, _: Session) -> None:
        self.abort()

    def abort(self) -> None:
        """End the measurement; its readings stay in memory, and what waits for it goes on."""
        self._end()
        self._release(self._satisfied())

    def _end(self) -> None:
        self._acquisition = None
        self.set_condition("operation", WAITING, False)

    def _satisfied(self) -> "list[Future[None]]":
        """Return what waited for as many readings as there are now, or for the end of the measurement."""
        ended = self._acquisition is None
        satisfied = [future for count, future in self._waiting if ended or count <= self._readings.size]
        self._waiting = [(count, future) for count, future in self._waiting if future not in satisfied]
        return satisfied

    @staticmethod
    def _release(futures: "list[Future[None]]") -> None:
        for future in futures:
            future.set_result(None)

    # ---- memory ----------------------------------------------------------------------------------------------------

    enough_readings = setting(
        "DATA:POINts:EVENt:THReshold", Integer(1, lambda instrument: instrument.memory_size()), reset=1
    )

    @enough_readings.changed
    def _enough_readings_changed(self, _: int) -> None:
        self._show_points()

    def _show_points(self) -> None:
        self.set_condition("operation", ENOUGH_READINGS, self._readings.size >= self.enough_readings)

    def _forget(self) -> None:
        self._readings = np.zeros(0)
        self._last = NOT_A_READING
        self.set_condition("questionable", MEMORY_OVERFLOW, False)
        self._show_points()

    def _keep(self, readings: Values, lost: int) -> None:
        """Add readings to the memory; `lost` others came before them that it cannot hold."""
        size = self.memory_size()
        if lost or self._readings.size + readings.size > size:
            self.set_condition("questionable", MEMORY_OVERFLOW, True)
        self._readings = np.concatenate((self._readings, readings))[-size:]
        self._last = float(readings[-1])
        self._show_points()

    def _take(self, count: int) -> Values:
        """Remove the oldest readings and return them."""
        taken, self._readings = self._readings[:count], self._readings[count:]
        self._show_points()
        return taken

    def _present(self) -> Values:
        """Return the readings in memory; -230 where there are none and none are to come."""
        if not self._readings.size and self._acquisition is None:
            raise ScpiError(-230, "nothing was measured")
        return self._readings

    def _block(self, session: Session, readings: Values, definite: bool) -> Block:
        data_format = session.data_format
        if data_format.name == "ASC":
            return Block(self.text(readings).encode())
        return Block(readings.astype(data_format.dtype), definite)

    def _list(self, session: Session, readings: Values) -> Any:
        if session.data_format.name == "ASC":
            return self.text(readings)
        return self._block(session, readings, self.definite)

    @query("FETCh?")
    def _fetch(self, session: Session) -> Any:
        """Return all readings once the measurement has ended; they stay in memory."""
        if self._acquisition is None:
            return self._list(session, self._present())
        return Operation(self._acquisition.future, reply=lambda: self._list(session, self._present()))

    @query("READ?", owner=True)
    def _read(self, session: Session) -> Operation:
        if self.trigger_source == "BUS":
            raise ScpiError(-214, "READ? leaves no way for *TRG")
        return self.reading(session)

    def reading(self, session: Session) -> Operation:
        """Begin a measurement whose readings are the reply."""
        return Operation(self._begin().future, reply=lambda: self._list(session, self._present()))

    @query("R?", Integer(1, lambda instrument: instrument.memory_size(), optional=True))
    def _take_block(self, session: Session, count: int | None) -> Block:
        """Return and remove the oldest readings, as many as there are of those asked for."""
        size = self._present().size
        return self._block(session, self._take(min(count or size, size)), definite=True)

    @query("DATA:REMove?", Integer(1, lambda instrument: instrument.memory_size()), Choice("WAIT", optional=True))
    def _remove(self, session: Session, count: int, wait: str | None) -> Any:
        if wait and self._acquisition is not None and self._readings.size < count:
            future: Future[None] = Future()
            self._waiting.append((count, future))
            return Operation(future, reply=lambda: self._removed(session, count))
        return self._removed(session, count)

    def _removed(self, session: Session, count: int) -> Any:
        if count > self._readings.size:
            raise ScpiError(-222, f"{self._readings.size} readings are in memory")
        return self._list(session, self._take(count))

    @query("DATA:POINts?")
    def _ask_points(self, _: Session) -> int:
        return self._readings.size

    @query("DATA:LAST?")
    def _ask_last(self, _: Session) -> str:
        return self.text(np.array([self._last])) + self.unit()

    # ---- as this maker has it --------------------------------------------------------------------------------------

    display = setting("DISPlay[:STATe]", Boolean(), reset=True)

    @query("SYSTem:ERRor[:NEXT]?")
    def _common_next_error(self, session: Session) -> str:
        number, text = session.errors.pop()
        return f'{number:+d},"{text}"'

    @command("FORMat[:DATA]", Choice("ASCii", "REAL"), Integer(0, 64, optional=True), owner=False)
    def _common_set_format(self, session: Session, kind: str, length: int | None) -> None:
        lengths = {"ASC": (self.ascii_digits,), "REAL": (64, 32)}[kind]
        if length is not None and length not in lengths:
            raise ScpiError(-224, f"{kind},{length} is not {kind} with {' or '.join(map(str, lengths))}")
        name = "ASC" if kind == "ASC" else f"REAL,{length or lengths[0]}"
        session.data_format = DataFormat(name, session.data_format.swapped)

    @query("FORMat[:DATA]?")
    def _common_format(self, session: Session) -> str:
        name = session.data_format.name
        return f"ASC,{self.ascii_digits}" if name == "ASC" else name
