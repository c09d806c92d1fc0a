"""One of several like parts of an instrument, with properties of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymeasure.instruments import Channel

from drivers.errors import ReplyError

if TYPE_CHECKING:
    import threading


class InstrumentChannel(Channel):
    """A channel of an instrument of ours: its number stands for ``{ch}`` in commands, its lock is the instrument's.

    Parameters
    ----------
    parent : drivers.scpi.ScpiInstrument
        The instrument.
    id : int
        Number of the channel.
    """

    # As in the instruments: no property is dynamic.
    __getattribute__ = object.__getattribute__
    __setattr__ = object.__setattr__

    @property
    def lock(self) -> threading.RLock:
        """Lock of the instrument."""
        return self.parent.lock

    def misunderstood(self, error: Exception) -> ReplyError:
        """Return the error of a reply that cannot be meant by the last command."""
        return self.parent.misunderstood(error)

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Write one query and return its reply."""
        return self.parent.ask(self.insert_id(command), query_delay)

    def values(self, command: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Ask for values."""
        return self.parent.values(self.insert_id(command), *args, **kwargs)

    def execute(self, command: str) -> None:
        """Write a command and raise what it leaves in the error queue."""
        self.parent.execute(self.insert_id(command))
