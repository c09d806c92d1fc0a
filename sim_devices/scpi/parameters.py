"""Parameters of commands: how each kind is read, checked against what is allowed, and written back."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.response import Quoted, channel_list
from sim_devices.scpi.syntax import WHITE, Token, excerpt

if TYPE_CHECKING:
    from sim_devices.scpi.instrument import Instrument

Limit: TypeAlias = float | Callable[[Any], float] | None
"""A bound: a number, a function of the instrument, or none."""

NUMBER_LENGTH = 255
"""Longest number in characters (IEEE 488.2, 7.7.2.4.1)."""

_NUMBER = re.compile(
    rb"([+-]?(?:\d+\.?\d*|\.\d+))(?:[\x00-\x20]*[eE][\x00-\x20]*([+-]?\d+))?[\x00-\x20]*([A-Za-z/][\w/]*)?", re.ASCII
)
_RADIX = {b"#H": 16, b"#Q": 8, b"#B": 2}
_EXPONENTS = {"EX": 18, "PE": 15, "T": 12, "G": 9, "MA": 6, "K": 3, "": 0}
_EXPONENTS |= {"M": -3, "U": -6, "N": -9, "P": -12, "F": -15, "A": -18}
_LARGEST_EXPONENT = 32000
_RANGE = re.compile(rb"[\x00-\x20]*(\d{1,9})[\x00-\x20]*(?::[\x00-\x20]*(\d{1,9})[\x00-\x20]*)?(?:,|\Z)")


def short_form(mnemonic: str) -> str:
    """Return the short form of a mnemonic: its leading capitals, digits and commas."""
    match = re.match(r"[A-Z0-9_,*]*", mnemonic)
    return match.group() if match and match.group() else mnemonic.upper()


def _spellings(words: Sequence[str]) -> dict[str, str]:
    return {spelling: short_form(word) for word in words for spelling in (short_form(word), word.upper())}


_LIMIT_WORDS = _spellings(("MINimum", "MAXimum", "DEFault"))


def limit_word(token: Token) -> str | None:
    """Return MIN, MAX or DEF where a parameter says so in either form, else None."""
    if type(token) is not bytes or len(token) > 7:
        return None
    return _LIMIT_WORDS.get(token.decode("latin-1").upper())


def exponent_of_suffix(suffix: str, unit: str) -> int:
    """Return the power of ten of a unit suffix such as ``MS`` (milli-second) or ``MHZ`` (mega-hertz).

    Parameters
    ----------
    suffix : str
        What follows the number.
    unit : str
        The unit of the parameter; its case does not matter.

    Raises
    ------
    ScpiError
        -131 if the suffix is not that unit with a multiplier of IEEE 488.2 (M is milli, MA is mega, MHZ and MOHM are
        mega).
    """
    upper, unit = suffix.upper(), unit.upper()
    multiplier = upper.removesuffix(unit)
    if unit and upper.endswith(unit) and multiplier in _EXPONENTS:
        return 6 if multiplier == "M" and unit in ("HZ", "OHM") else _EXPONENTS[multiplier]
    raise ScpiError(-131, f"{suffix} is not the unit {unit} with a multiplier")


class Parameter:
    """One parameter of a command.

    Parameters
    ----------
    optional : bool
        Whether the parameter may be left out; the command is then given None.
    default : object
        What ``DEFault`` stands for: a value, or a function of the instrument.
    """

    def __init__(self, *, optional: bool = False, default: Any = None) -> None:
        self.optional = optional
        self.default = default

    def parse(self, token: Token, instrument: "Instrument") -> Any:
        """Read one parameter; raises ScpiError where it is not allowed."""
        raise NotImplementedError

    def response(self, value: Any) -> Any:
        """Return what a query answers for a value of this parameter."""
        return value

    def limit(self, word: str, instrument: "Instrument") -> Any:
        """Return what MIN, MAX or DEF stands for.

        Raises
        ------
        ScpiError
            -224 if the parameter has no such limit.
        """
        value = self._limit(word)
        if value is None:
            raise ScpiError(-224, f"there is no {word}")
        return value(instrument) if callable(value) else value

    def _limit(self, word: str) -> Any:
        return self.default if word == "DEF" else None


def _text(token: Token, what: str) -> bytes:
    if type(token) is bytes:
        if not token:
            raise ScpiError(-109, f"{what} is missing")
        return token
    raise ScpiError(-168, f"{what} is not sent as a block")


class Real(Parameter):
    """A number.

    Parameters
    ----------
    low, high : float or callable, optional
        Smallest and largest value allowed, or functions of the instrument that return them.
    unit : str or callable, optional
        Unit whose suffix may follow the number, e.g. ``"s"``.
    default : float or callable, optional
        What ``DEFault`` stands for; a setting uses its reset value.
    also : sequence of str
        Words allowed beside numbers, with their short form in capitals; the value is the short form.
    optional : bool
        Whether the parameter may be left out.
    """

    def __init__(
        self,
        low: Limit = None,
        high: Limit = None,
        unit: str | Callable[[Any], str] | None = None,
        *,
        default: Any = None,
        also: Sequence[str] = (),
        optional: bool = False,
    ) -> None:
        super().__init__(optional=optional, default=default)
        self.low = low
        self.high = high
        self.unit = unit
        self.words = _spellings(also)

    def parse(self, token: Token, instrument: "Instrument") -> Any:
        """Read a number in decimal, ``#H``, ``#Q`` or ``#B`` form, MIN, MAX, DEF or one of the words."""
        text = _text(token, "a number")
        if len(text) > NUMBER_LENGTH:
            raise ScpiError(-124, f"{excerpt(text)} has {len(text)} characters, at most {NUMBER_LENGTH} are read")
        match = _NUMBER.fullmatch(text)
        if match is not None:
            return self._checked(self._decimal(match, instrument), instrument)
        upper = text.decode("latin-1").upper()
        word = _LIMIT_WORDS.get(upper)
        if word is not None:
            return self.limit(word, instrument)
        if upper in self.words:
            return self.words[upper]
        return self._checked(self._convert(_radix(text)), instrument)

    def _decimal(self, match: re.Match[bytes], instrument: "Instrument") -> float:
        mantissa, exponent, suffix = match.groups()
        if exponent is None and suffix is None:
            return self._convert(mantissa)
        if exponent is not None and abs(int(exponent)) > _LARGEST_EXPONENT:
            raise ScpiError(-123, f"{excerpt(exponent)} is beyond {_LARGEST_EXPONENT}")
        power = int(exponent or 0)
        if suffix is not None:
            power += self._suffix_exponent(suffix.decode(), instrument)
        return self._convert(mantissa + b"E%d" % power)

    def _suffix_exponent(self, suffix: str, instrument: "Instrument") -> int:
        unit = self.unit(instrument) if callable(self.unit) else self.unit
        if not unit:
            raise ScpiError(-138, f"{suffix}: the number has no unit")
        return exponent_of_suffix(suffix, unit)

    def _convert(self, digits: bytes | int) -> float:
        return float(digits)

    def _checked(self, value: float, instrument: "Instrument") -> float:
        low, high = self.low, self.high
        if callable(low):
            low = low(instrument)
        if callable(high):
            high = high(instrument)
        if (low is not None and value < low) or (high is not None and value > high):
            raise ScpiError(-222, f"{value:.9g} is not {allowed_range(low, high)}")
        if value in (float("inf"), float("-inf")):
            raise ScpiError(-222, "the number is too large")
        return value

    def response(self, value: Any) -> Any:
        """Return a float for NR3, or the word."""
        return value if isinstance(value, str) else float(value)

    def _limit(self, word: str) -> Any:
        return {"MIN": self.low, "MAX": self.high, "DEF": self.default}[word]


