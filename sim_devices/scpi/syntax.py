"""Program messages of IEEE 488.2 (chapter 7): where one ends, and how its parameters are cut apart."""

import re
from collections.abc import Generator, Iterator
from typing import TypeAlias

from sim_devices.scpi.errors import ScpiError

WHITE = bytes(range(33))
"""White space of IEEE 488.2: every control character and the blank."""

MESSAGE_LIMIT = 1 << 26
"""Largest program message in bytes, blocks included."""
TEXT_LIMIT = 1 << 23
"""Largest number of bytes of a program message outside its blocks."""
TOKEN_LIMIT = 1 << 16
"""Largest number of parameters of one unit in which strings, brackets or blocks occur."""

Token: TypeAlias = bytes | memoryview
"""One parameter as it was written: its text, or the payload of a definite-length block."""
Data: TypeAlias = bytes | list[Token]
"""The parameters of one unit: plain comma-separated text, or tokens where strings, brackets or blocks occur."""

_BLANK = re.compile(rb"[\x00-\x20]*")
_MARK = re.compile(rb"[\n\"']|#(?=[1-9]|\Z)")
_CLOSING = {ord('"'): re.compile(rb'["\n]'), ord("'"): re.compile(rb"['\n]")}
_SPECIAL = re.compile(rb"[;\"'#(]")
_TOKEN_MARK = re.compile(rb"[,;\"'(]|#(?=[0-9]|\Z)")
_AFTER_BLOCK = re.compile(rb"[\x00-\x20]*(?:([,;])|\Z)")

_NEWLINE = ord("\n")
_HASH = ord("#")
_COMMA = ord(",")
_SEMICOLON = ord(";")
_BRACKET = ord("(")


def excerpt(text: Token) -> str:
    """Return the beginning of some input as printable ASCII, for an error message."""
    shown = bytes(text[:33]).strip(WHITE)
    printable = "".join(chr(code) if 32 <= code < 127 else "?" for code in shown[:32])
    return printable + "..." if len(text) > 32 else printable


