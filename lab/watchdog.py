"""The watchdog of a station: a process of its own that makes the outputs safe if the one that drives them dies.

A run engine on instruments keeps one while a plan runs, see `Watch`. The watchdog holds no instrument meanwhile: it
waits at a pipe, and opens the station, over sessions of its own, only when the pipe has ended. What it did it writes to
``watchdog.log`` in the directory of the run, and to standard error.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from lab.clock import WallClock
from lab.ownership import OwnedError
from lab.station_file import StationDefinition, read_station
from lab.terminal import explain, say

if TYPE_CHECKING:
    from lab.station import Station

__all__ = ["LOG", "Watch", "leave_safe"]

LOG = "watchdog.log"
LOOK = 1.0
"""Seconds between two looks at whether the parent lives, where its end does not end the pipe."""
PATIENCE = 60.0
"""Seconds for which a device that cannot be made safe is tried again."""
LONGEST = 600.0
"""Seconds after which a watchdog gives up, whatever it waits for."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0

Say = Callable[[str], None]


class Watch:
    """A watchdog at work, as the process that it watches sees it.

    Parameters
    ----------
    station : Station
        What is to be left safe.

    Raises
    ------
    OSError
        If the process cannot be started.
    """

    def __init__(self, station: "Station") -> None:
        command = [sys.executable, "-m", "lab.watchdog", str(os.getpid()), str(station.path.absolute()), *station]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, bufsize=0
        )

    @property
    def alive(self) -> bool:
        """Whether it still watches."""
        return self._process.poll() is None

    def note_run(self, directory: Path) -> None:
        """Tell where its log belongs."""
        with suppress(OSError):  # it has died, which costs its log and not the run
            assert self._process.stdin is not None
            self._process.stdin.write(f"{directory}\n".encode())

    def dismiss(self) -> None:
        """End it: the station is safe."""
        self._process.kill()
        self._process.communicate()


def watch(parent: int, definition: StationDefinition, devices: Sequence[str]) -> bool:
    """Wait until a process has died, then leave its station safe.

    Parameters
    ----------
    parent : int
        The process; its end ends standard input, on which it tells the directory of its run.
    definition : StationDefinition
        The station.
    devices : sequence of str
        Names of the devices that it drives.

    Returns
    -------
    bool
        Whether all of them are safe, or left to another process.
    """
    for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, signal.SIG_IGN)  # what ends both ends the parent first, which then dismisses
    tell = _teller(_last_words(parent))
    tell(f"process {parent} ended without leaving {', '.join(devices)} of station {definition.name} safe")
    last = threading.Timer(LONGEST, _give_up, [tell])
    last.daemon = True
    last.start()
    return leave_safe(definition, devices, tell)


def leave_safe(definition: StationDefinition, devices: Sequence[str], tell: Say, patience: float = PATIENCE) -> bool:
    """Open devices one by one and make them safe; try again, ever less often, those for which that fails.

    Parameters
    ----------
    definition : StationDefinition
        The station.
    devices : sequence of str
        Names of devices; what they stand on is made safe, and what stands on another one of them with it.
    tell : callable
        Takes lines about what was done.
    patience : float
        How long it is tried, s.

    Returns
    -------
    bool
        Whether all of them are safe, or held by another process, which answers for them.
    """
    tables = definition.tables.devices
    waiting = list(dict.fromkeys(tables[name].body or name for name in devices))
    clock, pause, deadline = WallClock(), FIRST_PAUSE, time.monotonic() + patience
    while True:
        failures = {name: error for name in waiting if (error := _attempt(definition, name, tell)) is not None}
        waiting = list(failures)
        if not waiting or time.monotonic() > deadline:
            break
        clock.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    for name, error in failures.items():
        tell(f"{name}: {'left alone' if _held(error) else 'NOT SAFE'}: {explain(error)}")
    return all(map(_held, failures.values()))


def _attempt(definition: StationDefinition, name: str, tell: Say) -> Exception | None:
    """Make one device safe; return what kept it from being so."""
    from lab.station import open_definition

    try:
        with open_definition(definition.needed_for([name])) as station:
            done = station.safe()[name]
    except Exception as error:  # noqa: BLE001 - the other devices come next, and this one again
        return error
    tell(f"{name}: {', '.join(done)}")
    return None


def _held(error: BaseException) -> bool:
    """Whether a device could not be opened because another process has its instruments."""
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    return any(isinstance(member.__cause__, OwnedError) for member in members)


def _last_words(parent: int) -> str:
    """Wait until a process has died; return the last line that it wrote, "" for none."""
    lines: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_listen, args=[lines], daemon=True).start()
    last = ""
    while True:
        try:
            line = lines.get(timeout=LOOK)
        except Empty:
            if os.name == "posix" and os.getppid() != parent:
                return last
            continue
        if line is None:
            return last
        last = line


def _listen(lines: "SimpleQueue[str | None]") -> None:
    """Hand over the lines of standard input, then None."""
    with open(0, "rb", buffering=0) as pipe:  # unbuffered: a buffer would be locked when this process ends
        for line in pipe:
            lines.put(line.decode().rstrip("\n"))
    lines.put(None)


def _teller(directory: str) -> Say:
    """Return what says a line on standard error and writes it to the log in a directory, if there is one."""

    def tell(line: str) -> None:
        say(f"watchdog: {line}")
        if directory:
            with suppress(OSError), (Path(directory) / LOG).open("a", encoding="utf-8") as log:
                log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {line}\n")

    return tell


def _give_up(tell: Say) -> None:
    tell(f"NOT SAFE: gave up after {LONGEST:g} s")
    os._exit(2)


if __name__ == "__main__":
    _parent, _path, *_devices = sys.argv[1:]
    _safe = watch(int(_parent), read_station(_path), _devices)
    os._exit(0 if _safe else 2)
