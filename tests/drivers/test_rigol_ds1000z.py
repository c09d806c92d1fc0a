"""The driver of the oscilloscope: its registers, how it samples, and records on the simulated instrument."""

import threading

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers.arrays import block
from drivers.errors import InstrumentError, InstrumentTimeoutError, ReplyError
from drivers.rigol_ds1000z import DEPTHS, TIMEBASES, Preamble, RigolDS1000Z
from sim_devices.benches import Bench
from sim_devices.faults import Fault
from sim_devices.instruments.cabling import Grounded, TriggerLine
from sim_devices.instruments.rigol_ds1000z import RigolDS1000Z as Persona
from sim_devices.visa import open_library
from twin.clock import VirtualClock

RESOURCE = "TCPIP0::scope::5555::SOCKET"
NO_ERROR = ("SYST:ERR?", '0,"No error"')

REGISTERS = [
    ("timebase", 1e-3, "TIM:MAIN:SCAL 0.001", "1.000000e-03"),
    ("delay", 6e-3, "TIM:MAIN:OFFS 0.006", "6.000000e-03"),
    ("memory_depth", 1_200_000, "ACQ:MDEP 1200000", "1200000"),
    ("memory_depth", None, "ACQ:MDEP AUTO", "AUTO"),
    ("memory_depth", None, "ACQ:MDEP AUTO", '"auto"'),
    ("trigger_mode", "edge", "TRIG:MODE EDGE", "EDGE"),
    ("trigger_source", "channel2", "TRIG:EDGE:SOUR CHAN2", "CHANnel2"),
    ("trigger_source", "external", "TRIG:EDGE:SOUR EXT", "ext"),
    ("trigger_slope", "falling", "TRIG:EDGE:SLOP NEG", "NEGative"),
    ("trigger_level", -0.125, "TRIG:EDGE:LEV -0.125", "-1.25e-1"),
    ("trigger_sweep", "single", "TRIG:SWE SING", "SINGLE"),
    ("waveform_source", "channel4", "WAV:SOUR CHAN4", "CHAN4"),
    ("waveform_mode", "memory", "WAV:MODE RAW", "RAW"),
    ("waveform_format", "word", "WAV:FORM WORD", '"WORD"'),
    ("waveform_start", 250_001, "WAV:STAR 250001", "250001"),
    ("waveform_stop", 500_000, "WAV:STOP 500000", "+5.00000E+05"),
]
CHANNEL_REGISTERS = [
    ("shown", True, "CHAN3:DISP 1", "ON"),
    ("scale", 0.05, "CHAN3:SCAL 0.05", "5.000000e-02"),
    ("offset", -1.5, "CHAN3:OFFS -1.5", "-1.500000e+00"),
    ("coupling", "AC", "CHAN3:COUP AC", "ac"),
    ("probe", 10.0, "CHAN3:PROB 10", "10"),
    ("bandwidth_limited", True, "CHAN3:BWL 20M", "20M"),
    ("bandwidth_limited", False, "CHAN3:BWL OFF", "OFF"),
    ("bandwidth_limited", False, "CHAN3:BWL OFF", '"off"'),
]


@pytest.mark.parametrize(("name", "value", "command", "reply"), REGISTERS, ids=[row[2] for row in REGISTERS])
def test_every_register_is_set_checked_and_read_as_the_manual_says(name, value, command, reply):
    query = command.split(" ")[0] + "?"
    with expected_protocol(RigolDS1000Z, [(command, None), NO_ERROR, (query, reply)]) as scope:
        setattr(scope, name, value)
        assert getattr(scope, name) == value


@pytest.mark.parametrize(
    ("name", "value", "command", "reply"), CHANNEL_REGISTERS, ids=[row[2] for row in CHANNEL_REGISTERS]
)
def test_every_register_of_a_channel_is_set_checked_and_read(name, value, command, reply):
    query = command.split(" ")[0] + "?"
    with expected_protocol(RigolDS1000Z, [(command, None), NO_ERROR, (query, reply)]) as scope:
        setattr(scope.ch_3, name, value)
        assert getattr(scope.channels[3], name) == value


def test_connecting_writes_nothing():
    with expected_protocol(RigolDS1000Z, []):
        pass


@pytest.mark.parametrize(
    ("reply", "state"),
    [("TD", "triggered"), ("WAIT", "waiting"), ("RUN", "running"), ("auto", "auto"), ('"STOP"', "stopped")],
)
def test_the_state_of_the_trigger_is_named(reply, state):
    with expected_protocol(RigolDS1000Z, [("TRIG:STAT?", reply)]) as scope:
        assert scope.trigger_status == state


def test_a_state_that_is_none_is_a_reply_error():
    with expected_protocol(RigolDS1000Z, [("TRIG:STAT?", "BUSY")]) as scope, pytest.raises(ReplyError, match="TRIG"):
        _ = scope.trigger_status


