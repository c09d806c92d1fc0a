"""Runs sent to a Tiled server: read from their journals, by a process of its own, whenever the server is there.

Nothing that measures talks to the server. A run is sent whole once it has ended; a small file beside its journal says
where it was sent, so that what a dead server missed is sent when it lives again.
"""

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from lab.catalog_address import CatalogAddress, CatalogError, reason
from lab.catalogue import Catalogue, Run
from lab.filelock import try_lock
from lab.journal import JOURNAL
from lab.stored_arrays import StoredArrays

MARK = "catalog.json"
LOCK = ".catalog.lock"
PLACE_ON_SERVER = "szilard"
"""Where the metadata of a run on the server say its state, how long its journal is, and where it was cut."""
FIRST_ANSWER = 10.0
"""Seconds in which a server must answer when it is greeted."""
PATIENCE = 60.0
"""Seconds in which it must answer while a run is sent."""


class AnotherSenderError(RuntimeError):
    """Another process sends the runs of the same directory."""


class NotTakenError(RuntimeError):
    """A server did not take what it was sent."""


@dataclass(frozen=True)
class Sent:
    """What became of one run.

    Parameters
    ----------
    run : Run
        The run.
    problem : str
        Why it was not sent; empty if it was.
    """

    run: Run
    problem: str = ""


def pending(directory: Path | None, uri: str) -> list[Run]:
    """Return the runs that have ended and are not, or not as they are now, marked as sent to a server."""
    runs = (run for run in Catalogue(directory) if run.state != "running")
    return [run for run in runs if _read_mark(run).get(uri) != _extent(run)]


def send(directory: Path | None, address: CatalogAddress) -> Iterator[Sent]:
    """Send every pending run, those too that end meanwhile, and yield each with what became of it.

    Raises
    ------
    CatalogError
        If the server cannot be reached, or stops answering; what was sent is marked.
    """
    tried: set[tuple[str, int]] = set()
    while waiting := [run for run in pending(directory, address.uri) if (run.uid, _extent(run)) not in tried]:
        for run in waiting:
            tried.add((run.uid, _extent(run)))
            with connected(address) as client:
                yield _outcome(client, run, address)


def send_alone(directory: Path, address: CatalogAddress) -> Iterator[Sent]:
    """Send as `send` does, unless another process sends the runs of the directory.

    Raises
    ------
    AnotherSenderError
        If one does; it sends what has ended until now too.
    CatalogError
        If the server cannot be reached, or stops answering; what was sent is marked.
    """
    refused: set[Path] = set()
    while True:
        with sending_alone(directory) as alone:
            if not alone:
                raise AnotherSenderError(f"another process sends the runs in {directory}")
            for sent in send(directory, address):
                if sent.problem:
                    refused.add(sent.run.directory)
                yield sent
        if all(run.directory in refused for run in pending(directory, address.uri)):
            return


@contextlib.contextmanager
def connected(address: CatalogAddress) -> Iterator[Any]:
    """Connect to a server, and hand out its client, which asks for everything once.

    Raises
    ------
    CatalogError
        If there is none, or it refuses the key.
    """
    from tiled.client import from_uri

    key = address.key()
    try:
        # Tiled's client asks a dead server again and again, and leaves its connections open when it is refused.
        _greet(address)
        client = from_uri(address.uri, api_key=key, timeout=httpx.Timeout(FIRST_ANSWER))
    except Exception as error:
        raise CatalogError(f"no catalog answers at {address.uri}: {reason(error)}") from error
    http = client.context.http_client
    http.timeout = httpx.Timeout(PATIENCE, connect=FIRST_ANSWER)
    http.send = _Once(http.send, address.uri)
    try:
        yield client
    finally:
        http.close()


class _Once:
    """Sends the requests of a client, each once: what is asked again may be done twice, or take minutes."""

    def __init__(self, send: Callable[..., httpx.Response], uri: str) -> None:
        self._send = send
        self._uri = uri
        self._silent: CatalogError | None = None

    def __call__(self, request: httpx.Request, **options: Any) -> httpx.Response:
        if self._silent is not None:
            raise self._silent
        try:
            answer = self._send(request, **options)
        except httpx.TransportError as error:
            self._silent = CatalogError(f"the catalog at {self._uri} stopped answering: {reason(error)}")
            raise self._silent from error
        if answer.is_server_error:
            raise NotTakenError(f"{answer.status_code} {answer.reason_phrase} to {request.method} {request.url.path}")
        return answer


