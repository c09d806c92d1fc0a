"""The tree of headers: which action a header stands for, in short and long forms, any case, with optional nodes."""

import itertools
import re
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.parameters import short_form

ActionT = TypeVar("ActionT")

MNEMONIC_LENGTH = 12
"""Longest mnemonic (SCPI-99, volume 1, 6.2.1)."""
CACHE_SIZE = 4096
"""Number of spellings whose meaning is remembered."""

_PART = re.compile(
    r"(?P<bracket>\[)?:?(?P<mnemonic>\*?[A-Za-z][A-Za-z_]*)(?:<(?P<low>\d+):(?P<high>\d+)>)?(?(bracket):?\]):?"
)
_SUFFIXED = re.compile(r"([A-Z_]+)(\d{1,9})")


@dataclass(frozen=True)
class HeaderPart:
    """One node of a declared header.

    Parameters
    ----------
    mnemonic : str
        Long form with the short form in capitals.
    optional : bool
        Whether the node may be left out.
    suffixes : range or None
        Numeric suffixes allowed; the first one is meant where none is given.
    """

    mnemonic: str
    optional: bool
    suffixes: range | None


def parse_header(header: str) -> tuple[HeaderPart, ...]:
    """Read a declared header such as ``SOURce<1:24>:VOLTage[:LEVel]``.

    Parameters
    ----------
    header : str
        Mnemonics with their short form in capitals, optional ones in brackets, numeric suffixes as ``<low:high>``.

    Raises
    ------
    ValueError
        If the header is not of that form, or a mnemonic is longer than 12 letters.
    """
    text = header.removesuffix("?")
    parts = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise ValueError(f"header {header!r} is not understood at {text[position:]!r}")
        mnemonic, low, high = match.group("mnemonic", "low", "high")
        if len(mnemonic.lstrip("*")) > MNEMONIC_LENGTH:
            raise ValueError(f"header {header!r}: {mnemonic} has more than {MNEMONIC_LENGTH} letters")
        suffixes = range(int(low), int(high) + 1) if low else None
        parts.append(HeaderPart(mnemonic, match.group("bracket") is not None, suffixes))
        position = match.end()
    if not parts:
        raise ValueError("a header is empty")
    return tuple(parts)


@dataclass
class _Target(Generic[ActionT]):
    """An action, and where its suffixes stand in the spelling that leads to it."""

    action: ActionT
    spelled: tuple[range | None, ...]
    order: tuple[int | None, ...]
    implied: tuple[int, ...]

    def suffixes(self, given: tuple[int | None, ...]) -> tuple[int, ...]:
        for number, allowed in zip(given, self.spelled, strict=True):
            if number is not None and (allowed is None or number not in allowed):
                limits = f"{allowed.start} to {allowed.stop - 1} are allowed" if allowed else "none is allowed"
                raise ScpiError(-114, f"suffix {number}: {limits}")
        return tuple(
            implied if position is None or given[position] is None else given[position]  # type: ignore[misc]
            for position, implied in zip(self.order, self.implied, strict=True)
        )


@dataclass(eq=False)
class Node(Generic[ActionT]):
    """A node of the tree; ``command`` and ``query`` are what its header does without and with a question mark."""

    children: dict[str, "Node[ActionT]"] = field(default_factory=dict)
    command: _Target[ActionT] | None = None
    query: _Target[ActionT] | None = None


Path: TypeAlias = "tuple[Node, tuple[int | None, ...]]"
"""A node and the suffixes given on the way to it."""


class HeaderError(ScpiError):
    """A header that stands for nothing; ``path`` is where the next unit of the message begins."""

    def __init__(self, number: int, detail: str, path: Path) -> None:
        super().__init__(number, detail)
        self.path = path


