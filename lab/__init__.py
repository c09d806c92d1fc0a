"""What an operator touches: stations, the run engine, the record of runs, the command line.

>>> import bluesky.plans
>>> from lab import make_run_engine, open_station
>>> with open_station("twin", seed=1) as station:
...     RE = make_run_engine(station)
...     RE(bluesky.plans.count([station["board"]], num=3))
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OPHYD_CONTROL_LAYER", "dummy")  # ophyd looks for EPICS otherwise

if TYPE_CHECKING:
    from lab.catalogue import open_catalogue
    from lab.run_engine import make_run_engine
    from lab.station import open_station

__all__ = ["make_run_engine", "open_catalogue", "open_station"]

_HOMES = {"make_run_engine": "lab.run_engine", "open_catalogue": "lab.catalogue", "open_station": "lab.station"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
