"""The record of a run: every document on disk before the next message of the plan.

A run is a directory ``<UTC date-time>_<plan>_<first 8 of uid>`` that holds

``journal.jsonl``
    one line a document, ``{"name": ..., "doc": ...}``, in the order of emission;
``<stream>.h5``
    the large arrays of a stream, one dataset a key, one row an event. The line of the event
    then carries ``{"file": ..., "dataset": ..., "row": ...}`` in the array's place and marks
    the key ``filled: false``.

A row is on disk before the line that refers to it, and a line before the plan goes on, so a
process killed at any moment loses nothing that was finished.
"""

import errno
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from event_model import NumpyEncoder, unpack_event_page

from lab.filelock import hold

JOURNAL = "journal.jsonl"
LARGEST_INLINE = 100  # elements of an array that still go into the line itself
SYNC_INTERVAL = 1.0  # s between two fsyncs of ordinary events
ROW_BUNDLE = 16384  # bytes of small rows that share a chunk
PROBE_SIZE = 65536  # bytes that must fit on the disk before a plan may begin
SYNCED_DOCUMENTS = frozenset({"start", "stop", "descriptor"})
SYNCED_STREAM = "learning"

Reference = dict[str, Any]


class Encoder(NumpyEncoder):
    """Writes documents as JSON, with what NumPy has in them; dask is not imported for that, which takes a second."""

    def default(self, obj: object) -> Any:
        """Return what JSON has for a value that it does not know."""
        return obj.tolist() if isinstance(obj, (np.generic, np.ndarray)) else super().default(obj)


class JournalError(OSError):
    """The record of a run cannot be written or read."""

    def __str__(self) -> str:
        return str(self.strerror)


def default_directory() -> Path:
    """Return where runs are kept: ``$LAB_RUNS``, else ``runs`` in the working directory."""
    return Path(os.environ.get("LAB_RUNS") or "runs").absolute()