def allowed_range(low: float | None, high: float | None) -> str:
    """Say which numbers are allowed; at least one limit is given."""
    if high is None:
        return f"at least {low:.9g}"
    return f"at most {high:.9g}" if low is None else f"within {low:.9g} to {high:.9g}"


def _radix(text: bytes) -> int:
    base = _RADIX.get(text[:2].upper())
    if base is not None and text[2:].isalnum():
        try:
            return int(text[2:], base)
        except ValueError:
            raise ScpiError(-121, f"{excerpt(text)} is not a number of base {base}") from None
    if text[:1].isalpha():
        raise ScpiError(-141, f"{excerpt(text)} stands where a number is expected")
    raise ScpiError(-121 if text[:1] in b"+-.0123456789" else -104, f"{excerpt(text)} is not a number")


class Integer(Real):
    """An integer; a number with a fraction is rounded (IEEE 488.2, 7.7.2.4).

    Parameters are those of :class:`Real`.
    """

    def _convert(self, digits: bytes | int) -> float:
        if isinstance(digits, bytes) and not digits.isdigit():
            value = float(digits)
            return round(value) if abs(value) < float("inf") else value
        return int(digits)

    def response(self, value: Any) -> Any:
        """Return an int for NR1, or the word."""
        return value if isinstance(value, str) else int(value)


