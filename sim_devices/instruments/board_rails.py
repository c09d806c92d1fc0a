"""The analog side of the thermodynamic board: rails, interlock, protection, and the time they take to settle."""

import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import ClassVar

from sim_devices.instruments.board_errors import BOARD_ERRORS
from sim_devices.scpi import (
    Boolean,
    ChannelList,
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
from twin.clock import Clock, FlowingClock
from twin.models.thermodynamic_board import ThermodynamicBoard as BoardModel

IDENTITY = "Szilard,TB256,SN0001,1.0"
AMBIENT = 20.0
"""Temperature of the board, degrees Celsius."""
HEARING = 0.01
"""Time after the end of a silence at which it is noticed, s."""
RAIL_SETTLING = 1e-3
"""Time from switching the rails until they are stable, s."""
POWER_ON = datetime(2025, 1, 1, tzinfo=UTC)
"""What the calendar of the board shows at time 0 of its clock, so that equal benches answer equally."""

SETTLING, SWEEPING, MEASURING, WAITING, COMMITTING, CAPTURING, DATA_READY, MODEL_LIVE = 1, 3, 4, 5, 8, 9, 10, 12
"""Bits of the operation condition register."""
TOO_HOT, SATURATED, INTERLOCK_OPEN = 4, 9, 12
"""Bits of the questionable condition register."""


class BoardRails(Instrument):
    """Outputs, interlock, protection and the calendar of the board.

    Parameters
    ----------
    model : twin.models.thermodynamic_board.ThermodynamicBoard
        The physics.
    clock : twin.clock.Clock
        Clock of the bench.
    worker : concurrent.futures.Executor
        The bench's single worker thread: overlapped operations take their turns on it, in the order they were given.
    name : str
        Name of the board on its bench.
    identity : str
        What it answers to ``*IDN?``.
    """

    errors: ClassVar[Mapping[int, tuple[str, int]]] = BOARD_ERRORS

    def __init__(
        self, model: BoardModel, clock: Clock, worker: Executor, name: str = "board", identity: str = IDENTITY
    ) -> None:
        self.model = model
        self.clock = clock
        self.worker = worker
        self.name = name
        self.outputs_on = False
        self.tripped = False
        self.temperature = AMBIENT
        self._silence: threading.Timer | None = None
        self._contacts: set[str] = set()
        self._latched: set[str] = set()
        self._busy: Counter[int] = Counter()
        self._calendar_offset = timedelta()
        self._ended = clock.now()
        super().__init__(identity)

    def idle(self) -> None:
        """Raise -221 while a run is active."""
        raise NotImplementedError

    def abort(self) -> None:
        """End an active run; nothing of it is kept."""
        raise NotImplementedError

    # ---- overlapped settling ---------------------------------------------------------------------------------------

    def settle(self, seconds: float, *bits: int) -> Operation:
        """Let the analog side settle for `seconds` of board time; `bits` of OPERation are up meanwhile."""
        for bit in bits:
            self._occupy(bit, 1)
        return Operation(self.worker.submit(self._settled, self.clock.now(), seconds, bits))

    def begins(self, asked: float) -> float:
        """Return when what was asked for at a time begins, s: when the board has ended what it did before."""
        return max(asked, self._ended)

    def ends(self, begun: float, seconds: float) -> None:
        """Let the clock pass the end of what began at a time; what another board does meanwhile takes no time more."""
        self._ended = begun + seconds
        self.clock.sleep_until(self._ended)

    def _settled(self, asked: float, seconds: float, bits: tuple[int, ...]) -> None:
        self.ends(self.begins(asked), seconds)
        with self.lock:
            for bit in bits:
                self._occupy(bit, -1)

    def _occupy(self, bit: int, change: int) -> None:
        self._busy[bit] += change
        self.set_condition("operation", bit, self._busy[bit] > 0)

    # ---- outputs ---------------------------------------------------------------------------------------------------

    temperature_limit = setting("OUTPut:PROTection:TEMPerature", Real(20, 85, "CEL"), reset=70.0)
    saturation_limit = setting("OUTPut:PROTection:SATuration", Real(0, 1), reset=0.01)

    @command("OUTPut[:STATe]", Boolean())
    def _set_output(self, _: Session, on: bool) -> Operation:
        """Switch the analog rails; switching them off ends a run and the noise."""
        if on:
            self.require_safe()
            self.outputs_on = True
            self._await_word()
        else:
            self.outputs_off()
        return self.settle(RAIL_SETTLING, SETTLING)

    @query("OUTPut[:STATe]?")
    def _ask_output(self, _: Session) -> bool:
        return self.outputs_on

    @query("OUTPut:PROTection:STATe?")
    def _ask_protection(self, _: Session) -> bool:
        return self.tripped

    @command("OUTPut:PROTection:CLEar")
    def _clear_protection(self, _: Session) -> None:
        if self.temperature > self.temperature_limit:
            raise ScpiError(103, f"{self.temperature:g} Cel, limit {self.temperature_limit:g} Cel")
        self.tripped = False
        self.set_condition("questionable", TOO_HOT, False)

    @temperature_limit.changed
    def _temperature_limit_changed(self, _: float) -> None:
        self._guard_temperature()

    def outputs_off(self) -> None:
        """Switch the rails off: the safe state."""
        self.abort()
        self.outputs_on = False
        self._await_word()

    def require_safe(self) -> None:
        """Raise 101 or 104 unless interlock and protection allow the rails."""
        if self.interlock_open:
            raise ScpiError(101, ",".join(self._open_contacts()))
        if self.tripped:
            raise ScpiError(104, "OUTPut:PROTection:CLEar")

    def require_rails(self) -> None:
        """Raise 101, 104, or -221 unless the rails are on."""
        self.require_safe()
        if not self.outputs_on:
            raise ScpiError(-221, "the outputs are off, OUTPut ON comes first")

    def set_temperature(self, celsius: float) -> None:
        """Heat or cool the board; above the limit the protection trips: outputs off, error 103."""
        with self.lock:
            self.temperature = celsius
            self._guard_temperature()

    def _guard_temperature(self) -> None:
        if self.temperature > self.temperature_limit and not self.tripped:
            self.tripped = True
            self.set_condition("questionable", TOO_HOT, True)
            self.report(ScpiError(103, f"{self.temperature:g} Cel"))
            self.outputs_off()

    # ---- silence ---------------------------------------------------------------------------------------------------

    communication_timeout = setting("SYSTem:COMMunicate:TIMeout", Real(1, 3600, "S"), reset=60.0)

    @communication_timeout.changed
    def _communication_timeout_changed(self, _: float) -> None:
        self._await_word()

    def _await_word(self) -> None:
        """Look whether anybody still says anything, when the time for it is over; clients of a clock that stands wait.

        They share a process with the board, so they cannot die without it.
        """
        if self._silence is not None:
            self._silence.cancel()
        self._silence = None
        if self.outputs_on and isinstance(self.clock, FlowingClock):
            remaining = self.heard + self.communication_timeout - monotonic()
            self._silence = threading.Timer(max(remaining, 0.0) + HEARING, self._look_for_word)
            self._silence.daemon = True
            self._silence.start()

    def _look_for_word(self) -> None:
        with self.lock:
            if self.outputs_on and monotonic() - self.heard >= self.communication_timeout:
                self.report(ScpiError(-365, f"silence for {self.communication_timeout:g} s, outputs off"))
                self.outputs_off()
            self._await_word()

    # ---- interlock -------------------------------------------------------------------------------------------------

    interlock_latch = setting("INTerlock:LATCh", Boolean(), reset=True)

    @property
    def interlock_open(self) -> bool:
        """Whether a contact is open, or was and is latched."""
        return bool(self._contacts or self._latched)

    def open_interlock(self, contact: str = "LID") -> None:
        """Open a contact of the interlock: outputs off, error 101, latched if so set.

        Parameters
        ----------
        contact : str
            LID, TEMP or RAIL.
        """
        with self.lock:
            self._contacts.add(contact)
            if self.interlock_latch:
                self._latched.add(contact)
            self.set_condition("questionable", INTERLOCK_OPEN, True)
            self.report(ScpiError(101, contact))
            self.outputs_off()

    def close_interlock(self, contact: str = "LID") -> None:
        """Close a contact; a latched interlock stays open until INTerlock:CLEar."""
        with self.lock:
            self._contacts.discard(contact)
            self.set_condition("questionable", INTERLOCK_OPEN, self.interlock_open)

    @query("INTerlock[:STATe]?")
    def _ask_interlock(self, _: Session) -> bool:
        return not self.interlock_open

    @query("INTerlock:SOURce?")
    def _ask_interlock_source(self, _: Session) -> Quoted:
        return Quoted(",".join(self._open_contacts()))

    @command("INTerlock:CLEar")
    def _clear_interlock(self, _: Session) -> None:
        if self._contacts:
            raise ScpiError(101, ",".join(sorted(self._contacts)))
        self._latched.clear()
        self.set_condition("questionable", INTERLOCK_OPEN, False)

    def _open_contacts(self) -> list[str]:
        return sorted(self._contacts | self._latched)

    # ---- temperature and calendar ----------------------------------------------------------------------------------

    @query("SYSTem:TEMPerature?", ChannelList(1, lambda board: board.model.cells, optional=True))
    def _ask_temperature(self, _: Session, cells: tuple[int, ...] | None) -> tuple[float, ...]:
        return (self.temperature,) * len(cells or (1,))

    @query("SYSTem:UPTime?")
    def _ask_uptime(self, _: Session) -> int:
        return int(self.clock.now())

    @property
    def calendar(self) -> datetime:
        """Date and time that the board shows; it runs with the clock of the bench."""
        return POWER_ON + self._calendar_offset + timedelta(seconds=self.clock.now())

    @query("SYSTem:DATE?")
    def _ask_date(self, _: Session) -> tuple[int, int, int]:
        now = self.calendar
        return now.year, now.month, now.day

    @command("SYSTem:DATE", Integer(2000, 2099), Integer(1, 12), Integer(1, 31))
    def _set_date(self, _: Session, year: int, month: int, day: int) -> None:
        try:
            wanted = date(year, month, day)
        except ValueError:
            raise ScpiError(-222, f"month {month} of {year} has no day {day}") from None
        self._calendar_offset += wanted - self.calendar.date()

    @query("SYSTem:TIME?")
    def _ask_time(self, _: Session) -> tuple[int, int, int]:
        now = self.calendar
        return now.hour, now.minute, now.second

    @command("SYSTem:TIME", Integer(0, 23), Integer(0, 59), Integer(0, 59))
    def _set_time(self, _: Session, hour: int, minute: int, second: int) -> None:
        now = self.calendar
        self._calendar_offset += now.replace(hour=hour, minute=minute, second=second, microsecond=0) - now
