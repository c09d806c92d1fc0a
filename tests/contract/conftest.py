"""The station under test: the twin by default, any other with `pytest --station NAME|FILE`."""

import inspect
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import protocols
from lab import make_run_engine, open_station
from lab.catalogue import Catalogue
from lab.run_engine import LabRunEngine
from lab.station import Station
from lab.station_file import read_station
from protocols.stored_run import StoredRun


@pytest.fixture(scope="session")
def station_name(pytestconfig: pytest.Config) -> str:
    return pytestconfig.getoption("--station") or "twin"


@pytest.fixture(scope="session")
def served(station_name: str) -> Iterator[None]:
    """For the station `tcp`: the bench behind it, in another process, unless somebody serves it already."""
    ports = _ports(station_name)
    if station_name != "tcp" or all(map(_listening, ports)):
        yield
        return
    command = [sys.executable, "-m", "lab", "serve", "--port", str(min(ports))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        _wait_for(server, ports)
        yield
        server.terminate()
        server.wait(10)


def _ports(station_name: str) -> set[int]:
    resources = [table.resource.split("::") for table in read_station(station_name).tables.instruments.values()]
    return {int(parts[2]) for parts in resources if parts[0] == "TCPIP0" and parts[-1] == "SOCKET"}


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(server: "subprocess.Popen[str]", ports: set[int]) -> None:
    """Wait until the bench is compiled, and the server has said that it listens at every port."""
    assert server.stdout is not None
    waiting, said = set(ports), []
    for line in server.stdout:
        said.append(line)
        waiting -= {port for port in waiting if line.rstrip().endswith(f":{port}")}
        if not waiting:
            return
    raise AssertionError(f"the server ended and does not listen at {sorted(waiting)}: {''.join(said)}")


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
def datasheets(station: Station) -> None:
    """Skip where anything else answers."""
    if station.mode != "sim":
        pytest.skip("this station computes")


@pytest.fixture
def run_engine(station: Station, tmp_path: Path):
    return make_run_engine(station, directory=tmp_path)


def _takes_stored_run(name: str) -> list[str]:
    """The arguments of a plan that are runs with a trained program."""
    return [key for key, kind in inspect.get_annotations(getattr(protocols, name)).items() if kind is StoredRun]


@pytest.fixture(scope="session")
def short_plan() -> Callable[..., Any]:
    """Make a short run of a plan on the devices of a station that its arguments are named after."""

    def make(name, station, stored=None):
        plan = getattr(protocols, name)
        parameters = inspect.signature(plan).parameters
        devices = [station[each.name] for each in parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
        seed = {"seed": 7} if "seed" in parameters else {}
        arguments = sys.modules[plan.__module__].EXAMPLES[name] | dict.fromkeys(_takes_stored_run(name), stored)
        return plan(*devices, **arguments, **seed)

    return make


@pytest.fixture
def stored(
    request: pytest.FixtureRequest, station: Station, run_engine: LabRunEngine, tmp_path: Path, short_plan
) -> StoredRun | None:
    """A run that holds a trained program, where the plan under test asks for one."""
    if not _takes_stored_run(request.getfixturevalue("name")):
        return None
    if station.mode == "sim":
        pytest.skip("no plan leaves a trained program on datasheets")
    run_engine(short_plan("train_genetic", station))
    run = Catalogue(tmp_path).find("last")
    last = run.read("evaluation").isel(event=-1)
    return StoredRun.from_event(run.start, {str(key): last[key].values for key in last})


class Session(NamedTuple):
    """A station that is open, and how plans are run on it and read back."""

    station: Station
    run: Callable[[Any], Any]
    """Runs a plan to its end, and returns what it returns."""
    record: Callable[[str], Any]
    """Reads a stream of the last run from the catalogue."""


@pytest.fixture(scope="module")
def opened(station_name: str, served: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Open devices of the station under test, once for equal arguments, until the module ends.

    ``options`` are tables added to the station file of the twin, ``changes`` replace text in it; with either, other
    stations are skipped.
    """
    with ExitStack() as stack:

        @cache
        def open_devices(*devices, options="", changes=(), seed=1):
            directory, source = tmp_path_factory.mktemp("session"), station_name
            if station_name == "sim" or ((options or changes) and station_name != "twin"):
                pytest.skip("only the twin takes options, and datasheets compute nothing")
            if options or changes:
                text = (resources.files("lab") / "stations" / "twin.toml").read_text() + options
                for old, new in changes:
                    assert old in text
                    text = text.replace(old, new)
                source = directory / "changed.toml"
                source.write_text(text)
            station = stack.enter_context(open_station(source, seed=seed, devices=devices))
            stack.callback(station.safe)
            run_engine = make_run_engine(station, directory=directory)

            def run(plan):
                results = []

                def kept():
                    results.append((yield from plan))

                run_engine(kept())
                return results[0]

            return Session(station, run, lambda stream: Catalogue(directory).find("last").read(stream))

        yield open_devices
