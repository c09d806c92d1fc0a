"""Runs read back from disk: what was run, how it ended, and its data as xarray with units."""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import xarray as xr

from lab.filelock import is_held
from lab.journal import JOURNAL, JournalError, default_directory, read_lines

State = Literal["success", "abort", "fail", "cut", "running"]
FORMATS = {"netcdf": ".nc", "zarr": ".zarr", "csv": ".csv"}
WIDEST_TABLE = 10_000  # columns of a CSV file
SHORTEST_NAME = 4  # characters of a uid that name a run; a shorter one could be meant as a number
TAIL = 65536  # bytes from the end of a journal in which its stop document lies


class RunNotFoundError(LookupError):
    """No run, or more than one, answers to a name."""


class StreamNotFoundError(LookupError):
    """A run has no such stream."""


class ExportError(ValueError):
    """A run cannot be written in a format or to a path."""


@dataclass
class Stream:
    """One stream of a run: its descriptors and events, the last word of a repeated step only."""

    name: str
    descriptors: list[dict[str, Any]] = field(default_factory=list)
    events: dict[int, dict[str, Any]] = field(default_factory=dict)

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
            counts = self.stop.get("num_events", {})
        else:
            try:
                counts = {name: len(stream.events) for name, stream in self._streams.items()}
            except JournalError:
                return None
        return counts.get("learning", max(counts.values(), default=0))

    @cached_property
    def stop(self) -> dict[str, Any] | None:
        """The stop document, read from the end of the journal."""
        path = self.directory / JOURNAL
        with path.open("rb") as lines:
            lines.seek(max(0, path.stat().st_size - TAIL))
            last = lines.read().rsplit(b"\n", 2)[-2:]
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(last[0])
            if entry["name"] == "stop":
                return entry["doc"]
        return None

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
        with _Arrays(self.directory) as stored:
            for name, doc in read_lines(self.directory / JOURNAL):
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
        with _Arrays(self.directory) as stored:
            descriptor = stored.restored("descriptor", self._stream(stream).descriptors[-1])
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
        found = self._stream(stream)
        events = list(found.events.values())
        with _Arrays(self.directory) as stored:
            columns = {key: [stored.value(event["data"].get(key)) for event in events] for key in found.data_keys}
        dataset = xr.Dataset(attrs=self._attributes(found))
        sizes = {"event": len(events)}
        taken = {"event", "seq_num", "time", *columns}
        for key, values in columns.items():
            dataset[key] = _variable(key, values, found.data_keys[key], sizes, taken)
        return dataset.assign_coords(
            seq_num=("event", np.array([event["seq_num"] for event in events], dtype=np.int64)),
            time=("event", np.array([event["time"] for event in events], dtype=float), {"units": "s"}),
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
        target = Path(path)
        kind = _format(target, format)
        names = [stream] if stream is not None else self.streams
        datasets = {name: self.read(name) for name in names}
        if not datasets:
            raise ExportError(f"run {self.uid[:8]} has no data to export: its state is {self.state}")
        try:
            return {"netcdf": _to_netcdf, "zarr": _to_zarr, "csv": _to_csv}[kind](datasets, target)
        except OSError as error:
            raise ExportError(f"cannot write {target}: {error.strerror or error}") from error

    @cached_property
    def _streams(self) -> dict[str, Stream]:
        streams: dict[str, Stream] = {}
        by_descriptor: dict[str, Stream] = {}
        for name, doc in read_lines(self.directory / JOURNAL):
            if name == "descriptor":
                stream = streams.setdefault(doc.get("name", "primary"), Stream(doc.get("name", "primary")))
                stream.descriptors.append(doc)
                by_descriptor[doc["uid"]] = stream
            elif name == "event":
                by_descriptor[doc["descriptor"]].events[doc["seq_num"]] = doc
        return streams

    def _stream(self, name: str) -> Stream:
        try:
            return self._streams[name]
        except KeyError:
            known = ", ".join(self._streams) or "none"
            raise StreamNotFoundError(f"run {self.uid[:8]} has no stream {name!r}; it has: {known}") from None

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


class _Arrays:
    """The HDF5 files of a run, opened when first referred to, also while they are written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, h5py.File] = {}

    def __enter__(self) -> "_Arrays":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def value(self, value: Any) -> Any:
        """Return what a reference stands for, and any other value as it is."""
        if not (isinstance(value, Mapping) and {"file", "dataset", "row"} == set(value)):
            return value
        name = Path(value["file"]).name
        try:
            if name not in self._files:
                self._files[name] = h5py.File(self._directory / name, "r", libver="latest", swmr=True)
            return self._files[name][value["dataset"]][value["row"]]
        except (OSError, KeyError, ValueError) as error:
            message = f"{self._directory / name}: row {value['row']} of {value['dataset']} cannot be read: {error}"
            raise JournalError(None, message) from error

    def restored(self, name: str, doc: dict[str, Any]) -> dict[str, Any]:
        """Return a document with its arrays in place."""
        if name == "event":
            data = {key: self.value(value) for key, value in doc["data"].items()}
            moved = {key for key in data if data[key] is not doc["data"][key]}
            return {**doc, "data": data, "filled": {k: v for k, v in doc["filled"].items() if k not in moved}}
        if name == "descriptor":
            configuration = {
                device: {**entry, "data": {key: self.value(value) for key, value in entry["data"].items()}}
                for device, entry in doc.get("configuration", {}).items()
            }
            return {**doc, "configuration": configuration}
        return doc


def _variable(
    key: str, values: list[Any], data_key: Mapping[str, Any], sizes: dict[str, int], taken: set[str]
) -> xr.Variable:
    array = _stacked(values)
    names = [str(name) for name in data_key.get("dims") or ()]
    if len(names) != array.ndim - 1 or len(set(names)) != len(names) or taken.intersection(names):
        names = [f"{key}_dim_{axis}" for axis in range(array.ndim - 1)]
    dims = ["event"]
    for axis, (name, size) in enumerate(zip(names, array.shape[1:], strict=True)):
        dim = name if sizes.setdefault(name, size) == size else f"{key}_dim_{axis}"
        sizes[dim] = size
        dims.append(dim)
    attrs = {name: data_key[name] for name in ("units", "source") if data_key.get(name)}
    return xr.Variable(dims, array, attrs)


def _stacked(values: list[Any]) -> np.ndarray:
    if not values:
        return np.empty(0)
    if any(value is None or isinstance(value, (str, Mapping)) for value in values):
        texts = ["" if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
        return np.array(texts)
    arrays = [np.asarray(value) for value in values]
    shapes = {array.shape for array in arrays}
    if len(shapes) == 1:
        return np.stack(arrays)
    largest = np.zeros(max(len(shape) for shape in shapes), dtype=int)
    for shape in shapes:
        largest[: len(shape)] = np.maximum(largest[: len(shape)], shape)
    padded = np.full((len(arrays), *largest), np.nan)
    for row, array in zip(padded, arrays, strict=True):
        row[tuple(slice(size) for size in array.shape) + (0,) * (row.ndim - array.ndim)] = array
    return padded


def _format(target: Path, named: str | None) -> str:
    kind = named.lower() if named else next((key for key, end in FORMATS.items() if target.suffix == end), "")
    if kind not in FORMATS:
        problem = f"there is no export format {named!r}" if named else f"the name {target.name!r} does not say a format"
        choices = ", ".join(f"{key} ({end})" for key, end in FORMATS.items())
        raise ExportError(f"{problem}; allowed: {choices}")
    if target.exists():
        raise ExportError(f"{target} exists already; choose another name")
    if not target.absolute().parent.is_dir():
        raise ExportError(f"cannot write {target}: there is no directory {target.absolute().parent}")
    return kind


def _to_netcdf(datasets: Mapping[str, xr.Dataset], target: Path) -> list[Path]:
    alone = len(datasets) == 1
    for name, dataset in datasets.items():
        dataset.to_netcdf(
            target, mode="a" if target.exists() else "w", group=None if alone else name, engine="h5netcdf"
        )
    return [target]


def _to_zarr(datasets: Mapping[str, xr.Dataset], target: Path) -> list[Path]:
    alone = len(datasets) == 1
    for name, dataset in datasets.items():
        dataset.to_zarr(target, mode="a", group=None if alone else name, consolidated=True, zarr_format=2)
    return [target]


def _to_csv(datasets: Mapping[str, xr.Dataset], target: Path) -> list[Path]:
    written = []
    for name, dataset in datasets.items():
        path = target if len(datasets) == 1 else target.with_name(f"{target.stem}-{name}{target.suffix}")
        columns = _columns(dataset)
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
        written.append(path)
    return written


def _columns(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Return a table of one row an event: array elements become columns ``key[i,j]``, units ``key (V)``."""
    width = sum(int(np.prod(variable.shape[1:])) for variable in dataset.data_vars.values())
    if width > WIDEST_TABLE:
        raise ExportError(f"{width} columns are too many for CSV, at most {WIDEST_TABLE}; use netcdf or zarr")
    columns: dict[str, np.ndarray] = {"seq_num": dataset["seq_num"].values, "time (s)": dataset["time"].values}
    for key, variable in dataset.data_vars.items():
        units = f" ({variable.attrs['units']})" if "units" in variable.attrs else ""
        for index in np.ndindex(variable.shape[1:]):
            place = f"[{','.join(map(str, index))}]" if index else ""
            columns[f"{key}{place}{units}"] = variable.values[(slice(None), *index)]
    return columns