class Boolean(Parameter):
    """ON or OFF; of numbers, those that round to 0 are OFF."""

    _WORDS: ClassVar[dict[str, bool]] = {"ON": True, "OFF": False, "1": True, "0": False}

    def parse(self, token: Token, instrument: "Instrument") -> bool:
        """Read ON, OFF or a number."""
        text = _text(token, "ON or OFF")
        value = self._WORDS.get(text[:4].decode("latin-1").upper()) if len(text) < 4 else None
        if value is not None:
            return value
        if limit_word(text) == "DEF":
            return bool(self.limit("DEF", instrument))
        if _NUMBER.fullmatch(text[: NUMBER_LENGTH + 1]) is None:
            raise ScpiError(-224, f"{excerpt(text)} is not ON or OFF")
        return bool(Integer().parse(text, instrument))

    def response(self, value: Any) -> bool:
        """Return a bool."""
        return bool(value)


class Choice(Parameter):
    """One of some words; the value is its short form.

    Parameters
    ----------
    *words : str
        The words, with their short form in capitals: ``"IMMediate"``.
    quoted : bool
        Whether the word is sent, and answered, as a string.
    optional : bool
        Whether the parameter may be left out.
    default : str or callable, optional
        What ``DEFault`` stands for.
    """

    def __init__(self, *words: str, quoted: bool = False, optional: bool = False, default: Any = None) -> None:
        super().__init__(optional=optional, default=default)
        self.words = words
        self.quoted = quoted
        self._spellings = _spellings(words)

    def parse(self, token: Token, instrument: "Instrument") -> str:
        """Read a word in its short or long form, in any case."""
        text = unquoted(token) if self.quoted else _text(token, " or ".join(self.words)).decode("latin-1")
        word = self._spellings.get(text.upper())
        if word is not None:
            return word
        if limit_word(token) == "DEF":
            return short_form(self.limit("DEF", instrument))
        raise ScpiError(-224, f"{excerpt(text.encode('latin-1'))} is not {', '.join(self.words)}")

    def response(self, value: Any) -> Any:
        """Return the short form."""
        return Quoted(value) if self.quoted else value


def unquoted(token: Token) -> str:
    """Return the text of a string parameter.

    Raises
    ------
    ScpiError
        -104 if the parameter is not a string, -151 if it is not a proper one of printable ASCII.
    """
    text = _text(token, "a string")
    quote = text[:1]
    if quote not in (b'"', b"'"):
        raise ScpiError(-104, f"{excerpt(text)} is not a string in quotes")
    inner = text[1:-1]
    if len(text) < 2 or text[-1:] != quote or quote in inner.replace(quote * 2, b""):
        raise ScpiError(-151, f"{excerpt(text)} is not one string")
    string = inner.replace(quote * 2, quote).decode("latin-1")
    if not (string.isascii() and (string.isprintable() or not string)):
        raise ScpiError(-151, f"{excerpt(text)} holds characters that are not printable ASCII")
    return string


