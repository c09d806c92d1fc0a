import io
from typing import Any

import pytest
from bluesky.utils import FailedStatus
from rich.console import Console

from lab import terminal
from lab.terminal import LearningTable, RunDisplay, explain, print_result, print_table, say


def descriptor(stream: str, fields: list[str], **keys: dict[str, Any]) -> dict[str, Any]:
    return {"uid": f"d-{stream}", "name": stream, "data_keys": keys, "hints": {stream: {"fields": fields}}}


NUMBER = {"shape": [], "dtype": "number"}
LEARNING = descriptor(
    "learning",
    ["epoch", "loss", "board_seconds", "label", "parameters"],
    epoch={"shape": [], "dtype": "integer"},
    loss=NUMBER,
    board_seconds=NUMBER | {"units": "s"},
    label={"shape": [], "dtype": "string"},
    parameters={"shape": [3], "dtype": "array"},
    hidden=NUMBER,
)
EPOCHS = descriptor("epochs", ["epoch", "test_accuracy"], epoch={"shape": [], "dtype": "integer"}, test_accuracy=NUMBER)


def event(number: int, stream: str = "learning", **data: Any) -> dict[str, Any]:
    return {"descriptor": f"d-{stream}", "seq_num": number, "data": data}


def shown(renderable: Any) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_columns_are_the_scalar_hinted_fields_with_units():
    table = LearningTable()
    table.describe(LEARNING)
    table.add(event(1, epoch=1, loss=0.5, board_seconds=2.0, label="a", parameters=[1, 2, 3], hidden=7.0))
    assert table.units == {"epoch": "", "loss": "", "board_seconds": "s"}
    assert table.last_line() == "epoch 1  loss 0.5  board_seconds 2 s"
    assert "board seconds (s)" in shown(table)


