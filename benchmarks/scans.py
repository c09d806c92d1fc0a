"""What other engines take for a learning step and for a point of a map: QCoDeS, and Bluesky with simulated devices.

Each function returns a run of so many points; instruments answer at once and compute nothing.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import numpy as np
from bluesky import RunEngine
from measuring import contender
from numpy.typing import NDArray

os.environ.setdefault("OPHYD_CONTROL_LAYER", "dummy")

Run = Callable[[], object]
Readings = Mapping[str, float | NDArray[Any]]


@contextlib.contextmanager
def qcodes_database(directory: Path) -> Iterator[Any]:
    """Open a database of QCoDeS in a directory; give an instrument without parameters, and be silent."""
    qcodes, dataset = contender("qcodes"), contender("qcodes.dataset")
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        dataset.initialise_or_create_database_at(str(directory / "scans.db"))
        dataset.load_or_create_experiment("benchmark", sample_name="none")
        instrument = qcodes.instrument.Instrument("dummy")
        try:
            yield instrument
        finally:
            instrument.close()


def qcodes_steps(instrument: Any, points: int, readings: Readings) -> Run:
    """Scan a parameter with ``do1d``, reading these numbers and arrays at each point."""
    qcodes, dataset = contender("qcodes"), contender("qcodes.dataset")
    scanned = instrument.add_parameter("scanned", set_cmd=None, initial_value=0)
    read = [
        instrument.add_parameter(
            name, get_cmd=partial(np.copy, value) if np.ndim(value) else partial(float, value), set_cmd=False,
            vals=qcodes.validators.Arrays(shape=np.shape(value)) if np.ndim(value) else None,
        )
        for name, value in readings.items()
    ]  # fmt: skip
    return lambda: dataset.do1d(scanned, 1, points, points, 0, *read, do_plot=False, show_progress=False)


def qcodes_map(instrument: Any, side: int) -> Run:
    """Scan two parameters with ``do2d``, reading one number at each point."""
    dataset = contender("qcodes.dataset")
    gate, bias = (instrument.add_parameter(name, set_cmd=None, initial_value=0) for name in ("map_gate", "map_bias"))
    current = instrument.add_parameter("map_current", get_cmd=lambda: 1.0, set_cmd=False)
    return lambda: dataset.do2d(
        bias, 0, 1, side, 0, gate, 0, 1, side, 0, current, do_plot=False, show_progress=False
    )  # fmt: skip


def bluesky_steps(points: int, readings: Readings) -> Run:
    """Scan a motor with `bluesky.plans.scan`, reading these numbers and arrays at each point; nothing is stored."""
    from ophyd import Signal
    from ophyd.sim import motor

    read = [Signal(name=name, value=value) for name, value in readings.items()]
    engine = RunEngine({}, context_managers=[])
    return lambda: engine(bp.scan(read, motor, 0, 1, points))


def bluesky_map(side: int) -> Run:
    """Scan two motors with `bluesky.plans.grid_scan`, reading one number at each point; nothing is stored."""
    from ophyd import Signal
    from ophyd.sim import motor1, motor2

    current = Signal(name="current", value=1.0)
    engine = RunEngine({}, context_managers=[])
    return lambda: engine(bp.grid_scan([current], motor1, 0, 1, side, motor2, 0, 1, side))