class Journal:
    """Writes the documents of every run to disk; the first subscriber of the run engine.

    Parameters
    ----------
    directory : path, optional
        Where the directories of runs are made; by default :func:`default_directory`.

    Raises
    ------
    JournalError
        If the directory cannot be made or written, or its disk is full.
    """

    def __init__(self, directory: str | os.PathLike | None = None) -> None:
        self.directory = Path(directory).absolute() if directory is not None else default_directory()
        self._lock = threading.RLock()
        self._recordings: dict[str, _Recording] = {}
        self._directories: dict[str, Path] = {}
        self.check()

    def check(self) -> None:
        """Write and sync a small file where the runs go.

        Raises
        ------
        JournalError
            If that is not possible.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory, buffering=0) as probe:
                _write_all(probe.fileno(), bytes(PROBE_SIZE))
                os.fsync(probe.fileno())
        except OSError as error:
            raise _journal_error(f"runs cannot be recorded in {self.directory}", error) from error

    def run_directory(self, uid: str) -> Path:
        """Return the directory of a run that this journal began.

        Raises
        ------
        KeyError
            If no such run was begun here.
        """
        return self._directories[uid]

    def __call__(self, name: str, doc: Any) -> None:
        """Put one document on disk.

        Raises
        ------
        JournalError
            If it could not be written; the journal then ends with the last whole line.
        TypeError
            If the document holds something that JSON cannot carry.
        """
        with self._lock:
            if name == "event_page":
                for event in unpack_event_page(doc):
                    self._write("event", event)
            else:
                self._write(name, doc)

    def close(self) -> None:
        """Close what is still open, leaving runs without a stop document as they are."""
        with self._lock:
            for recording in set(self._recordings.values()):
                recording.close()
            self._recordings.clear()

    def _write(self, name: str, doc: Mapping[str, Any]) -> None:
        recording = self._begin(doc) if name == "start" else self._recordings.get(_parent(doc))
        if recording is None:
            raise JournalError(errno.EINVAL, f"a {name} document came that belongs to no run being recorded")
        try:
            recording.write(name, doc)
        except OSError as error:
            raise _journal_error(f"the {name} document cannot be recorded in {recording.directory}", error) from error
        finally:
            if name == "stop":
                recording.close()
                self._recordings = {uid: other for uid, other in self._recordings.items() if other is not recording}
        if name in {"descriptor", "resource", "stream_resource"}:
            self._recordings[doc["uid"]] = recording

    def _begin(self, start: Mapping[str, Any]) -> "_Recording":
        directory = self.directory / _run_name(start)
        try:
            recording = _Recording(directory)
        except OSError as error:
            raise _journal_error(f"the run cannot be recorded in {directory}", error) from error
        self._recordings[start["uid"]] = recording
        self._directories[start["uid"]] = directory
        return recording


class _Recording:
    """The open files of one run."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self._lines = os.open(
            directory / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
        )
        hold(self._lines)
        self._size = 0
        self._synced = -float("inf")
        self._syncing = ThreadPoolExecutor(thread_name_prefix="journal")  # the files go to the disk in one go
        self._streams: dict[str, str] = {}
        self._arrays: dict[str, _ArrayFile] = {}
        _sync_directory(directory)
        _sync_directory(directory.parent)

    def write(self, name: str, doc: Mapping[str, Any]) -> None:
        stream = ""
        if name == "descriptor":
            stream = self._streams[doc["uid"]] = doc.get("name", "primary")
            doc = self._configuration_moved(stream, doc)
        elif name == "event":
            stream = self._streams[doc["descriptor"]]
            doc = self._data_moved(stream, doc)
        self._append({"name": name, "doc": doc})
        urgent = name in SYNCED_DOCUMENTS or stream == SYNCED_STREAM
        if urgent or time.monotonic() - self._synced >= SYNC_INTERVAL:
            self._sync()

    def close(self) -> None:
        for arrays in self._arrays.values():
            arrays.close()
        self._arrays.clear()
        if self._lines >= 0:
            os.close(self._lines)
            self._lines = -1
        self._syncing.shutdown()

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, cls=Encoder, separators=(",", ":")).encode() + b"\n"
        try:
            _write_all(self._lines, line)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._lines, self._size)
                os.lseek(self._lines, self._size, os.SEEK_SET)
            raise
        self._size += len(line)

    def _sync(self) -> None:
        arrays_synced = [self._syncing.submit(arrays.sync) for arrays in self._arrays.values()]
        os.fsync(self._lines)
        for synced in arrays_synced:
            synced.result()
        self._synced = time.monotonic()

    def _data_moved(self, stream: str, event: Mapping[str, Any]) -> dict[str, Any]:
        references = self._store(stream, event["data"])
        filled = {**event.get("filled", {}), **dict.fromkeys(references, False)}
        return {**event, "data": {**event["data"], **references}, "filled": filled}

    def _configuration_moved(self, stream: str, descriptor: Mapping[str, Any]) -> dict[str, Any]:
        configuration = {
            name: {**entry, "data": {**entry["data"], **self._store(f"{stream}-{name}", entry["data"])}}
            for name, entry in descriptor.get("configuration", {}).items()
        }
        return {**descriptor, "configuration": configuration}

    def _store(self, family: str, data: Mapping[str, Any]) -> dict[str, Reference]:
        large = {key: value for key, value in data.items() if _is_large(value)}
        if not large:
            return {}
        arrays = self._arrays.get(family)
        if arrays is None or not arrays.fits(large):
            if arrays is not None:
                arrays.close()
            arrays = self._arrays[family] = _ArrayFile(_unused(self.directory, _safe_name(family)), large)
        row = arrays.append(large)
        return {key: {"file": arrays.path.name, "dataset": key, "row": row} for key in large}


