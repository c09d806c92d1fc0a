"""No message takes the source meter's output beyond its limits."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, OutputLimitError
from drivers.keithley_2400 import Keithley2400
from drivers.keithley_2400_limits import SourceLimits, effect, units
from sim_devices.benches import Bench
from sim_devices.instruments.keithley_2400 import Keithley2400 as Persona
from sim_devices.visa import open_library
from twin.clock import VirtualClock

VOLTAGE, CURRENT = (-1.0, 2.0), (-1e-3, 1e-3)

REFUSED = [
    ":SOUR:VOLT 2.1",
    "SOURCE:VOLTAGE:LEVEL:IMMEDIATE:AMPLITUDE -1.01",
    "sour:volt:trig 3",
    ":SOUR:VOLT 1;VOLT 3",
    ":SOUR:FUNC VOLT;:SENS:FUNC 'CURR';:SOUR:CURR 2E-3",
    ":SOUR:VOLT MAX",
    ":SOUR:VOLT 1e1;:READ?",
    ":SENS:CURR:PROT 2E-3",
    "CURR:PROT 2E-3",
    ":SENSE:VOLTAGE:DC:PROTECTION:LEVEL 1.5",
    ":SOUR:LIST:VOLT 0,1",
    ":SOUR:VOLT:MODE SWE",
    ":SOUR:VOLT:STAR 0",
    ":SOUR:FUNC MEM",
    "*RCL 1",
    ":MEAS:RES?",
    ":CONF:RES",
    ":SENS:RES:MODE AUTO",
]


@pytest.mark.parametrize("message", REFUSED)
def test_a_message_beyond_the_limits_is_refused_before_anything_is_sent(message):
    with expected_protocol(Keithley2400, []) as smu:
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        for send in (smu.write, smu.ask, lambda text: smu.write_bytes(text.encode() + b"\n")):
            with pytest.raises(OutputLimitError):
                send(message)


@pytest.mark.parametrize(
    ("call", "refused"),
    [
        (lambda smu: setattr(smu, "source_voltage", 2.1), "source voltage"),
        (lambda smu: setattr(smu, "source_current", -2e-3), "source current"),
        (lambda smu: setattr(smu, "compliance_current", 2e-3), "compliance current"),
        (lambda smu: setattr(smu, "compliance_voltage", 1.5), "compliance voltage"),
        (lambda smu: smu.ramp_to_voltage(3), "source voltage"),
        (lambda smu: smu.ramp_to_current(3e-3), "source current"),
        (lambda smu: smu.apply_voltage(compliance_current=0.1), "compliance current"),
        (lambda smu: smu.apply_current(compliance_voltage=10), "compliance voltage"),
    ],
)
def test_every_way_to_set_the_source_is_limited(call, refused):
    with expected_protocol(Keithley2400, []) as smu:
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        with pytest.raises(OutputLimitError, match=refused):
            call(smu)


def test_what_was_set_before_the_limits_is_looked_at_before_it_is_put_out():
    exchange = [(":SOUR:FUNC?", "VOLT"), (":OUTP?", "0"), (":SOUR:VOLT?", "5.0")]
    with expected_protocol(Keithley2400, exchange) as smu:
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        with pytest.raises(OutputLimitError, match="5 V"):
            smu.source_enabled = True


def test_a_mode_is_not_chosen_while_its_level_or_compliance_is_beyond_the_limits():
    exchange = [(":OUTP?", "1"), (":SOUR:CURR?", "0"), (":SENS:VOLT:PROT?", "21")]
    with expected_protocol(Keithley2400, exchange) as smu:
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        with pytest.raises(OutputLimitError, match="compliance voltage of 21 V"):
            smu.source_mode = "current"


@pytest.mark.parametrize("message", [":SENS:FUNC:ALL", ":SENSE:FUNCTION:ON 'RES'"])
def test_resistance_is_not_measured_while_the_instrument_would_choose_its_source(message):
    with expected_protocol(Keithley2400, [(":SENS:RES:MODE?", "AUTO")]) as smu:
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        with pytest.raises(OutputLimitError, match="choice"):
            smu.write(message)


def test_a_measurement_is_not_begun_while_resistance_would_be_measured_so():
    exchange = [
        (":SOUR:FUNC?", "VOLT"),
        (":OUTP?", "1"),
        (":SOUR:VOLT?", "0"),
        (":SENS:CURR:PROT?", "1E-4"),
        (":SENS:FUNC?", '"CURR:DC","RES"'),
        (":SENS:RES:MODE?", "AUTO"),
    ]
    with expected_protocol(Keithley2400, exchange) as smu:
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        with pytest.raises(OutputLimitError, match="choice"):
            _ = smu.current


def test_the_source_is_looked_at_once_and_again_after_a_reset():
    looks = [
        (":SOUR:FUNC?", "VOLT"),
        (":OUTP?", "1"),
        (":SOUR:VOLT?", "0"),
        (":SENS:CURR:PROT?", "1E-4"),
        (":SENS:FUNC?", '"CURR:DC"'),
    ]
    no_error, elements = ("SYST:ERR?", '0,"No error"'), (":FORM:ELEM?", "CURR")
    reset = [("*RST", None), no_error, no_error]
    exchange = [*looks, (":READ?", "1"), no_error, elements, (":READ?", "2"), no_error]
    again = [*reset, *looks, (":READ?", "3"), no_error, elements]
    with expected_protocol(Keithley2400, exchange + again) as smu:
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        assert (smu.current, smu.current) == (1, 2)
        smu.reset()
        assert smu.current == 3


@pytest.mark.parametrize("message", ["*RST", ":SOUR:CLE;*RST", ":SYST:PRES", "SOUR:DEL 1;:SYSTem:POSetup RST"])
def test_a_reset_anywhere_in_a_message_is_noticed(message):
    no_error = ("SYST:ERR?", '0,"No error"')
    look = [(":SOUR:FUNC?", "VOLT"), (":OUTP?", "1"), (":SOUR:VOLT?", "0"), (":SENS:CURR:PROT?", "1")]
    exchange = [*look[:3], (":SENS:CURR:PROT?", "1E-4"), (":SENS:FUNC?", '"CURR:DC"'), (":READ?", "1"), no_error]
    exchange += [(":FORM:ELEM?", "CURR"), (message, None), no_error, *look]
    with expected_protocol(Keithley2400, exchange) as smu:
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        assert smu.current == 1
        smu.write(message)
        with pytest.raises(OutputLimitError, match="compliance"):
            _ = smu.current


def test_what_is_harmless_passes():
    for message in (":SOUR:VOLT:RANG 20", ":SOUR:DEL 1", ":SOUR:CLE", ":OUTP 0", ":SOUR:VOLT?", ":SENS:RES:MODE MAN"):
        (unit,) = units(message)
        assert effect(*unit).kind == ""


def test_relative_headers_go_on_from_the_unit_before():
    assert list(units(":SOUR:VOLT:RANG 20;LEV 3;*CLS;MODE FIX;:OUTP ON")) == [
        ("SOUR:VOLT:RANG", "20"),
        ("SOUR:VOLT:LEV", "3"),
        ("*CLS", ""),
        ("SOUR:VOLT:MODE", "FIX"),
        ("OUTP", "ON"),
    ]


@pytest.mark.parametrize(
    "limits", [{"voltage": (1, -1)}, {"current": (math.nan, 1)}, {"voltage_slew": 0}, {"current_slew": -1.0}]
)
def test_limits_that_allow_nothing_are_refused(limits):
    with pytest.raises(ValueError, match=r"limits of the|largest slew"):
        SourceLimits(**limits)


class Resistor:
    source = None

    def mean(self, starts, aperture, acquisition):
        return self.source.output().voltage(starts) / 1e5


LEVELS = st.sampled_from([-300, -2, -1, -0.5, 0, 0.7, 1.9, 2, 2.5, 20])
MESSAGES = st.one_of(
    st.builds(":SOUR:VOLT {}".format, LEVELS),
    st.builds("SOUR:VOLT {};:SOUR:CURR {}".format, LEVELS, LEVELS.map(lambda value: value / 1e3)),
    st.builds(":SOUR:FUNC {}".format, st.sampled_from(["VOLT", "CURR"])),
    st.builds(":SENS:CURR:PROT {}".format, LEVELS.map(lambda value: value / 1e3)),
    st.builds("VOLT:PROT {};:SOUR:VOLT:RANG {}".format, LEVELS, LEVELS),
    st.sampled_from(["*RST", ":OUTP ON", ":OUTP OFF", ":SOUR:CLE:AUTO ON", ":SOUR:CLE:AUTO OFF", ":SYST:PRES"]),
    st.sampled_from(["*SAV 1", "*RCL 1", ":SENS:FUNC 'RES'", ":SENS:RES:MODE MAN", ":SENS:RES:MODE AUTO"]),
    st.sampled_from([":OUTP ON", "CURR:PROT 1E-3;:VOLT:PROT 1", ":SENS:FUNC:ALL", ":SENS:FUNC:OFF 'RES'"]),
    st.sampled_from([":INIT", "*TRG", ":CONF:CURR", ":CONF:RES", ":ABOR", ":ARM:SOUR BUS", ":ARM:SOUR IMM"]),
)


@pytest.mark.slow
@given(
    before=st.lists(MESSAGES, max_size=4),
    prelude=st.sampled_from([(), ("*RST", ":OUTP ON")]),
    after=st.lists(MESSAGES, min_size=1, max_size=12),
)
@settings(max_examples=100, deadline=None)
def test_no_order_of_messages_takes_the_output_beyond_its_limits(before, prelude, after):
    with ThreadPoolExecutor(1) as worker, Bench("source meter", VirtualClock()) as bench:
        load = Resistor()
        load.source = Persona(bench.clock, worker, load=load)
        bench.place(load.source, "GPIB0::24::INSTR")
        smu = Keithley2400("GPIB0::24::INSTR", visa_library=open_library(bench), timeout=200)
        for message in before:
            try_to(smu, message)
        smu.write("*CLS;:OUTP OFF")
        bench.clock.sleep(1)
        begin = bench.clock.now()
        smu.protect(voltage=VOLTAGE, current=CURRENT)
        for message in (*prelude, *after):
            try_to(smu, message)
            bench.clock.sleep(0.01)
        voltages = load.source.output().voltage(np.arange(begin, bench.clock.now(), 0.0005))
        smu.adapter.close()
    assert voltages.min() >= VOLTAGE[0] - 1e-9
    assert voltages.max() <= VOLTAGE[1] + 1e-9
    assert np.abs(voltages).max() / 1e5 <= CURRENT[1] + 1e-12


def try_to(smu, message):
    try:
        smu.write(message)
    except (OutputLimitError, InstrumentError):
        return
