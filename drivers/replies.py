"""What a reply means: instruments differ in case, quotes, short and long forms, and in how they write numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MNEMONIC = re.compile(r"([A-Z]*)(\d*)")


def unquoted(reply: str) -> str:
    """Return string data without the quotes, single or double, that may be around it."""
    text = reply.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def names(reply: str) -> tuple[str, ...]:
    """Return the names of a list, which may be quoted one by one or together; none for an empty list."""
    return tuple(filter(None, (part.strip(" \"'") for part in reply.split(","))))


def whole(reply: str) -> int:
    """Return a whole number, however it is written: ``3``, ``+3.0E+00``.

    Raises
    ------
    ValueError
        If it is no whole number.
    """
    number = float(reply)
    if not number.is_integer():
        raise ValueError(f"{reply!r} is not a whole number")
    return int(number)


def on_or_off(reply: str) -> int:
    """Return 1 and 0 for ON and OFF, in any case, and a whole number as it is.

    Raises
    ------
    ValueError, KeyError
        If it is neither.
    """
    word = unquoted(reply).upper()
    return {"ON": 1, "OFF": 0}[word] if word.isalpha() else whole(word)


def meant(reply: str, words: Iterable[str]) -> str:
    """Return which of some words in short form a reply stands for, the reply itself if none.

    Parameters
    ----------
    reply : str
        Character or string data in short or long form, in any case: ``imm``, ``"IMMediate"``.
    words : iterable of str
        Short forms, with a numeric suffix where they have one; parts of one are separated by commas: ``REAL,32``.
    """
    spoken = reply.strip().strip("\"'").upper().replace("+", "")
    parts = [_MNEMONIC.fullmatch(part.strip()) for part in spoken.split(",")]

    def begins(word: str) -> bool:
        wanted = [_MNEMONIC.fullmatch(part) for part in word.upper().split(",")]
        return len(wanted) == len(parts) and all(
            part and short and part[1].startswith(short[1]) and part[2] == short[2]
            for part, short in zip(parts, wanted, strict=True)
        )

    return max(filter(begins, words), key=len, default=reply)
