"""Status reporting of IEEE 488.2 (chapter 11) and SCPI-99 (volume 1, chapter 9), one set for every session."""

from collections import deque

ERROR_QUEUE_SUMMARY = 1 << 2
QUESTIONABLE_SUMMARY = 1 << 3
MESSAGE_AVAILABLE = 1 << 4
EVENT_SUMMARY = 1 << 5
MASTER_SUMMARY = 1 << 6
OPERATION_SUMMARY = 1 << 7

OPERATION_COMPLETE = 1 << 0
"""Bit of the standard event status register that ``*OPC`` sets."""

ALL_BITS = 0x7FFF
"""The fifteen usable bits of a SCPI status register."""
QUEUE_DEPTH = 32
"""Entries of an error queue; the last one becomes -350 when more errors occur."""


class EventRegister:
    """Condition, transition filters, event and enable of one SCPI status register."""

    __slots__ = ("condition", "enable", "event", "negative", "positive")

    def __init__(self, condition: int = 0) -> None:
        self.condition = condition
        self.event = 0
        self.preset()

    def preset(self) -> None:
        """Take the state of ``STATus:PRESet``: nothing enabled, rising conditions become events."""
        self.enable = 0
        self.positive = ALL_BITS
        self.negative = 0

    def set_condition(self, bit: int, value: bool) -> None:
        """Set one bit of the condition and record the event that the filters let through."""
        mask = 1 << bit
        if bool(self.condition & mask) != value:
            self.condition ^= mask
            self.event |= mask & (self.positive if value else self.negative)

    def read_event(self) -> int:
        """Return the event register and clear it."""
        event, self.event = self.event, 0
        return event

    @property
    def summary(self) -> bool:
        """Whether an enabled event has occurred."""
        return bool(self.event & self.enable)


class ErrorQueue:
    """The first errors that occurred, oldest first; an overflow replaces the newest entry by -350."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, number: int, text: str) -> None:
        """Append an error."""
        if len(self._entries) < QUEUE_DEPTH:
            self._entries.append((number, text))
        else:
            self._entries[-1] = (-350, "Queue overflow")

    def pop(self) -> tuple[int, str]:
        """Return the oldest error and forget it; ``(0, "No error")`` where there is none."""
        return self._entries.popleft() if self._entries else (0, "No error")

    def clear(self) -> None:
        """Forget all errors."""
        self._entries.clear()
