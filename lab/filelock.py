"""An advisory lock that tells a run being written from one whose process died."""

import os
import sys
from contextlib import suppress

if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30  # Windows locks are mandatory: a byte that no line ever reaches

    def _lock(descriptor: int) -> None:
        here = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, here, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def hold(descriptor: int) -> None:
    """Lock an open file until it is closed or its process ends, where the file system has locks."""
    with suppress(OSError):
        _lock(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file as `hold` does; tell whether nobody else held it, True where the file system has no locks."""
    try:
        _lock(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def is_held(path: str | os.PathLike) -> bool:
    """Tell whether another open file holds the lock of this path."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)
