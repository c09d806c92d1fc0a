"""The instrument: its language, its settings, its lock and its overlapped operations."""

import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, ClassVar

from sim_devices.scpi.common import CommonCommands
from sim_devices.scpi.declarations import Declaration, setting
from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.execution import Execution
from sim_devices.scpi.operation import Operation
from sim_devices.scpi.program import Action, Unit, compile_message
from sim_devices.scpi.session import Session
from sim_devices.scpi.status import ERROR_QUEUE_SUMMARY, OPERATION_SUMMARY, QUESTIONABLE_SUMMARY
from sim_devices.scpi.tree import HeaderTree

PROGRAM_CACHE = 1024
"""Number of messages whose units are remembered."""
PROGRAM_CACHE_LENGTH = 128
"""Longest message in bytes whose units are remembered."""

LOCKED_BIT = 11
"""Bit of ``STATus:OPERation`` that says that another session holds the lock."""


class Language:
    """The declarations of a class of instruments and what its messages mean.

    Parameters
    ----------
    kind : type
        A subclass of :class:`Instrument`.

    Raises
    ------
    TypeError
        If two declarations of one class claim the same header, or a member hides an inherited declaration; None
        removes one.
    """

    def __init__(self, kind: type) -> None:
        self.declarations: dict[str, Declaration] = {}
        for base in reversed(kind.__mro__):
            self._collect(base)
        self.settings = [item for item in self.declarations.values() if isinstance(item, setting)]
        self.tree: HeaderTree[Action] = HeaderTree()
        for declaration in self.declarations.values():
            for query, action in declaration.actions().items():
                self.tree.insert(declaration.parts, action, query=query)
        self.programs: dict[bytes, tuple[Unit, ...]] = {}

    def _collect(self, base: type) -> None:
        claimed: dict[tuple[str, bool], str] = {}
        for name, member in vars(base).items():
            inherited = self.declarations.pop(name, None)
            if not isinstance(member, Declaration):
                if inherited is not None and member is not None:
                    raise TypeError(f"{base.__name__}.{name} hides the declaration of {inherited.header}")
                continue
            for query in member.actions():
                other = claimed.setdefault((member.header.upper(), query), name)
                if other != name:
                    raise TypeError(f"{base.__name__}: {other} and {name} both declare {member.header}")
            self.declarations[name] = member

    def compile(self, message: bytes) -> tuple[Unit, ...]:
        """Return the units of a message."""
        program = compile_message(message, self.tree)
        if len(message) <= PROGRAM_CACHE_LENGTH and b"#" not in message:
            if len(self.programs) >= PROGRAM_CACHE:
                self.programs.clear()
            self.programs[message] = program
        return program


