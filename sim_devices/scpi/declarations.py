"""How an instrument declares its language: commands, queries and settings as members of its class.

Every declaration is an attribute with a name of its own::

    class Source(Instrument):
        voltage = setting("SOURce:VOLTage", Real(-10, 10, "V"), reset=0.0)

        @command("ABORt")
        def abort(self, session): ...

        @query("MEASure:CURRent?", Real(0.001, 10, "s", optional=True))
        def measure_current(self, session, aperture): ...

Functions are called as ``function(self, session, *suffixes, *values)``.
"""

import itertools
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sim_devices.scpi.arrays import Numbers
from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.operation import Operation, Suspension
from sim_devices.scpi.parameters import Parameter, limit_word, short_form, stripped
from sim_devices.scpi.response import DataFormat, encode
from sim_devices.scpi.syntax import Data, Token
from sim_devices.scpi.tree import parse_header

if TYPE_CHECKING:
    from sim_devices.scpi.instrument import Instrument
    from sim_devices.scpi.session import Session

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def bind(parameters: Sequence[Parameter], data: Data, instrument: "Instrument", data_format: DataFormat) -> list[Any]:
    """Read the parameters of a unit.

    Parameters
    ----------
    parameters : sequence of Parameter
        What the command takes.
    data : bytes or list
        What was sent, see :data:`sim_devices.scpi.syntax.Data`.
    instrument : Instrument
        The instrument, whose state limits may depend on.
    data_format : DataFormat
        What blocks are in.

    Returns
    -------
    list
        One value for each parameter, None for an optional one that was left out.

    Raises
    ------
    ScpiError
        -108 for too many and -109 for too few parameters, or what a parameter raises.
    """
    count = len(parameters)
    open_ended = count > 0 and isinstance(parameters[-1], Numbers)
    tokens: Sequence[Token] = ()
    if data:
        tokens = data.split(b",", count - 1 if open_ended else count) if isinstance(data, bytes) else data
    if len(tokens) > count and not open_ended:
        raise ScpiError(-108, f"at most {count} parameters are taken" if count else "no parameters are taken")
    values: list[Any] = []
    for index, parameter in enumerate(parameters):
        if index >= len(tokens):
            if not parameter.optional:
                raise ScpiError(-109, f"{len(tokens)} of {count} parameters were sent")
            values.append(None)
        elif isinstance(parameter, Numbers):
            rest = tokens[index] if isinstance(data, bytes) else list(tokens[index:])
            values.append(parameter.parse_all(rest, instrument, data_format))  # type: ignore[arg-type]
        else:
            values.append(parameter.parse(stripped(tokens[index]), instrument))
    return values


class Declaration:
    """What commands, queries and settings have in common.

    Parameters
    ----------
    header : str
        The header, see :func:`sim_devices.scpi.tree.parse_header`.
    parameters : sequence of Parameter
        What follows the header.
    guards : sequence of str
        Methods of the instrument, without arguments, that raise ScpiError where the declaration is refused now.
    owner : bool
        Whether the declaration is refused (110) while another session holds the lock.
    """

    def __init__(self, header: str, parameters: Sequence[Parameter], guards: Sequence[str], owner: bool) -> None:
        for index, parameter in enumerate(parameters):
            if isinstance(parameter, Numbers) and index < len(parameters) - 1:
                raise ValueError(f"{header}: only the last parameter may be a list of numbers")
        self.header = header.removesuffix("?")
        self.parts = parse_header(header)
        self.parameters = tuple(parameters)
        self.guards = tuple(guards)
        self.owner = owner
        self.name = ""

    def __set_name__(self, _: type, name: str) -> None:
        if name == "_":
            raise TypeError(f"{self.header} needs a name of its own in the class, not _")
        self.name = name

    def actions(self) -> dict[bool, Callable[..., Any]]:
        """Return what the header does; the key says whether it ends in a question mark.

        An action is called with the instrument, the session, the suffixes and the data of a unit.
        """
        raise NotImplementedError

    def ask_limit(self, instrument: "Instrument", data: Data) -> Any:
        """Answer ``X? MIN``, ``X? MAX`` or ``X? DEF``."""
        word = limit_word(data) if isinstance(data, bytes) else None
        if word is None:
            raise ScpiError(-108, "a query takes MIN, MAX or DEF only")
        return self.response([parameter.limit(word, instrument) for parameter in self.parameters])

    def response(self, values: Sequence[Any]) -> Any:
        """Return what a query answers for one value of each parameter."""
        responses = [parameter.response(value) for parameter, value in zip(self.parameters, values, strict=True)]
        return responses[0] if len(responses) == 1 else tuple(responses)

    def admit(self, instrument: "Instrument", session: "Session") -> None:
        """Raise ScpiError where the declaration is refused now."""
        if self.owner and instrument.owner is not session and instrument.owner is not None:
            raise ScpiError(110, f"{instrument.owner.name} holds the lock")
        for guard in self.guards:
            getattr(instrument, guard)()


