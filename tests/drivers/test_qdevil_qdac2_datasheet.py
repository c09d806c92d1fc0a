"""The driver of the QDAC-II against its datasheet, through pyvisa-sim: what it sends must be what the manual lists."""

import contextlib
from importlib.resources import as_file, files

import pytest

from drivers.errors import InstrumentError
from drivers.qdevil_qdac2 import Qdac2

RESOURCE = "TCPIP0::qdac::5025::SOCKET"


@contextlib.contextmanager
def opened(folder):
    with as_file(files("sim_devices") / "definitions" / "qdevil_qdac2.yaml") as datasheet:
        own = folder / datasheet.name
        own.write_text(datasheet.read_text())
    driver = Qdac2(RESOURCE, visa_library=f"{own}@sim", timeout=500)
    yield driver
    driver.adapter.close()


@pytest.fixture(scope="module")
def dac(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("datasheet")) as driver:
        yield driver


@pytest.fixture
def fresh(tmp_path):
    with opened(tmp_path) as driver:
        yield driver


CHANNEL = {
    "voltage_range": "low",
    "filter": "dc",
    "triggered_voltage": -1.25,
    "slew": 0.125,
    "list_dwell": 0.5,
    "list_count": 3,
    "list_direction": "down",
    "list_trigger_mode": "step",
    "sweep_start": -1.0,
    "sweep_stop": 1.0,
    "sweep_points": 101,
    "sweep_dwell": 0.25,
    "sweep_count": -1,
    "sweep_direction": "down",
    "sweep_generation": "analog",
    "trigger_source": "int14",
    "continuous": True,
    "delay": 0.5,
    "marker_start": 1,
    "marker_end": 2,
    "marker_step_start": 3,
    "marker_step_end": 4,
    "current_range": "low",
    "nplc": 5.0,
    "aperture": 0.5,
    "current_count": 7,
    "current_delay": 0.25,
    "current_trigger_source": "ext1",
}
WAVES = {
    "sine": {"frequency": 10.0, "span": 0.5, "offset": 0.25, "slew": 100.0, "count": 5, "polarity": "inverted"},
    "triangle": {"frequency": 10.0, "duty_cycle": 25.0, "marker_period_start": 7},
    "square": {"duty_cycle": 75.0, "kind_of_levels": "negative", "trigger_source": "bus", "delay": 0.5},
    "awg": {"trace": "ramp", "scale": -0.5, "marker_period_end": 3},
}


@pytest.mark.parametrize("name", CHANNEL)
def test_a_setting_of_the_datasheet_is_set_and_read_through_the_driver(dac, name):
    setattr(dac.channel(1), name, CHANNEL[name])
    assert getattr(dac.channel(1), name) == CHANNEL[name]


@pytest.mark.parametrize(("wave", "name"), [(wave, name) for wave, settings in WAVES.items() for name in settings])
def test_a_setting_of_a_waveform_is_set_and_read_through_the_driver(dac, wave, name):
    generator = getattr(dac.channel(1), wave)
    setattr(generator, name, WAVES[wave][name])
    assert getattr(generator, name) == WAVES[wave][name]


def test_readings_of_the_datasheet_are_understood(fresh):
    assert fresh.id == "QDevil, QDAC-II, 1, 3-1.70"
    assert fresh.error_count == 0
    assert fresh.channel(1).actual_voltage == 0
    assert fresh.channel(1).mode == "fixed"
    assert fresh.channel(1).current == 0
    assert fresh.currents([1, 2, 3]) == [0, 0, 0]
    assert [generator.cycles_left for generator in fresh.channel(1).generators.values()] == [0] * 4


def test_a_protected_channel_of_the_datasheet_is_adopted_and_ramps(fresh):
    channel = fresh.channel(1)
    channel.protect(limits=(-1, 1), slew=0.5)
    assert channel.ramp(0.75) == pytest.approx(1.5)
    assert (channel.voltage, channel.slew) == (0.75, 0.5)


def test_actions_of_the_datasheet_are_taken(fresh):
    fresh.fire(14)
    fresh.bus_trigger()
    fresh.trigger_output(1).source = "int1"
    fresh.trigger_output(1).signal()
    fresh.synchronise()
    fresh.remove_traces()
    fresh.channel(1).start()
    fresh.channel(1).hold()
    fresh.reset()


def test_what_the_datasheet_refuses_raises(fresh):
    with pytest.raises(InstrumentError) as raised:
        fresh.execute("outp:trig9:widt 1")
    assert (raised.value.code, raised.value.text) == (-113, "Undefined header")
