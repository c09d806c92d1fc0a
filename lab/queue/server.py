"""The server of a queue as `lab queue` starts it: ``python -m lab.queue.server ADDRESS OPTIONS``.

It ends with whoever holds the other end of its standard input, and has its manager give up a worker that has died.
"""

import multiprocessing
import os
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import wait

from bluesky_queueserver.manager.manager import RunEngineManager
from bluesky_queueserver.manager.start_manager import start_manager
from bluesky_queueserver.manager.worker import RunEngineWorker

from lab.queue_command import QueueError, ask

__all__ = ["end_with_starter", "give_up_dead_workers"]

LOOK = 1.0
"""Seconds between two looks for a worker; also what a manager is given to learn by itself that one has ended."""


def end_with_starter() -> None:
    """Wait until standard input ends, then end this process and the manager; the worker ends by itself in good order.

    The manager goes first, because it would have the worker begin the next item of the queue.
    """
    while os.read(0, 1024):
        pass
    for process in multiprocessing.active_children():
        if isinstance(process, RunEngineManager):
            process.kill()
    os._exit(1)


def give_up_dead_workers(address: str) -> None:
    """Close the environment of each worker that has died, which the manager believes at work for ever.

    Parameters
    ----------
    address : str
        Control socket of the manager.
    """
    while True:
        if (worker := _worker()) is not None:
            wait([worker.sentinel])
            threading.Event().wait(LOOK)
            with suppress(QueueError):
                if _worker() is None and _believed_open(address):
                    ask(address, "environment_destroy")
        threading.Event().wait(LOOK)


def _worker() -> multiprocessing.Process | None:
    return next((child for child in multiprocessing.active_children() if isinstance(child, RunEngineWorker)), None)


def _believed_open(address: str) -> bool:
    status = ask(address, "status")
    return status["worker_environment_exists"] or status["manager_state"] == "creating_environment"


if __name__ == "__main__":
    _address = sys.argv[1]
    sys.argv[1:2] = ["--zmq-control-addr", _address]
    for _task, *_arguments in ((end_with_starter,), (give_up_dead_workers, _address)):
        threading.Thread(target=_task, args=_arguments, daemon=True).start()
    start_manager()
