"""The library that plays datasheets: every instrument is there, on its own, and refuses the rest in plain words."""

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import pyvisa

from drivers.agilent_33500 import Agilent33500
from drivers.errors import InstrumentError
from drivers.srs_sr830 import SR830
from lab import open_station
from lab.datasheets import open_datasheets
from lab.station_file import read_station

DEFINITIONS = {
    entry.name.removesuffix(".yaml")
    for entry in (files("sim_devices") / "definitions").iterdir()
    if entry.name.endswith(".yaml")
}
STATIONS = Path(read_station("sim").path).parent
AWG = "TCPIP0::awg::5025::SOCKET"


@pytest.fixture
def open_driver():
    opened = []

    def open_driver(kind, resource):
        opened.append(kind(resource, visa_library=open_datasheets(), timeout=200))
        return opened[-1]

    yield open_driver
    for driver in opened:
        driver.adapter.close()


def test_the_station_of_datasheets_has_every_instrument_that_there_is_a_definition_of():
    assert {table.driver for table in read_station("sim").tables.instruments.values()} == DEFINITIONS


def test_every_resource_of_every_definition_is_played():
    wanted = {table.resource for table in read_station("sim").tables.instruments.values()}
    assert set(pyvisa.ResourceManager(open_datasheets()).list_resources("?*")) == wanted


def test_every_instrument_says_who_it_is():
    with open_station("sim") as station:
        assert all(station.identities.values())
        assert len(set(station.identities.values())) == len(DEFINITIONS)


@pytest.mark.parametrize("example", sorted(STATIONS.glob("*.example.toml")), ids=lambda path: path.name)
def test_every_example_of_a_bench_makes_its_devices_when_its_addresses_are_those_of_datasheets(example, tmp_path):
    simulated = read_station("sim").tables.instruments
    text = re.sub(r'library = ".*"', 'library = "sim"', example.read_text())
    for name, table in read_station(example).tables.instruments.items():
        text = text.replace(f'resource = "{table.resource}"', f'resource = "{simulated[name].resource}"')
    bench = tmp_path / "bench.toml"
    bench.write_text(text)
    with open_station(bench) as station:
        assert set(station) == set(read_station(example).tables.devices)
        assert station.safe().keys() == set(station)


def test_what_is_set_in_one_library_is_not_set_in_the_next(open_driver):
    first, second = open_driver(Agilent33500, AWG), open_driver(Agilent33500, AWG)
    first.frequency = 2000.0
    assert (first.frequency, second.frequency) == (2000.0, 1000.0)


@pytest.mark.parametrize("values", [np.linspace(-1, 1, 8), np.zeros(8)])
def test_an_array_is_refused_in_plain_words(open_driver, values):
    with pytest.raises(InstrumentError, match="not in the datasheet, which has settings but neither arrays nor"):
        open_driver(Agilent33500, AWG).ch_1.upload("WAVE", values)


def test_an_instrument_goes_on_after_an_array_that_it_refused(open_driver):
    awg = open_driver(Agilent33500, AWG)
    with pytest.raises(InstrumentError):
        awg.ch_1.upload("WAVE", np.linspace(-1, 1, 8))
    awg.frequency = 2000.0
    assert awg.frequency == 2000.0


def test_an_instrument_without_an_error_queue_tells_by_its_status_register(open_driver):
    with pytest.raises(InstrumentError, match="unknown command"):
        open_driver(SR830, "GPIB0::8::INSTR").write("DAMP 1")
