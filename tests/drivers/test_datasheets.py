"""Every driver against its datasheet, through pyvisa-sim: what it sends must be what the manual lists."""

from functools import reduce
from importlib.resources import files

import pytest
import pyvisa

from drivers.agilent_33500 import Agilent33500
from drivers.errors import InstrumentError
from drivers.keithley_2400 import Keithley2400
from drivers.keysight_34465a import Keysight34465A
from drivers.keysight_53220a import Keysight53220A
from drivers.qdevil_qdac2 import Qdac2
from drivers.rigol_ds1000z import RigolDS1000Z
from drivers.srs_sr830 import SR830
from drivers.thermodynamic_board import ThermodynamicBoard

DATASHEETS = {path.name.removesuffix(".yaml"): path for path in (files("sim_devices") / "definitions").iterdir()}
DRIVERS = {
    "agilent_33500": Agilent33500,
    "keithley_2400": Keithley2400,
    "keysight_34465a": Keysight34465A,
    "keysight_53220a": Keysight53220A,
    "qdevil_qdac2": Qdac2,
    "rigol_ds1000z": RigolDS1000Z,
    "srs_sr830": SR830,
    "thermodynamic_board": ThermodynamicBoard,
}
CHANNELS = {
    "agilent_33500": lambda driver: driver.ch_1,
    "qdevil_qdac2": lambda driver: driver.channel(1),
    "rigol_ds1000z": lambda driver: driver.ch_1,
}
"""The channel that the datasheet describes, whose properties are set and read like those of the driver."""

