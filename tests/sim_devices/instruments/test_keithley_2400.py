"""The source meter at loads of known law."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim_devices.instruments.cabling import TriggerLine
from sim_devices.instruments.keithley_2400 import Keithley2400
from sim_devices.instruments.keithley_2400_sense import OVERHEAD
from twin.clock import VirtualClock
from twin.noise import generator

NOT_A_NUMBER = 9.91e37
CYCLE = 1e-3 + 1 / 60 + OVERHEAD
"""Source delay, integration and overhead of one reading after a reset, s."""


class Load:
    """What draws a current that is a function of the voltage, with white noise."""

    def __init__(self, law, noise=0.0):
        self.law = law
        self.noise = noise
        self.source = None

    def mean(self, starts, aperture, acquisition):
        current = self.law(self.source.output().voltage(starts))
        if not self.noise:
            return current
        spread = self.noise / np.sqrt(2 * aperture)
        return current + spread * generator(1, "load", acquisition, "noise").standard_normal(len(starts))


@pytest.fixture
def worker():
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def place(connect, worker):
    def place(law=lambda volts: volts / 1e4, noise=0.0, **cables):
        load = Load(law, noise)
        smu = Keithley2400(VirtualClock(), worker, load=load, **cables)
        load.source = smu
        return connect(smu)

    return place


def diode(volts):
    return 1e-9 * np.expm1(np.clip(volts, -100, 1) / 0.0257)


def test_a_resistor_draws_what_ohms_law_says(place):
    client = place()
    assert client.send("OUTP ON;:SENS:FUNC 'VOLT','CURR';:SOUR:VOLT 0.5") == []
    voltage, current, resistance, _, _ = client.values("READ?")
    assert (voltage, current, resistance) == pytest.approx((0.5, 5e-5, NOT_A_NUMBER))


@pytest.mark.parametrize(("level", "sign"), [(5, 1), (-5, -1)])
def test_a_voltage_is_held_back_where_the_compliance_current_flows(place, level, sign):
    client = place()
    client.send(f"SENS:CURR:PROT 1E-4;:SENS:FUNC 'VOLT','CURR';:OUTP ON;:SOUR:VOLT {level}")
    assert client.board.output().voltage(np.array([1.0])) == pytest.approx(sign * 1.0)
    voltage, current, _, _, status = client.values("READ?")
    assert (voltage, current) == pytest.approx((sign * 1.0, sign * 1e-4))
    assert int(status) & 1 << 3
    assert client.ask("SENS:CURR:PROT:TRIP?") == "1"


def test_a_fixed_range_holds_the_source_back_as_the_compliance_does(place):
    client = place()
    client.send("SENS:CURR:PROT 1;:SENS:CURR:RANG 1E-5;:OUTP ON;:SOUR:VOLT 5")
    assert client.values("SENS:CURR:RANG?") == pytest.approx(1.05e-5)
    _, current, _, _, status = client.values("READ?")
    assert current == pytest.approx(1.05e-5)
    assert int(status) & (1 << 16 | 1 << 3) == 1 << 16


def test_a_current_finds_its_voltage_at_a_diode(place):
    client = place(diode)
    client.send("SOUR:FUNC CURR;:SENS:FUNC 'VOLT';:SOUR:CURR 1E-5;:OUTP ON")
    voltage, current, *_ = client.values("READ?")
    assert current == 1e-5
    assert voltage == pytest.approx(0.0257 * np.log1p(1e4), rel=1e-4)
    client.send("SOUR:CURR -1E-6")
    voltage, *_, status = client.values("READ?")
    assert voltage == pytest.approx(-21.0)
    assert int(status) & 1 << 3


def test_a_current_source_without_a_load_goes_to_its_compliance_voltage(connect, worker):
    client = connect(Keithley2400(VirtualClock(), worker))
    client.send("SOUR:FUNC CURR;:SENS:FUNC 'VOLT';:SENS:VOLT:PROT 3;:OUTP ON")
    assert client.values("READ?")[0] == 0
    client.send("SOUR:CURR -1E-6")
    assert client.values("READ?")[0] == -3


def test_the_output_is_at_zero_while_it_is_off(place):
    client = place()
    output, clock = client.board.output(), client.board.clock
    client.send("SOUR:VOLT 1")
    assert output.voltage(np.array([0.0])) == 0
    client.send("OUTP ON")
    clock.sleep(2)
    client.send("SOUR:VOLT 0.5")
    clock.sleep(1)
    client.send("OUTP OFF")
    assert output.voltage(np.array([0.5, 2.5, 3.5])).tolist() == [1, 0.5, 0]
    client.send("OUTP ON;*RST")
    assert output.voltage(np.array([9.0])) == 0


def test_a_reading_needs_the_output_unless_it_switches_itself(place):
    client = place()
    assert client.send("INIT") == [803]
    assert client.send("READ?") == [803]
    assert client.send("SOUR:CLE:AUTO ON;:SOUR:VOLT 1") == []
    assert client.values("READ?")[1] == pytest.approx(1e-4)
    assert client.ask("OUTP?") == "0"
    assert client.board.output().voltage(np.array([CYCLE / 2, 2 * CYCLE])).tolist() == [1, 0]


def test_a_measure_query_configures_and_switches_the_output_on(place):
    client = place()
    client.send("SENS:CURR:NPLC 0.1;:SOUR:VOLT 1")
    assert client.values("MEAS:CURR?")[1] == pytest.approx(1e-4)
    assert client.ask("OUTP?;:SENS:CURR:NPLC?") == "1;+1.000000E+00"


def test_automatic_ohms_chooses_the_current_of_the_range(place):
    client = place()
    client.send("SENS:VOLT:PROT 200")
    _, current, resistance, *_ = client.values("MEAS:RES?")
    assert (current, resistance) == pytest.approx((1e-4, 1e4), rel=1e-4)
    assert client.values("SENS:RES:RANG?") == pytest.approx(2.1e4)


@pytest.mark.parametrize(
    ("settings", "duration"),
    [
        ("", CYCLE),
        ("SENS:CURR:NPLC 10", 1e-3 + 10 / 60 + OVERHEAD),
        ("SYST:LFR 50", 1e-3 + 1 / 50 + OVERHEAD),
        ("SOUR:DEL 0.5", 0.5 + 1 / 60 + OVERHEAD),
        ("TRIG:DEL 2", CYCLE + 2),
        ("SENS:AVER ON;:SENS:AVER:COUN 5", 1e-3 + 5 * (1 / 60 + OVERHEAD)),
        ("TRIG:COUN 7;:ARM:COUN 3", 21 * CYCLE),
        ("ARM:COUN 3;:ARM:SOUR TIM;:ARM:TIM 10", 20 + CYCLE),
    ],
)
def test_readings_take_the_time_that_their_settings_ask_for(place, settings, duration):
    client = place()
    assert client.send(f"OUTP ON\n{settings}") == []
    begin = client.board.clock.now()
    client.values("READ?")
    assert client.board.clock.now() - begin == pytest.approx(duration)


def test_noise_falls_with_the_integration_and_the_filter(place):
    client = place(noise=1e-8)
    client.send("OUTP ON;:FORM:ELEM CURR;:TRIG:COUN 400")
    for settings, aperture in (("SENS:CURR:NPLC 0.1", 0.1 / 60), ("SENS:CURR:NPLC 10;:SENS:AVER ON", 100 / 60)):
        client.send(settings)
        expected = 1e-8 / np.sqrt(2 * aperture)
        assert client.values("READ?").std() == pytest.approx(expected, rel=5 / np.sqrt(800))


def test_equal_conversations_give_equal_readings(place):
    def converse():
        client = place(noise=1e-8)
        client.send("OUTP ON;:SOUR:VOLT 1;:TRIG:COUN 5")
        return client.values("READ?").tolist()

    assert converse() == converse()


def test_a_reading_holds_the_elements_that_are_asked_for_in_the_instruments_order(place):
    client = place()
    client.send("OUTP ON;:SOUR:VOLT 1;:FORM:ELEM STAT,CURR")
    current, status = client.values("READ?")
    assert current == pytest.approx(1e-4)
    assert int(status) == 1 << 2 | 1 << 12 | 1 << 14
    client.send("FORM REAL,32;:FORM:BORD SWAP")
    assert client.block("FETC?", "<f4") == pytest.approx([1e-4, status])


def test_the_buffer_fills_to_its_size_and_tells(place):
    client = place()
    client.send("OUTP ON;:SOUR:VOLT 1;:SENS:FUNC 'CURR','VOLT'")
    client.send("STAT:MEAS:ENAB 512;*SRE 1;:TRAC:POIN 3;:TRAC:FEED:CONT NEXT;:TRIG:COUN 2")
    client.send("INIT")
    assert int(client.ask("*STB?")) & 65 == 0
    client.send("SOUR:VOLT 2;:SENS:CURR:PROT 1;:INIT")
    assert int(client.ask("*STB?")) & 65 == 65
    assert client.ask("TRAC:FEED:CONT?;:TRAC:POIN:ACT?") == "NEV;3"
    assert client.values("TRAC:DATA?").reshape(3, 5)[:, 0] == pytest.approx([1, 1, 2])
    assert client.values("CALC3:FORM MEAN;:CALC3:DATA?") == pytest.approx([4 / 3, 4e-4 / 3, NOT_A_NUMBER])
    assert client.values("CALC3:FORM SDEV;:CALC3:DATA?")[0] == pytest.approx(1 / np.sqrt(3))
    assert int(client.ask("STAT:MEAS?")) & 1 << 9
    assert client.send("TRAC:CLE") == []
    assert client.send("TRAC:DATA?") == [-230]


def test_a_bus_trigger_lets_one_arm_layer_pass(place):
    client = place()
    client.send("OUTP ON;:ARM:SOUR BUS;:ARM:COUN 2;:TRIG:COUN 3;:FORM:ELEM CURR")
    assert client.send("*TRG") == [-211]
    client.send("INIT;*OPC")
    assert client.send("INIT") == [-213]
    for _ in range(2):
        assert client.ask("*ESR?") == "16" if _ == 0 else "0"
        client.write("*TRG")
    assert client.ask("*ESR?") == "1"
    assert len(client.values("FETC?")) == 6


def test_a_read_query_answers_when_the_last_edge_has_come(place):
    line = TriggerLine()
    client = place(trigger_in=line)
    client.send("OUTP ON;:TRIG:SOUR TLIN;:TRIG:COUN 2;:FORM:ELEM TIME")
    client.write("READ?")
    line.send([5.0])
    assert client.session.take() == b""
    line.send([7.0, 9.0])
    assert client.read() == b"%+.6E,%+.6E\n" % (5 + CYCLE, 7 + CYCLE)


def test_edges_go_out_after_the_measurement(place):
    line, edges = TriggerLine(), []
    line.listen(lambda times: edges.extend(times.tolist()))
    client = place(trigger_out=line)
    client.send("OUTP ON;:TRIG:OUTP SENS;:ARM:OUTP TENT;:TRIG:COUN 2")
    client.values("READ?")
    assert edges == pytest.approx([0, CYCLE, 2 * CYCLE])


def test_abort_and_output_off_end_a_cycle(place):
    client = place()
    client.send("OUTP ON;:ARM:SOUR BUS;:INIT;:ABOR")
    assert client.send("*TRG") == [-211]
    client.send("INIT;:OUTP OFF")
    assert client.send("*TRG") == [-211]


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("SOUR:VOLT 211", -222),
        ("SOUR:VOLT:RANG 2;:SOUR:VOLT 3", -221),
        ("SOUR:CURR:RANG 1E-6;:SOUR:CURR 1E-3", -221),
        ("SENS:FUNC 'POW'", -224),
        ("SENS:FUNC:CONC OFF;:SENS:FUNC:ALL", -221),
        ("ARM:COUN 50;:TRIG:COUN 51", -221),
        ("SYST:LFR 55", -224),
        ("SOUR:VOLT:MODE SWE", -224),
        ("FETC?", -230),
        ("TRAC:FEED:CONT NEXT;:TRAC:CLE", 800),
    ],
)
def test_what_cannot_be_is_refused(place, message, number):
    assert place().send(message) == [number]


def test_a_recalled_state_is_put_out(place):
    client = place()
    client.send("SOUR:VOLT 1;:OUTP ON;*SAV 1;:SOUR:VOLT 0;*RCL 1")
    assert client.board.output().voltage(np.array([1.0])) == 1
