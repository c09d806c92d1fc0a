"""One run as a watcher sees it: documents go in, plain data comes out."""

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.catalogue import Run
from lab.device_states import read_states
from lab.filelock import is_held
from lab.follow import Follower
from lab.goal import LEARNING_STREAMS
from lab.journal import JOURNAL, JournalError
from lab.stored_arrays import StoredArrays
from lab.watch.charts import CONCLUDING, Charts
from lab.watch.progress import Progress
from lab.watchdog import LOG as WATCHDOG_LOG

LOG_TAIL = 16384  # bytes of the log that are looked at
MOST_MESSAGES = 6
PATIENCE = 30.0  # s without an event after which a running run is remarked on, unless its events are slower
UNINTERESTING = frozenset(
    {"uid", "time", "versions", "plan_args", "plan_type", "plan_name", "arguments", "bench", "instruments", "devices"}
    | {"station", "station_mode", "station_description", "station_seed", "station_file"}
    | {"detectors", "hints", "scan_id", "continues"}
)
"""What the start document says that is shown elsewhere on the page, or helps nobody who watches."""

Document = Mapping[str, Any]
View = dict[str, Any]

ENDINGS = {"success": "success", "abort": "aborted", "fail": "failed"}


class RunState:
    """Follows one run on disk.

    Parameters
    ----------
    directory : path
        The directory of the run.
    until : mapping of str to int, optional
        How many events of each stream another run took over to go on from; what came later is left out.
    """

    def __init__(self, directory: Path, *, until: Mapping[str, int] | None = None) -> None:
        self.directory = Path(directory)
        self.start: dict[str, Any] = {}
        self.stop: dict[str, Any] | None = None
        self.charts = Charts({})
        self._until = until
        self._follower = Follower(self.directory)
        self._streams: dict[str, str] = {}
        self._events: dict[str, int] = {}
        self._taken_over: dict[str, int] = {}
        self._numbers: dict[str, dict[str, Any]] = {}
        self._units: dict[str, str] = {}
        self._progress = Progress({})
        self._last_event = 0.0
        self._gaps: deque[float] = deque(maxlen=50)
        self._troubles: deque[str] = deque(maxlen=MOST_MESSAGES)
        self._configuration: dict[str, dict[str, Any]] = {}

    def follow(self) -> None:
        """Take everything that was written since the last call.

        Raises
        ------
        OSError
            If the journal cannot be read.
        """
        while True:
            try:
                documents = self._follower.documents()
            except JournalError as error:
                self._troubles.append(str(error))
                continue
            if not documents:
                return
            with StoredArrays(self.directory) as arrays:  # opened after them, for rows are seen as of the opening
                for name, document in documents:
                    self._take(name, document, arrays)

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``success``, ``aborted``, ``failed``, or ``cut`` when its process died."""
        if self.stop is not None:
            return ENDINGS.get(self.stop.get("exit_status", ""), "failed")
        if not self.start or not is_held(self.directory / JOURNAL):
            return "cut"
        states = read_states(self.directory)
        return "paused" if states and states.get("engine") in ("paused", "pausing") else "running"

    def view(self, now: float | None = None) -> View:
        """Return what is to be shown.

        Parameters
        ----------
        now : float, optional
            POSIX time in s.

        Returns
        -------
        dict
            ``state``, ``plan``, ``run``, ``station``, ``mode``, ``about`` (names and texts), ``started``, ``elapsed``,
            ``ended`` (s, POSIX; None while it runs), ``progress``, ``quiet`` (s without an event, where that is
            remarkable), ``charts``, ``numbers`` and ``results`` (names, values, errors, units), ``devices``, and
            ``messages`` (what went wrong, the latest last).
        """
        now = time.time() if now is None else now
        state = self.state
        began = float(self.start.get("time", now))
        ended = float(self.stop["time"]) if self.stop else None
        last = ended or (now if state in ("running", "paused") else max(self._last_event, began))
        return {
            "state": state,
            "plan": str(self.start.get("plan_name") or "run"),
            "run": str(self.start.get("uid", "")),
            "station": str(self.start.get("station", "")),
            "mode": str(self.start.get("station_mode", "")),
            "about": self._about(),
            "started": began,
            "ended": ended,
            "elapsed": max(0.0, last - began),
            "events": sum(self._events.values()),
            "last_event": self._last_event or None,
            "quiet": self._quiet(state, now),
            "progress": self._progress.view(state, now),
            "charts": self.charts.view(),
            "numbers": self._table(LEARNING_STREAMS),
            "results": self._table(CONCLUDING),
            "devices": self._devices(),
            "messages": self._messages(state),
        }

    def _take(self, name: str, document: Document, arrays: StoredArrays) -> None:
        if name == "start":
            self.start = dict(document)
            self.charts = Charts(document)
            self._progress = Progress(document)
            self._take_over()
        elif name == "descriptor":
            stream = str(document.get("name", "primary"))
            self._streams[document["uid"]] = stream
            self.charts.declare(stream, document)
            self._units.update({k: v.get("units") or "" for k, v in document["data_keys"].items()})
            self._configure(document)
        elif name == "event" and document.get("descriptor") in self._streams:
            self._event(self._streams[document["descriptor"]], document, arrays)
        elif name == "stop":
            self.stop = dict(document)

    def _take_over(self) -> None:
        """Begin with what the run measured that this one continues."""
        if "continues" not in self.start:
            return
        try:
            continued = Run(self.directory).continued
        except LookupError as error:
            self._troubles.append(str(error))
            return
        if continued is not None:
            self._taken_over = dict(self.start["continues"]["events"])
            earlier = RunState(continued.directory, until=self._taken_over)
            earlier.follow()
            self.charts = earlier.charts
            self._progress = earlier._progress
            self._progress.forget_pace()

    def _event(self, stream: str, event: Document, arrays: StoredArrays) -> None:
        number = self._taken_over.get(stream, 0) + event["seq_num"]
        if self._until is not None and number > self._until.get(stream, 0):
            return
        event = {**event, "seq_num": number}
        data = event["data"]
        if self._last_event:
            self._gaps.append(event["time"] - self._last_event)
        self._last_event = event["time"]
        self._events[stream] = number
        self._progress.note(stream, event)
        self._numbers[stream] = {key: value for key, value in data.items() if isinstance(value, (int, float))}
        if stream not in (*LEARNING_STREAMS, *CONCLUDING):
            try:
                data = {key: arrays.value(value) for key, value in data.items()}
            except JournalError as error:
                self._troubles.append(str(error))
                return
        self.charts.add(stream, {**event, "data": data})

    def _configure(self, descriptor: Document) -> None:
        for device, entry in descriptor.get("configuration", {}).items():
            for key, value in entry.get("data", {}).items():
                described = entry.get("data_keys", {}).get(key, {})
                control = described.get("limits", {}).get("control")
                if not isinstance(value, Mapping):
                    self._configuration.setdefault(device, {})[key] = {
                        "signal": key.removeprefix(f"{device}_"),
                        "value": value,
                        "units": described.get("units") or "",
                        "limits": [control["low"], control["high"]] if control else None,
                        "kind": "setting",
                        "time": entry.get("timestamps", {}).get(key),
                    }

    def _about(self) -> dict[str, Any]:
        arguments = self.start.get("plan_args", {})
        about: dict[str, Any] = {}
        if (continued := self.start.get("continues")) and isinstance(continued, Mapping):
            events = continued.get("events", {})
            about["continues"] = f"run {str(continued.get('run', ''))[:8]} after step {events.get('learning', '?')}"
        about |= {key: value for key, value in self.start.items() if key not in UNINTERESTING}
        seed = arguments.get("seed", self.start.get("station_seed"))
        about |= {"seed": seed, **{key: value for key, value in arguments.items() if key != "seed"}}
        return {key: value for key, value in about.items() if value is not None}

    def _quiet(self, state: str, now: float) -> float | None:
        if state != "running":
            return None
        since = now - max(self._last_event, float(self.start.get("time", now)))
        usual = max(self._gaps, default=0.0)
        return since if since > max(PATIENCE, 3.0 * usual) else None

    def _table(self, streams: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return the numbers of the latest event of each stream; of a name that several have, the first."""
        rows: dict[str, dict[str, Any]] = {}
        for values in (self._numbers.get(stream, {}) for stream in streams):
            for key, value in values.items():
                if not key.endswith("_standard_error"):
                    error, units = values.get(f"{key}_standard_error"), self._units.get(key, "")
                    rows.setdefault(key, {"name": key, "value": value, "error": error, "units": units})
        return list(rows.values())

    def _devices(self) -> dict[str, Any]:
        states = read_states(self.directory)
        if states is not None:
            return {"time": states.get("time"), "devices": states["devices"]}
        devices = {name: list(signals.values()) for name, signals in self._configuration.items()}
        return {"time": None, "devices": devices}

    def _messages(self, state: str) -> list[str]:
        messages = [*_log_lines(self.directory / WATCHDOG_LOG), *self._troubles]
        if self.stop is not None and state != "success":
            messages.append(str(self.stop.get("reason") or f"the run was {state}, no reason is recorded"))
        if state == "cut":
            messages.append("the process that measured ended without closing the run; what it measured is kept")
        return messages[-MOST_MESSAGES:]


def _log_lines(path: Path) -> list[str]:
    with suppress(OSError), path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - LOG_TAIL))
        return log.read().decode("utf-8", "replace").splitlines()[-3:]
    return []
