"""A journal read while it is written, by a process that cannot disturb the one that writes."""

from pathlib import Path
from typing import Any

from lab.journal import JOURNAL, JournalError, document_in

MOST_BYTES = 8 * 2**20  # read at once


class Follower:
    """Hands out the documents of a run as they come.

    It opens the journal for reading only, holds nothing between two calls, and leaves a line alone until it is whole.

    Parameters
    ----------
    directory : path
        The directory of the run. The journal need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self.path = Path(directory) / JOURNAL
        self._offset = 0
        self._line = 0

    def documents(self) -> list[tuple[str, dict[str, Any]]]:
        """Return ``(name, document)`` of the lines that were finished since the last call, some megabytes at most.

        Raises
        ------
        JournalError
            If a whole line is damaged; the next call goes on after it.
        OSError
            If the journal cannot be read.
        """
        try:
            with self.path.open("rb") as journal:
                journal.seek(self._offset)
                data = journal.read(MOST_BYTES)
                if b"\n" not in data:
                    data += journal.readline()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        found: list[tuple[str, dict[str, Any]]] = []
        for line in whole.splitlines(keepends=True):
            document = document_in(line)
            if document is None and found:
                break
            self._offset += len(line)
            self._line += 1
            if document is None:
                raise JournalError(None, f"{self.path}: line {self._line} is damaged")
            found.append(document)
        return found
