"""Reading out the memory: on transcripts of the wire, and on the twin in process and over TCP."""

import threading

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers.arrays import block
from drivers.errors import (
    InstrumentError,
    InstrumentTimeoutError,
    MemoryOverflowError,
    MissingReadingsError,
    ReplyError,
)
from drivers.keysight_34465a import Keysight34465A
from drivers.keysight_53220a import Keysight53220A
from sim_devices.benches.bench import Bench
from sim_devices.instruments import keysight_34465a, keysight_53220a
from sim_devices.instruments.cabling import TriggerLine
from sim_devices.server import serve
from sim_devices.visa import open_library
from twin.clock import VirtualClock

INHERITED = {"complete", "id", "lock", "options", "status"}
NO_ERROR = ("SYST:ERR?", '+0,"No error"')
LITTLE = [("FORM?", "REAL,64"), ("FORM:BORD?", "SWAP")]
METER, COUNTER = "TCPIP0::dmm::5025::SOCKET", "TCPIP0::counter::5025::SOCKET"


def floats(*values, code="<f8"):
    return block(np.array(values, code).tobytes()) + b"\n"


# ---- transcripts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "order", "payload"),
    [
        ("ASC,9", "NORM", b"#247-4.98748741E-01,-4.35163427E-01,-1.33118686E+37\n"),
        ("ASC", "SWAP", block(b"2.5,-1E0, +0.00000E+000") + b"\n"),
        ("REAL,64", "SWAP", floats(1.5, 2.5, 3.5)),
        ("REAL,64", "NORM", floats(1.5, 2.5, 3.5, code=">f8")),
        ("REAL,32", "NORM", floats(1.5, 2.5, 3.5, code=">f4")),
    ],
)
def test_a_block_is_read_in_every_format(name, order, payload):
    with expected_protocol(
        Keysight34465A, [("FORM?", name), ("FORM:BORD?", order), ("R?", payload), NO_ERROR]
    ) as meter:
        readings = meter.take()
    if name == "ASC,9":
        np.testing.assert_allclose(readings, [-0.498748741, -0.435163427, -1.33118686e37])
    else:
        assert readings.tolist() == ([2.5, -1.0, 0.0] if name == "ASC" else [1.5, 2.5, 3.5])
    assert readings.dtype == np.float64


@pytest.mark.parametrize("reply", [b"#10\n", b"#3000\n"])
def test_an_empty_block_holds_no_readings(reply):
    exchange = [("FORM?", "ASC,9"), ("FORM:BORD?", "NORM"), ("R? 5", reply), NO_ERROR]
    with expected_protocol(Keysight34465A, exchange) as meter:
        assert meter.take(5).size == 0


@pytest.mark.parametrize("reply", [b"#0+1.0E+00\n", b"+1.0E+00\n", b"#14+1.X\n", b"#15+1.0\n"])
def test_a_reply_that_is_no_block_of_readings_is_a_reply_error(reply):
    exchange = [("FORM?", "ASC,9"), ("FORM:BORD?", "NORM"), ("R?", reply)]
    with pytest.raises(ReplyError), expected_protocol(Keysight34465A, exchange) as meter:
        meter.take()


def test_readings_are_taken_as_they_come():
    exchange = [
        *LITTLE,
        ("STAT:OPER:COND?", "32"),
        ("DATA:POIN?", "0"),
        ("STAT:OPER:COND?", "48"),
        ("DATA:POIN?", "2"),
        ("R? 2", floats(1.0, 9.9e37)),
        ("STAT:OPER:COND?", "0"),
        ("DATA:POIN?", "5"),
        ("R? 1", floats(-9.9e37)),
        ("STAT:QUES:COND?", "0"),
        NO_ERROR,
    ]
    with expected_protocol(Keysight34465A, exchange) as meter:
        np.testing.assert_equal(meter.readings(3), [1.0, np.nan, np.nan])


def test_a_measurement_that_ends_too_early_raises_at_once():
    exchange = [*LITTLE, ("STAT:OPER:COND?", "0"), ("DATA:POIN?", "2"), NO_ERROR, ("ABOR", None), NO_ERROR]
    with (
        pytest.raises(MissingReadingsError, match="1 readings too few"),
        expected_protocol(Keysight34465A, exchange) as meter,
    ):
        meter.readings(3)


def test_an_error_that_ended_a_measurement_is_what_raises():
    exchange = [
        *LITTLE,
        ("STAT:OPER:COND?", "0"),
        ("DATA:POIN?", "0"),
        ("SYST:ERR?", '-310,"System error"'),
        NO_ERROR,
        ("ABOR", None),
        NO_ERROR,
    ]
    with pytest.raises(InstrumentError) as raised, expected_protocol(Keysight34465A, exchange) as meter:
        meter.readings(3)
    assert raised.value.code == -310