def test_the_preamble_is_ten_named_numbers():
    reply = "0,2,1200000,1,1.000000e-06,-3.000000e-03,0,4.000000e-02,-26,127"
    with expected_protocol(RigolDS1000Z, [("WAV:PRE?", reply)]) as scope:
        assert scope.preamble == Preamble(0, 2, 1_200_000, 1, 1e-6, -3e-3, 0, 4e-2, -26, 127)


def test_a_waveform_is_read_from_the_memory_and_scaled_by_its_preamble():
    exchange = [
        ("WAV:SOUR CHAN2", None),
        NO_ERROR,
        ("WAV:MODE RAW", None),
        NO_ERROR,
        ("WAV:FORM WORD", None),
        NO_ERROR,
        ("WAV:STAR 1", None),
        NO_ERROR,
        ("WAV:STOP 3", None),
        NO_ERROR,
        ("WAV:DATA?", block(np.array([127, 128, 300], "<u2").tobytes()) + b"\n"),
        ("WAV:PRE?", "1,2,3,1,2e-6,1e-3,1,0.5,-2,127"),
        NO_ERROR,
    ]
    with expected_protocol(RigolDS1000Z, exchange) as scope:
        times, volts = scope.waveform(2, 3, "word")
    assert times == pytest.approx([1e-3 - 2e-6, 1e-3, 1e-3 + 2e-6])
    assert volts.tolist() == [1.0, 1.5, 87.5]


# sampling


@pytest.mark.parametrize(
    ("points", "interval", "channels", "expected"),
    [
        (1000, 1e-6, 1, (1e-3, 12_000, 1e-6)),
        (12_001, 1e-6, 1, (1e-2, 120_000, 1e-6)),
        (1_200_000, 2.1e-6, 1, (0.2, 1_200_000, 2e-6)),
        (20_000_000, 1e-6, 1, (2.0, 24_000_000, 1e-6)),
        (1000, 1e-9, 1, (1e-6, 12_000, 1e-9)),
        (1000, 2e-9, 2, (1e-6, 6_000, 2e-9)),
        (3_001, 1e-6, 3, (2e-3, 30_000, 0.8e-6)),
        (5, 1e3, 1, (50.0, 12_000, 0.05)),
    ],
)
def test_the_smallest_memory_with_the_longest_time_between_samples_is_chosen(points, interval, channels, expected):
    with expected_protocol(RigolDS1000Z, []) as scope:
        assert scope.sampling(points, interval, channels) == pytest.approx(expected)
        assert scope.sample_interval(points, interval, channels) == pytest.approx(expected[2])


def test_no_other_setting_of_the_memory_has_a_longer_allowed_time_between_samples():
    with expected_protocol(RigolDS1000Z, []) as scope:
        for interval in np.geomspace(1e-9, 1, 60):
            timebase, depth, real = scope.sampling(100_000, interval)
            others = [max(12 * base / depth, 1e-9) for base in TIMEBASES]
            assert real == pytest.approx(max(other for other in others if other <= interval * (1 + 1e-9)))
            assert (timebase in TIMEBASES, depth) == (True, 120_000)


@pytest.mark.parametrize(
    ("points", "interval", "channels"),
    [(24_000_001, 1e-6, 1), (0, 1e-6, 1), (10, 0.9e-9, 1), (10, 1e-9, 2), (10, float("nan"), 1), (10, 1e-6, 5)],
)
def test_what_memory_and_rate_do_not_reach_is_refused(points, interval, channels):
    with expected_protocol(RigolDS1000Z, []) as scope, pytest.raises(ValueError, match=r"channels|samples"):
        scope.sampling(points, interval, channels)


def test_a_series_with_other_memories_says_so_in_a_subclass():
    class Tall(RigolDS1000Z):
        divisions = 10
        depths = dict.fromkeys(DEPTHS, (1_000, 10_000))

    with expected_protocol(Tall, []) as scope:
        assert scope.sampling(900, 1e-6) == pytest.approx((1e-4, 1_000, 1e-6))


# records on the twin


class Wave(Grounded):
    def __init__(self):
        self.times = []

    def trace(self, start, interval, points, acquisition):
        self.times.append(start)
        return 0.3 * np.sin(2 * np.pi * 50 * (start + interval * np.arange(points))) - 1.0


@pytest.fixture
def cables():
    return Wave(), TriggerLine()


@pytest.fixture
def bench(cables):
    with Bench("scope", VirtualClock()) as opened:
        wave, line = cables
        scope = Persona(opened.clock, opened.worker, inputs={1: wave, 2: wave}, trigger=line)
        opened.place(scope, RESOURCE)
        yield opened


@pytest.fixture
def scope(bench):
    driver = RigolDS1000Z(RESOURCE, visa_library=open_library(bench), timeout=500)
    yield driver
    driver.adapter.close()