SETTINGS = {
    "agilent_33500": {
        "shape": "PULS", "frequency": 12345.6, "amplitude": 0.5, "amplitude_unit": "VRMS", "offset": -0.5,
        "voltage_high": 1.0, "voltage_low": -1.0, "square_dutycycle": 25.0, "ramp_symmetry": 50.0,
        "pulse_period": 2e-3, "pulse_hold": "DCYC", "pulse_width": 1e-7, "pulse_dutycycle": 20.0,
        "pulse_transition": 1e-7, "output": True, "output_load": 75.0, "burst_state": True, "burst_mode": "GAT",
        "burst_period": 0.02, "burst_ncycles": 3, "trigger_source": "BUS", "ext_trig_out": True,
        "arb_advance": "TRIG", "arb_filter": "OFF", "arb_srate": 250e6, "byte_order": "little",
    },
    "keithley_2400": {
        "source_mode": "current", "source_voltage": -12.5, "source_current": 1e-3, "source_delay": 0.5,
        "auto_output_off_enabled": True, "source_enabled": True, "output_off_state": "zero",
        "compliance_current": 0.01, "compliance_voltage": 2.0, "current_nplc": 0.1, "filter_enabled": True,
        "filter_count": 3, "repeat_filter_enabled": False, "auto_zero_enabled": False, "wires": 4,
        "line_frequency": 50, "front_terminals_enabled": False, "arm_source": "timer", "arm_timer": 5.0,
        "trigger_source": "trigger_link", "trigger_delay": 0.25, "trigger_output_event": "delay", "buffer_points": 50,
    },
    "keysight_34465a": {
        "function": "current", "voltage_range": 1.0, "voltage_autorange": False, "voltage_nplc": 1.0,
        "voltage_aperture": 0.01, "voltage_autozero": False, "automatic_impedance": True, "current_range": 0.001,
        "current_autorange": False, "current_nplc": 1.0, "current_aperture": 0.01, "current_autozero": False,
        "sample_count": 500, "sample_source": "timer", "trigger_source": "external", "trigger_count": 100,
        "trigger_delay": 0.25, "automatic_delay": False, "trigger_slope": "positive", "byte_order": "little",
        "display_enabled": False,
    },
    "keysight_53220a": {
        "function": "totalize", "gate_source": "external", "gate_time": 0.01, "gate_polarity": "positive",
        "gate_output_enabled": True, "frequency_gate_time": 1.0, "reading_timeout": 10.0, "sample_count": 500,
        "trigger_source": "bus", "trigger_count": 100, "trigger_delay": 0.25, "trigger_slope": "positive",
        "byte_order": "little", "display_enabled": False,
    },
    "qdevil_qdac2": {
        "voltage_range": "low", "filter": "dc", "triggered_voltage": -1.25, "slew": 0.125, "list_dwell": 0.5,
        "list_count": 3, "list_direction": "down", "list_trigger_mode": "step", "sweep_start": -1.5,
        "sweep_stop": 2.5, "sweep_points": 101, "sweep_dwell": 0.25, "sweep_count": -1, "sweep_direction": "down",
        "sweep_generation": "analog", "trigger_source": "int14", "continuous": True, "delay": 0.5, "marker_start": 1,
        "marker_end": 2, "marker_step_start": 3, "marker_step_end": 4, "current_range": "low", "nplc": 5.0,
        "aperture": 0.5, "current_count": 7, "current_delay": 0.25, "current_trigger_source": "ext1",
        "sine.frequency": 10.0, "sine.span": 0.5, "sine.offset": 0.25, "sine.slew": 100.0, "sine.count": 5,
        "sine.polarity": "inverted", "triangle.frequency": 10.0, "triangle.duty_cycle": 25.0,
        "triangle.marker_period_start": 7, "square.duty_cycle": 75.0, "square.kind_of_levels": "negative",
        "square.trigger_source": "bus", "square.delay": 0.5, "awg.trace": "ramp", "awg.scale": -0.5,
        "awg.marker_period_end": 3,
    },
    "rigol_ds1000z": {
        "timebase": 1e-3, "delay": 6e-3, "memory_depth": 1_200_000, "trigger_source": "external",
        "trigger_slope": "falling", "trigger_level": -0.125, "trigger_sweep": "single", "waveform_source": "channel4",
        "waveform_mode": "memory", "waveform_format": "word", "shown": False, "scale": 0.05, "offset": -1.5,
        "coupling": "AC", "probe": 1.0, "bandwidth_limited": True,
    },
    "srs_sr830": {
        "frequency": 77.5, "sine_voltage": 0.25, "harmonic": 2, "time_constant": 0.03, "sensitivity": 1e-3,
        "filter_slope": 24, "filter_synchronous": True, "input_config": "A - B", "input_coupling": "DC",
        "reserve": "Normal", "aux_out_3": 1.5, "reference_source": "External",
    },
    "thermodynamic_board": {
        "outputs_enabled": True, "communication_timeout": 5.0,
        "protection_temperature": 60.0, "saturation_limit": 0.25, "interlock_latch": False,
        "event_enable": 61, "service_enable": 32, "cells": 16, "inputs": 0, "slot": 63, "unit": "physical",
        "topology": "sparse", "model_name": "digits", "input_mode": "sweep", "noise_enabled": True,
        "noise_source": "none", "temperature": 0.125, "noise_seed": 4294967295, "sampling": "serial", "shots": 20000,
        "observation_time": 5.0, "burn_in": 50.0, "reset_time": 4.0, "run_time_limit": 60.0, "capture_count": 64,
        "capture_rate": 6e6, "function": "statistics", "statistics_enabled": False, "highest_moment": "variance",
        "histogram_cell": 3, "histogram_bins": 16, "projection_count": 10, "trigger_source": "bus",
        "byte_order": "little",
    },
}  # fmt: skip