def test_a_memory_that_was_full_raises():
    exchange = [
        *LITTLE,
        ("STAT:OPER:COND?", "0"),
        ("DATA:POIN?", "50000"),
        ("R? 1", floats(1.0)),
        ("STAT:QUES:COND?", "16384"),
        ("ABOR", None),
        NO_ERROR,
    ]
    with pytest.raises(MemoryOverflowError), expected_protocol(Keysight34465A, exchange) as meter:
        meter.readings(1)


def test_text_is_asked_for_where_a_block_might_have_no_length():
    exchange = [
        *LITTLE,
        ("FORM ASC", None),
        NO_ERROR,
        ("FORM:BORD SWAP", None),
        NO_ERROR,
        ("FETC?", "+1.00000000000000E+000,+9.91000000000000E+037"),
        NO_ERROR,
        ("READ?", "+2.00000000000000E+000"),
        NO_ERROR,
        ("DATA:REM? 2,WAIT", "3,4"),
        NO_ERROR,
        ("DATA:REM? 1", "5"),
        NO_ERROR,
    ]
    with expected_protocol(Keysight53220A, exchange) as counter:
        np.testing.assert_equal(counter.fetch(), [1.0, np.nan])
        assert counter.acquire().tolist() == [2.0]
        assert counter.remove(2, wait=True).tolist() == [3.0, 4.0]
        assert counter.remove(1).tolist() == [5.0]


# ---- the twin --------------------------------------------------------------------------------------------------------


class Ramp:
    """A voltage as large as the time in s."""

    def mean(self, starts, aperture, acquisition):
        return starts + aperture / 2


class Train:
    """A pulse of 1 V every millisecond."""

    def count(self, starts, gate, threshold, acquisition):
        counts = np.floor((starts + gate) * 1000 + 1e-6) - np.floor(starts * 1000 + 1e-6)
        return counts.astype(np.int64) * (threshold < 1.0)


class Rig:
    """Meter and counter on a bench, with the cables that trigger them."""

    def __init__(self):
        self.clock = VirtualClock()
        self.trigger, self.gate = TriggerLine(), TriggerLine()
        self.bench = Bench("readings", self.clock)
        place = self.bench.place
        worker = self.bench.worker
        place(keysight_34465a.Keysight34465A(self.clock, worker, voltage=Ramp(), trigger=self.trigger), METER)
        cables = {"pulses1": Train(), "gate": self.gate, "gate_width": 0.003}
        place(keysight_53220a.Keysight53220A(self.clock, worker, **cables), COUNTER)


@pytest.fixture
def rig():
    opened = Rig()
    with opened.bench:
        yield opened


@pytest.fixture(params=["in process", "tcp"])
def connected(request, rig):
    """Open a driver of a resource of the rig."""
    drivers = []
    if request.param == "in process":
        library = open_library(rig.bench)
        yield lambda kind, resource: drivers.append(kind(resource, visa_library=library, timeout=2000)) or drivers[-1]
    else:
        with serve(rig.bench, port=0) as server:

            def connect(kind, resource):
                host, port = server.addresses[resource]
                drivers.append(kind(f"TCPIP0::{host}::{port}::SOCKET", visa_library="@py", timeout=2000))
                return drivers[-1]

            yield connect
            for driver in drivers:
                driver.adapter.close()
            drivers.clear()
    for driver in drivers:
        driver.adapter.close()


@pytest.fixture
def meter(connected):
    return connected(Keysight34465A, METER)


@pytest.fixture
def counter(connected):
    return connected(Keysight53220A, COUNTER)


def test_a_triggered_series_comes_back_in_order(rig, meter):
    spacing = 2e-3 + meter.arm(readings=1000, range=10, aperture=1e-3, delay=2e-3, source="external")
    edges = 1.0 + spacing * np.arange(1000)
    rig.trigger.send(edges)
    readings = meter.readings(1000)
    np.testing.assert_allclose(readings, edges + 2.5e-3, atol=3e-6 * 10)
    assert meter.points == 0


def test_an_immediate_series_is_longer_than_one_block_where_it_must_be(meter):
    meter.arm(readings=50_000, range=1000, nplc=0.02)
    assert meter.readings(30_000).size == 30_000
    assert meter.readings(20_000).size == 20_000
    with pytest.raises(MissingReadingsError):
        meter.readings(1)


def test_more_readings_than_the_memory_holds_are_noticed(meter):
    meter.arm(readings=50_001, range=1000, nplc=0.02)
    with pytest.raises(MemoryOverflowError):
        meter.readings(50_000)


def test_an_overload_is_not_a_number_in_a_series_and_raises_alone(rig, meter):
    rig.clock.sleep(1.19)
    meter.arm(readings=3, range=1, aperture=0.01)
    np.testing.assert_equal(np.isnan(meter.readings(3)), [False, True, True])
    with pytest.raises(OverflowError):
        meter.measure()
    meter.voltage_range = 10
    assert meter.measure() == pytest.approx(rig.clock.now() - 0.005, abs=1e-2)


