import pytest
from bluesky import RunEngine

from drivers.thermodynamic_board import ThermodynamicBoard as Driver
from lab.devices.thermodynamic_board import ThermodynamicBoard
from sim_devices import benches
from sim_devices.visa import open_library

RESOURCE = "TCPIP0::board::5025::SOCKET"


@pytest.fixture
def bench():
    with benches.open("thermodynamic_board", seed=1) as opened:
        yield opened


@pytest.fixture
def driver(bench):
    driver = Driver(RESOURCE, visa_library=open_library(bench), timeout=20000)
    yield driver
    driver.adapter.close()


@pytest.fixture
def board(driver):
    device = ThermodynamicBoard(driver, name="board")
    yield device
    device.close()


@pytest.fixture
def engine():
    engine = RunEngine(context_managers=[])
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join(5)
    engine.loop.close()