READINGS = {
    "agilent_33500": {
        "id": "Agilent Technologies,33522B,MY52800001,3.03-1.19-2.00-52-00",
        "catalog": ("INT:\\BUILTIN\\EXP_RISE.arb",), "free_memory": 1_000_000,
    },
    "keithley_2400": {
        "id": "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C30   Mar 17 2006 09:29:29/A02  /K/J",
        "data_elements": ("voltage", "current", "resistance", "time", "status"),
    },
    "keysight_34465a": {
        "id": "Keysight Technologies,34465A,MY54500001,A.03.03-03.15-03.03-00.52-03-02", "line_frequency": 50.0,
        "points": 1, "last_reading": 0.0, "operation_condition": 0, "questionable_condition": 0,
    },
    "keysight_53220a": {
        "id": "Keysight Technologies,53220A,MY50000001,03.02-1926.2831-1.19-4.15-127-155-35", "points": 1,
        "last_reading": 0.0, "operation_condition": 0, "questionable_condition": 0,
    },
    "qdevil_qdac2": {
        "id": "QDevil, QDAC-II, 1, 3-1.70", "error_count": 0, "actual_voltage": 0.0, "voltage": 0.0, "mode": "fixed",
        "current": 0.0, "list_points": 0, "sweep_time": 0.011, "sine.cycles_left": 0, "triangle.cycles_left": 0,
        "square.cycles_left": 0, "awg.cycles_left": 0,
    },
    "rigol_ds1000z": {
        "id": "RIGOL TECHNOLOGIES,DS1104Z,DS1ZA000000001,00.04.04.SP4", "sample_rate": 1e9,
    },
    "srs_sr830": {
        "id": "Stanford_Research_Systems,SR830,s/n30001,ver1.07", "x": 0, "y": 0, "magnitude": 0, "theta": 0,
        "aux_in_1": 0, "xy": [0, 0], "channel1": "X", "channel2": "Y", "buffer_count": 0,
    },
    "thermodynamic_board": {
        "id": "Szilard,TB256,SN0001,1.0", "lock_granted": True, "lock_owner": "NONE", "error_count": 0,
        "board_temperature": [pytest.approx(25, abs=10)], "operation_condition": 0, "questionable_condition": 0,
        "protection_tripped": False, "interlock_closed": True, "interlock_sources": (), "model_state": "EMPT",
        "checksum": 0, "resolution": [0, 0, 0], "layers": [8], "input_table_points": 0, "slots": (0,), "rows": (1, 1),
        "reset_mode": "clamp", "read_cells": tuple(range(1, 9)), "capture_cells": (1,),
        "run_time": pytest.approx(0.1200833), "sample_clock": 12e6, "count": 0, "points": 0,
        "histogram_range": (-1, 1), "calibration_valid": True,
    },
}  # fmt: skip

CALLS = {
    "agilent_33500": [("phase_sync",), ("beep",)],
    "keysight_34465a": [("abort",), ("clear",)],
    "keysight_53220a": [("abort",), ("clear",)],
    "qdevil_qdac2": [
        ("fire", 14),
        ("bus_trigger",),
        ("synchronise",),
        ("remove_traces",),
        ("start",),
        ("hold",),
        ("reset",),
    ],
    "rigol_ds1000z": [("execute", "TRIG:MODE EDGE"), ("run",), ("single",), ("force_trigger",), ("stop",)],
    "thermodynamic_board": [
        ("set_bias_element", 2, 0.25),
        ("set_coupling_element", 1, 8, -0.5),
        ("clear_program",),
        ("execute", "SAMP:RES:MODE CLAM"),
        ("abort",),
    ],
}

REFUSED = {
    "agilent_33500": ("frequency", "SOUR1:FREQ 40000000", -200),
    "keithley_2400": ("filter_count", ":SENSE:AVERAGE:COUNT 101", -200),
    "keysight_34465a": ("sample_count", "SAMP:COUN 0", -200),
    "keysight_53220a": ("sample_count", "SAMP:COUN 0", -200),
    "qdevil_qdac2": ("nplc", "sens1:nplc 0", -113),
    "rigol_ds1000z": ("memory_depth", "ACQ:MDEP 13000", -200),
    "srs_sr830": ("frequency", "FREQ 200000", 32),
    "thermodynamic_board": ("shots", "SAMP:COUN 0", -200),
}
"""A property, a command that its datasheet refuses, and the number of the error."""

UNLISTED = {
    "agilent_33500": {"data_format", "display"},
    "keithley_2400": {"byte_order", "data_format"},
    "keysight_34465a": {"event_status"},
    "keysight_53220a": {"event_status"},
    "qdevil_qdac2": {"byte_order", "data_format", "list_values"},
    "rigol_ds1000z": {"byte_order", "data_format"},
    "thermodynamic_board": {"actual_temperature", "capability", "input_row", "uptime"},
}
"""Properties that pyvisa-sim cannot play: they ask for blocks, change by themselves or empty what they read."""


@pytest.fixture
def driver(name, tmp_path):
    """A driver at a datasheet of its own."""
    own = tmp_path / f"{name}.yaml"
    own.write_bytes(DATASHEETS[name].read_bytes())
    library = f"{own}@sim"
    resource = pyvisa.ResourceManager(library).list_resources("?*")[0]
    driver = DRIVERS[name](resource, visa_library=library, timeout=500)
    yield driver
    driver.adapter.close()


