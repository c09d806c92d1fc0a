"""Runs read back from disk: what was run, how it ended, and its data as xarray with units."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from lab.export import ExportError, write
from lab.filelock import is_held
from lab.goal import learning_goal
from lab.journal import JOURNAL, JournalError, default_directory, document_in, read_lines
from lab.journal import SYNCED_STREAM as LEARNING
from lab.stored_arrays import StoredArrays, variable

State = Literal["success", "abort", "fail", "cut", "running"]
SHORTEST_NAME = 4  # characters of a uid that name a run; a shorter one could be meant as a number
TAIL = 65536  # bytes from the end of a journal in which its stop document lies


class RunNotFoundError(LookupError):
    """No run, or more than one, answers to a name."""


class StreamNotFoundError(LookupError):
    """A run has no such stream."""


@dataclass(frozen=True)
class Event:
    """One event: where its run is, its number in the whole run, and the document."""

    directory: Path
    number: int
    doc: dict[str, Any]


@dataclass
class Stream:
    """One stream of a run: its descriptors, the last of which is in `directory`, and its events by number.

    Of a repeated step it has the last word only.
    """

    name: str
    directory: Path
    descriptors: list[dict[str, Any]] = field(default_factory=list)
    events: dict[int, "Event"] = field(default_factory=dict)

    def first(self, count: int) -> "Stream":
        """Return the stream as far as its first events."""
        return Stream(
            self.name, self.directory, list(self.descriptors), {n: self.events[n] for n in self.events if n <= count}
        )

    @property
    def data_keys(self) -> dict[str, dict[str, Any]]:
        """Every key of the stream with what its descriptors say of it."""
        return {key: entry for descriptor in self.descriptors for key, entry in descriptor["data_keys"].items()}


class Run:
    """One run on disk.

    Parameters
    ----------
    directory : path
        The directory that holds ``journal.jsonl``.
    number : int, optional
        Its place in the catalogue, from 1 for the oldest.

    Attributes
    ----------
    start : dict
        The start document: plan, arguments, station, versions.
    stop : dict or None
        The stop document, None while the run goes on or after its process died.
    """

    def __init__(self, directory: str | os.PathLike, number: int = 0) -> None:
        self.directory = Path(directory)
        self.number = number
        self.start = self._first()

    def __repr__(self) -> str:
        return f"<Run {self.uid[:8]} {self.plan} {self.started:%Y-%m-%d %H:%M:%S} UTC, {self.state}>"

    @property
    def uid(self) -> str:
        """The unique name of the run."""
        return self.start["uid"]

    @property
    def plan(self) -> str:
        """The name of the plan."""
        return self.start.get("plan_name", "")

    @property
    def station(self) -> str:
        """The name of the station it ran on."""
        return str(self.start.get("station", ""))

    @property
    def started(self) -> datetime:
        """When the run was opened, UTC."""
        return datetime.fromtimestamp(self.start["time"], UTC)

    @property
    def seconds(self) -> float | None:
        """How long the run took, s; None if it has no end."""
        return None if self.stop is None else self.stop["time"] - self.start["time"]

    @property
    def state(self) -> State:
        """How it ended; ``cut`` when its process died, ``running`` while it lives."""
        if self.stop is not None:
            return self.stop["exit_status"]
        return "running" if is_held(self.directory / JOURNAL) else "cut"

    @property
    def steps(self) -> int | None:
        """Learning steps if the plan learns, else events of the longest stream; None if the journal is damaged."""
        if self.stop is not None:
            own, before = self.stop.get("num_events", {}), self._taken_over
            counts = {name: own.get(name, 0) + before.get(name, 0) for name in {**before, **own}}
        else:
            try:
                counts = {name: len(stream.events) for name, stream in self._streams.items()}
            except JournalError:
                return None
        return counts.get("learning", max(counts.values(), default=0))

    @cached_property
    def continued(self) -> "Run | None":
        """The run whose recorded steps this one goes on from, None if it began at the beginning.

        Raises
        ------
        RunNotFoundError
            If that run does not lie beside this one.
        """
        if not self._taken_over:
            return None
        uid = self.start["continues"]["run"]
        for journal in self.directory.parent.glob(f"*_{uid[:8]}/{JOURNAL}"):
            if (run := Run(journal.parent)).uid == uid:
                return run
        raise RunNotFoundError(
            f"run {self.uid[:8]} continues run {uid[:8]}, which is not in {self.directory.parent}; put it there"
        )

    @property
    def cuts(self) -> list[dict[str, Any]]:
        """Where the run was cut and taken up again: ``run``, ``step`` and ``time`` (s, POSIX) of each first part."""
        if self.continued is None:
            return []
        cut = {"run": self.continued.uid, "step": self._taken_over[LEARNING], "time": self.continued.last_time}
        return [*self.continued.cuts, cut]

    @property
    def last_time(self) -> float:
        """When the last document was made that is on disk, s, POSIX."""
        return max((doc["time"] for _, doc in self._tail() if "time" in doc), default=self.start["time"])

    @property
    def progress(self) -> str:
        """The epoch or generation it has come to, and of how many; empty where it has none."""
        goal = learning_goal(self.start)
        if goal is None:
            return ""
        key, total = goal
        reached = (doc["data"][key] for name, doc in reversed(self._tail()) if name == "event" and key in doc["data"])
        return f"{key} {next(reached, 0)} of {total}"

    def checkpoint(self) -> dict[str, int]:
        """Return the number of events of each stream up to the last learning step; empty if there was no step."""
        counts, at_last_step = dict(self._taken_over), dict(self._taken_over)
        names: dict[str, str] = {}
        for name, doc in self._documents():
            if name == "descriptor":
                names[doc["uid"]] = doc.get("name", "primary")
            elif name == "event":
                stream = names[doc["descriptor"]]
                counts[stream] = doc["seq_num"] + self._taken_over.get(stream, 0)
                if stream == LEARNING:
                    at_last_step = dict(counts)
        return at_last_step

    @cached_property
    def stop(self) -> dict[str, Any] | None:
        """The stop document, read from the end of the journal."""
        last = self._tail()[-1:]
        return next((doc for name, doc in last if name == "stop"), None)

    def _tail(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the documents in the last bytes of the journal that are whole."""
        path = self.directory / JOURNAL
        with path.open("rb") as lines:
            lines.seek(max(0, path.stat().st_size - TAIL))
            found = lines.read().split(b"\n")[:-1]
        return [document for line in found if (document := document_in(line)) is not None]

    @property
    def streams(self) -> list[str]:
        """Names of the streams, in the order in which they were declared."""
        return list(self._streams)

    def documents(self, *, arrays: bool = True) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield ``(name, document)`` as they were emitted, with their arrays in place.

        Parameters
        ----------
        arrays : bool
            Whether large arrays are put back from HDF5; otherwise their references stay.
        """
        with StoredArrays(self.directory) as stored:
            for name, doc in self._documents():
                yield name, stored.restored(name, doc) if arrays else doc

    def configuration(self, stream: str = "primary") -> dict[str, dict[str, Any]]:
        """Return what the devices of a stream were set to when it was last declared.

        Returns
        -------
        dict
            Device name to signal name to value.

        Raises
        ------
        StreamNotFoundError
            If the run has no such stream.
        """
        found = self.stream(stream)
        with StoredArrays(found.directory) as stored:
            descriptor = stored.restored("descriptor", found.descriptors[-1])
        return {name: entry["data"] for name, entry in descriptor.get("configuration", {}).items()}

    def read(self, stream: str = "primary") -> xr.Dataset:
        """Return a stream as a dataset.

        Returns
        -------
        xarray.Dataset
            One variable a key, dims ``event`` and those of the descriptor, ``attrs["units"]``;
            coordinates ``seq_num`` and ``time`` (s, POSIX); the start and stop documents and the
            configuration as JSON in the attributes. A float key whose shape changes from event
            to event is padded with NaN.

        Raises
        ------
        StreamNotFoundError
            If the run has no such stream.
        """
        found = self.stream(stream)
        events = [found.events[number] for number in sorted(found.events)]
        columns = {key: self._column(key, events) for key in found.data_keys}
        dataset = xr.Dataset(attrs=self._attributes(found))
        sizes = {"event": len(events)}
        taken = {"event", "seq_num", "time", *columns}
        for key, values in columns.items():
            dataset[key] = variable(key, values, found.data_keys[key], sizes, taken)
        return dataset.assign_coords(
            seq_num=("event", np.array([event.number for event in events], dtype=np.int64)),
            time=("event", np.array([event.doc["time"] for event in events], dtype=float), {"units": "s"}),
        )

    def export(self, path: str | os.PathLike, *, format: str | None = None, stream: str | None = None) -> list[Path]:  # noqa: A002
        """Write the run for other programs.

        Parameters
        ----------
        path : path
            A file, or for Zarr a directory. Several streams go to groups of one netCDF or Zarr
            store, and to one CSV file each, ``<name>-<stream>.csv``.
        format : {"netcdf", "zarr", "csv"}, optional
            By default what the suffix of the path says (.nc, .zarr, .csv).
        stream : str, optional
            One stream only.

        Returns
        -------
        list of pathlib.Path
            What was written.

        Raises
        ------
        ExportError
            If the format is unknown, the path exists or cannot be written, or there is no data.
        StreamNotFoundError
            If the run has no such stream.
        """
        names = [stream] if stream is not None else self.streams
        datasets = {name: self.read(name) for name in names}
        if not datasets:
            raise ExportError(f"run {self.uid[:8]} has no data to export: its state is {self.state}")
        return write(datasets, Path(path), format)

    def _column(self, key: str, events: Sequence[Event]) -> list[Any]:
        """Return one key of events, which may be those of several parts of the run."""
        values: list[Any] = []
        for directory, part in groupby(events, lambda event: event.directory):
            with StoredArrays(directory) as stored:
                values.extend(stored.value(event.doc["data"].get(key)) for event in part)
        return values

    @property
    def _taken_over(self) -> dict[str, int]:
        """Number of events of each stream that an earlier part of the run holds."""
        return self.start.get("continues", {}).get("events", {})

    @cached_property
    def _streams(self) -> dict[str, Stream]:
        streams: dict[str, Stream] = {}
        if self.continued is not None:
            streams = {name: self.continued.stream(name).first(count) for name, count in self._taken_over.items()}
        by_descriptor: dict[str, Stream] = {}
        for name, doc in self._documents():
            if name == "descriptor":
                title = doc.get("name", "primary")
                stream = streams.setdefault(title, Stream(title, self.directory))
                stream.directory = self.directory
                stream.descriptors.append(doc)
                by_descriptor[doc["uid"]] = stream
            elif name == "event":
                stream = by_descriptor[doc["descriptor"]]
                number = doc["seq_num"] + self._taken_over.get(stream.name, 0)
                stream.events[number] = Event(self.directory, number, doc)
        return streams

    def stream(self, name: str) -> Stream:
        """Return one stream.

        Raises
        ------
        StreamNotFoundError
            If the run has no such stream.
        """
        try:
            return self._streams[name]
        except KeyError:
            known = ", ".join(self._streams) or "none"
            raise StreamNotFoundError(f"run {self.uid[:8]} has no stream {name!r}; it has: {known}") from None

    def _documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents on disk; those of a run without an end as far as their arrays are there too."""
        with StoredArrays(self.directory) as stored:
            for name, doc in read_lines(self.directory / JOURNAL):
                if self.stop is None and not stored.holds(doc):
                    return
                yield name, doc

    def _first(self) -> dict[str, Any]:
        with suppress(OSError):
            name, doc = next(read_lines(self.directory / JOURNAL), ("", {}))
            if name == "start" and isinstance(doc.get("uid"), str) and isinstance(doc.get("time"), (int, float)):
                return doc
        raise RunNotFoundError(f"{self.directory} holds no run: no {JOURNAL} that begins with a start document")

    def _attributes(self, stream: Stream) -> dict[str, str]:
        configuration = {name: entry["data"] for name, entry in stream.descriptors[-1].get("configuration", {}).items()}
        return {
            "uid": self.uid,
            "plan_name": self.plan,
            "station": self.station,
            "stream": stream.name,
            "exit_status": self.state,
            "start": json.dumps(self.start),
            "stop": json.dumps(self.stop),
            **({"cuts": json.dumps(self.cuts)} if self.cuts else {}),
            "configuration": json.dumps(configuration),
        }