class HeaderTree(Generic[ActionT]):
    """All headers of an instrument."""

    def __init__(self) -> None:
        self.root: Path = (Node(), ())
        self._nowhere: Path = (Node(), ())
        self._found: dict[tuple[Path, bytes], tuple[ActionT, tuple[int, ...], Path]] = {}

    def insert(self, parts: tuple[HeaderPart, ...], action: ActionT, *, query: bool) -> None:
        """Add an action under every spelling of its header; it replaces an earlier one.

        Parameters
        ----------
        parts : tuple of HeaderPart
            The header.
        action : object
            What the header stands for.
        query : bool
            Whether the header ends in a question mark.

        Raises
        ------
        ValueError
            If a mnemonic has the short form of another one beside it.
        """
        for kept in itertools.product(*((True, False) if part.optional else (True,) for part in parts)):
            node = self.root[0]
            for part in itertools.compress(parts, kept):
                node = self._child(node, part.mnemonic)
            target = self._target(action, parts, kept)
            if query:
                node.query = target
            else:
                node.command = target

    @staticmethod
    def _target(action: ActionT, parts: tuple[HeaderPart, ...], kept: tuple[bool, ...]) -> _Target[ActionT]:
        spelled = tuple(part.suffixes for part in itertools.compress(parts, kept))
        positions = itertools.accumulate(kept, initial=0)
        slots = [
            (position if keep else None, part.suffixes.start)
            for part, keep, position in zip(parts, kept, positions, strict=False)
            if part.suffixes
        ]
        return _Target(action, spelled, tuple(slot for slot, _ in slots), tuple(first for _, first in slots))

    @staticmethod
    def _child(node: Node[ActionT], mnemonic: str) -> Node[ActionT]:
        short, long = short_form(mnemonic), mnemonic.upper()
        child = node.children.get(long) or Node()
        for spelling in (short, long):
            if node.children.setdefault(spelling, child) is not child:
                raise ValueError(f"{mnemonic} shares its short form with another mnemonic beside it")
        return child

    def find(self, path: Path, header: bytes) -> tuple[ActionT, tuple[int, ...], Path]:
        """Look a header up.

        Parameters
        ----------
        path : Path
            Where a header without leading colon begins: the node of the unit before it.
        header : bytes
            The header as it was sent, with its question mark.

        Returns
        -------
        action : object
            What the header stands for.
        suffixes : tuple of int
            Its numeric suffixes.
        path : Path
            Where the next unit begins.

        Raises
        ------
        HeaderError
            -112, -113 or -114.
        """
        key = (path, header)
        found = self._found.get(key)
        if found is None:
            found = self._search(path, header.decode("ascii"))
            if len(self._found) >= CACHE_SIZE:
                self._found.clear()
            self._found[key] = found
        return found

    def _search(self, path: Path, header: str) -> tuple[ActionT, tuple[int, ...], Path]:
        names = header.upper().removesuffix("?").removeprefix(":").split(":")
        node, given = self.root if header[0] in ":*" else path
        parent, before = node, given
        for name in names:
            if len(name.lstrip("*")) > MNEMONIC_LENGTH:
                raise HeaderError(-112, f"{name[:32]} has more than {MNEMONIC_LENGTH} characters", self._nowhere)
            parent, before = node, given
            node, suffix = self._step(node, name)
            if node is self._nowhere[0] and name is not names[-1]:
                raise HeaderError(-113, header[:60], self._nowhere)
            given = (*given, suffix)
        following = path if header[0] == "*" else (parent, before)
        target = node.query if header[-1] == "?" else node.command
        if target is None:
            raise HeaderError(-113, header[:60] + self._hint(node, header), following)
        try:
            return target.action, target.suffixes(given), following
        except ScpiError as error:
            raise HeaderError(error.number, f"{header[:60]}: {error.detail}", following) from None

    @staticmethod
    def _hint(node: Node[ActionT], header: str) -> str:
        if header[-1] == "?":
            return " can be sent, not asked" if node.command else ""
        return " can be asked, not sent" if node.query else ""

    def _step(self, node: Node[ActionT], name: str) -> tuple[Node[ActionT], int | None]:
        child = node.children.get(name)
        if child is not None:
            return child, None
        match = _SUFFIXED.fullmatch(name)
        if match is None:
            return self._nowhere[0], None
        return node.children.get(match.group(1), self._nowhere[0]), int(match.group(2))