@pytest.mark.parametrize("data_format", ["ASCii", "REAL,32", "REAL,64"])
@pytest.mark.parametrize("byte_order", ["big", "little"])
def test_blocks_are_the_same_in_every_format(rig, meter, data_format, byte_order):
    meter.arm(readings=3, range=1, aperture=0.01)
    expected = meter.fetch()
    meter.data_format, meter.byte_order = data_format, byte_order
    np.testing.assert_allclose(meter.take(), expected, rtol=1e-6)


def test_triggers_may_come_from_the_program(meter):
    meter.arm(readings=2, range=1, aperture=0.01, source="bus")
    meter.trigger()
    meter.trigger()
    with pytest.raises(InstrumentError) as raised:
        meter.trigger()
    assert raised.value.code == -211
    assert meter.readings(2).size == 2


def test_a_reading_that_does_not_come_is_waited_for_no_longer_than_said(meter):
    meter.arm(readings=2, range=1, aperture=0.01, source="external")
    with pytest.raises(InstrumentTimeoutError, match="0 of 2"):
        meter.readings(2, timeout=0.05)
    assert meter.operation_condition & 32 == 0


def test_another_thread_may_abort_a_measurement_that_is_waited_for(meter):
    meter.arm(readings=2, range=1, aperture=0.01, source="external")
    timer = threading.Timer(0.05, meter.abort)
    timer.start()
    with pytest.raises(MissingReadingsError):
        meter.readings(2, timeout=20)
    timer.join()


def test_edges_from_another_thread_end_the_waiting(rig, meter):
    meter.arm(readings=2, range=10, aperture=0.01, source="external")
    timer = threading.Timer(0.05, rig.trigger.send, [[1.0, 2.0]])
    timer.start()
    np.testing.assert_allclose(meter.readings(2, timeout=20), [1.005, 2.005], atol=1e-4)
    timer.join()


def test_nothing_measured_is_an_error_of_the_instrument(connected):
    meter = connected(Keysight34465A, METER)
    meter.adapter.connection.timeout = 200
    with pytest.raises(InstrumentError) as raised:
        meter.take()
    assert raised.value.code == -230


def test_pulses_are_counted_within_timed_gates(counter):
    counter.arm_totalise(gates=5, gate_time=0.01, threshold=0.5)
    assert counter.counts(5).tolist() == [10] * 5
    counter.arm_totalise(gates=5, gate_time=0.01, threshold=1.5)
    assert counter.counts(5).tolist() == [0] * 5


def test_pulses_are_counted_within_external_gates(rig, counter):
    counter.arm_totalise(gates=4, threshold=0.5, source="external")
    rig.gate.send(np.arange(4.0) + 1)
    assert counter.counts(4).tolist() == [3] * 4


def test_without_a_limit_a_long_gate_would_be_given_up(counter):
    counter.arm_totalise(gates=1, gate_time=5, threshold=0.5)
    assert counter.counts(1).tolist() == [5000]
    counter.reading_timeout = 1
    counter.initiate()
    with pytest.raises(InstrumentTimeoutError, match="gave up"):
        counter.counts(1)


def test_a_frequency_is_measured(counter):
    assert counter.measure_frequency(threshold=0.5) == pytest.approx(1000)
    with pytest.raises(InstrumentTimeoutError):
        counter.measure_frequency(2, threshold=0.5)


def test_the_memory_of_the_counter_is_read_as_text_or_as_blocks_with_a_length(counter):
    counter.arm_totalise(gates=3, gate_time=0.01, threshold=0.5)
    counter.use_encoding("REAL,64", "little")
    assert counter.fetch().tolist() == [10] * 3
    counter.use_encoding("REAL,64", "little")
    assert counter.take(2).tolist() == [10] * 2
    assert counter.remove(1).tolist() == [10]
    assert counter.acquire().tolist() == [10] * 3


def test_a_program_that_reads_blocks_of_no_stated_length_would_break(counter):
    counter.arm_totalise(gates=3, gate_time=0.01, threshold=0.5)
    counter.use_encoding("REAL,64", "little")
    with pytest.raises(ReplyError, match="definite-length"):
        counter.read_array("FETC?")
    assert counter.counts(3).tolist() == [10] * 3


@pytest.mark.parametrize(("kind", "resource"), [(Keysight34465A, METER), (Keysight53220A, COUNTER)])
def test_every_property_of_the_driver_is_known_to_the_twin(connected, kind, resource):
    driver = connected(kind, resource)
    parts = [driver, *getattr(driver, "inputs", {}).values()]
    driver.initiate()
    for part in parts:
        members = {key: getattr(type(part), key) for key in dir(type(part)) if key[0] != "_" and key not in INHERITED}
        for key, member in members.items():
            if isinstance(member, property):
                value = getattr(part, key)
                if member.fset is not None:
                    setattr(part, key, value)
                    assert getattr(part, key) == value
    driver.check_errors()
