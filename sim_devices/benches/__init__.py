"""Benches by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from sim_devices.benches.bench import Bench, ResourceError, ResourceNameError
from sim_devices.benches.options import BenchOptionError

__all__ = [
    "DEFAULT",
    "NAMES",
    "Bench",
    "BenchNameError",
    "BenchOptionError",
    "ResourceError",
    "ResourceNameError",
    "open",
]

#: The benches there are; each is a module here with a function ``build``.
NAMES = ("thermodynamic_board",)

#: The bench that ``ResourceManager("@twin")`` opens.
DEFAULT = NAMES[0]


class BenchNameError(ValueError):
    """There is no bench of this name."""


def open(name: str = DEFAULT, seed: int = 0, options: Mapping[str, Any] | None = None) -> Bench:  # noqa: A001
    """Open a bench.

    Parameters
    ----------
    name
        One of `NAMES`.
    seed
        A whole number from 0 on; equal seeds give equal instruments and equal noise.
    options
        Nested tables of the bench's own parameters.

    Raises
    ------
    BenchNameError
        There is no bench of this name.
    BenchOptionError
        The seed or an option is wrong.
    """
    if name not in NAMES:
        raise BenchNameError(f"no bench named {name!r}; there are: {', '.join(NAMES)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise BenchOptionError("seed", f"must be a whole number from 0 on, not {seed!r}")
    return import_module(f"sim_devices.benches.{name}").build(seed=seed, options=options or {})
