"""The plans an operator may run: listed from their sources in milliseconds, loaded only to be run."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PlanSummary:
    """What the source of a plan says about it.

    Parameters
    ----------
    name : str
        Name of the plan.
    summary : str
        First line of its docstring.
    devices : tuple of str
        Devices of the station it needs, by name.
    options : tuple of str
        Its keyword arguments as they are written, ``name: type = default``.
    """

    name: str
    summary: str
    devices: tuple[str, ...]
    options: tuple[str, ...]


class UnknownPlanError(LookupError):
    """No plan of that name."""


def plan_names() -> list[str]:
    """Names of all plans, in the order of ``protocols.__all__``."""
    return list(import_module("protocols").__all__)


def load_plan(name: str) -> Callable[..., Any]:
    """Import one plan.

    Raises
    ------
    UnknownPlanError
        If ``protocols`` does not offer it.
    """
    if name not in plan_names():
        raise UnknownPlanError(f"no plan {name!r}; plans are {', '.join(plan_names())}")
    return getattr(import_module("protocols"), name)


def summarise_plans() -> list[PlanSummary]:
    """Describe all plans without importing any of them."""
    families = import_module("protocols").FAMILIES
    return [_summary(_function(families[name], name)) for name in plan_names()]


def _function(module: str, name: str) -> ast.FunctionDef:
    return next(function for function in _functions(module) if function.name == name)


@cache
def _functions(module: str) -> list[ast.FunctionDef]:
    spec = find_spec(f"protocols.{module}")
    source = Path(str(spec and spec.origin)).read_text(encoding="utf-8")
    return [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]


def _summary(function: ast.FunctionDef) -> PlanSummary:
    arguments = function.args
    options = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return PlanSummary(
        name=function.name,
        summary=cleandoc(ast.get_docstring(function) or "").partition("\n")[0],
        devices=tuple(argument.arg for argument in (*arguments.posonlyargs, *arguments.args)),
        options=tuple(
            _option(argument, default) for argument, default in options if argument.arg not in ("md", "continued")
        ),
    )


def _option(argument: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return f"{argument.arg}{annotation}" + (f" = {ast.unparse(default)}" if default else "")
