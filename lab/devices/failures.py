"""What a failure says to a device: that the same may go right again, or that an instrument has left its settings."""

from drivers.errors import InstrumentError
from drivers.wire import TROUBLES

__all__ = ["has_gone_safe", "is_reported", "may_pass"]

TRANSIENT = (-310, -350, *range(-365, -359))
"""Errors that say nothing about what was asked for: a fault within the instrument, a full queue, its communication."""
GONE_SAFE = -365
"""The error of an instrument that heard nothing for so long that it has left what it was set to for its safe state."""


def may_pass(error: BaseException) -> bool:
    """Whether the same may go right when it is repeated; of several failures at once, each."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(may_pass, error.exceptions))
    return isinstance(error, TROUBLES) or (isinstance(error, InstrumentError) and error.code in TRANSIENT)


def is_reported(error: BaseException) -> bool:
    """Whether an instrument reported the error; of several failures at once, each."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_reported, error.exceptions))
    return isinstance(error, InstrumentError)


def has_gone_safe(error: BaseException) -> bool:
    """Whether an instrument has switched its outputs off because nobody said anything."""
    return isinstance(error, InstrumentError) and error.code == GONE_SAFE
