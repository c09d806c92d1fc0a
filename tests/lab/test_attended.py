import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.preprocessors import finalize_wrapper
from bluesky.utils import Msg

from lab.attended import attend, terminable
from lab.outcome import Outcome


class Output:
    """Something that a plan turns on and must turn off."""

    name = "output"
    parent = None

    def __init__(self) -> None:
        self.on = False


@pytest.fixture
def engine():
    return RunEngine({}, context_managers=[])


@pytest.fixture
def said():
    return []


def stepping(
    output: Output, steps: int, at: dict[int, Callable[[], None]], done: list[int], *, close: int = 0
) -> Generator[Msg, Any, dict[str, Any]]:
    """Take steps with a checkpoint each; call something at some of them."""

    def body() -> Generator[Msg, Any, None]:
        yield Msg("open_run", plan_name="stepping")
        for step in range(steps):
            yield Msg("checkpoint")
            output.on = True
            done.append(step)
            at.get(step, lambda: None)()
            yield Msg("sleep", None, 0.02)
        yield Msg("close_run")

    def off() -> Generator[Msg, Any, None]:
        yield Msg("sleep", None, 0.1 if close else 0.0)
        for _ in range(close):
            os.kill(os.getpid(), signal.SIGINT)
            yield Msg("sleep", None, 0.1)
        output.on = False

    yield from finalize_wrapper(body(), off())
    return {"steps": steps}


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def run(engine: RunEngine, said: list[str], at: dict[int, Callable[[], None]], *, steps: int = 30, **extra: Any):
    output, done = Output(), []
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    outcome = attend(engine, "stepping", stepping(output, steps, at, done, **extra), say=said.append)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert engine.state == "idle"
    assert not output.on
    return outcome, done


def test_a_run_that_ends_hands_over_what_the_plan_returned(engine, said):
    outcome, done = run(engine, said, {}, steps=3)
    assert outcome.exit_status == "success"
    assert outcome.result == {"steps": 3}
    assert outcome.run
    assert outcome.error is None
    assert done == [0, 1, 2]
    assert said == []


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_that_the_system_hands_to_another_thread_aborts_too(engine, said):
    outcome, done = run(engine, said, {2: lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)})
    assert outcome.exit_status == "abort"
    assert done[-1] < 6


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_that_another_thread_gets_aborts_too_while_the_operator_is_asked(engine, said, monkeypatch):
    reading, writing = os.pipe()
    asked = threading.Event()

    def kill_elsewhere():
        asked.wait(20)
        threading.Event().wait(0.3)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    def say(line):
        said.append(line)
        if "Enter goes on" in line:
            asked.set()

    killer = threading.Thread(target=kill_elsewhere)
    with terminable(), os.fdopen(reading) as prompt:
        monkeypatch.setattr(sys, "stdin", prompt)
        output, done = Output(), []
        killer.start()
        outcome = attend(engine, "stepping", stepping(output, 30, {2: interrupt}, done), say=say)
    killer.join()
    os.close(writing)
    assert outcome.exit_status == "abort"
    assert not output.on


def test_signals_that_others_handle_ask_for_nothing(engine, said):
    former = signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    outcome, _ = run(engine, said, {2: lambda: os.kill(os.getpid(), signal.SIGUSR1)}, steps=4)
    signal.signal(signal.SIGUSR1, former)
    assert outcome.exit_status == "success"
    assert said == []


def test_ctrl_c_pauses_at_a_checkpoint_and_enter_goes_on(engine, said, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    outcome, done = run(engine, said, {2: interrupt}, steps=6)
    assert outcome.exit_status == "success"
    assert done == [0, 1, 2, 3, 4, 5]
    assert "Ctrl-C again aborts" in said[0]
    assert "Enter goes on" in said[1]


def test_ctrl_c_aborts_at_the_checkpoint_when_nobody_can_answer(engine, said, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    outcome, done = run(engine, said, {2: interrupt})
    assert outcome.exit_status == "abort"
    assert done[-1] < 6
    assert outcome.run


@pytest.mark.parametrize("stdin", [None, "closed"])
def test_a_missing_or_closed_standard_input_aborts(engine, said, monkeypatch, stdin):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdin", closed if stdin else None)
    outcome, _ = run(engine, said, {2: interrupt})
    assert outcome.exit_status == "abort"


def test_ctrl_c_while_asked_aborts(engine, said, monkeypatch):
    class Interrupted(io.StringIO):
        def readline(self, *_: object) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    outcome, _ = run(engine, said, {2: interrupt})
    assert outcome.exit_status == "abort"


def test_ctrl_c_twice_aborts_without_waiting_for_a_checkpoint(engine, said):
    def body() -> Generator[Msg, Any, None]:
        yield Msg("open_run")
        threading.Timer(0.1, interrupt).start()
        threading.Timer(0.3, interrupt).start()
        yield Msg("sleep", None, 20)
        yield Msg("close_run")

    outcome = attend(engine, "sleeping", body(), say=said.append)
    assert outcome.exit_status == "abort"
    assert outcome.seconds < 5


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize("end", [terminate, hang_up])
def test_what_ends_a_program_aborts_at_once(engine, said, end):
    outcome, done = run(engine, said, {2: end})
    assert outcome.exit_status == "abort"
    assert done[-1] < 5


def test_a_run_under_nohup_outlives_its_terminal(engine, said):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        outcome, done = run(engine, said, {2: hang_up}, steps=4)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert outcome.exit_status == "success"
    assert done == [0, 1, 2, 3]


@pytest.mark.parametrize("first", [interrupt, terminate])
def test_nothing_interrupts_the_cleanup_of_an_abort(engine, said, monkeypatch, first):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    outcome, _ = run(engine, said, {2: first}, close=3)
    assert outcome.exit_status == "abort"
    assert any("already aborting" in line for line in said)


def test_an_error_of_the_plan_is_its_outcome(engine, said):
    def failing() -> Generator[Msg, Any, None]:
        yield Msg("open_run")
        raise RuntimeError("the board is gone")

    outcome = attend(engine, "failing", failing(), say=said.append)
    assert outcome.exit_status == "fail"
    assert outcome.run
    assert str(outcome.error) == "the board is gone"


def test_an_error_before_the_run_leaves_no_run(engine, said):
    def refusing() -> Generator[Msg, Any, None]:
        yield Msg("null")
        raise ValueError("shots must be positive")

    outcome = attend(engine, "refusing", refusing(), say=said.append)
    assert outcome == Outcome("refusing", error=outcome.error, seconds=outcome.seconds)
    assert isinstance(outcome.error, ValueError)


def test_an_abort_before_the_run_is_an_abort(engine, said):
    def waiting() -> Generator[Msg, Any, None]:
        terminate()
        yield Msg("sleep", None, 20)

    outcome = attend(engine, "waiting", waiting(), say=said.append)
    assert outcome.exit_status == "abort"
    assert outcome.run is None


def test_the_display_is_off_while_the_operator_is_asked(engine, said, monkeypatch):
    states: list[bool] = []

    class Display:
        on = False

        def __enter__(self) -> None:
            Display.on = True

        def __exit__(self, *_: object) -> None:
            Display.on = False

    class Answer(io.StringIO):
        def readline(self, *_: object) -> str:
            states.append(Display.on)
            return "\n"

    monkeypatch.setattr(sys, "stdin", Answer())
    plan = stepping(
        Output(), 5, {1: lambda: states.append(Display.on), 2: interrupt, 4: lambda: states.append(Display.on)}, []
    )
    attend(engine, "stepping", plan, say=said.append, watch=Display)
    assert states == [True, False, True]