class Catalogue:
    """The runs in a directory, oldest first.

    Parameters
    ----------
    directory : path, optional
        By default :func:`lab.journal.default_directory`. It need not exist yet.
    """

    def __init__(self, directory: str | os.PathLike | None = None) -> None:
        self.directory = Path(directory).absolute() if directory is not None else default_directory()

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs())

    def __len__(self) -> int:
        return len(self.runs())

    def runs(self) -> list[Run]:
        """Return every run that has at least its start document, numbered from 1."""
        found = []
        for journal in self.directory.glob(f"*/{JOURNAL}"):
            with suppress(RunNotFoundError):
                found.append(Run(journal.parent))
        found.sort(key=lambda run: (run.start["time"], run.uid))
        for number, run in enumerate(found, start=1):
            run.number = number
        return found

    def __getitem__(self, name: str | int) -> Run:
        return self.find(name)

    def find(self, name: str | int) -> Run:
        """Return one run.

        Parameters
        ----------
        name : str or int
            ``last``, the number of :meth:`runs`, four or more characters that begin a uid, or the path of a run.

        Raises
        ------
        RunNotFoundError
            If none or several runs match.
        """
        text = str(name).strip()
        runs = self.runs()
        if text == "last" and runs:
            return runs[-1]
        if text.isdecimal() and 1 <= int(text) <= len(runs):
            return runs[int(text) - 1]
        matches = [run for run in runs if len(text) >= SHORTEST_NAME and run.uid.startswith(text.lower())]
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = ", ".join(run.uid[: len(text) + 4] for run in matches[:5])
            raise RunNotFoundError(f"{text!r} is the beginning of {len(matches)} runs: {listed}")
        if os.sep in text and (Path(text) / JOURNAL).is_file():
            return Run(text)
        allowed = (
            f"last, a number from 1 to {len(runs)}, or the beginning of a uid, at least {SHORTEST_NAME} characters"
            if runs
            else "there are none yet"
        )
        raise RunNotFoundError(f"no run {text!r} in {self.directory}: {allowed}")


def open_catalogue(directory: str | os.PathLike | None = None) -> Catalogue:
    """Open the runs in a directory, by default ``$LAB_RUNS`` or ``./runs``.

    Returns
    -------
    Catalogue
    """
    return Catalogue(directory)
