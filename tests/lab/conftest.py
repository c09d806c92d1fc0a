"""A bench that needs no instruments: a detector of numbers and arrays, and a station that remembers what was asked."""

from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest

BOARD = "TCPIP0::board::5025::SOCKET"


class Detector:
    """A Readable with one number, one small and one large array, and a large array in its configuration."""

    name = "detector"
    parent = None

    def __init__(self, large: int = 1000) -> None:
        self.count = 0
        self.large = large

    def trigger(self):
        from ophyd.status import Status

        self.count += 1
        status = Status(timeout=None)
        status.set_finished()
        return status

    def values(self):
        return {
            "level": 0.5 * self.count,
            "small": np.arange(4.0) * self.count,
            "image": np.full((2, self.large // 2), float(self.count), dtype=np.float32),
        }

    def read(self):
        return {key: {"value": value, "timestamp": 1.0} for key, value in self.values().items()}

    def describe(self):
        source = "SIM:detector"
        return {
            "level": {"source": source, "dtype": "number", "shape": [], "units": "V"},
            "small": {"source": source, "dtype": "array", "shape": [4], "dims": ["cell"], "units": "mV"},
            "image": {"source": source, "dtype": "array", "shape": [2, self.large // 2], "dims": ["row", "column"]},
        }

    def read_configuration(self):
        return {
            "gain": {"value": 3, "timestamp": 1.0},
            "table": {"value": np.arange(500.0).reshape(5, 100), "timestamp": 1.0},
        }

    def describe_configuration(self):
        return {
            "gain": {"source": "SIM", "dtype": "integer", "shape": []},
            "table": {"source": "SIM", "dtype": "array", "shape": [5, 100]},
        }


class StationStub(dict):
    """What a run engine needs of a station without devices."""

    name = "stub"
    mode = "twin"
    bench = None

    def __init__(self) -> None:
        super().__init__()
        self.clock = SimpleNamespace(slept=[])
        self.clock.sleep = self.clock.slept.append
        self.suspenders = {}
        self.catalog = None
        self.made_safe = 0
        self.refusal: Exception | None = None

    def metadata(self):
        return {"station": self.name, "station_mode": self.mode, "station_seed": 1}

    def safe(self):
        self.made_safe += 1
        if self.refusal is not None:
            raise ExceptionGroup("1 of 1 devices could not be brought to their safe state", [self.refusal])
        return {}


@pytest.fixture
def detector():
    return Detector()


@pytest.fixture
def stub_station():
    return StationStub()


@pytest.fixture
def make_engine(stub_station, tmp_path):
    """Make run engines that record below tmp_path and whose journals are closed at the end."""
    from lab import make_run_engine

    with ExitStack() as engines:

        def make(**options):
            engine = make_run_engine(**{"station": stub_station, "directory": tmp_path / "runs", **options})
            engines.callback(engine.journal.close)
            return engine

        yield make


@pytest.fixture
def engine(make_engine):
    return make_engine()


@pytest.fixture(scope="session")
def write_station():
    """Write the file of a station with a board somewhere, and what else is said of that instrument."""

    def write(path, resource, more=""):
        path.write_text(
            f"""
            [station]
            library = "py"
            [instruments.board]
            resource = "{resource}"
            driver = "thermodynamic_board"
            {more}
            [devices.board]
            role = "thermodynamic_board"
            instrument = "board"
            """
        )
        return path

    return write


@pytest.fixture(scope="module")
def server():
    """The benches of the twin, served."""
    from lab.station import serve_bench

    with serve_bench("twin", port=0) as serving:
        serving.bench.warm_up()
        yield serving


@pytest.fixture
def board(server):
    """The simulated board that is served."""
    return server.bench.instruments[BOARD]


@pytest.fixture
def board_resource(server):
    """Where it is served."""
    return "TCPIP0::{}::{}::SOCKET".format(*server.addresses[BOARD])


@pytest.fixture
def station_path(write_station, board_resource, tmp_path):
    """The file of a station that has it."""
    return write_station(tmp_path / "served.toml", board_resource)