@pytest.mark.parametrize(("points", "interval"), [(1000, 1e-5), (600_001, 2e-6), (7, 3.3e-7)])
def test_an_immediate_record_is_the_signal_from_now_on(scope, bench, cables, points, interval):
    bench.clock.sleep(0.123)
    times, volts = scope.record(1, points, interval, scale=0.09, offset=1.0)
    real = scope.sample_interval(points, interval)
    assert real <= interval
    assert np.abs(times - real * np.arange(points)).max() < 1e-12
    assert np.abs(volts + 1.0 - 0.3 * np.sin(2 * np.pi * 50 * (0.123 + times))).max() < 0.5001 * 0.1 / 25
    assert cables[0].times == [pytest.approx(0.123)]
    assert bench.clock.now() == pytest.approx(0.123 + real * next(depth for depth in DEPTHS[1] if depth >= points))


def test_an_external_record_begins_with_its_edge(scope, cables):
    wave, line = cables
    scope.arm([1], 100, 1e-5, 0.1, 1.0, "external")
    line.send(np.array([0.5]))
    scope.wait(1.0)
    times, volts = scope.waveform(1)
    assert len(times) == 100
    assert wave.times == [pytest.approx(0.5)]
    assert volts == pytest.approx(0.3 * np.sin(2 * np.pi * 50 * (0.5 + times)) - 1.0, abs=0.0021)


def test_a_record_triggered_by_the_channel_begins_at_the_level(scope):
    scope.arm([1], 100, 1e-5, 0.1, 1.0, "channel1", level=-0.9, slope="falling")
    scope.wait(1.0)
    times, volts = scope.waveform(1)
    assert times[0] == pytest.approx(0, abs=1e-9)
    assert volts[0] == pytest.approx(-0.9, abs=0.004)
    assert volts[50] < -0.9


def test_two_channels_are_recorded_at_once_and_share_the_memory(scope, cables):
    sampling = scope.arm([1, 2], 5_000, 1e-5, 0.1, 1.0)
    scope.wait(1.0)
    (times, first), (_, second) = scope.waveform(1), scope.waveform(2)
    assert (sampling.depth, len(times)) == (6_000, 5_000)
    assert first.tolist() == second.tolist()
    assert cables[0].times[0] == cables[0].times[1]
    with pytest.raises(InstrumentError) as raised:
        scope.waveform(3)
    assert raised.value.code == -230


def test_a_missing_edge_times_out_and_stops_the_record(scope):
    with pytest.raises(InstrumentTimeoutError, match=r"within 0.05 s, the trigger is waiting"):
        scope.record(1, 100, 1e-5, 0.1, 1.0, "external", timeout=0.05)
    assert scope.trigger_status == "stopped"


def test_a_record_that_another_thread_stops_is_no_record(scope):
    scope.arm([1], 100, 1e-5, 0.1, 1.0, "external")
    stopper = threading.Timer(0.05, scope.stop)
    stopper.start()
    scope.wait(20.0)
    stopper.join()
    with pytest.raises(InstrumentError) as raised:
        scope.waveform(1)
    assert raised.value.code == -230


@pytest.mark.parametrize(
    "wrong", [{"scale": 0.0}, {"scale": 1e4}, {"channel": 5}, {"source": "line"}, {"interval": 1e-10}]
)
def test_a_record_that_cannot_be_is_refused_before_it_begins(scope, cables, wrong):
    arguments = {"channel": 1, "points": 10, "interval": 1e-6, "scale": 0.1} | wrong
    with pytest.raises(ValueError, match=r"V a division|range|discrete|apart"):
        scope.record(**arguments)
    assert cables[0].times == []


def test_the_whole_memory_is_read_where_nothing_was_asked_for(scope):
    scope.ch_1.shown = True
    scope.memory_depth = None
    scope.timebase = 1e-4
    scope.single()
    scope.force_trigger()
    times, volts = scope.waveform(1)
    assert len(times) == len(volts) == scope.memory_points() == 1_200_000


def test_a_piece_of_the_wrong_length_is_a_reply_error():
    exchange = [
        *[pair for name in ("SOUR CHAN1", "MODE RAW", "FORM BYTE", "STAR 1", "STOP 5")
          for pair in ((f"WAV:{name}", None), NO_ERROR)],
        ("WAV:DATA?", block(b"1234") + b"\n"),
    ]  # fmt: skip
    with expected_protocol(RigolDS1000Z, exchange) as scope, pytest.raises(ReplyError, match="4 points came"):
        scope.waveform(1, 5)


@pytest.mark.parametrize("kind", ["garbled", "mute"])
def test_after_a_lost_piece_the_next_record_is_sound(scope, bench, kind):
    assert scope.id.startswith("RIGOL")
    scope.adapter.connection.timeout = 200
    bench.inject(RESOURCE, [Fault(kind, "WAVeform:DATA?", count=1)])
    with pytest.raises((ReplyError, InstrumentTimeoutError)):
        scope.record(1, 100, 1e-5, 0.1, 1.0)
    times, _ = scope.record(1, 100, 1e-5, 0.1, 1.0)
    assert len(times) == 100
