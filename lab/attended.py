"""One run under the eyes of an operator: Ctrl-C pauses or aborts, a kill aborts, data and outputs stay safe."""

import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from types import FrameType
from typing import Any, Self

from bluesky import RunEngine
from bluesky.utils import Msg, RunEngineInterrupted, TransitionError

from lab.outcome import Outcome

Say = Callable[[str], None]

LOOK = 0.2
"""Seconds between two looks at whether there was a signal."""
ENDS = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""Signals by which a system, or the closing of a terminal, ends a program."""


class Interrupts:
    """Turn signals into requests to a run engine while the main thread waits for it.

    The first Ctrl-C asks for a pause at the next checkpoint, the second aborts; SIGTERM and SIGHUP abort. An abort is
    asked for once only, so that nothing interrupts the cleanup of a plan. A thread of its own hears of the signals and
    makes the requests: the main thread may hold a lock of the engine, and does not wake up for a signal that the system
    hands to another thread, as it does after a stop by Ctrl-Z.

    Parameters
    ----------
    engine : bluesky.RunEngine
        An engine that does not handle Ctrl-C itself.
    say : callable
        Tells the operator a line.
    aborting : bool
        Whether an abort is under way already.
    """

    def __init__(self, engine: RunEngine, say: Say, *, aborting: bool = False) -> None:
        self._engine = engine
        self._say = say
        self._pausing = False
        self._aborting = aborting
        self._contexts = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._contexts.enter_context(_hearing(self._hear))
        self._contexts.enter_context(_handling(_let_go))
        return self

    def __exit__(self, *_: object) -> None:
        self._contexts.close()

    def _hear(self, number: int) -> None:
        """Make the request that a signal stands for."""
        with contextlib.suppress(TransitionError, RuntimeError):
            self._obey(self._request(number))

    def _request(self, number: int) -> str:
        if self._aborting:
            return "aborting"
        if number in ENDS or self._pausing:
            self._aborting = True
            return "abort"
        self._pausing = True
        return "pause"

    def _obey(self, request: str) -> None:
        if request == "pause":
            self._say("pausing at the next checkpoint; Ctrl-C again aborts now")
            try:
                self._engine.request_pause(defer=True)
            except TransitionError:
                self._say("the plan waits already, and cannot pause meanwhile")
        elif request == "abort":
            self._say("aborting: outputs are made safe, the data are kept")
            self._engine.abort("stopped by the operator")
        else:
            self._say("already aborting; wait until the outputs are safe")


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let the signals that end a program interrupt it as Ctrl-C does, so that whatever is open is closed."""
    with _handling(signal.default_int_handler):
        yield


def wait_for_interrupt() -> None:
    """Wait until a signal ends the program, within `terminable`."""
    never = threading.Event()
    with contextlib.suppress(KeyboardInterrupt):
        while not never.wait(LOOK):  # without an end the wait would go on if another thread received the signal
            pass


def ignore_ends() -> None:
    """Let nothing interrupt what closes, until the enclosing `terminable` is left."""
    for number in (signal.SIGINT, *ENDS):
        signal.signal(number, signal.SIG_IGN)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _let_go(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by nothing: it is heard, or has broken a call off."""


@contextlib.contextmanager
def _hearing(hear: Callable[[int], None]) -> Iterator[None]:
    """Let a thread of its own hear of the signals that pause or end a program, whichever thread they are handed to."""
    if not _in_main_thread():
        yield
        return
    heard, ear = socket.socketpair()

    def listen() -> None:
        while number := heard.recv(1):
            if number[0] in (signal.SIGINT, *ENDS):
                hear(number[0])

    thread = threading.Thread(target=listen, name="signals", daemon=True)
    ear.setblocking(False)
    former = signal.set_wakeup_fd(ear.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        ear.close()
        thread.join()
        heard.close()


@contextlib.contextmanager
def _wakeful() -> Iterator[None]:
    """Break off what the main thread waits in when a signal comes to any thread, so that it is handled."""
    if not _in_main_thread() or not hasattr(signal, "pthread_kill"):
        yield
        return
    main, former = threading.get_ident(), signal.signal(signal.SIGURG, _let_go)
    try:
        with _hearing(lambda _number: signal.pthread_kill(main, signal.SIGURG)):
            yield
    finally:
        signal.signal(signal.SIGURG, former)


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handle signals where Python lets us: in the main thread. What `nohup` ignores stays ignored."""
    if not _in_main_thread():
        yield
        return
    ends = [number for number in ENDS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, *ends)}
    try:
        yield
    finally:
        for number, former in previous.items():
            signal.signal(number, former)


def attend(
    engine: RunEngine,
    name: str,
    plan: Generator[Msg, Any, Any],
    *,
    say: Say,
    watch: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
) -> Outcome:
    """Run a plan to its end, through pauses and aborts.

    Parameters
    ----------
    engine : bluesky.RunEngine
        An idle engine.
    name : str
        Name of the plan.
    plan : generator of bluesky.Msg
        The plan.
    say : callable
        Tells the operator a line.
    watch : callable
        Makes a context in which the display is on; it is off while the operator is asked.

    Returns
    -------
    Outcome
        An exception of the plan is handed over in it, not raised.
    """
    outcome = Outcome(plan=name)

    def note(document_name: str, document: Mapping[str, Any]) -> None:
        if document_name == "start":
            outcome.run = outcome.run or document["uid"]
        elif document_name == "stop":
            outcome.exit_status = document["exit_status"]

    def returning() -> Generator[Msg, Any, None]:
        outcome.result = (yield from plan) or {}
        outcome.exit_status = "success"

    started = time.monotonic()
    token = engine.subscribe(note)
    try:
        if not _drive(engine, returning(), say, watch):
            outcome.exit_status = "abort"
    except Exception as error:  # noqa: BLE001 - an error of any plan or device is the outcome of the run
        outcome.error = error
        outcome.exit_status = "fail"
    finally:
        engine.unsubscribe(token)
        outcome.seconds = time.monotonic() - started
    return outcome


def _drive(engine: RunEngine, plan: Generator[Msg, Any, None], say: Say, watch: Callable[[], Any]) -> bool:
    step: Callable[[], Any] = partial(engine, plan)
    try:
        while True:
            try:
                with watch(), Interrupts(engine, say):
                    step()
                return True
            except RunEngineInterrupted:
                if engine.state != "paused":
                    return False
            if not _goes_on(say):
                break
            step = engine.resume
    except KeyboardInterrupt:
        pass
    with Interrupts(engine, say, aborting=True), contextlib.suppress(TransitionError):
        say("aborting: outputs are made safe, the data are kept")
        engine.abort("stopped by the operator")
    return False


def _goes_on(say: Say) -> bool:
    say("paused; Enter goes on, Ctrl-C aborts")
    try:
        with _wakeful():
            return bool(sys.stdin and sys.stdin.readline())
    except (OSError, ValueError):
        return False