def located(key, name, driver):
    """Return what has a property or method, the driver, the channel described or a part of it, and its name there."""
    *parts, attribute = key.split(".")
    owner = driver if hasattr(type(driver), key.split(".")[0]) else CHANNELS[name](driver)
    return reduce(getattr, parts, owner), attribute


def properties(kind):
    """The names of the properties that our own classes declare."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("drivers.")]
    return sorted({key for base in ours for key, member in vars(base).items() if isinstance(member, property)})


@pytest.mark.parametrize("table", [DRIVERS, SETTINGS, READINGS, REFUSED])
def test_every_datasheet_is_tested_here(table):
    assert table.keys() == DATASHEETS.keys()


@pytest.mark.parametrize("name", DATASHEETS)
def test_every_property_of_the_driver_is_in_the_datasheet(name, driver):
    for part in (driver, CHANNELS[name](driver)) if name in CHANNELS else (driver,):
        for key in properties(type(part)):
            if key not in UNLISTED.get(name, ()) and key[0] != "_":
                getattr(part, key)
    assert driver.read_errors() == []


@pytest.mark.parametrize("name", DATASHEETS)
def test_every_reading_of_the_datasheet_is_understood(name, driver):
    readings = {key: getattr(*located(key, name, driver)) for key in READINGS[name]}
    assert readings == READINGS[name]


@pytest.mark.parametrize("name", DATASHEETS)
def test_every_register_of_the_datasheet_is_set_and_read(name, driver):
    for key, value in SETTINGS[name].items():
        owner, attribute = located(key, name, driver)
        assert getattr(owner, attribute) != value, key
        setattr(owner, attribute, value)
        assert getattr(owner, attribute) == value, key


@pytest.mark.parametrize("name", CALLS)
def test_every_command_without_a_reply_is_sent_as_it_is_listed(name, driver):
    for method, *arguments in CALLS[name]:
        getattr(*located(method, name, driver))(*arguments)
        assert driver.read_errors() == [], method


@pytest.mark.parametrize("name", DATASHEETS)
def test_what_the_datasheet_refuses_raises_and_changes_nothing(name, driver):
    key, command, code = REFUSED[name]
    before = getattr(*located(key, name, driver))
    with pytest.raises(InstrumentError) as raised:
        driver.execute(command)
    assert raised.value.code == code
    assert getattr(*located(key, name, driver)) == before


@pytest.mark.parametrize("name", ["keithley_2400"])
def test_readings_of_the_source_meter_are_understood(driver):
    readings = driver.readings()
    assert readings["current"] == 0
    assert readings["status"] == 20484


@pytest.mark.parametrize("name", ["rigol_ds1000z"])
def test_the_preamble_of_the_oscilloscope_is_understood(driver):
    assert driver.preamble.yreference == 127


@pytest.mark.parametrize("name", ["thermodynamic_board"])
def test_arrays_and_full_scales_of_the_board_are_understood(driver):
    assert driver.parameter("couplings").shape == (8, 8)
    assert driver.parameter("quadratic").tolist() == [0.5] * 8
    assert driver.parameter("weights").shape == (8, 1)
    assert [driver.limits(name) for name in ("couplings", "bias", "quartic")] == [(-8, 8), (-16, 16), (0, 4)]
    assert driver.input_table().size == 0


@pytest.mark.parametrize("name", ["qdevil_qdac2"])
def test_a_protected_channel_of_the_dac_is_adopted_and_ramps(driver):
    channel = driver.channel(1)
    channel.protect(limits=(-1, 1), slew=0.5)
    assert channel.ramp(0.75) == pytest.approx(1.5)
    assert (channel.voltage, channel.slew) == (0.75, 0.5)


@pytest.mark.parametrize("name", ["qdevil_qdac2"])
def test_sensors_and_trigger_outputs_of_the_dac_are_understood(driver):
    assert driver.currents([1, 2, 3]) == [0, 0, 0]
    driver.trigger_output(1).source = "int1"
    driver.trigger_output(1).signal()
    assert driver.read_errors() == []
