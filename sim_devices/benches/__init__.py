"""Benches by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from sim_devices.benches.bench import Bench, ResourceError, ResourceNameError
from sim_devices.benches.options import BenchOptionError, QuantityReader, check_names, read_quantity
from twin.clock import FlowingClock, VirtualClock
from twin.compute import open_executor

__all__ = [
    "DEFAULT",
    "NAMES",
    "Bench",
    "BenchNameError",
    "BenchOptionError",
    "ResourceError",
    "ResourceNameError",
    "open",
    "physical_faults",
]

#: The benches there are; each is a module here with a function ``place``.
NAMES = ("laboratory", "thermodynamic_board", "quantum_dot", "photon_kernel")

#: The bench that ``ResourceManager("@twin")`` opens.
DEFAULT = NAMES[0]


class BenchNameError(ValueError):
    """There is no bench of this name."""


def open(  # noqa: A001
    name: str = DEFAULT,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    *,
    quantity: QuantityReader = read_quantity,
    flowing: bool = False,
    compute: str = "threads",
    faults: Mapping[str, float] | None = None,
) -> Bench:
    """Open a bench.

    Parameters
    ----------
    name
        One of `NAMES`.
    seed
        A whole number from 0 on; equal seeds give equal instruments and equal noise.
    options
        Nested tables of the bench's own parameters.
    quantity
        Reads a value with its unit, such as ``"40 kHz"``, in a unit, such as ``"Hz"``; by default only a number of that
        very unit is understood.
    flowing
        Whether the clock of the bench goes with the one on the wall, for clients that wait on that.
    compute
        Where physics is computed: ``threads`` of this machine, ``gpu``, or the address of a Dask cluster, such as
        ``tcp://10.0.0.1:8786``.
    faults
        Rates of what is wrong in the physics, by the names of `physical_faults`.

    Raises
    ------
    BenchNameError
        There is no bench of this name.
    BenchOptionError
        The seed or an option is wrong.
    PlaceError, MissingExtraError, ClusterError, GpuError
        There is no such place to compute at, see `twin.compute.open_executor`.
    """
    module = _module(name)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise BenchOptionError("seed", f"must be a whole number from 0 on, not {seed!r}")
    checked = check_names(options or {}, "", list(module.TABLES))
    bench = Bench(name, FlowingClock() if flowing else VirtualClock(), open_executor(compute), faults)
    try:
        module.place(bench, checked, quantity, seed)
    except BaseException:
        bench.close()
        raise
    return bench


def physical_faults(name: str = DEFAULT) -> tuple[str, ...]:
    """Return the names of what may be wrong in the physics of a bench.

    Raises
    ------
    BenchNameError
        There is no bench of this name.
    """
    return tuple(_module(name).FAULTS)


def _module(name: str) -> Any:
    if name not in NAMES:
        raise BenchNameError(f"no bench named {name!r}; there are: {', '.join(NAMES)}")
    return import_module(f"sim_devices.benches.{name}")
