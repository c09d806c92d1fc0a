"""Plans: generators of messages that measure and train with devices seen through their ports."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["activation_curve", "evaluate", "train_genetic", "train_in_situ"]


def __getattr__(name: str) -> Callable[..., Any]:
    """Import a plan when it is asked for: a list of the plans costs nothing."""
    if name in __all__:
        plan = getattr(import_module(f"protocols.{name}"), name)
        globals()[name] = plan
        return plan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
