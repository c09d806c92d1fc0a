"""What an operator sees on standard error: progress, the live table of a learning run, errors in plain words."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from textwrap import indent
from typing import IO, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lab.goal import LEARNING_STREAMS, learning_goal

PATIENCE = 2.0
"""Seconds that pass before waiting is worth a progress bar, and between plain lines."""

_ROWS = 12
_LONGEST_LIST = 12
_WIDEST = 10_000


class Unfailing:
    """A text stream that drops what cannot be shown, so that a lost terminal or a full disk ends no run.

    Parameters
    ----------
    stream : text stream
        Where the text goes while it can.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text if that is possible."""
        with suppress(OSError, ValueError):  # what a closed stream raises is a ValueError
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def messages() -> IO[str]:
    """Return standard error as it is now, for messages that must not fail."""
    return Unfailing(sys.stderr)  # type: ignore[return-value]


def stderr_console() -> Console:
    """Make a console on standard error as it is now."""
    return Console(file=messages(), highlight=False, emoji=False)


def say(line: str) -> None:
    """Tell the operator a line on standard error."""
    stderr_console().print(line, markup=False, soft_wrap=True)


def print_table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows of equal keys as a table on standard output, uncut where that is no terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, row in enumerate(rows):
        if number == 0:
            for key in row:
                table.add_column(key, overflow="fold")
        table.add_row(*(Text(_written(value)) for value in row.values()))
    _print(table)


def print_result(result: Mapping[str, Any]) -> None:
    """Print names and values on standard output, long lists by their ends and length."""
    table = Table.grid(padding=(0, 2))
    for key, value in result.items():
        table.add_row(Text(key, style="bold"), Text(_written(value)))
    _print(table)


def _print(table: Table) -> None:
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        unbounded = console.options.update(width=_WIDEST)
        console = Console(highlight=False, emoji=False, width=max(console.measure(table, options=unbounded).maximum, 1))
        with console.capture() as written:
            console.print(table)
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in written.get().splitlines())
    else:
        console.print(table)


def explain(error: BaseException) -> str:
    """Say in plain words what went wrong: of a failed status its cause, of a group every member, and their notes."""
    return _noted(*_explained(error))


def _explained(error: BaseException) -> tuple[str, list[str]]:
    """Return what went wrong and the notes on it; members of a group that say the same are one."""
    while type(error).__name__ == "FailedStatus" and error.__cause__ is not None:
        error = error.__cause__
    notes = list(dict.fromkeys(getattr(error, "__notes__", ())))
    if not isinstance(error, BaseExceptionGroup):
        return " ".join(_text(error).split()) or type(error).__name__, notes
    members: dict[str, list[str]] = {}
    for text, added in map(_explained, error.exceptions):
        members.setdefault(text, []).extend(added)
    lines = [*(_noted(text, added) for text, added in members.items()), *notes]
    return "\n".join([error.message, *(indent(line, "  ") for line in lines)]), []


def _noted(text: str, notes: Sequence[str]) -> str:
    return " - ".join([text, ", ".join(notes)] if notes else [text])


def _text(error: BaseException) -> str:
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return str(error)


class LearningTable:
    """The scalar hinted fields of streams that converge, one row an epoch, or one an event where nothing has epochs."""

    def __init__(self) -> None:
        self.rows: dict[Any, dict[str, Any]] = {}
        self.units: dict[str, str] = {}
        self._streams: dict[str, str] = {}

    def describe(self, descriptor: Mapping[str, Any]) -> None:
        """Take the columns that a stream brings."""
        if descriptor.get("name") not in LEARNING_STREAMS:
            return
        hinted = {field for hint in descriptor.get("hints", {}).values() for field in hint.get("fields", ())}
        for key, data_key in descriptor["data_keys"].items():
            if key in hinted and not data_key["shape"] and data_key["dtype"] in ("number", "integer"):
                self.units[key] = data_key.get("units") or ""
        self._streams[descriptor["uid"]] = descriptor["name"]

    def add(self, event: Mapping[str, Any]) -> str | None:
        """Take one event; return its stream if it belongs to the table."""
        stream = self._streams.get(event["descriptor"])
        if stream is None:
            return None
        row = {key: value for key, value in event["data"].items() if key in self.units}
        self.rows.setdefault(row.get("epoch", event["seq_num"]), {}).update(row)
        while len(self.rows) > _ROWS:
            del self.rows[next(iter(self.rows))]
        return stream

    def last_line(self) -> str:
        """Write the latest row on one plain line."""
        row = self.rows[next(reversed(self.rows))]
        return "  ".join(f"{key} {_written(row[key])}{_spaced(unit)}" for key, unit in self.units.items() if key in row)

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for key, unit in self.units.items():
            table.add_column(key.replace("_", " ") + (f" ({unit})" if unit else ""), justify="right")
        for row in self.rows.values():
            table.add_row(*(_written(row[key]) if key in row else "" for key in self.units))
        return table


class Bar:
    """How far something is, and how long it will take.

    Parameters
    ----------
    name : str
        What it is.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.fraction: float | None = None
        self.before = 0.0  # fraction that was done before it was begun here
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the beginning in seconds."""
        return time.monotonic() - self._started

    def line(self) -> str:
        """Say on one plain line how far it is."""
        seconds, fraction = self.seconds, self.fraction
        done = "" if fraction is None else f"{fraction:4.0%} done, "
        here = (fraction or 0.0) - self.before
        left = f", about {seconds * (1 - fraction) / here:.0f} s left" if fraction and here > 0 else ""
        return f"{self.name}: {done}{seconds:.0f} s{left}"

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(total=1.0, completed=self.fraction or 0.0, width=30), self.line())
        return grid


class Wait(Bar):
    """One status that the run engine waits for.

    Parameters
    ----------
    status : object
        With ``watch``, if it reports progress.
    changed : callable
        Called without arguments at every report.
    """

    def __init__(self, status: Any, changed: Callable[[], None]) -> None:
        super().__init__("waiting")
        self._changed = changed
        if hasattr(status, "watch"):
            status.watch(self._report)

    def _report(self, *, name: str | None = None, fraction: float | None = None, **_: Any) -> None:
        self.name = name or self.name
        self.fraction = None if fraction is None else min(max(1.0 - float(fraction), 0.0), 1.0)
        self._changed()


class Goal(Bar):
    """How many epochs or generations of a learning run are done.

    Parameters
    ----------
    key : str
        Field of the events that counts them from 1.
    total : int
        How many there will be.
    continues : bool
        Whether some were done in an earlier part of the run, which took none of the time here.
    """

    def __init__(self, key: str, total: int, *, continues: bool = False) -> None:
        super().__init__("learning")
        self._key = key
        self._total = total
        self._continues = continues

    @classmethod
    def of(cls, start: Mapping[str, Any]) -> "Goal | None":
        """Take what a start document says about it."""
        goal = learning_goal(start)
        return None if goal is None else cls(*goal, continues="continues" in start)

    def reach(self, data: Mapping[str, Any], *, finished: bool) -> None:
        """Take the number of the epoch or generation under way or just finished."""
        if self._key in data:
            fraction = (data[self._key] - (not finished)) / self._total
            if self.fraction is None and self._continues:
                self.before = max(0.0, fraction - 1 / self._total)
            self.fraction = fraction
            self.name = f"{self._key} {data[self._key]} of {self._total}"


class RunDisplay:
    """Progress over two seconds and the live table of a run.

    A terminal shows them in place; anything else gets plain lines, one every two seconds at most. It is a callback
    for documents, and `waiting` is a waiting hook of the run engine.

    Parameters
    ----------
    console : rich.console.Console
        Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.table = LearningTable()
        self._waits: list[Wait] = []
        self._goal: Goal | None = None
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._line_due = time.monotonic() + PATIENCE
        self._unsaid = False

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self._render, refresh_per_second=5)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._waits = []
            self._live.stop()
            self._live = None

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take a document of the run."""
        with self._lock:
            if name == "start":
                self._goal = Goal.of(document)
            elif name == "descriptor":
                self.table.describe(document)
            elif name == "event" and (stream := self.table.add(document)):
                if self._goal is not None:
                    self._goal.reach(document["data"], finished=stream == "epochs" or "epoch" not in document["data"])
                self._unsaid = True
                self._say(self._latest)
            elif name == "stop" and self._unsaid:
                self._line_due = 0.0
                self._say(self.table.last_line)

    def waiting(self, statuses: Iterable[Any] | None) -> None:
        """Follow what the run engine waits for; None when it goes on."""
        with self._lock:
            self._waits = [Wait(status, self._progressed) for status in statuses or ()]

    def _progressed(self) -> None:
        with self._lock:
            for wait in self._waits:
                if wait.seconds > PATIENCE:
                    self._say(wait.line)

    def _latest(self) -> str:
        return self.table.last_line() + (f"  [{self._goal.line()}]" if self._goal is not None else "")

    def _say(self, line: Callable[[], str]) -> None:
        now = time.monotonic()
        if self._live is None and now >= self._line_due:
            self.console.print(line(), soft_wrap=True, markup=False)
            self._line_due = now + PATIENCE
            self._unsaid = False

    def _render(self) -> RenderableType:
        with self._lock:
            bars: list[Bar] = [bar for bar in (*self._waits, self._goal) if bar and bar.seconds > PATIENCE]
            return Group(*([self.table] if self.table.rows else []), *bars)


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        ends = [_written(element) for element in _flattened(value)]
        return ", ".join(
            ends if len(ends) <= _LONGEST_LIST else [*ends[:3], "...", *ends[-3:], f"({len(ends)} values)"]
        )
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_nested(element)}" for key, element in value.items())
    return str(value)


def _flattened(value: Sequence[Any]) -> Iterator[Any]:
    """Yield the elements of a list, or of the lists in it."""
    for element in value:
        if isinstance(element, (list, tuple)):
            yield from _flattened(element)
        else:
            yield element


def _nested(value: Any) -> str:
    text = _written(value)
    return f"({text})" if isinstance(value, (list, tuple, Mapping)) else text


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""