def test_an_epoch_is_one_row_that_both_streams_fill():
    table = LearningTable()
    table.describe(LEARNING)
    table.describe(EPOCHS)
    for step in range(1, 7):
        table.add(event(step, epoch=1 + step // 4, loss=1 / step, board_seconds=0.1))
    table.add(event(1, "epochs", epoch=2, test_accuracy=0.75))
    assert list(table.rows) == [1, 2]
    assert table.rows[2]["test_accuracy"] == 0.75
    assert table.rows[2]["loss"] == pytest.approx(1 / 6)


def test_the_table_stays_short_and_ignores_other_streams():
    table = LearningTable()
    table.describe(LEARNING)
    table.describe(descriptor("primary", ["loss"], loss=NUMBER))
    for step in range(1000):
        assert table.add(event(step, loss=1.0))
    assert not table.add(event(1, "primary", loss=1.0))
    assert len(table.rows) == 12
    assert next(reversed(table.rows)) == 999


class Status:
    """A status that says how far it is when told to."""

    def watch(self, callback: Any) -> None:
        self.report = callback


def test_without_a_terminal_progress_is_plain_lines_and_not_too_many(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=200)
    display = RunDisplay(console)
    with display:
        display("start", {})
        display("descriptor", LEARNING)
        for step in range(1, 101):
            now[0] += 0.1
            display("event", event(step, epoch=1, loss=1 / step, board_seconds=0.1))
        display("stop", {})
        status = Status()
        display.waiting([status, object()])
        for second in range(10):
            now[0] += 1.0
            status.report(name="board", fraction=1 - second / 10, current=second, unit="s")
        display.waiting(None)
        status.report(name="board", fraction=0.0)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    learning = [line for line in lines if line.startswith("epoch")]
    assert 4 <= len(learning) <= 7
    assert "loss 0.01 " in learning[-1]
    waiting = [line for line in lines if line.startswith("board:")]
    assert 2 <= len(waiting) <= 5
    assert "done" in waiting[0]
    assert len(lines) == len(learning) + len(waiting)


def test_a_learning_run_says_how_far_it_is(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=200)
    display = RunDisplay(console)
    with display:
        display("start", {"plan_args": {"epochs": 4}})
        display("descriptor", LEARNING)
        now[0] = 10.0
        display("event", event(1, epoch=3, loss=0.5, board_seconds=0.1))
        display("descriptor", EPOCHS)
        now[0] = 20.0
        display("event", event(1, "epochs", epoch=4, test_accuracy=0.5))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].endswith("[epoch 3 of 4:  50% done, 10 s, about 10 s left]")
    assert lines[1].endswith("[epoch 4 of 4: 100% done, 20 s, about 0 s left]")


def test_what_is_over_in_two_seconds_says_nothing(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO())
    display = RunDisplay(console)
    with display:
        status = Status()
        display.waiting({status})
        now[0] = 1.9
        status.report(name="board", fraction=0.1)
        display.waiting(None)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_a_terminal_shows_the_table_in_place():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    display = RunDisplay(console)
    with display:
        display("descriptor", LEARNING)
        display("event", event(1, epoch=3, loss=0.125, board_seconds=0.1))
    assert "0.125" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_failed_status_is_explained_by_its_cause_and_its_notes():
    error = FailedStatus("<Status at 0x7f>")
    error.__cause__ = TimeoutError("no reply\nwithin 5 s")
    error.__cause__.add_note("instrument board at TCPIP0::board::5025::SOCKET")
    error.__cause__.__cause__ = OSError(110, "ETIMEDOUT")
    assert explain(error) == "no reply within 5 s - instrument board at TCPIP0::board::5025::SOCKET"
    assert explain(KeyError("no device 'x'")) == "no device 'x'"
    assert explain(FileNotFoundError(2, "No such file", "a.toml")) == "No such file: a.toml"
    assert explain(RuntimeError()) == "RuntimeError"


def test_a_group_of_errors_is_explained_one_a_line():
    first, second = ValueError("wrong identity"), ConnectionError("no connection")
    first.add_note("instrument a")
    assert explain(ExceptionGroup("2 of 3 failed", [first, ExceptionGroup("b", [second])])).splitlines() == [
        "2 of 3 failed",
        "  wrong identity - instrument a",
        "  b",
        "    no connection",
    ]


def test_what_fails_for_one_reason_in_many_places_is_said_once():
    errors = [ConnectionError("the connection is closed") for _ in range(3)]
    for error, place in zip(errors, ("noise off", "run aborted", "outputs off"), strict=True):
        error.add_note(place)
    group = ExceptionGroup("board could not be made safe", [errors[0], ExceptionGroup("later", errors[1:])])
    group.add_note("the run is kept")
    assert explain(group).splitlines() == [
        "board could not be made safe",
        "  the connection is closed - noise off",
        "  later",
        "    the connection is closed - run aborted, outputs off",
        "  the run is kept",
    ]


def test_tables_are_not_cut_where_there_is_no_terminal(capsys):
    print_table([{"name": "x" * 300, "markup": "[red]"}, {"name": "b", "markup": None}])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "x" * 300 in lines[1]
    assert "[red]" in lines[1]


def test_results_show_the_ends_of_long_lists(capsys):
    print_result({"loss": [float(number) for number in range(1000)], "fit": {"width": 0.25}, "steps": 3})
    out = capsys.readouterr().out
    assert "0, 1, 2, ..., 997, 998, 999, (1000 values)" in out
    print_result({"inverse": [[float(4 * row + column) for column in range(4)] for row in range(4)]})
    assert "0, 1, 2, ..., 13, 14, 15, (16 values)" in capsys.readouterr().out
    assert "width=0.25" in out


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(5, "Input/output error"), ValueError()])
def test_a_message_that_cannot_be_shown_is_dropped(monkeypatch, error):
    class Lost(io.StringIO):
        def write(self, _: str) -> int:
            raise error

        def flush(self) -> None:
            raise error

    monkeypatch.setattr("sys.stderr", Lost())
    say("the terminal is gone")


def test_what_is_said_and_printed_is_no_code_for_pictures(capsys):
    say("a:b:c [bold]")
    print_result({"at": ":b:"})
    assert capsys.readouterr() == ("at  :b:\n", "a:b:c [bold]\n")
