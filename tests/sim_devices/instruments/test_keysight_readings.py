"""Triggers and the memory of readings, on the meter and the counter where they differ."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim_devices.instruments.cabling import TriggerLine
from sim_devices.instruments.keysight_34465a import Keysight34465A
from sim_devices.instruments.keysight_53220a import Keysight53220A
from twin.clock import VirtualClock

READING = 1e-3 + 20e-6
"""Time of a reading with the aperture of the tests, s."""


class Ramp:
    """A voltage that is as large as the time in s, at the middle of the aperture; remembers the acquisitions."""

    def __init__(self):
        self.acquisitions = []

    def mean(self, starts, aperture, acquisition):
        self.acquisitions.append(acquisition)
        return starts + aperture / 2


@pytest.fixture
def ramp():
    return Ramp()


@pytest.fixture
def line():
    return TriggerLine()


@pytest.fixture
def meter(ramp, line):
    with ThreadPoolExecutor(1) as worker:
        opened = Keysight34465A(VirtualClock(), worker, voltage=ramp, trigger=line)
        yield opened
        opened.close()


@pytest.fixture
def client(meter, connect):
    """A client of a meter on its range of 100 V with an aperture of 1 ms."""
    client = connect(meter)
    assert client.send("CONF:VOLT:DC 100;:VOLT:ZERO:AUTO OFF;:VOLT:APER 1E-3;:TRIG:DEL 0") == []
    return client


def windows(client, query="R?"):
    """Return when readings of the ramp began, s."""
    return np.array([float(value) for value in client.ask(query).partition("+")[2].split(",")]) - 0.5e-3


RESOLUTION = 3e-4
"""Of the range of 100 V with the aperture of the tests, V, and so s on the ramp."""


# ---- triggers --------------------------------------------------------------------------------------------------------


def test_immediate_readings_follow_each_other_and_the_clock_is_at_their_end(meter, client):
    meter.clock.sleep(1.0)
    client.write("TRIG:DEL 0.5;COUN 2;:SAMP:COUN 2;:INIT;*OPC")
    assert client.ask("*ESR?") == "1"
    expected = 1 + 0.5 + np.array([0, READING, 0.5 + 2 * READING, 0.5 + 3 * READING])
    np.testing.assert_allclose(windows(client), expected, atol=RESOLUTION)
    assert meter.clock.now() == pytest.approx(1 + 2 * 0.5 + 4 * READING)


def test_a_timer_spaces_the_readings_of_a_trigger(meter, client):
    client.write("SAMP:SOUR TIM;COUN 3;TIM 0.25;:INIT")
    np.testing.assert_allclose(windows(client), [0, 0.25, 0.5], atol=RESOLUTION)
    assert client.send("VOLT:APER 0.5;:INIT") == [-221]


def test_each_edge_gives_the_samples_of_a_trigger_after_the_delay(meter, client, line):
    client.write("TRIG:SOUR EXT;COUN 3;DEL 0.1;:SAMP:COUN 2;:INIT;*OPC")
    line.send([1.0, 2.0])
    assert meter.clock.now() == pytest.approx(2.1 + 2 * READING)
    assert client.ask("STAT:OPER:COND?;*ESR?;:DATA:POIN?") == f"{1 << 5 | 1 << 9};0;4"
    line.send([3.0, 4.0])
    assert client.ask("STAT:OPER:COND?;*ESR?;:DATA:POIN?") == f"{1 << 9};1;6"
    edges = np.repeat([1.0, 2.0, 3.0], 2) + np.tile([0, READING], 3) + 0.1
    np.testing.assert_allclose(windows(client), edges, atol=RESOLUTION)


def test_an_edge_that_comes_while_a_reading_is_taken_is_missed(meter, client, line):
    client.write("TRIG:SOUR EXT;COUN 3;:VOLT:APER 0.4;:INIT")
    line.send(np.arange(6) * 0.25)
    np.testing.assert_allclose(windows(client) - 0.1995, [0, 0.5, 1.0], atol=RESOLUTION)
    assert meter.missed_triggers == 2


def test_edges_as_far_apart_as_a_reading_takes_are_all_taken(meter, client, line):
    client.write("TRIG:SOUR EXT;COUN 1000;:INIT")
    line.send(7.3 + np.arange(1000) * READING)
    assert client.ask("DATA:POIN?") == "1000"


def test_an_edge_before_the_measurement_began_is_none(meter, client, line):
    meter.clock.sleep(5)
    client.write("TRIG:SOUR EXT;:INIT")
    line.send([4.9])
    assert client.ask("DATA:POIN?") == "0"
    line.send([5.0])
    assert client.ask("DATA:POIN?") == "1"


def test_edges_mean_nothing_to_an_instrument_that_does_not_wait_for_them(meter, client, line):
    line.send([1.0])
    client.write("TRIG:SOUR BUS;:INIT")
    line.send([2.0])
    assert client.ask("DATA:POIN?") == "0"
    assert meter.clock.now() == 0


def test_a_bus_trigger_is_taken_only_by_a_measurement_that_waits_for_one(meter, client):
    assert client.send("*TRG") == [-211]
    client.write("TRIG:SOUR BUS;COUN 2;:INIT;*TRG")
    meter.clock.sleep(3)
    assert client.send("*TRG") == []
    assert client.send("*TRG") == [-211]
    np.testing.assert_allclose(windows(client), [0, 3 + READING], atol=RESOLUTION)


def test_a_measurement_that_waits_is_begun_only_once_and_its_settings_stay(client):
    client.write("TRIG:SOUR EXT;:INIT")
    assert client.send("INIT") == [-213]
    for message in (
        "SAMP:COUN 2",
        "VOLT:RANG 1",
        "TRIG:COUN 2",
        "CONF:VOLT:DC",
        "*RCL 0",
        "VOLT:APER 1",
        "FUNC 'CURR'",
    ):
        assert client.send(message) == [-221]
    assert client.send("ABOR;:SAMP:COUN 2") == []


def test_endless_triggers_are_waited_for_but_not_made_up(client, line):
    assert client.send("TRIG:COUN INF;:INIT") == [-221]
    client.write("TRIG:SOUR EXT;:INIT")
    line.send(np.arange(1, 100.0))
    line.send(np.arange(100, 200.0))
    assert client.ask("DATA:POIN?;:TRIG:COUN?") == "199;INF"
    assert client.send("ABOR") == []
    assert client.ask("DATA:POIN?") == "199"


def test_every_call_of_a_cable_has_a_number_of_its_own(client, ramp, line):
    client.write("INIT;:TRIG:SOUR EXT;COUN 3;:INIT")
    line.send([1.0, 2.0])
    line.send([3.0])
    client.write("*RST;:INIT")
    assert ramp.acquisitions == [0, 1, 2, 3]


def test_a_signal_that_fails_ends_the_measurement(connect, line):
    with ThreadPoolExecutor(1) as worker:
        client = connect(Keysight34465A(VirtualClock(), worker, voltage=None, trigger=line))
        assert client.send("INIT") == [-310]
        assert client.send("TRIG:SOUR EXT;:INIT") == []
        with pytest.raises(AttributeError):
            line.send([1.0])
        assert client.ask("STAT:OPER:COND?;*OPC?") == "0;1"


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_fetch_waits_for_the_end_of_the_measurement_and_keeps_the_readings(client, line):
    client.write("TRIG:SOUR EXT;COUN 2;:INIT;:FETC?")
    line.send([1.0])
    with pytest.raises(TimeoutError):
        client.session.read(100, 0.01)
    line.send([2.0])
    first = client.read()
    assert first.count(b",") == 1
    assert client.ask("FETC?").encode() + b"\n" == first


def test_abort_lets_a_fetch_go_on_with_what_there_is(client, connect, line):
    client.write("TRIG:SOUR EXT;COUN 3;:INIT;:FETC?")
    line.send([1.0])
    assert connect(client.board, "other:1").send("ABOR") == []
    assert client.read() == b"+1.00050000E+00\n"


def test_without_a_reading_there_is_an_error_and_the_measurement_that_waits_has_none_yet(client):
    for message in ("R?", "FETC?", "R? 5"):
        assert client.send(message) == [-230]
    assert client.ask("DATA:LAST?") == "+9.91000000E+37 VDC"
    assert client.send("DATA:REM? 1") == [-222]
    client.write("TRIG:SOUR EXT;:INIT")
    assert client.ask("R?") == "#9000000000"


def test_reading_out_removes_the_oldest_readings(client):
    client.write("SAMP:COUN 5;:INIT")
    whole = client.ask("FETC?").split(",")
    assert client.ask("R? 2") == f"#9{len(','.join(whole[:2])):09d}" + ",".join(whole[:2])
    assert client.ask("DATA:REM? 1") == whole[2]
    assert client.send("DATA:REM? 3") == [-222]
    assert client.ask("DATA:POIN?;:DATA:LAST?") == f"2;{whole[4]} VDC"
    assert client.ask("R? 50000").endswith(",".join(whole[3:]))
    assert client.ask("DATA:POIN?") == "0"


def test_removal_can_wait_for_readings(client, line):
    client.write("TRIG:SOUR EXT;COUN 4;:INIT;:DATA:REM? 2,WAIT")
    line.send([1.0])
    with pytest.raises(TimeoutError):
        client.session.read(100, 0.01)
    line.send([2.0])
    assert client.read().count(b",") == 1
    client.write("DATA:REM? 3,WAIT")
    line.send([3.0, 4.0])
    assert client.errors() == [-222]


def test_a_full_memory_loses_its_oldest_readings_and_says_so(meter, client):
    client.write("SAMP:COUN 50000;:INIT")
    assert client.ask("DATA:POIN?;:STAT:QUES:COND?") == "50000;0"
    start = meter.clock.now()
    client.write("TRIG:COUN 2;:SAMP:COUN 30000;:INIT")
    assert client.ask("DATA:POIN?;:STAT:QUES:COND?") == f"50000;{1 << 14}"
    assert client.errors() == []
    np.testing.assert_allclose(windows(client, "R? 1"), start + 10000 * READING, atol=RESOLUTION)
    assert meter.clock.now() == pytest.approx(start + 60000 * READING)
    client.write("SAMP:COUN 1;:INIT")
    assert client.ask("STAT:QUES:COND?;EVEN?") == f"0;{1 << 14}"


def test_readings_beyond_the_memory_are_lost_also_over_several_triggers(client, line):
    client.write("TRIG:SOUR EXT;COUN 3;:SAMP:COUN 20000;:INIT")
    for edge in (0.0, 100.0, 200.0):
        line.send([edge])
    assert client.ask("DATA:POIN?;:STAT:QUES:COND?") == f"50000;{1 << 14}"
    np.testing.assert_allclose(windows(client, "R? 1"), 10000 * READING, atol=RESOLUTION)


def test_a_series_far_beyond_the_memory_costs_no_more_than_the_memory(meter, client):
    client.write("VOLT:RANG 1000;APER 1;:SAMP:COUN 1000000000;:INIT")
    assert client.ask("DATA:POIN?") == "50000"
    assert meter.clock.now() == pytest.approx(1e9 * (1 + 20e-6))


def test_the_operation_register_tells_when_enough_readings_are_there(client):
    client.write("DATA:POIN:EVEN:THR 3;:SAMP:COUN 2;:INIT")
    assert client.ask("STAT:OPER:COND?") == "0"
    client.write("SAMP:COUN 3;:INIT")
    assert client.ask("STAT:OPER:COND?") == str(1 << 9)
    assert client.ask("R? 1;:STAT:OPER:COND?").endswith(";0")


def test_configuration_and_reset_forget_readings(client):
    for message in ("CONF:VOLT:DC", "*RST"):
        client.write("INIT")
        assert client.ask("DATA:POIN?") == "1"
        client.write(message)
        assert client.ask("DATA:POIN?;:TRIG:COUN?;SOUR?") == "0;1;IMM"


def test_read_begins_a_measurement_and_leaves_no_way_for_a_bus_trigger(client):
    assert client.ask("SAMP:COUN 2;:READ?").count(",") == 1
    assert client.send("TRIG:SOUR BUS;:READ?") == [-214]


# ---- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "sign"), [("NORM", ">"), ("SWAP", "<")])
@pytest.mark.parametrize(("name", "code"), [("REAL", "f8"), ("REAL,64", "f8"), ("REAL,32", "f4")])
def test_readings_travel_as_blocks_of_the_format_in_force(client, order, sign, name, code):
    client.write(f"SAMP:COUN 3;:INIT;:FORM:BORD {order};:FORM {name}")
    text = [float(value) for value in client.ask("FORM ASC;:FETC?").split(",")]
    client.write(f"FORM {name}")
    np.testing.assert_allclose(client.block("FETC?", sign + code), text, rtol=1e-6)
    np.testing.assert_allclose(client.block("R?", sign + code), text, rtol=1e-6)


def test_a_format_that_is_not_known_is_refused(client):
    assert client.send("FORM INT,16") == [-224]
    assert client.send("FORM REAL,16") == [-224]
    assert client.send("FORM ASC,4") == [-224]
    assert client.ask("FORM REAL;FORM?") == "REAL,64"
    assert client.ask("*RST;FORM?") == "ASC,9"


@pytest.fixture
def counter(connect):
    with ThreadPoolExecutor(1) as worker:
        opened = Keysight53220A(VirtualClock(), worker)
        yield connect(opened)
        opened.close()


def test_the_counter_answers_fetch_with_a_block_of_no_stated_length_which_ends_the_reply(counter):
    counter.write("CONF:TOT:TIM 1E-3;:SAMP:COUN 2;:INIT;:FORM REAL,64")
    counter.write("FETC?;:DATA:POIN?")
    assert counter.read() == b"#0" + bytes(16) + b"\n"
    assert counter.errors() == [-440]
    counter.write("DATA:POIN?;:READ?")
    assert counter.read() == b"2;#0" + bytes(16) + b"\n"
    counter.write("R?")
    assert counter.read() == b"#9000000016" + bytes(16) + b"\n"


def test_the_counter_writes_fifteen_digits_and_three_of_exponent(counter):
    counter.write("CONF:TOT:TIM 1E-3;:SAMP:COUN 2;:INIT")
    assert counter.ask("FETC?") == "+0.00000000000000E+000,+0.00000000000000E+000"
    assert counter.ask("R? 1;:SENS:TOT:GATE:TIME?") == "#9000000022+0.00000000000000E+000;+1.00000000000000E-003"


def test_no_error_has_a_sign(counter, client):
    assert counter.ask("SYST:ERR?") == client.ask("SYST:ERR?") == '+0,"No error"'
    counter.write("NONSENSE")
    assert counter.ask("SYST:ERR?").startswith('-113,"Undefined header')
