"""The station under test: the twin by default, any other with `pytest --station NAME|FILE`."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import make_run_engine, open_station
from lab.station import Station


@pytest.fixture(scope="session")
def station_name(pytestconfig: pytest.Config) -> str:
    return pytestconfig.getoption("--station") or "twin"


@pytest.fixture(scope="session")
def served(station_name: str) -> Iterator[None]:
    """For the station `tcp`: the bench behind it, in another process, unless somebody serves it already."""
    if station_name != "tcp" or _listening(5025):
        yield
        return
    command = [sys.executable, "-m", "lab", "serve", "--port", "5025"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "5025" in line:
                break
        yield
        server.terminate()
        server.wait(10)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def station(station_name: str, served: None) -> Iterator[Station]:
    with open_station(station_name, seed=1) as opened:
        yield opened
        opened.safe()


@pytest.fixture
def computes(station: Station) -> None:
    """Skip where datasheets answer: they hold register values, no physics and no binary blocks."""
    if station.mode == "sim":
        pytest.skip("datasheets answer registers only")


@pytest.fixture
def run_engine(station: Station, tmp_path: Path):
    return make_run_engine(station, directory=tmp_path)
