"""Both drivers against their datasheets, through pyvisa-sim: what they send must be what the manuals list."""

from importlib.resources import as_file, files

import pytest

from drivers.errors import InstrumentError
from drivers.keithley_2400 import Keithley2400
from drivers.srs_sr830 import SR830


@pytest.fixture
def open_driver(tmp_path):
    opened = []

    def open_driver(kind, name, resource):
        with as_file(files("sim_devices") / "definitions" / f"{name}.yaml") as datasheet:
            own = tmp_path / datasheet.name
            own.write_text(datasheet.read_text())
        opened.append(kind(resource, visa_library=f"{own}@sim", timeout=500))
        return opened[-1]

    yield open_driver
    for driver in opened:
        driver.adapter.close()


@pytest.fixture
def smu(open_driver):
    return open_driver(Keithley2400, "keithley_2400", "GPIB0::24::INSTR")


@pytest.fixture
def lock_in(open_driver):
    return open_driver(SR830, "srs_sr830", "GPIB0::8::INSTR")


SOURCE_METER = {
    "source_mode": "current",
    "source_voltage": -12.5,
    "source_current": 1e-3,
    "source_delay": 0.5,
    "auto_output_off_enabled": True,
    "source_enabled": True,
    "output_off_state": "zero",
    "compliance_current": 0.01,
    "compliance_voltage": 2.0,
    "current_nplc": 0.1,
    "filter_enabled": True,
    "filter_count": 3,
    "repeat_filter_enabled": False,
    "auto_zero_enabled": False,
    "wires": 4,
    "line_frequency": 50,
    "front_terminals_enabled": False,
    "arm_source": "timer",
    "arm_timer": 5.0,
    "trigger_source": "trigger_link",
    "trigger_delay": 0.25,
    "trigger_output_event": "delay",
    "buffer_points": 50,
}


@pytest.mark.parametrize("name", SOURCE_METER)
def test_a_register_of_the_source_meter_is_set_and_read(smu, name):
    setattr(smu, name, SOURCE_METER[name])
    assert getattr(smu, name) == SOURCE_METER[name]


def test_readings_of_the_source_meter_are_understood(smu):
    assert smu.data_elements == ("voltage", "current", "resistance", "time", "status")
    readings = smu.readings()
    assert readings["current"] == 0
    assert readings["status"] == 20484


LOCK_IN = {
    "frequency": 77.5,
    "sine_voltage": 0.25,
    "harmonic": 2,
    "time_constant": 0.03,
    "sensitivity": 1e-3,
    "filter_slope": 24,
    "filter_synchronous": True,
    "input_config": "A - B",
    "input_coupling": "DC",
    "reserve": "Normal",
    "aux_out_3": 1.5,
    "reference_source": "External",
}


@pytest.mark.parametrize("name", LOCK_IN)
def test_a_register_of_the_lock_in_is_set_and_read(lock_in, name):
    setattr(lock_in, name, LOCK_IN[name])
    assert getattr(lock_in, name) == LOCK_IN[name]


def test_readings_of_the_lock_in_are_understood(lock_in):
    assert (lock_in.x, lock_in.y, lock_in.magnitude, lock_in.theta, lock_in.aux_in_1) == (0, 0, 0, 0, 0)
    assert lock_in.xy == [0, 0]
    assert (lock_in.channel1, lock_in.channel2) == ("X", "Y")
    assert lock_in.buffer_count == 0


def test_what_a_datasheet_refuses_raises(smu, lock_in):
    for driver, message in ((smu, ":SENSE:AVERAGE:COUNT 101"), (lock_in, "ILIN 4")):
        with pytest.raises(InstrumentError):
            driver.write(message)