class _ArrayFile:
    """Arrays of equal keys, shapes and types, appended row by row to an HDF5 file in SWMR mode."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self.path = path
        self._layout = _layout(arrays)
        self._rows = 0
        self._synced = 0
        with _hdf5_errors(path):
            self._file = h5py.File(path, "x", libver="latest")
            self._datasets = {
                key: self._file.create_dataset(
                    key,
                    shape=(0, *array.shape),
                    maxshape=(None, *array.shape),
                    chunks=(max(1, ROW_BUNDLE // array.nbytes), *array.shape),
                    dtype=array.dtype,
                )
                for key, array in arrays.items()
            }
            self._file.swmr_mode = True

    def fits(self, arrays: Mapping[str, np.ndarray]) -> bool:
        return _layout(arrays) == self._layout

    def append(self, arrays: Mapping[str, np.ndarray]) -> int:
        row = self._rows
        _check_room(self.path.parent, sum(max(array.nbytes, ROW_BUNDLE) for array in arrays.values()))
        with _hdf5_errors(self.path):
            for key, array in arrays.items():
                dataset = self._datasets[key]
                dataset.resize(row + 1, axis=0)
                dataset[row] = array
                dataset.flush()
        self._rows = row + 1
        return row

    def sync(self) -> None:
        handle = self._file.id.get_vfd_handle()
        if self._synced < self._rows and isinstance(handle, int):
            os.fsync(handle)
        self._synced = self._rows

    def close(self) -> None:
        with suppress(OSError, RuntimeError, ValueError):  # every row was flushed when it was appended
            self._file.close()


def _check_room(directory: Path, size: int) -> None:
    """Refuse a row before HDF5 meets a full disk: what it could not write then would crash it when it is closed."""
    disk = shutil.disk_usage(directory)
    if disk.total and disk.free < size + PROBE_SIZE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _hdf5_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:  # how h5py reports what HDF5 could not do
        raise OSError(errno.EIO, f"{path.name}: {error}") from error


def _layout(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple]:
    return {key: (array.shape, array.dtype.str) for key, array in arrays.items()}


def _is_large(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.size > LARGEST_INLINE and value.dtype.kind in "biufc"


def _parent(doc: Mapping[str, Any]) -> str:
    return doc.get("run_start") or doc.get("descriptor") or doc.get("resource") or ""


def _safe_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:60] or "_"


def _run_name(start: Mapping[str, Any]) -> str:
    moment = datetime.fromtimestamp(start["time"], UTC)
    plan = _safe_name(str(start.get("plan_name") or "run"))
    return f"{moment:%Y-%m-%dT%H-%M-%S}_{plan}_{_safe_name(start['uid'])[:8]}"


def _unused(directory: Path, stem: str) -> Path:
    path, number = directory / f"{stem}.h5", 1
    while path.exists():
        number += 1
        path = directory / f"{stem}-{number}.h5"
    return path


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _journal_error(what: str, error: OSError) -> JournalError:
    hints = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the disk is read-only",
        errno.EACCES: "permission denied",
        errno.ENOTDIR: "a part of the path is a file",
        errno.EEXIST: "a part of the path is a file, or the run exists",
    }
    reason = hints.get(error.errno or 0, error.strerror or str(error)).splitlines()[0]
    return JournalError(error.errno or errno.EIO, f"{what}: {reason}")


def document_in(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return the ``(name, document)`` of a line of a journal; None if it is not whole, or damaged."""
    try:
        entry = json.loads(line)
        return str(entry["name"]), dict(entry["doc"])
    except (ValueError, TypeError, KeyError):
        return None


def read_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``(name, document)`` of a journal as far as it was written.

    A last line that a crash or a full disk cut short is left out.

    Raises
    ------
    JournalError
        If a line other than the last is damaged.
    """
    damaged = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if damaged:
                raise JournalError(errno.EILSEQ, f"{path}: line {damaged} is damaged")
            document = document_in(line)
            if document is None:
                damaged = number
            else:
                yield document