class _Call(Declaration, Generic[FunctionT]):
    """A declaration that is a method."""

    def __init__(
        self, header: str, parameters: Sequence[Parameter], guards: Sequence[str], owner: bool, function: FunctionT
    ) -> None:
        super().__init__(header, parameters, guards, owner)
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else self.function.__get__(instance, owner)

    def act(self, instrument: "Instrument", session: "Session", suffixes: tuple[int, ...], data: Data) -> Any:
        """Call the method; the parameters are read, and everything else is checked, before."""
        if self.guards or self.owner:
            self.admit(instrument, session)
        if data or self.parameters:
            values = bind(self.parameters, data, instrument, session.data_format)
            return self.function(instrument, session, *suffixes, *values)
        return self.function(instrument, session, *suffixes)


class Command(_Call):
    """A method that carries out a command; it returns None or an Operation."""

    def actions(self) -> dict[bool, Callable[..., Any]]:
        """Return the action of the header without question mark."""
        return {False: self._perform}

    def _perform(
        self, instrument: "Instrument", session: "Session", suffixes: tuple[int, ...], data: Data
    ) -> Suspension | None:
        result = self.act(instrument, session, suffixes, data)
        if result is None or isinstance(result, Suspension):
            return result
        instrument.begin(result, session)
        return None


class Query(_Call):
    """A method that returns response data, or an Operation whose result is response data."""

    def actions(self) -> dict[bool, Callable[..., Any]]:
        """Return the action of the header with question mark."""
        return {True: self._answer}

    def _answer(self, instrument: "Instrument", session: "Session", suffixes: tuple[int, ...], data: Data) -> Any:
        answer = self.act(instrument, session, suffixes, data)
        if type(answer) is Operation:
            return instrument.execution.wait_for(answer, session)
        if answer is None:
            raise TypeError("a query returned no response data")
        return answer


def command(
    header: str, *parameters: Parameter, guards: Sequence[str] = (), owner: bool = True
) -> Callable[[Callable[..., Any]], Command]:
    """Declare that a method carries out a command.

    Parameters
    ----------
    header : str
        E.g. ``"MODel:COUPling[:DATA]"``.
    *parameters : Parameter
        What follows the header.
    guards : sequence of str
        Methods of the instrument that raise ScpiError where the command is refused now.
    owner : bool
        Whether the command is refused (110) while another session holds the lock.

    Returns
    -------
    callable
        Decorator of ``method(self, session, *suffixes, *values)``, which returns None, or an
        :class:`~sim_devices.scpi.Operation` where the command is overlapped.
    """
    return lambda function: Command(header, parameters, guards, owner, function)


def query(
    header: str, *parameters: Parameter, guards: Sequence[str] = (), owner: bool = False
) -> Callable[[Callable[..., Any]], Query]:
    """Declare that a method answers a query; see :func:`command`.

    The method returns response data (see :func:`sim_devices.scpi.response.encode`), or an
    :class:`~sim_devices.scpi.Operation`: the rest of the message waits until it is done then.
    """
    return lambda function: Query(header, parameters, guards, owner, function)


