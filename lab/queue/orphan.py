"""The worker of a queue after its server has died: it aborts what runs, leaves the station safe, and ends."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from bluesky.utils import TransitionError

from lab.run_engine import LabRunEngine

__all__ = ["end_with_parent"]

PATIENCE = 20.0
"""Seconds that an abort may take; then the process ends all the same, and the watchdog of the run takes over."""
LOOK = 0.1


def end_with_parent(engine: LabRunEngine, executing: threading.Lock, close: Callable[[], object]) -> None:
    """Wait until the process that started this one has died, then abort what runs, and end this process.

    Parameters
    ----------
    engine : LabRunEngine
        What runs plans.
    executing : threading.Lock
        Held while a plan runs, until the station is safe.
    close : callable
        Closes the station.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    last = threading.Timer(PATIENCE, os._exit, [1])
    last.daemon = True
    last.start()
    while engine.state != "idle" or not executing.acquire(timeout=LOOK):
        if engine.state in ("running", "paused"):
            with suppress(TransitionError, RuntimeError):
                engine.abort("the queue server has died")
        threading.Event().wait(LOOK)
    close()
    os._exit(1)
