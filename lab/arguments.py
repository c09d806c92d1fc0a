"""From the signature of a plan to the options of the command line."""

import contextlib
import inspect
import math
import re
import types
import typing
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

LARGEST_SEED = 2**32 - 1

NO_VALUE = "none"

Loader = Callable[[str, Path | None], Any]

_SEQUENCES = (list, tuple, Sequence, Collection, Iterable)


class Integer(click.ParamType):
    """A whole number; 20000 may be written 2e4.

    Parameters
    ----------
    low, high : int, optional
        The smallest and the largest that are allowed.
    """

    name = "integer"

    def __init__(self, low: int | None = None, high: int | None = None) -> None:
        self.low = low
        self.high = high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a whole number."""
        number = _whole(value)
        if number is None:
            self.fail(f"{_shortened(value)} is not a whole number", param, ctx)
        if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            self.fail(f"{_shortened(value)} is not a whole number from {self.low} to {self.high}", param, ctx)
        return number


class Real(click.ParamType):
    """A finite number."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a finite number."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{_shortened(value)} is not a number", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{_shortened(value)} is not a finite number", param, ctx)
        return number


class Items(click.ParamType):
    """Values separated by commas, such as ``-2,-1,0``.

    Parameters
    ----------
    elements : sequence of click.ParamType
        The type of all values, or with `fixed` the type of each.
    fixed : bool
        Whether the number of values is the number of types.
    container : type
        What the values are handed over in.
    """

    def __init__(self, elements: Sequence[click.ParamType], *, fixed: bool, container: type) -> None:
        self.elements = tuple(elements)
        self.fixed = fixed
        self.container = container
        self.name = ",".join(element.name for element in elements) if fixed else f"{elements[0].name},..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read every value by its own type."""
        if not isinstance(value, str):
            return self.container(value)
        texts = [text.strip() for text in value.split(",")] if value.strip() else []
        if self.fixed and len(texts) != len(self.elements):
            self.fail(f"{_shortened(value)} has {len(texts)} values, {len(self.elements)} are needed", param, ctx)
        if not texts:
            self.fail("no value given; values are separated by commas", param, ctx)
        elements = self.elements if self.fixed else self.elements * len(texts)
        return self.container(element.convert(text, param, ctx) for element, text in zip(elements, texts, strict=True))


class OrNone(click.ParamType):
    """A value of another type, or ``none``."""

    def __init__(self, element: click.ParamType) -> None:
        self.element = element
        self.name = f"{element.name}|{NO_VALUE}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the word ``none`` or the value."""
        if isinstance(value, str) and value.strip().lower() == NO_VALUE:
            return None
        return self.element.convert(value, param, ctx)


class AnyOf(click.ParamType):
    """A value of the first of several types that can read it."""

    def __init__(self, elements: Sequence[click.ParamType]) -> None:
        self.elements = tuple(elements)
        self.name = "|".join(element.name for element in elements)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the value by the first type that can."""
        for element in self.elements:
            try:
                return element.convert(value, param, ctx)
            except click.BadParameter:
                continue
        raise click.BadParameter(f"{_shortened(value)} is none of {self.name}", ctx, param)


class ArrayFile(click.ParamType):
    """An array of numbers in a file: .npy, or .csv with one row a line."""

    name = "file.csv|file.npy"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the array from its file."""
        import numpy as np

        if not isinstance(value, (str, Path)):
            return value
        path = Path(value)
        try:
            if path.suffix == ".npy":
                with path.open("rb") as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    array = np.loadtxt(path, delimiter=",", ndmin=2)
        except (OSError, ValueError, UserWarning) as error:
            self.fail(f"{_shortened(str(value))} holds no array of numbers: {error}", param, ctx)
        if array.dtype.kind not in "biuf":
            self.fail(f"{_shortened(str(value))} holds no array of numbers, but one of {array.dtype}", param, ctx)
        return array


