"""The multimeter: functions, ranges, apertures and what they make of a signal."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim_devices.instruments.keysight_34465a import RANGES, RESOLUTIONS, Keysight34465A
from twin.clock import VirtualClock


class Levels:
    """A signal that has the next of some values at each reading, and remembers the apertures."""

    def __init__(self, *values):
        self.values = list(values)
        self.apertures = []

    def mean(self, starts, aperture, acquisition):
        self.apertures.append(aperture)
        return np.array([self.values.pop(0) for _ in starts])


@pytest.fixture
def open_meter(connect):
    with ThreadPoolExecutor(1) as worker:
        yield lambda **cables: connect(Keysight34465A(VirtualClock(), worker, **cables))


@pytest.fixture
def client(open_meter):
    return open_meter()


# ---- language --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["'VOLT'", '"VOLTage"', '"volt:dc"', '"VOLTAGE:DC"'])
def test_a_function_has_several_names_and_answers_with_the_shortest(client, spelling):
    assert client.send("FUNC 'CURRent:DC'") == []
    assert client.ask("SENSE:FUNCTION:ON?") == '"CURR"'
    assert client.send(f"FUNC {spelling}") == []
    assert client.ask("func?") == '"VOLT"'


@pytest.mark.parametrize("function", ["VOLT", "CURR"])
def test_a_value_chooses_the_smallest_range_that_holds_it_and_ends_autorange(client, function):
    largest = RANGES[function][-1]
    for wanted, chosen in ((0, RANGES[function][0]), (0.99, 1), (1, 1), (1.01, 10 if function == "VOLT" else 3)):
        client.write(f"{function}:RANG:AUTO ON;:{function}:DC:RANGE:UPPER {wanted}")
        assert float(client.ask(f"{function}:RANG?")) == chosen
        assert client.ask(f"{function}:RANG:AUTO?") == "0"
    assert client.send(f"{function}:RANG {largest * 1.1}") == [-222]


def test_configuration_resets_the_measurement_and_takes_range_and_resolution(client):
    client.write("VOLT:APER 0.01;ZERO:AUTO OFF;:SAMP:COUN 5;SOUR TIM;:TRIG:SOUR BUS;DEL 1;:CONF:VOLT:DC 0.5,1E-5")
    assert client.ask("CONF?") == '"VOLT +1.00000000E+00,+3.00000000E-06"'
    assert client.ask("VOLT:NPLC?;ZERO:AUTO?;:VOLT:RANG:AUTO?") == "+2.000000E-02;1;0"
    assert client.ask("SAMP:COUN?;SOUR?;:TRIG:SOUR?;DEL:AUTO?") == "1;IMM;IMM;1"
    client.write("CONF:VOLT:DC 10,1E-5")
    assert client.ask("VOLT:NPLC?;RANG?") == "+2.000000E-01;+1.000000E+01"
    client.write("CONF:CURR:DC AUTO")
    assert client.ask("FUNC?;:CURR:NPLC?;RANG:AUTO?") == '"CURR";+1.000000E+01;1'
    assert client.send("CONF:VOLT:DC 1,1E-9") == [-221]
    assert client.send("CONF:VOLT:DC MIN") == []
    assert client.ask("VOLT:RANG?;RANG:AUTO?") == "+1.000000E-01;0"


def test_cycles_and_seconds_set_the_same_aperture(client):
    client.write("VOLT:APER 12.3456E-3")
    assert client.ask("VOLT:APER?;APER:ENAB?") == "+1.234600E-02;1"
    client.write("VOLT:NPLC 1")
    assert client.ask("VOLT:APER?;APER:ENAB?") == "+2.000000E-02;0"
    assert client.send("VOLT:NPLC 0.5") == [-224]
    assert client.ask("CURR:APER?;NPLC?") == "+2.000000E-01;+1.000000E+01"


def test_the_option_for_digitizing_allows_shorter_apertures(client, open_meter):
    digitizing = open_meter(installed=("DIG", "MEM"))
    for message in ("VOLT:NPLC 0.001", "VOLT:APER 20E-6", "CURR:NPLC 0.006"):
        assert client.send(message) == [-222]
        assert digitizing.send(message) == []
    assert (client.ask("*OPT?"), digitizing.ask("*OPT?")) == ("0,0,0,0,0", "DIG,MEM,0,0,0")
    assert digitizing.ask("SYST:LIC:CAT?") == '"DIG","MEM"'
    assert (client.send("R? 2000000"), digitizing.send("R? 2000000")) == ([-222], [-230])


def test_the_least_interval_follows_aperture_and_autozero(client):
    client.write("VOLT:APER 1E-3;ZERO:AUTO OFF")
    assert float(client.ask("SAMP:TIM? MIN")) == pytest.approx(1.02e-3)
    client.write("VOLT:ZERO:AUTO ON")
    assert float(client.ask("SAMP:TIM? MIN")) == pytest.approx(2.02e-3)
    assert client.send("SAMP:TIM 2E-3") == [-222]
    assert client.send("SAMP:TIM 2.1E-3") == []


def test_settings_are_saved_and_recalled(client):
    client.write("CONF:CURR:DC 1E-3;:CURR:APER 0.01;*SAV 1;*RST")
    assert client.ask("FUNC?") == '"VOLT"'
    client.write("*RCL 1")
    assert client.ask("FUNC?;:CURR:RANG?;APER?;APER:ENAB?") == '"CURR";+1.000000E-03;+1.000000E-02;1'


# ---- readings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycles", [cycles for cycles in RESOLUTIONS if cycles >= 0.02])
def test_a_reading_is_rounded_to_the_resolution_of_range_and_aperture(open_meter, cycles):
    signal = Levels(0.123456789123, -0.987654321987)
    client = open_meter(voltage=signal)
    client.write(f"CONF:VOLT:DC 1;:VOLT:NPLC {cycles};:SAMP:COUN 2;:FORM REAL,64;:INIT")
    step = RESOLUTIONS[cycles]
    readings = client.block("R?", ">f8")
    np.testing.assert_allclose(readings, [0.123456789123, -0.987654321987], atol=step / 2 * 1.001)
    np.testing.assert_allclose(readings / step, np.rint(readings / step), atol=1e-6)
    assert signal.apertures == [pytest.approx(cycles / 50)]


def test_a_range_reaches_a_fifth_beyond_its_name_and_the_largest_does_not(open_meter):
    client = open_meter(voltage=Levels(1.199, -1.199, 1.201, -1.201, 1000, 1001, -1001))
    assert client.ask("CONF:VOLT:DC 1;:SAMP:COUN 4;:READ?").split(",")[2:] == ["+9.90000000E+37", "-9.90000000E+37"]
    last = client.ask("CONF:VOLT:DC 1000;:SAMP:COUN 3;:READ?").split(",")
    assert last == ["+1.00000000E+03", "+9.90000000E+37", "-9.90000000E+37"]


def test_autorange_follows_every_reading(open_meter):
    client = open_meter(current=Levels(1.0e-7, 2.0e-3, 5.0, 11.0, 1.15e-6))
    client.write("CONF:CURR:DC;:CURR:NPLC 0.02;:SAMP:COUN 5;:INIT")
    readings = [float(value) for value in client.ask("FETC?").split(",")]
    steps = np.array([1e-6, 1e-2, 10, np.inf, 1e-6]) * RESOLUTIONS[0.02]
    assert np.all(np.abs(np.array(readings[:3]) - [1.0e-7, 2.0e-3, 5.0]) <= steps[:3] / 2)
    assert readings[3] == 9.9e37
    assert readings[4] == pytest.approx(1.15e-6, abs=steps[4] / 2)
    assert client.ask("CURR:RANG?;RANG:AUTO?") == "+1.000000E-06;1"


def test_a_range_can_be_found_once(open_meter):
    client = open_meter(voltage=Levels(5.0, 0.01))
    client.write("VOLT:RANG:AUTO ONCE")
    assert client.ask("VOLT:RANG?;RANG:AUTO?") == "+1.000000E+01;0"
    client.write("VOLT:RANG:AUTO ONCE")
    assert client.ask("VOLT:RANG?") == "+1.000000E-01"
    assert client.board.acquisitions == 2


def test_zero_can_be_measured_once(client):
    assert client.send("VOLT:ZERO:AUTO ONCE") == []
    assert client.ask("VOLT:ZERO:AUTO?") == "0"


def test_the_meter_chooses_its_delay_until_one_is_set(open_meter):
    client = open_meter(voltage=Levels(*[0.0] * 9))
    clock = client.board.clock
    for message, seconds in (
        ("VOLT:NPLC 1;ZERO:AUTO OFF", 1.5e-3 + 0.02002),
        ("VOLT:APER 0.01", 1e-3 + 0.01002),
        ("TRIG:DEL 0.25", 0.25 + 0.01002),
        ("TRIG:DEL:AUTO ON", 1e-3 + 0.01002),
    ):
        before = clock.now()
        client.write(f"{message};:INIT")
        assert clock.now() - before == pytest.approx(seconds)


def test_measuring_in_one_go_takes_voltage_or_current(open_meter):
    client = open_meter(voltage=Levels(2.0), current=Levels(3e-3))
    assert float(client.ask("MEAS?")) == pytest.approx(2)
    assert float(client.ask("MEASURE:CURRENT:DC?")) == pytest.approx(3e-3)
    assert client.ask("FUNC?") == '"CURR"'
