"""An advisory lock that tells a run being written from one whose process died."""

import os
import sys
import threading

if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30  # Windows locks are mandatory: a byte that no line ever reaches

    def _lock(descriptor: int, *, shared: bool = False) -> None:  # noqa: ARG001 - there are no shared ones
        here = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, here, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool = False) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


GLANCE = 0.01
"""Seconds after which somebody who only looks whether a file is locked has surely looked."""
GLANCES = 100


def hold(descriptor: int) -> None:
    """Lock an open file until it is closed or its process ends, where the file system has locks.

    Those who look at the same moment, see `is_held`, are let go by.
    """
    for _ in range(GLANCES):
        if try_lock(descriptor):
            return
        threading.Event().wait(GLANCE)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file as `hold` does; tell whether nobody else held it, True where the file system has no locks.

    What several lock as a shared file, none of them holds against the others.
    """
    try:
        _lock(descriptor, shared=shared)
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
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)