class RunName(click.ParamType):
    """A stored run, named by its uid, the beginning of it, its number, or ``last``.

    Parameters
    ----------
    load : callable
        Makes the value a plan wants out of the name of a run and the directory of runs (None: the default).
    """

    name = "run"

    def __init__(self, load: Loader) -> None:
        self.load = load

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Find the run and load it."""
        try:
            return self.load(value, ctx.params.get("directory") if ctx else None) if isinstance(value, str) else value
        except (LookupError, ValueError) as error:
            self.fail(str(error.args[0] if error.args else error), param, ctx)


def plan_options(plan: Callable[..., Any], loaders: dict[str, Loader] | None = None) -> list[click.Option]:
    """Make one option of each keyword-only argument of a plan.

    Parameters
    ----------
    plan : callable
        A plan; ``md``, ``seed`` and ``continued`` are left to the command line itself.
    loaders : dict of str to callable, optional
        For annotations whose values come from stored runs, by the name of the type.

    Returns
    -------
    list of click.Option
        Without defaults, so that an argument that is not given is left to the plan.

    Raises
    ------
    TypeError
        If an annotation cannot be written on a command line.
    """
    help_texts = parameter_descriptions(plan.__doc__ or "")
    return [
        _option(parameter, _annotation(plan, parameter), help_texts.get(parameter.name, ""), loaders or {})
        for parameter in inspect.signature(plan).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in ("md", "seed", "continued")
    ]


def argument_loader(plan: Callable[..., Any], name: str, loaders: Mapping[str, Loader]) -> Loader | None:
    """Return what makes an argument of a plan out of the name of a run; None where it is no run."""
    annotation = _annotation(plan, inspect.signature(plan).parameters[name])
    kinds = [getattr(kind, "__name__", "") for kind in (annotation, *typing.get_args(annotation))]
    return next((loaders[kind] for kind in kinds if kind in loaders), None)


@dataclass(frozen=True)
class DeviceArgument:
    """A device that a plan takes: a positional argument.

    Attributes
    ----------
    name : str
        Name of the argument, and of the device unless another is chosen.
    port : str
        Name of the port in `protocols.ports` that the device must keep.
    several : bool
        Whether a sequence of devices will do as well.
    description : str
        What the plan says of it.
    """

    name: str
    port: str
    several: bool
    description: str = ""

    @property
    def option(self) -> click.Option:
        """The option that chooses another device."""
        names = "its name, that of what it stands on, or several separated by commas" if self.several else "its name"
        description = f"{self.description} Given is {names}.".strip()
        return click.Option(
            [f"--{self.name.replace('_', '-')}", self.name],
            default=self.name,
            show_default=True,
            metavar="DEVICE[,...]" if self.several else "DEVICE",
            help=description,
        )


def plan_devices(plan: Callable[..., Any]) -> list[DeviceArgument]:
    """Return the devices a plan takes: its positional arguments."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(plan).parameters.values()
    help_texts = parameter_descriptions(plan.__doc__ or "")
    return [
        _device_argument(parameter.name, _annotation(plan, parameter), help_texts.get(parameter.name, ""))
        for parameter in parameters
        if parameter.kind in positional
    ]


def _device_argument(name: str, annotation: Any, description: str) -> DeviceArgument:
    """Take a port, or a union of it with a sequence of it."""
    members = typing.get_args(annotation) or (annotation,)
    several = any(typing.get_origin(member) in _SEQUENCES for member in members)
    port = next(member for member in members if typing.get_origin(member) is None)
    return DeviceArgument(name, port.__name__, several, description)


def takes_seed(plan: Callable[..., Any]) -> bool:
    """Whether a plan makes random choices of its own."""
    return "seed" in inspect.signature(plan).parameters


class _DeviceNeededError(RuntimeError):
    """A plan has taken its arguments and reaches for a device."""