class Instrument(CommonCommands):
    """An instrument that understands IEEE 488.2 and SCPI; a subclass declares what else it understands.

    Parameters
    ----------
    identity : str
        Reply to ``*IDN?``: maker, model, serial number, firmware.

    Attributes
    ----------
    identity : str
        Reply to ``*IDN?``.
    lock : threading.RLock
        Held while a message is carried out; a thread that changes the instrument's state holds it as well.
    sessions : list of Session
        The open sessions.
    heard : float
        When somebody who may drive the instrument last said anything, s of `time.monotonic`.
    owner : Session or None
        The session that holds ``SYSTem:LOCK``.
    settings : dict
        Values of the settings by name of the attribute.
    conditions : dict of str to int
        The condition registers ``"operation"`` and ``"questionable"``; see :meth:`set_condition`.
    execution : Execution
        The messages that are carried out and the operations that they have begun.
    errors : mapping of int to tuple
        Class attribute: the instrument's own error numbers, with their text and their bit in the standard event status
        register.
    formats : tuple of str
        Class attribute: what ``FORMat`` may be.
    options, scpi_version : str
        Class attributes: replies to ``*OPT?`` and ``SYSTem:VERSion?``.
    language : Language
        Class attribute: the declarations of the class, compiled.
    """

    errors: ClassVar[Mapping[int, tuple[str, int]]] = {}
    formats: ClassVar[tuple[str, ...]] = ("ASC", "INT,16", "REAL,32", "REAL,64")
    options: ClassVar[str] = "0"
    scpi_version: ClassVar[str] = "1999.0"
    language: ClassVar[Language]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.language = Language(cls)

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.lock = threading.RLock()
        self.sessions: list[Session] = []
        self.heard = monotonic()
        self.owner: Session | None = None
        self.settings: dict[str, Any] = {}
        self.memories: dict[int, tuple[dict[str, Any], Any]] = {}
        self.conditions = {"operation": 0, "questionable": 0}
        self.execution = Execution(self.lock, self.sessions)
        self.reset_settings()

    # ---- for subclasses --------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Take the rest of the state that ``*RST`` asks for; the settings have their reset values already."""

    def self_test(self) -> int | Operation:
        """Return the result of ``*TST?``: 0, or the number of the first test that failed."""
        return 0

    def trigger(self, session: Session) -> Operation | None:  # noqa: ARG002 -- for subclasses
        """Carry out ``*TRG``.

        Raises
        ------
        ScpiError
            -211 if the instrument does not wait for a trigger.
        """
        raise ScpiError(-211, "the instrument does not wait for a trigger")

    def check_recall(self) -> None:
        """Raise ScpiError where ``*SAV`` and ``*RCL`` are refused now."""

    def save_state(self) -> Any:
        """Return what ``*SAV`` keeps beside the settings; it must not change afterwards."""

    def recall_state(self, state: Any) -> None:
        """Take what :meth:`save_state` returned; the settings have been taken already."""

    def summary_bits(self, session: Session) -> int:
        """Return the bits of a session's status byte beside 4 to 6, which IEEE 488.2 leaves to the instrument."""
        return (
            (ERROR_QUEUE_SUMMARY if session.errors else 0)
            | (QUESTIONABLE_SUMMARY if session.questionable.summary else 0)
            | (OPERATION_SUMMARY if session.operation.summary else 0)
        )

    def response_message(self, replies: Sequence[bytes]) -> bytes:
        """Return the replies to one message as they travel."""
        return b";".join(replies) + b"\n"

    def warm_up(self) -> None:
        """Do what would make the first measurement slow; called once, on a thread of the bench."""

    # ---- for the bench ---------------------------------------------------------------------------------------------

    def open_session(self, name: str, on_output: Callable[[], None] | None = None) -> Session:
        """Begin a conversation.

        Parameters
        ----------
        name : str
            Who the client is: ``"host:port"``.
        on_output : callable, optional
            See :class:`Session`.
        """
        with self.lock:
            session = Session(self, name, on_output)
            session.operation.set_condition(LOCKED_BIT, self.owner is not None)
            session.operation.event = 0
            self.sessions.append(session)
            return session

    def hear(self, session: Session) -> None:
        """Note that a session says something; those that another's lock keeps from driving do not count."""
        if self.owner is session or self.owner is None:
            self.heard = monotonic()

    def close_session(self, session: Session) -> None:
        """Forget a session and release its lock; :meth:`Session.close` calls this."""
        with self.lock:
            if session in self.sessions:
                self.sessions.remove(session)
            self.execution.forget(session)
            if self.owner is session:
                self.set_owner(None)

    def close(self) -> None:
        """Close all sessions."""
        for session in tuple(self.sessions):
            session.close()

    # ---- state -----------------------------------------------------------------------------------------------------

    def set_condition(self, register: str, bit: int, value: bool) -> None:
        """Set a bit of a condition register, for every session.

        Parameters
        ----------
        register : str
            ``"operation"`` or ``"questionable"``.
        bit : int
            Number of the bit, 0 to 14.
        value : bool
            Its new value.
        """
        with self.lock:
            mask = 1 << bit
            self.conditions[register] = self.conditions[register] & ~mask | (mask if value else 0)
            for session in self.sessions:
                getattr(session, register).set_condition(bit, value)

    def set_owner(self, session: Session | None) -> None:
        """Give the lock to a session, or release it; the others see bit 11 of ``STATus:OPERation``."""
        self.owner = session
        for other in self.sessions:
            other.operation.set_condition(LOCKED_BIT, session is not None and other is not session)

    def report(self, error: ScpiError) -> None:
        """Queue an error that no command caused, in every session."""
        with self.lock:
            for session in self.sessions:
                session.report(error)

    def reset_settings(self) -> None:
        """Give every setting its reset value, in the order of their declaration."""
        for item in self.language.settings:
            self.settings[item.name] = item.reset_value(self)

    @property
    def declarations(self) -> dict[str, Declaration]:
        """The declarations of the instrument's language by name."""
        return self.language.declarations

    # ---- carrying out messages -------------------------------------------------------------------------------------

    def compile(self, message: bytes) -> tuple[Unit, ...]:
        """Return the units of a complete message."""
        return self.language.compile(message)

    def known_program(self, message: bytes) -> tuple[Unit, ...] | None:
        """Return the units of a message that has been compiled before, else None."""
        return self.language.programs.get(message) if type(message) is bytes else None

    def begin(self, operation: Operation, session: Session) -> None:
        """Make an overlapped operation pending until it is done; a session learns of its failure."""
        with self.lock:
            self.execution.begin(operation, session)

    @property
    def pending(self) -> bool:
        """Whether an overlapped operation is not complete."""
        return bool(self.execution.pending)


Instrument.language = Language(Instrument)  # what __init_subclass__ does for the others