def _greet(address: CatalogAddress) -> None:
    asked = httpx.get(
        f"{address.uri.rstrip('/')}/api/v1/metadata/",
        headers={"Authorization": f"Apikey {address.key()}"},
        timeout=FIRST_ANSWER,
    )
    asked.raise_for_status()


@contextlib.contextmanager
def sending_alone(directory: Path) -> Iterator[bool]:
    """Tell whether this is the only process that sends the runs of a directory, and remain it."""
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _outcome(client: Any, run: Run, address: CatalogAddress) -> Sent:
    """Send one run; if that ends the conversation with a server that still answers, it is for this run's sake."""
    try:
        _send(client, run)
    except CatalogError as error:
        try:
            _greet(address)
        except httpx.HTTPError:
            raise error from None
        return Sent(run, reason(error))
    except Exception as error:  # noqa: BLE001 - one run that the server does not take must not keep others back
        return Sent(run, reason(error))
    _write_mark(run, address.uri)
    return Sent(run)


def _send(client: Any, run: Run) -> None:
    """Send one run whole; what the server has of it from an earlier time is replaced."""
    from bluesky_tiled_plugins import TiledWriter

    if run.uid in client:
        if client[run.uid].metadata.get(PLACE_ON_SERVER) == _summary(run):
            return
        client.delete_contents(run.uid, recursive=True, external_only=False)
    write = TiledWriter(client, max_array_size=0)  # every array as numbers: as text in a table it loses its type
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The callback", UserWarning)
        try:
            for name, doc in _documents(run):
                write(name, doc)
        except UserWarning as failed:  # all that event-model makes of a start document that was not taken
            raise (failed.__context__ or failed) from None
    _compare(client[run.uid], run)
    client[run.uid].update_metadata({PLACE_ON_SERVER: _summary(run)}, drop_revision=True)


def _compare(node: Any, run: Run) -> None:
    """Raise if the server has not got every event once."""
    for name in run.streams:
        if events := run.stream(name).events:
            there = np.sort(node[name]["seq_num"].read())
            if not np.array_equal(there, sorted(events)):
                raise NotTakenError(f"{len(there)} events of {len(events)} are there of {name!r}")


def _summary(run: Run) -> dict[str, Any]:
    """Return what is said of a run on the server: where earlier parts of it were cut off, if it has any."""
    return {"state": run.state, "journal": _extent(run), **({"cuts": run.cuts} if run.cuts else {})}


def _documents(run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the documents of a run as the catalogue reads it: its earlier parts in it, and with an end."""
    streams = [run.stream(name) for name in run.streams]
    events = {event.doc["uid"]: event for stream in streams for event in stream.events.values()}
    descriptors = {doc["uid"] for stream in streams for doc in stream.descriptors}
    yield "start", _plain(run.start)
    for part in _parts(run):
        with StoredArrays(part.directory) as stored:
            for name, doc in part.documents(arrays=False):
                if name == "event" and doc["uid"] in events:
                    filled = stored.restored(name, doc)
                    data = {key: _plain(value) for key, value in filled["data"].items()}
                    yield name, {**filled, "data": data, "seq_num": events[doc["uid"]].number}
                elif name == "descriptor" and doc["uid"] in descriptors and stored.holds(doc):
                    yield name, _plain({**stored.restored(name, doc), "run_start": run.uid})
    yield "stop", _plain(_end(run, {stream.name: len(stream.events) for stream in streams}))


def _parts(run: Run) -> list[Run]:
    """Return the run, after those that it continues, the first of them first."""
    return [*(_parts(run.continued) if run.continued is not None else []), run]


def _end(run: Run, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the stop document of a run, with the events of all its parts counted."""
    if run.stop is not None:
        return {**run.stop, "num_events": {**run.stop.get("num_events", {}), **counts}} if run.continued else run.stop
    return {
        "uid": f"{run.uid}-cut",
        "run_start": run.uid,
        "time": run.last_time,
        "exit_status": "fail",
        "reason": "the process of the run died; this document was made for the catalog",
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _extent(run: Run) -> int:
    """Return how long the journal is, bytes: a run that was taken up, or repaired, is longer or shorter."""
    return (run.directory / JOURNAL).stat().st_size


def _read_mark(run: Run) -> dict[str, int]:
    try:
        return dict(json.loads((run.directory / MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _write_mark(run: Run, uri: str) -> None:
    mark = {**_read_mark(run), uri: _extent(run)}
    unfinished = run.directory / f"{MARK}.part"
    unfinished.write_text(json.dumps(mark), encoding="utf-8")
    unfinished.replace(run.directory / MARK)
