"""Overlapped commands (IEEE 488.2, chapter 12): what goes on after the command that started it."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operation:
    """Something that an instrument does while it carries out other commands.

    A command that returns an Operation is overlapped: ``*OPC``, ``*OPC?`` and ``*WAI`` refer to it. A query that
    returns one is answered when it is done, and the rest of its message waits until then.

    Parameters
    ----------
    future : concurrent.futures.Future
        The work, on a thread of the bench. A ScpiError that it raises goes to the error queue of the session that
        started it; cancelling it is no error.
    reply : callable, optional
        Returns the response data of a query after the work is done or has failed; without it the result of the work is
        the response.
    """

    future: "Future[Any]"
    reply: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Suspension:
    """What the rest of a message waits for.

    Parameters
    ----------
    ready : callable
        Whether the message can go on.
    reply : callable or None
        Returns the response data of the query that waits, or None where nothing is answered.
    """

    ready: Callable[[], bool]
    reply: Callable[[], Any] | None = None
