"""Compiling a program message into the units that an instrument carries out one after the other."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.syntax import Data, excerpt, read_data
from sim_devices.scpi.tree import HeaderError, HeaderTree

UNIT_LIMIT = 4096
"""Largest number of units in one program message."""

_GAP = re.compile(rb"[\x00-\x20;]*")
_HEADER = re.compile(rb"(?:\*[A-Za-z]\w*|:?[A-Za-z]\w*(?::[A-Za-z]\w*)*)\??", re.ASCII)
_AFTER_HEADER = frozenset([*range(33), ord(";")])

Action = Callable[..., Any]
"""Called with the instrument, the session, the suffixes of the header and the data."""


class Unit(NamedTuple):
    """One command or query of a message."""

    action: Action
    suffixes: tuple[int, ...]
    data: Data
    header: str


def _failure(error: ScpiError) -> Unit:
    """Return a unit that only reports an error, in its turn."""
    number, detail = error.number, error.detail

    def fail(*_: object) -> NoReturn:
        raise ScpiError(number, detail)

    return Unit(fail, (), b"", "")


def compile_message(message: bytes, tree: HeaderTree[Action]) -> tuple[Unit, ...]:
    """Read a program message.

    Parameters
    ----------
    message : bytes
        The message, with or without its newline.
    tree : HeaderTree
        The headers that the instrument knows.

    Returns
    -------
    tuple of Unit
        What is to be done, in order. A unit with an unknown header or a wrong separator reports its error and the units
        after it are read; where the end of a unit cannot be found the rest of the message is dropped.
    """
    units: list[Unit] = []
    path = tree.root
    position = _skip(message, 0)
    while position < len(message):
        if len(units) == UNIT_LIMIT:
            units.append(_failure(ScpiError(-223, f"a message has at most {UNIT_LIMIT} units")))
            break
        match = _HEADER.match(message, position)
        stop = match.end() if match else position
        separated = match is not None and (stop == len(message) or message[stop] in _AFTER_HEADER)
        try:
            data, following = read_data(message, stop)
            if match is None or not separated:
                units.append(_failure(_malformed(message[position : position + 40], match is not None)))
            else:
                action, suffixes, path = tree.find(path, match.group())
                units.append(Unit(action, suffixes, data, match.group().decode()))
        except HeaderError as error:
            path = error.path
            units.append(_failure(error))
        except ScpiError as error:
            units.append(_failure(error))
            break
        position = _skip(message, following)
    return tuple(units)


def _skip(message: bytes, position: int) -> int:
    match = _GAP.match(message, position)
    return match.end() if match else len(message)


def _malformed(text: bytes, has_header: bool) -> ScpiError:
    if has_header:
        return ScpiError(-103, f"{excerpt(text)}: a blank stands between a header and its parameters")
    return ScpiError(-102, f"{excerpt(text)} is not a header")
