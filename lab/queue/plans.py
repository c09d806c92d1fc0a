"""Plans as a queue wants them: devices and runs by name, every argument with what it may be."""

import inspect
import typing
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from bluesky.utils import Msg

from lab.arguments import ArrayFile, argument_loader, parameter_descriptions, plan_devices, takes_seed
from lab.plans import load_plan
from lab.run_command import LOADERS, as_recorded

DEVICES = "Devices"
"""Name of the type of an argument that is a device."""


def queued_plan(name: str, ports: Mapping[str, str], seed: int = 0) -> Callable[..., Any] | None:
    """Return a plan for a queue; None where the station has no device for it.

    Parameters
    ----------
    name : str
        Name of the plan.
    ports : mapping of str to str
        The devices of the station, each with the name of the port it keeps.
    seed : int
        Seed of the station, which a plan that takes one gets unless it is given another, as with `lab run`.

    Returns
    -------
    generator function
        Takes devices, and for the rest what JSON has: of a stored run its name, of an array the path of its file.
    """
    plan = load_plan(name)
    arguments = plan_devices(plan)
    fitting = {argument.name: [d for d, port in ports.items() if port == argument.port] for argument in arguments}
    if not all(fitting.values()):
        return None
    signature = inspect.signature(plan)
    seeds = {"seed": seed} if takes_seed(plan) else {}
    kept = [
        each.replace(default=seeds.get(each.name, each.default))
        for each in signature.parameters.values()
        if each.name != "continued"
    ]

    @wraps(plan)
    def queued(*given: Any, **options: Any) -> Generator[Msg, Any, Any]:
        bound = signature.bind(*given, **options)
        chosen = {argument.name: bound.arguments[argument.name] for argument in arguments}
        values = {key: value for key, value in (seeds | bound.arguments).items() if key not in (*chosen, "md")}
        taken = {key: _taken(plan, key, value) for key, value in values.items()}
        md = {
            "arguments": {key: as_recorded(value) for key, value in taken.items()},
            "plan_devices": {key: _names(value) for key, value in chosen.items()},
            "compute": None,
            **(bound.arguments.get("md") or {}),
        }
        return (yield from plan(*chosen.values(), **taken, md=md))

    queued.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return _annotated(queued, plan, {argument.name: argument.several for argument in arguments}, fitting)


def _names(device: Any) -> str | list[str]:
    return [each.name for each in device] if isinstance(device, Sequence) else device.name


def _taken(plan: Callable[..., Any], key: str, value: Any) -> Any:
    """Return an argument as the plan takes it."""
    hint = typing.get_type_hints(plan)[key]
    load = argument_loader(plan, key, LOADERS)
    if value is None:
        return None
    if load is not None:
        return load(value, None)
    if "numpy.ndarray" in str(hint):
        return ArrayFile().convert(value, None, None)
    if "pathlib.Path" in str(hint):
        return tuple(Path(each) for each in value)
    return tuple(value) if isinstance(value, list) else value


def _annotated(
    queued: Callable[..., Any], plan: Callable[..., Any], several: Mapping[str, bool], fitting: Mapping[str, list[str]]
) -> Callable[..., Any]:
    """Say of every argument what it is, and what it may be."""
    from bluesky_queueserver import parameter_annotation_decorator

    hints, texts = typing.get_type_hints(plan), parameter_descriptions(plan.__doc__ or "")
    parameters: dict[str, dict[str, Any]] = {}
    for name in inspect.signature(queued).parameters:
        told: dict[str, Any] = {"description": texts.get(name, "")}
        if name in fitting:
            told["annotation"] = f"typing.Union[{DEVICES}, typing.List[{DEVICES}]]" if several[name] else DEVICES
            told["devices"] = {DEVICES: fitting[name]}
        else:
            told["annotation"] = _written(plan, name, hints[name])
        parameters[name] = told
    summary = inspect.cleandoc(plan.__doc__ or "").partition("\n")[0]
    return parameter_annotation_decorator({"description": summary, "parameters": parameters})(queued)


def _written(plan: Callable[..., Any], name: str, hint: Any) -> str:
    """Write the type of an argument as JSON has it."""
    optional = type(None) in typing.get_args(hint)
    if argument_loader(plan, name, LOADERS) is not None or "numpy.ndarray" in str(hint):
        return "typing.Optional[str]" if optional else "str"
    if "pathlib.Path" in str(hint):
        return "typing.Optional[typing.List[str]]"
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
