"""The source meter's driver: what it sends, and what it makes of a simulated instrument at a resistor."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pymeasure.instruments import keithley
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, InstrumentTimeoutError, OutputLimitError, ReplyError
from drivers.keithley_2400 import Keithley2400
from sim_devices.benches import Bench
from sim_devices.instruments.keithley_2400 import Keithley2400 as Persona
from sim_devices.visa import open_library
from twin.clock import VirtualClock

NO_ERROR = ("SYST:ERR?", '0,"No error"')
ELEMENTS = (":FORM:ELEM?", "VOLT,CURR,RES,TIME,STAT")


class Resistor:
    source = None

    def mean(self, starts, aperture, acquisition):
        return self.source.output().voltage(starts) / 1e4


@pytest.fixture
def bench():
    with ThreadPoolExecutor(1) as worker, Bench("source meter", VirtualClock()) as bench:
        load = Resistor()
        load.source = Persona(bench.clock, worker, load=load)
        bench.place(load.source, "GPIB0::24::INSTR")
        bench.persona = load.source
        yield bench


@pytest.fixture
def smu(bench):
    driver = Keithley2400("GPIB0::24::INSTR", visa_library=open_library(bench), timeout=500)
    driver.pause = bench.clock.sleep
    yield driver
    driver.adapter.close()


def test_constructing_sends_nothing():
    with expected_protocol(Keithley2400, []):
        pass


def test_every_command_raises_what_it_leaves_in_the_queue():
    exchange = [(":SENSE:AVERAGE:COUNT 7", None), ("SYST:ERR?", '-222,"Parameter data out of range"'), NO_ERROR]
    with expected_protocol(Keithley2400, exchange) as smu, pytest.raises(InstrumentError) as raised:
        smu.filter_count = 7
    assert raised.value.code == -222
    with (
        expected_protocol(Keithley2400, [(":SYST:BEEP 1e+06, 1", None), ("SYST:ERR?", "+100,beep"), NO_ERROR]) as smu,
        pytest.raises(InstrumentError, match="beep"),
    ):
        smu.beep(1e6, 1)


def test_a_reading_configures_nothing_and_is_taken_by_the_elements_in_force():
    exchange = [
        (":READ?", "+1.05E-04,+2.0E+00"),
        NO_ERROR,
        (":FORM:ELEM?", "CURRent,TIME"),
        (":READ?", "+9.91E37,+3.0E+00"),
        NO_ERROR,
        (":READ?", "-9.9E37,+3.0E+00"),
        NO_ERROR,
    ]
    with expected_protocol(Keithley2400, exchange) as smu:
        assert smu.current == 1.05e-4
        assert np.isnan(smu.current)
        assert smu.current == -np.inf


def test_a_reading_without_the_element_wanted_is_not_understood():
    exchange = [(":READ?", "1,2"), NO_ERROR, (":FORM:ELEM?", "CURR,TIME")]
    with expected_protocol(Keithley2400, exchange) as smu, pytest.raises(ReplyError, match="no voltage"):
        _ = smu.voltage
    exchange = [(":READ?", "1,2,3"), NO_ERROR, (":FORM:ELEM?", "CURR,TIME")]
    with expected_protocol(Keithley2400, exchange) as smu, pytest.raises(ReplyError, match="3 numbers"):
        smu.readings()


def test_elements_are_understood_quoted_and_others_are_not():
    with expected_protocol(Keithley2400, [(":FORM:ELEM?", "\"CURR\", 'voltage'")]) as smu:
        assert smu.data_elements == ("current", "voltage")
    with (
        expected_protocol(Keithley2400, [(":FORM:ELEM?", "CURR,MATH")]) as smu,
        pytest.raises(ReplyError, match="MATH"),
    ):
        _ = smu.data_elements


def test_a_reading_that_comes_with_an_error_raises():
    exchange = [(":READ?", "1,2"), ("SYST:ERR?", '802,"OUTPUT blocked by interlock"'), NO_ERROR]
    with expected_protocol(Keithley2400, exchange) as smu, pytest.raises(InstrumentError, match=r"READ.* 802"):
        smu.readings()


@pytest.mark.parametrize("reply", ["+7", "7.0", "+7.000000E+00"])
def test_whole_numbers_of_pymeasures_own_properties_are_understood(reply):
    with expected_protocol(Keithley2400, [(":SENSE:AVERAGE:COUNT?", reply)]) as smu:
        assert smu.filter_count == 7


@pytest.mark.parametrize("reply", ["1", "ON", "on", "+1.0E0"])
def test_booleans_are_understood_as_numbers_and_words(reply):
    with expected_protocol(Keithley2400, [(":SENSE:AVERAGE?", reply), (":OUTP?", reply)]) as smu:
        assert smu.filter_enabled is True
        assert smu.source_enabled is True


@pytest.mark.parametrize("reply", ["CURR", "current", '"CURR"'])
def test_words_are_understood_in_short_and_long_form(reply):
    with expected_protocol(Keithley2400, [(":SOUR:FUNC?", reply)]) as smu:
        assert smu.source_mode == "current"


def test_more_digits_than_pymeasures_are_sent():
    with expected_protocol(Keithley2400, [(":SOUR:VOLT 1.2345678", None), NO_ERROR]) as smu:
        smu.source_voltage = 1.2345678


@pytest.mark.parametrize("value", [210.1, float("nan"), "1", True])
def test_a_level_that_is_no_number_within_the_instruments_is_refused(value):
    with expected_protocol(Keithley2400, []) as smu, pytest.raises(ValueError, match="source voltage"):
        smu.source_voltage = value


SETTINGS = {
    "source_mode": "current",
    "source_voltage": 1.5,
    "source_current": 1e-4,
    "source_voltage_range_auto_enabled": False,
    "source_current_range_auto_enabled": False,
    "source_delay": 0.25,
    "source_delay_auto_enabled": False,
    "auto_zero_enabled": False,
    "output_off_state": "guard",
    "auto_output_off_enabled": True,
    "source_enabled": True,
    "compliance_current": 1e-3,
    "compliance_voltage": 5.0,
    "filter_enabled": True,
    "filter_count": 20,
    "repeat_filter_enabled": False,
    "current_range_auto_enabled": False,
    "voltage_range_auto_enabled": False,
    "resistance_range_auto_enabled": False,
    "resistance_mode_auto_enabled": False,
    "current_nplc": 0.1,
    "voltage_nplc": 2.0,
    "resistance_nplc": 10.0,
    "wires": 4,
    "line_frequency": 50,
    "line_frequency_auto_enabled": True,
    "front_terminals_enabled": False,
    "display_enabled": False,
    "trigger_count": 5,
    "arm_count": 4,
    "trigger_delay": 0.5,
    "arm_timer": 2.0,
    "trigger_source": "trigger_link",
    "arm_source": "bus",
    "trigger_output_event": "sense",
    "arm_output_event": "trigger_exit",
    "trigger_input_line": 3,
    "arm_input_line": 4,
    "trigger_output_line": 1,
    "arm_output_line": 3,
    "buffer_points": 64,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_reaches_the_instrument(smu, name):
    setattr(smu, name, SETTINGS[name])
    assert getattr(smu, name) == SETTINGS[name]


@pytest.mark.parametrize("name", SETTINGS)
def test_pymeasures_own_class_finds_the_same_settings_at_the_simulated_instrument(bench, name):
    plain = keithley.Keithley2400("GPIB0::24::INSTR", visa_library=open_library(bench), timeout=500)
    setattr(plain, name, SETTINGS[name])
    assert getattr(plain, name) == SETTINGS[name]
    assert plain.check_errors() == []
    plain.adapter.close()


def test_pymeasures_own_class_measures_at_the_simulated_instrument(bench):
    plain = keithley.Keithley2400("GPIB0::24::INSTR", visa_library=open_library(bench), timeout=500)
    plain.source_voltage = 0.5
    assert plain.current == pytest.approx(5e-5)
    assert plain.voltage == pytest.approx(0.5)
    plain.compliance_voltage = 20
    assert plain.resistance == pytest.approx(1e4, rel=1e-4)
    assert plain.check_errors() == []
    plain.adapter.close()


@pytest.mark.parametrize(
    ("name", "value", "scale"),
    [
        ("source_voltage_range", 1.5, 2.1),
        ("source_current_range", 1e-3, 1.05e-3),
        ("current_range", 2e-6, 1.05e-5),
        ("voltage_range", 20, 21),
        ("resistance_range", 1e3, 2.1e3),
    ],
)
def test_a_range_is_the_smallest_that_takes_the_value(smu, name, value, scale):
    setattr(smu, name, value)
    assert getattr(smu, name) == pytest.approx(scale)


def test_voltage_and_current_are_measured_at_a_resistor(smu):
    smu.apply_voltage(voltage_range=2, compliance_current=1e-3)
    smu.current_nplc = 0.1
    smu.source_voltage = 1
    with pytest.raises(InstrumentError, match="803"):
        _ = smu.current
    smu.enable_source()
    assert (smu.voltage, smu.current) == pytest.approx((1, 1e-4))
    assert smu.current_nplc == 0.1
    everything = smu.measure_all()
    assert everything["resistance"] == pytest.approx(1e4)
    assert isinstance(everything["status"], int)
    assert smu.resistance == pytest.approx(1e4)


def test_a_current_is_sourced_and_its_voltage_measured(smu):
    smu.apply_current(compliance_voltage=5)
    smu.measure_voltage(nplc=0.5)
    smu.source_current = 2e-4
    smu.enable_source()
    assert smu.voltage == pytest.approx(2)
    smu.ramp_to_current(1e-3, steps=4)
    assert smu.voltage == pytest.approx(5)


def test_only_the_elements_set_are_read(smu):
    smu.use_elements("time", "current")
    assert smu.data_elements == ("current", "time")
    smu.enable_source()
    smu.trigger_count = 3
    readings = smu.readings()
    assert list(readings) == ["current", "time"]
    assert np.diff(readings["time"]) == pytest.approx([0.0297, 0.0297], abs=1e-4)
    smu.reset()
    assert len(smu.data_elements) == 5


def test_the_buffer_is_filled_and_read(smu):
    smu.source_voltage = 1
    smu.enable_source()
    smu.config_buffer(10, delay=0.1)
    smu.start_buffer()
    smu.wait_for_buffer()
    assert smu.buffer_data.shape == (50,)
    assert smu.buffer_readings()["current"] == pytest.approx([1e-4] * 10)
    assert (smu.mean_current, smu.std_current) == pytest.approx((1e-4, 0), abs=1e-12)
    assert (smu.max_voltage, smu.min_voltage) == (1, 1)


def test_waiting_for_a_buffer_that_does_not_fill_ends(smu):
    smu.enable_source()
    smu.config_buffer(10)
    with pytest.raises(InstrumentTimeoutError, match="not full"):
        smu.wait_for_buffer(timeout=0.01, interval=0.005)
    smu.wait_for_buffer(should_stop=lambda: True)


def test_a_bus_trigger_starts_a_cycle(smu):
    smu.enable_source()
    smu.trigger_on_bus()
    smu.config_buffer(2)
    smu.start_buffer()
    assert not smu.is_buffer_full()
    smu.trigger()
    assert smu.is_buffer_full()
    smu.reset_trigger()
    smu.sample_continuously()


def test_shutdown_ramps_to_zero_and_switches_off(smu, bench):
    smu.compliance_current = 1e-3
    smu.source_voltage = 2
    smu.enable_source()
    begin = bench.clock.now()
    smu.shutdown()
    assert smu.source_enabled is False
    assert smu.source_voltage == 0
    levels = bench.persona.output().voltage(begin + np.arange(0.01, 0.6, 0.02))
    assert levels == pytest.approx(np.linspace(2, 0, 31)[1:], abs=1e-8)


def test_shutdown_switches_off_also_where_zero_is_beyond_the_limits(smu):
    smu.protect(voltage=(0.5, 2))
    smu.source_voltage = 1
    smu.enable_source()
    smu.shutdown()
    assert smu.source_enabled is False
    assert smu.source_voltage == 0.5


def test_a_level_with_a_limited_slew_is_reached_by_a_ramp(smu, bench):
    smu.source_voltage = 0
    smu.enable_source()
    smu.protect(voltage=(-2, 2), voltage_slew=0.5)
    begin = bench.clock.now()
    smu.source_voltage = 1
    assert bench.clock.now() - begin == pytest.approx(2)
    times = begin + np.linspace(0, 2, 500)
    steps = np.diff(bench.persona.output().voltage(times))
    assert steps.max() <= 0.5 * 0.02 * (1 + 1e-9)
    begin = bench.clock.now()
    smu.ramp_to_voltage(-1, steps=10, pause=0.01)
    assert bench.clock.now() - begin == pytest.approx(4)


def test_switching_on_with_a_limited_slew_begins_at_zero(smu, bench):
    smu.source_voltage = 1
    smu.protect(voltage_slew=1)
    with pytest.raises(OutputLimitError, match="jump"):
        smu.source_enabled = True
    begin = bench.clock.now()
    smu.enable_source()
    voltages = bench.persona.output().voltage(begin + np.linspace(0, 1, 300))
    assert np.diff(voltages).max() <= 0.02 * (1 + 1e-9)
    assert smu.source_voltage == 1