class setting(Declaration):  # noqa: N801 -- reads as a declaration, like property
    """A value that is set, asked and reset through one header.

    ``X value`` sets it, ``X?`` asks it, ``X? MAX`` asks its limit; ``*RST``, ``*SAV``, ``*RCL`` and ``*LRN?`` include
    it. As an attribute of the instrument it is the value: a tuple where there are several parameters, and a dict by
    suffix where the header has numeric suffixes. Assigning the attribute stores a value as it is.

    Parameters
    ----------
    header : str
        E.g. ``"SAMPle:COUNt"``.
    *parameters : Parameter
        What follows the header.
    reset : object
        The value after ``*RST``, or a function of the instrument that returns it.
    guards : sequence of str
        Methods of the instrument that raise ScpiError where setting is refused now.
    owner : bool
        Whether setting is refused (110) while another session holds the lock.
    """

    def __init__(
        self, header: str, *parameters: Parameter, reset: Any, guards: Sequence[str] = (), owner: bool = True
    ) -> None:
        super().__init__(header, parameters, guards, owner)
        if not parameters:
            raise ValueError(f"{header}: a setting takes a parameter")
        self.reset = reset
        self._check: Callable[..., Any] | None = None
        self._changed: Callable[..., Any] | None = None
        for index, parameter in enumerate(parameters):
            if parameter.default is None:
                parameter.default = reset if len(parameters) == 1 else self._default(index)
        ranges = [part.suffixes for part in self.parts if part.suffixes is not None]
        self.keys = tuple(itertools.product(*ranges))

    def _default(self, index: int) -> Any:
        reset = self.reset
        return (lambda instrument: reset(instrument)[index]) if callable(reset) else reset[index]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.settings[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        instance.settings[self.name] = value

    def check(self, function: FunctionT) -> FunctionT:
        """Decorate ``method(self, *suffixes, value)``, which returns the value in force or raises ScpiError."""
        self._check = function
        return function

    def changed(self, function: FunctionT) -> FunctionT:
        """Decorate ``method(self, *suffixes, value)``, called after the value was set.

        It may return an Operation; where it raises ScpiError the value before is put back.
        """
        self._changed = function
        return function

    def reset_value(self, instrument: "Instrument") -> Any:
        """Return the attribute's value after ``*RST``."""
        value = self.reset(instrument) if callable(self.reset) else self.reset
        if self.keys == ((),):
            return value
        return {key[0] if len(key) == 1 else key: value for key in self.keys}

    def actions(self) -> dict[bool, Callable[..., Any]]:
        """Return the actions of the header without and with question mark."""
        return {False: self._set, True: self._ask}

    def _set(self, instrument: "Instrument", session: "Session", suffixes: tuple[int, ...], data: Data) -> None:
        self.admit(instrument, session)
        values = bind(self.parameters, data, instrument, session.data_format)
        value = self.from_wire(instrument, values[0] if len(values) == 1 else tuple(values))
        if self._check is not None:
            value = self._check(instrument, *suffixes, value)
        held, key = self._place(instrument, suffixes)
        before = held[key]
        held[key] = value
        try:
            operation = None if self._changed is None else self._changed(instrument, *suffixes, value)
        except ScpiError:
            held[key] = before
            raise
        if operation is not None:
            instrument.begin(operation, session)

    def _place(self, instrument: "Instrument", suffixes: tuple[int, ...]) -> tuple[dict, Any]:
        if not suffixes:
            return instrument.settings, self.name
        return instrument.settings[self.name], suffixes[0] if len(suffixes) == 1 else suffixes

    def _ask(self, instrument: "Instrument", _: "Session", suffixes: tuple[int, ...], data: Data) -> Any:
        if data:
            return self.ask_limit(instrument, data)
        held, key = self._place(instrument, suffixes)
        return self._shown(instrument, held[key])

    def _shown(self, instrument: "Instrument", value: Any) -> Any:
        value = self.to_wire(instrument, value)
        return self.response((value,) if len(self.parameters) == 1 else value)

    def from_wire(self, instrument: "Instrument", value: Any) -> Any:  # noqa: ARG002 -- for subclasses
        """Return what is kept of a value that was sent; a subclass converts units here, before ``check`` sees it."""
        return value

    def to_wire(self, instrument: "Instrument", value: Any) -> Any:  # noqa: ARG002 -- for subclasses
        """Return the value that a query answers for one that was kept: the inverse of :meth:`from_wire`."""
        return value

    def messages(self, instrument: "Instrument") -> list[str]:
        """Return the commands that set the present value, for ``*LRN?``."""
        messages = []
        for suffixes in self.keys:
            held, key = self._place(instrument, suffixes)
            value = encode(self._shown(instrument, held[key]), DataFormat()).decode()
            messages.append(f"{self._spelled(suffixes)} {value}")
        return messages

    def _spelled(self, suffixes: tuple[int, ...]) -> str:
        numbers = iter(suffixes)
        kept = (part for part in self.parts if part.suffixes or not part.optional)
        return ":" + ":".join(f"{short_form(part.mnemonic)}{next(numbers) if part.suffixes else ''}" for part in kept)


class session_setting(Declaration):  # noqa: N801 -- reads as a declaration, like property
    """A value that every session has for itself, such as an enable register; ``*RST`` does not touch it.

    Parameters
    ----------
    header : str
        E.g. ``"STATus:OPERation:ENABle"``.
    parameter : Parameter
        What follows the header.
    path : str
        Where the session keeps the value: ``"operation.enable"``.
    """

    def __init__(self, header: str, parameter: Parameter, path: str) -> None:
        super().__init__(header, (parameter,), (), owner=False)
        self.path = path
        holder, _, self._attribute = path.rpartition(".")
        self._holder = attrgetter(holder) if holder else lambda session: session

    def actions(self) -> dict[bool, Callable[..., Any]]:
        """Return the actions of the header without and with question mark."""
        return {False: self._set, True: self._ask}

    def _set(self, instrument: "Instrument", session: "Session", _: tuple[int, ...], data: Data) -> None:
        (value,) = bind(self.parameters, data, instrument, session.data_format)
        setattr(self._holder(session), self._attribute, value)

    def _ask(self, instrument: "Instrument", session: "Session", _: tuple[int, ...], data: Data) -> Any:
        if data:
            return self.ask_limit(instrument, data)
        return self.response((getattr(self._holder(session), self._attribute),))
