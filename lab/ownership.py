"""Who owns an instrument that has no lock of its own: one process of this machine, by a locked file."""

import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lab.filelock import try_lock

__all__ = ["OwnedError", "own"]


class OwnedError(ConnectionError):
    """An instrument that another process of this machine owns."""


def own(resource: str) -> Callable[[], None]:
    """Become the owner of an instrument, until it is given back or the process ends.

    Parameters
    ----------
    resource : str
        Its resource name; capitals make no difference.

    Returns
    -------
    callable
        Gives the instrument back.

    Raises
    ------
    OwnedError
        If it is owned already; says by which process.
    """
    name = re.sub(r"[^a-z0-9.]+", "-", resource.lower())
    descriptor = _open(Path(tempfile.gettempdir()) / f"szilard-{name}.lock")
    if not try_lock(descriptor):
        owner = os.read(descriptor, 80).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise OwnedError(f"it is held by {owner} on this machine; one session owns an instrument")
    with suppress(OSError):  # of another user's file, or a full disk: the lock holds, only its owner has no name
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}\n".encode())
    return lambda: os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except PermissionError:  # another user's, which can be locked all the same
        return os.open(path, os.O_RDONLY)