def block_bounds(source: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """Return where the payload of a definite-length block begins and ends.

    Parameters
    ----------
    source : bytes or bytearray
        A message, or the part of it that has arrived.
    start : int
        Index of ``#``.

    Returns
    -------
    tuple of int or None
        First index of the payload and the index after it, which may lie beyond the end of ``source``; None where no
        definite-length block begins.

    Raises
    ------
    IndexError
        If the length has not arrived completely.
    """
    digits = source[start + 1] - ord("0")
    if not 1 <= digits <= 9:
        return None
    first = start + 2 + digits
    length = source[start + 2 : first]
    if length and not length.isdigit():
        return None
    if len(length) < digits:
        raise IndexError("the length of the block is incomplete")
    return first, first + int(length)


class Framer:
    """Cuts a stream of bytes into program messages.

    A message ends at a newline outside a definite-length block, or at END. Oversized messages are refused when their
    length is announced, and the stream is taken up again after the next newline: nothing is allocated for what a header
    only promises.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.reset()

    def reset(self) -> None:
        """Forget the part of a message that has arrived."""
        self._buffer.clear()
        self._position = 0
        self._quote = 0
        self._payload = 0
        self._discarding = False

    @property
    def empty(self) -> bool:
        """Whether the next byte begins a message."""
        return not self._buffer and not self._discarding

    def feed(self, data: bytes, *, end: bool = False) -> Iterator[bytes | ScpiError]:
        """Take some bytes.

        Parameters
        ----------
        data : bytes
            What has arrived.
        end : bool
            Whether END came with the last byte.

        Yields
        ------
        bytes or ScpiError
            The messages that are complete now, and -223 or -363 in place of those that are too long.
        """
        if self._buffer:
            self._buffer += data
            source: bytes | bytearray = self._buffer
        else:
            source = data
        start = yield from self._scan(source)
        if end:
            if start < len(source):
                yield self._message(source, start, len(source))
            self.reset()
        else:
            self._keep(source, start)
            if len(self._buffer) - self._payload > TEXT_LIMIT:
                yield self._overrun(-363, f"a message holds at most {TEXT_LIMIT} bytes outside blocks")
                self._buffer.clear()
                self._position = 0

    def _keep(self, source: bytes | bytearray, start: int) -> None:
        if source is self._buffer:
            del self._buffer[:start]
        elif start < len(source):
            self._buffer += memoryview(source)[start:]
        self._position -= start

    def _message(self, source: bytes | bytearray, start: int, stop: int) -> bytes | ScpiError:
        text = stop - start - self._payload
        self._payload = 0
        if text > TEXT_LIMIT:
            return ScpiError(-363, f"a message holds at most {TEXT_LIMIT} bytes outside blocks, not {text}")
        if type(source) is bytes:
            return source[start:stop]
        return bytes(memoryview(source)[start:stop])

    def _overrun(self, number: int, detail: str) -> ScpiError:
        self._discarding = True
        self._payload = 0
        self._quote = 0
        return ScpiError(number, detail)

    def _scan(self, source: bytes | bytearray) -> Generator[bytes | ScpiError, None, int]:
        """Yield the complete messages and return where the incomplete one begins."""
        size = len(source)
        start, position = 0, self._position
        while position < size:
            if self._discarding:
                newline = source.find(b"\n", position)
                start = position = size if newline < 0 else newline + 1
                self._discarding = newline < 0
                continue
            if position == start:
                start = position = _BLANK.match(source, position).end()  # type: ignore[union-attr]
            mark = (_CLOSING[self._quote] if self._quote else _MARK).search(source, position)
            if mark is None:
                position = size
                break
            position = mark.end()
            code = source[position - 1]
            if code == _NEWLINE:
                self._quote = 0
                yield self._message(source, start, position)
                start = position
            elif code == _HASH:
                bounds = self._block(source, position - 1, start)
                if isinstance(bounds, ScpiError):
                    yield bounds
                elif bounds < 0:
                    position -= 1
                    break
                else:
                    position = max(position, bounds)
            else:
                self._quote = 0 if self._quote else code
        self._position = position
        return min(start, size)

    def _block(self, source: bytes | bytearray, start: int, message_start: int) -> int | ScpiError:
        """Return the index after a block, 0 where none begins, -1 where its length has not arrived."""
        try:
            bounds = block_bounds(source, start)
        except IndexError:
            return -1
        if bounds is None:
            return 0
        first, stop = bounds
        if stop - message_start > MESSAGE_LIMIT:
            return self._overrun(-223, f"a block of {stop - first} bytes: a message holds at most {MESSAGE_LIMIT}")
        self._payload += stop - first
        return stop


def read_data(message: bytes, position: int) -> tuple[Data, int]:
    """Cut out the parameters of one unit.

    Parameters
    ----------
    message : bytes
        A complete program message.
    position : int
        Index after the header of the unit.

    Returns
    -------
    data : bytes or list of bytes and memoryview
        The parameters, see :data:`Data`; blocks are views of the message.
    position : int
        Index of the next unit.

    Raises
    ------
    ScpiError
        -151, -161, -103 or -223; where the next unit begins is unknown then.
    """
    mark = _SPECIAL.search(message, position)
    if mark is None:
        return message[position:].strip(WHITE), len(message)
    if message[mark.start()] == _SEMICOLON:
        return message[position : mark.start()].strip(WHITE), mark.end()
    return _tokens(message, position)


def _tokens(message: bytes, position: int) -> tuple[list[Token], int]:
    tokens: list[Token] = []
    start = position
    while len(tokens) < TOKEN_LIMIT:
        mark = _TOKEN_MARK.search(message, position)
        if mark is None:
            tokens.append(message[start:].strip(WHITE))
            return tokens, len(message)
        position = mark.end()
        code = message[position - 1]
        if code in (_COMMA, _SEMICOLON):
            tokens.append(message[start : position - 1].strip(WHITE))
            start = position
        elif code == _HASH:
            block, position = _block_token(message, start, position - 1)
            if block is None:
                continue
            tokens.append(block)
            start = position
            code = message[position - 1] if position <= len(message) else _SEMICOLON
        else:
            position = _closing(message, position, code)
        if code == _SEMICOLON:
            return tokens, position
    raise ScpiError(-223, f"more than {TOKEN_LIMIT} parameters")


def _closing(message: bytes, position: int, code: int) -> int:
    close = message.find(b")" if code == _BRACKET else bytes((code,)), position)
    if close < 0:
        number = -171 if code == _BRACKET else -151
        raise ScpiError(number, f"{excerpt(message[position - 1 : position + 40])} is not closed")
    return close + 1


def _block_token(message: bytes, start: int, position: int) -> tuple[memoryview | None, int]:
    """Return the payload of a block and the index after its separator; None where ``#`` begins something else."""
    try:
        bounds = block_bounds(message, position)
    except IndexError:
        raise ScpiError(-161, "the length of the block is incomplete") from None
    if bounds is None:
        if message[position + 1 : position + 2] == b"0":
            raise ScpiError(-161, "blocks of indefinite length (#0) are not taken")
        return None, position + 1
    first, stop = bounds
    if message[start:position].strip(WHITE):
        raise ScpiError(-103, f"a block follows {excerpt(message[start:position])} without a comma")
    if stop > len(message):
        raise ScpiError(-161, f"the block announces {stop - first} bytes and holds {len(message) - first}")
    after = _AFTER_BLOCK.match(message, stop)
    if after is None:
        raise ScpiError(-103, f"{excerpt(message[stop : stop + 40])} follows a block of {stop - first} bytes")
    return memoryview(message)[first:stop], after.end() if after.group(1) else len(message) + 1
