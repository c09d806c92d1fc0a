"""Instruments whose outputs have limits that no message may get round."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pymeasure.adapters import Adapter

from drivers.scpi import ScpiInstrument


class GuardedInstrument(ScpiInstrument):
    """A SCPI instrument that refuses messages which could move an output, but for those that have been checked.

    A subclass says in `refuse_moves` which these are.
    """

    def __init__(self, adapter: Adapter | str | int, name: str, **kwargs: Any) -> None:
        self.permits = 0
        super().__init__(adapter, name, **kwargs)

    @contextlib.contextmanager
    def permitted(self) -> Iterator[None]:
        """Let commands through that move outputs; for those who have checked them."""
        with self.lock:
            self.permits += 1
            try:
                yield
            finally:
                self.permits -= 1

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one message.

        Raises
        ------
        OutputLimitError
            If it could move an output that has limits; nothing has been sent then.
        """
        with self.lock:
            if not self.permits:
                self.refuse_moves(command)
            super().write(command, **kwargs)

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Write bytes as they are; see `write`."""
        with self.lock:
            if not self.permits:
                self.refuse_moves(content.decode("latin-1"))
            super().write_bytes(content, **kwargs)

    def refuse_moves(self, message: str) -> None:
        """Raise OutputLimitError if a message could move an output that has limits."""
        raise NotImplementedError