class _UnopenedDevice:
    """Stands where a device will be once its station is open."""

    def __getattr__(self, name: str) -> Any:
        raise _DeviceNeededError(name)


def check_arguments(plan: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Let a plan check its arguments before any instrument is opened: it runs until it first needs a device.

    Raises
    ------
    ValueError
        Whatever the plan says of its arguments.
    """
    devices = [_UnopenedDevice() for _ in plan_devices(plan)]
    with contextlib.suppress(_DeviceNeededError):
        next(plan(*devices, **arguments))


def parameter_type(annotation: Any, loaders: dict[str, Loader] | None = None) -> click.ParamType:
    """Choose how text is read for an annotation.

    Raises
    ------
    TypeError
        If values of that type cannot be written on a command line.
    """
    loaders = loaders or {}
    file = click.Path(path_type=Path, resolve_path=True)
    simple = {int: Integer(), float: Real(), str: click.STRING, bool: click.BOOL, Path: file}
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in simple:
        return simple[annotation]
    if getattr(annotation, "__name__", "") in loaders:
        return RunName(loaders[annotation.__name__])
    if origin is typing.Literal:
        return click.Choice(members)
    if origin in (typing.Union, types.UnionType):
        return _union(members, loaders)
    if origin in _SEQUENCES:
        return _sequence(origin, members, loaders)
    if getattr(origin, "__name__", "") == "ndarray":
        return ArrayFile()
    raise TypeError(f"{annotation} cannot be written on a command line")


def parameter_descriptions(docstring: str) -> dict[str, str]:
    """Read the Parameters section of a numpydoc docstring.

    Returns
    -------
    dict of str to str
        The description of each argument in one line.
    """
    section = re.search(r"^Parameters\n-{3,}\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", inspect.cleandoc(docstring), re.M | re.S)
    descriptions: dict[str, str] = {}
    names: list[str] = []
    for line in section.group(1).splitlines() if section else ():
        if line and not line[0].isspace():
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
            descriptions.update(dict.fromkeys(names, ""))
        else:
            descriptions.update({name: f"{descriptions[name]} {line.strip()}".strip() for name in names})
    return descriptions


def written(value: Any) -> str:
    """Write a value as it is given on the command line."""
    if value is None:
        return NO_VALUE
    if isinstance(value, (list, tuple)):
        return ",".join(written(element) for element in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _annotation(plan: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    return typing.get_type_hints(plan)[parameter.name]


def _option(
    parameter: inspect.Parameter, annotation: Any, description: str, loaders: dict[str, Loader]
) -> click.Option:
    flag = "--" + parameter.name.replace("_", "-")
    required = parameter.default is parameter.empty
    if not required and parameter.default is not None:
        description = f"{description}  [default: {written(parameter.default)}]"
    settings: dict[str, Any] = {"required": required, "help": description}
    if annotation is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}", parameter.name], **settings)
    try:
        value_type = parameter_type(annotation, loaders)
    except TypeError as error:
        raise TypeError(f"argument {parameter.name}: {error}") from error
    return click.Option([flag, parameter.name], type=value_type, **settings)


def _union(members: tuple[Any, ...], loaders: dict[str, Loader]) -> click.ParamType:
    elements = [parameter_type(member, loaders) for member in members if member is not types.NoneType]
    elements.sort(key=lambda element: isinstance(element, Items))
    element = elements[0] if len(elements) == 1 else AnyOf(elements)
    return OrNone(element) if types.NoneType in members else element


def _sequence(origin: type, members: tuple[Any, ...], loaders: dict[str, Loader]) -> click.ParamType:
    fixed = origin is tuple and Ellipsis not in members
    elements = [parameter_type(member, loaders) for member in members if member is not Ellipsis]
    if not elements:
        raise TypeError("a sequence without the type of its elements cannot be written on a command line")
    return Items(elements, fixed=fixed, container=list if origin is list else tuple)


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except ValueError:
        pass
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"