class String(Parameter):
    """A string in single or double quotes.

    Parameters
    ----------
    low, high : int
        Smallest and largest number of characters.
    optional : bool
        Whether the parameter may be left out.
    """

    def __init__(self, low: int = 0, high: int = 255, *, optional: bool = False, default: Any = None) -> None:
        super().__init__(optional=optional, default=default)
        self.low = low
        self.high = high

    def parse(self, token: Token, instrument: "Instrument") -> str:
        """Read a string."""
        if limit_word(token) == "DEF":
            return self.limit("DEF", instrument)
        string = unquoted(token)
        if not self.low <= len(string) <= self.high:
            number = -223 if len(string) > self.high else -224
            raise ScpiError(number, f"a string of {len(string)} characters: {self.low} to {self.high} are allowed")
        return string

    def response(self, value: Any) -> Quoted:
        """Return the string in quotes."""
        return Quoted(value)


class ChannelList(Parameter):
    """A channel list such as ``(@1:4,7)``; the value is a tuple of int in the order given, each channel once.

    Parameters
    ----------
    low, high : int or callable
        Smallest and largest channel, or functions of the instrument that return them.
    also : sequence of str
        Words allowed beside lists, with their short form in capitals; the value is the short form.
    optional : bool
        Whether the parameter may be left out.
    """

    def __init__(
        self, low: Limit, high: Limit, *, also: Sequence[str] = (), optional: bool = False, default: Any = None
    ) -> None:
        super().__init__(optional=optional, default=default)
        self.low = low
        self.high = high
        self.words = _spellings(also)

    def _bounds(self, instrument: "Instrument") -> tuple[int, int]:
        low, high = (limit(instrument) if callable(limit) else limit for limit in (self.low, self.high))
        return int(low or 0), int(high or 0)

    def parse(self, token: Token, instrument: "Instrument") -> tuple[int, ...] | str:
        """Read a channel list, DEF or one of the words."""
        if limit_word(token) == "DEF":
            return tuple(self.limit("DEF", instrument))
        text = _text(token, "a channel list")
        word = self.words.get(text.decode("latin-1").upper()) if self.words else None
        if word is not None:
            return word
        if text[:2] != b"(@" or text[-1:] != b")":
            raise ScpiError(-104, f"{excerpt(text)} is not a channel list like (@1:4,7)")
        low, high = self._bounds(instrument)
        channels: dict[int, None] = {}
        inner = text[2:-1].rstrip(WHITE)
        position = 0
        while position < len(inner):
            match = _RANGE.match(inner, position)
            if match is None:
                raise ScpiError(-171, f"{excerpt(inner[position:])} is not a channel or a range of channels")
            first = int(match.group(1))
            last = first if match.group(2) is None else int(match.group(2))
            if not (low <= first <= high and low <= last <= high):
                raise ScpiError(-222, f"channels {first} to {last} are not within {low} to {high}")
            step = 1 if last >= first else -1
            for channel in range(first, last + step, step):
                if channel in channels:
                    raise ScpiError(-224, f"channel {channel} appears twice")
                channels[channel] = None
            position = match.end()
        if not channels or inner.endswith(b","):
            raise ScpiError(-171, f"{excerpt(text)} lacks a channel")
        return tuple(channels)

    def response(self, value: Any) -> str:
        """Return the list with neighbours as ranges."""
        return channel_list(tuple(value))


def stripped(token: Token) -> Token:
    """Return a parameter without the white space around it."""
    return token.strip(WHITE) if isinstance(token, bytes) else token
