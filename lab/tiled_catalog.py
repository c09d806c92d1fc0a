"""Runs sent to a Tiled server: read from their journals, by a process of its own, whenever the server is there.

Nothing that measures talks to the server. A run is sent whole once it has ended; a small file beside its journal says
where it was sent, so that what a dead server missed is sent when it lives again.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from lab.catalog_address import CatalogAddress, CatalogError
from lab.catalogue import Catalogue, Run
from lab.filelock import try_lock
from lab.journal import JOURNAL
from lab.stored_arrays import StoredArrays

MARK = "catalog.json"
LOCK = ".catalog.lock"
PLACE_ON_SERVER = "szilard"
"""What the metadata of a run on the server says of it: its state, and the events that its journal holds."""


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
    """Send every pending run, and yield each with what became of it.

    Raises
    ------
    CatalogError
        If the server cannot be reached, or stops answering; what was sent is marked.
    """
    if not (waiting := pending(directory, address.uri)):
        return
    with connected(address) as client:
        for run in waiting:
            try:
                _send(client, run)
            except httpx.TransportError as error:
                raise CatalogError(f"the catalog at {address.uri} stopped answering: {_reason(error)}") from error
            except Exception as error:  # noqa: BLE001 - one run that the server does not take must not keep others back
                yield Sent(run, _reason(error))
            else:
                _write_mark(run, address.uri)
                yield Sent(run)


@contextlib.contextmanager
def connected(address: CatalogAddress) -> Iterator[Any]:
    """Connect to a server, and hand out its client.

    Raises
    ------
    CatalogError
        If there is none, or it refuses the key.
    """
    from tiled.client import from_uri

    key = address.key()
    try:
        # Tiled's client asks a dead server again and again, and leaves its connections open when it is refused.
        asked = httpx.get(
            f"{address.uri.rstrip('/')}/api/v1/metadata/", headers={"Authorization": f"Apikey {key}"}, timeout=5.0
        )
        asked.raise_for_status()
        client = from_uri(address.uri, api_key=key, timeout=httpx.Timeout(30.0, connect=5.0))
    except Exception as error:
        raise CatalogError(f"no catalog answers at {address.uri}: {_reason(error)}") from error
    try:
        yield client
    finally:
        client.context.http_client.close()


@contextlib.contextmanager
def sending_alone(directory: Path) -> Iterator[bool]:
    """Tell whether this is the only process that sends the runs of a directory, and remain it."""
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _send(client: Any, run: Run) -> None:
    """Send one run whole; what the server has of it from an earlier time is replaced."""
    from bluesky_tiled_plugins import TiledWriter

    if run.uid in client:
        if client[run.uid].metadata.get(PLACE_ON_SERVER) == _summary(run):
            return
        client.delete_contents(run.uid, recursive=True)
    write = TiledWriter(client, max_array_size=0)  # every array as numbers: as text in a table it loses its type
    for name, doc in _documents(run):
        write(name, doc)
    client[run.uid].update_metadata({PLACE_ON_SERVER: _summary(run)}, drop_revision=True)


def _summary(run: Run) -> dict[str, Any]:
    return {"state": run.state, "journal": _extent(run)}


def _documents(run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the documents of a run with the last word of every repeated event, and with an end."""
    last = {event.doc["uid"] for name in run.streams for event in run.stream(name).events.values()}
    with StoredArrays(run.directory) as stored:
        for name, doc in run.documents(arrays=False):
            if name == "event" and doc["uid"] in last:
                filled = stored.restored(name, doc)
                yield name, {**filled, "data": {key: _plain(value) for key, value in filled["data"].items()}}
            elif name in ("start", "stop") or (name == "descriptor" and stored.holds(doc)):
                yield name, _plain(stored.restored(name, doc))
    if run.stop is None:
        reason = "the process of the run died; this document was made for the catalog"
        yield (
            "stop",
            {
                "uid": f"{run.uid}-cut",
                "run_start": run.uid,
                "time": run.last_time,
                "exit_status": "fail",
                "reason": reason,
            },
        )


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


def _reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
