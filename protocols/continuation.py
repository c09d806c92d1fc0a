"""Where a learning run that was cut short goes on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from bluesky.utils import Msg
from numpy.typing import NDArray

from protocols.acquisition import Plan

LEARNING = "learning"
"""The stream of a learning run whose events hold all that is needed to go on after them."""


@dataclass(frozen=True, eq=False)
class Continuation:
    """What a run had recorded up to its last completed learning step.

    Attributes
    ----------
    uid : str
        Unique identifier of the run that was cut short.
    streams : mapping of str to mapping of str to ndarray
        By stream and key, one row an event; streams without an event up to that step are left out.
    """

    uid: str
    streams: Mapping[str, Mapping[str, NDArray[Any]]]

    @property
    def steps(self) -> int:
        """Number of learning steps that are done."""
        return len(next(iter(self.streams[LEARNING].values())))

    def column(self, key: str, stream: str = LEARNING) -> NDArray[Any]:
        """Return one key of all events of a stream, without events an empty array."""
        return np.asarray(self.streams.get(stream, {}).get(key, ()))

    def last(self, key: str, stream: str = LEARNING) -> Any:
        """Return one key of the last event of a stream: a number or text of Python's own, or an array."""
        value = self.column(key, stream)[-1]
        return value if np.ndim(value) else value.item()

    def events(self, stream: str) -> list[dict[str, Any]]:
        """Return the events of a stream, values by key."""
        columns = self.streams.get(stream, {})
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def take_up(continued: Continuation) -> Plan[None]:
    """Say that all is set for the step after the last one of a run that was cut short.

    A twin is then brought to the moment at which that step ended, so that what follows is what would have followed;
    instruments go on as they are.
    """
    yield Msg("take_up", None, continued)
