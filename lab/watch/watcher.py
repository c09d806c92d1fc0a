"""What the page shows, worked out once a second by one thread however many people watch."""

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from lab.catalogue import Run, RunNotFoundError
from lab.watch.state import ENDINGS, RunState

INTERVAL = 0.7  # s between two looks at the disk
MOST_RUNS = 12
"""Runs in the table of recent ones."""

RUNS_LOOKED_AT = 60
MOST_FAILURES = 4

View = dict[str, Any]


class Watcher:
    """Follows the latest run in a directory, and the next one when that begins, or one run only.

    Parameters
    ----------
    directory : path
        Where runs are stored; it need not exist yet.
    run : Run, optional
        The only run to follow; by default the latest that is under way, else the latest.
    """

    def __init__(self, directory: Path, run: Run | None = None) -> None:
        self.directory = Path(directory)
        self._only = run.directory if run is not None else None
        self._ended: OrderedDict[str, View] = OrderedDict()
        self._followed: RunState | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="watcher", daemon=True)
        self.view: View = {"run": None, "recent": [], "failures": [], "trouble": "", "time": time.time()}

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def look(self, now: float | None = None) -> View:
        """Look at the disk and return what is to be shown.

        Returns
        -------
        dict
            ``run`` (what `RunState.view` returns, or None while there is no run), ``recent`` (the latest runs, newest
            first: ``run``, ``plan``, ``station``, ``mode``, ``state``, ``started``, ``seconds``, ``reason``),
            ``failures`` (those of them that failed or were cut), ``trouble`` (why the disk cannot be read, else
            empty) and ``time`` (s, POSIX).
        """
        now = time.time() if now is None else now
        trouble, recent, run = "", self.view["recent"], self.view["run"]
        try:
            recent = self._recent()
            run = self._follow(recent, now)
        except Exception as error:  # noqa: BLE001 - a page that stops without a word would be believed
            trouble = f"{type(error).__name__}: {error}"
        failures = [row for row in recent if row["state"] in ("failed", "cut")][:MOST_FAILURES]
        self.view = {"run": run, "recent": recent[:MOST_RUNS], "failures": failures, "trouble": trouble, "time": now}
        return self.view

    def _go_on(self) -> None:
        while not self._stopping.wait(INTERVAL):
            self.look()

    def _recent(self) -> list[View]:
        names: list[str] = []
        with suppress(FileNotFoundError):
            names = sorted((entry.name for entry in self.directory.iterdir() if entry.is_dir()), reverse=True)
        rows = [self._summary(name) for name in names[:RUNS_LOOKED_AT]]
        return sorted((row for row in rows if row is not None), key=lambda row: row["started"], reverse=True)

    def _summary(self, name: str) -> View | None:
        if name in self._ended:
            return self._ended[name]
        try:
            run = Run(self.directory / name)
            row = _row(run)
        except (RunNotFoundError, OSError):
            return None
        if run.stop is not None:
            self._ended[name] = row
            while len(self._ended) > 2 * RUNS_LOOKED_AT:
                self._ended.popitem(last=False)
        return row

    def _follow(self, recent: list[View], now: float) -> View | None:
        directory = self._only
        if directory is None:
            under_way = [row for row in recent if row["state"] == "running"]
            chosen = next(iter([*under_way, *recent]), None)
            directory = chosen["directory"] if chosen else None
        if directory is None:
            self._followed = None
            return None
        if self._followed is None or self._followed.directory != directory:
            self._followed = RunState(directory)
        self._followed.follow()
        return self._followed.view(now)


def _row(run: Run) -> View:
    ending = run.state
    return {
        "directory": run.directory,
        "run": run.uid,
        "plan": run.plan or "run",
        "station": run.station,
        "mode": str(run.start.get("station_mode", "")),
        "state": ENDINGS.get(ending, ending),
        "started": float(run.start["time"]),
        "seconds": run.seconds,
        "reason": str((run.stop or {}).get("reason") or ("its process died" if ending == "cut" else "")),
    }
