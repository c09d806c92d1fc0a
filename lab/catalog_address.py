"""Where a copy of every run goes, and the process that is started to send it there."""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.station_tables import CatalogTable

LOG = "catalog.log"
URI_VARIABLE = "LAB_CATALOG"
KEY_VARIABLE = "TILED_API_KEY"
_senders: list[subprocess.Popen[bytes]] = []
"""Processes that were started and may still send; that one has ended is seen when the next is started."""


class CatalogError(ConnectionError):
    """A Tiled server that cannot be reached, refuses, or does not keep what it is sent."""


@dataclass(frozen=True)
class CatalogAddress:
    """Where a Tiled server is.

    Parameters
    ----------
    uri : str
        Its address, such as ``http://127.0.0.1:8000``.
    key_file : pathlib.Path, optional
        The file that holds the key of its API; by default the key is in ``$TILED_API_KEY``.
    """

    uri: str
    key_file: Path | None = None

    def key(self) -> str | None:
        """Return the key of the API.

        Raises
        ------
        CatalogError
            If the file of the key cannot be read.
        """
        if self.key_file is None:
            return os.environ.get(KEY_VARIABLE)
        try:
            return self.key_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise CatalogError(f"the key of the catalog cannot be read from {self.key_file}: {error}") from error


def catalog_address(table: CatalogTable | None) -> CatalogAddress | None:
    """Return where runs go: ``$LAB_CATALOG``, else what the station file says, else nowhere."""
    if uri := os.environ.get(URI_VARIABLE):
        return CatalogAddress(uri)
    if table is None:
        return None
    return CatalogAddress(table.uri, Path(table.key_file).expanduser() if table.key_file else None)


def send_in_background(address: CatalogAddress, directory: Path) -> None:
    """Start a process that sends the runs in a directory; a failure to start one is left to the next run."""
    command = [sys.executable, "-m", "lab", "catalog", "sync", "--to", address.uri, "--directory", str(directory)]
    if address.key_file is not None:
        command += ["--key-file", str(address.key_file)]
    _senders[:] = [sender for sender in _senders if sender.poll() is None]
    with contextlib.suppress(OSError), (directory / LOG).open("ab") as log:
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        _senders.append(subprocess.Popen([*command, "--patient"], **options, start_new_session=True))


def reason(error: BaseException) -> str:
    """Return the first line of what an error says, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
