"""What the worker of a queue server imports: the devices of a station, its run engine, and all plans it can run.

The station is named by ``$LAB_QUEUE_STATION``, its seed by ``$LAB_QUEUE_SEED``; runs are stored in ``$LAB_RUNS``.
"""

import os
import threading
from multiprocessing.util import Finalize

from lab import make_run_engine, open_station
from lab.plans import plan_names
from lab.queue.orphan import end_with_parent
from lab.queue.plans import queued_plan
from lab.station_file import read_station

STATION, SEED = "LAB_QUEUE_STATION", "LAB_QUEUE_SEED"

_name, _seed = os.environ.get(STATION, "twin"), int(os.environ.get(SEED, "0"))
_station = open_station(_name, seed=_seed)
_close = Finalize(None, _station.close, exitpriority=10)  # a worker ends without what `atexit` would do

_executing = threading.Lock()
RE = make_run_engine(_station, context_managers=[lambda _engine: _executing])
threading.Thread(target=end_with_parent, args=(RE, _executing, _close), name="end with parent", daemon=True).start()

_ports = {name: table.port for name, table in read_station(_name).tables.devices.items()}
_plans = {name: queued_plan(name, _ports, _seed) for name in plan_names()}
globals().update(_station)
globals().update({name: plan for name, plan in _plans.items() if plan is not None})
