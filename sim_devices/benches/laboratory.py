"""All bodies side by side: a thermodynamic board, gate-defined dots and single photons, on one clock."""

from collections.abc import Mapping
from typing import Any

from sim_devices.benches import photon_kernel, quantum_dot, thermodynamic_board
from sim_devices.benches.bench import Bench
from sim_devices.benches.options import QuantityReader

__all__ = ["FAULTS", "TABLES", "place"]

BODIES = (thermodynamic_board, quantum_dot, photon_kernel)

#: The tables of its options: those of every body.
TABLES = tuple(table for body in BODIES for table in body.TABLES)

#: What may be wrong in their physics.
FAULTS = tuple(dict.fromkeys(fault for body in BODIES for fault in body.FAULTS))


def place(bench: Bench, options: Mapping[str, Any], quantity: QuantityReader, seed: int) -> None:
    """Put the instruments of every body on a bench; each takes its own tables of the options.

    Raises
    ------
    BenchOptionError
        An option is unknown or has a wrong value.
    """
    for body in BODIES:
        body.place(bench, options, quantity, seed)
