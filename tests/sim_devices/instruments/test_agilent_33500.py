"""The waveform generator: what its outputs give, its memory of waveforms, bursts and triggers."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim_devices.instruments.agilent_33500 import Agilent33500
from sim_devices.instruments.agilent_33500_waveforms import HISTORY, NOISE_CREST
from sim_devices.instruments.cabling import TriggerLine
from twin.clock import VirtualClock


class Edges:
    """What arrives at the end of a trigger cable."""

    def __init__(self, line):
        self.times = []
        line.listen(lambda times: self.times.extend(times.tolist()))


@pytest.fixture
def make(connect):
    with ThreadPoolExecutor(1) as worker:

        def generator(**options):
            client = connect(Agilent33500(VirtualClock(5.0), worker, **options))
            client.clock = client.board.clock
            client.voltage = lambda times, channel=1: client.board.output(channel).voltage(
                5.0 + np.asarray(times, float)
            )
            return client

        yield generator


@pytest.fixture
def client(make):
    return make()


ON = "OUTP1 ON;:SOUR1:VOLT 2;VOLT:OFFS 0.5;:SOUR1:FREQ 1000"


def test_an_output_that_is_off_gives_nothing(client):
    assert client.voltage(np.linspace(0, 1, 7)).tolist() == [0.0] * 7
    assert client.send(ON) == []
    assert client.voltage([0.25e-3]) == pytest.approx([1.5])
    assert client.send("OUTP1 OFF") == []
    assert client.voltage([0.25e-3]).tolist() == [0.0]


MILLISECOND = np.array([0.0, 0.125, 0.25, 0.4, 0.6, 0.75, 1.25]) * 1e-3
SHAPES = {
    "SIN": (0.0, math.sqrt(0.5), 1.0, math.sin(0.8 * math.pi), math.sin(1.2 * math.pi), -1.0, 1.0),
    "SQU": (1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0),
    "TRI": (-1.0, -0.5, 0.0, 0.6, 0.6, 0.0, 0.0),
    "RAMP": (-1.0, -0.75, -0.5, -0.2, 0.2, 0.5, -0.5),
    "PULS": (-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0),
    "DC": (0.0,) * 7,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_runs_between_its_levels(client, shape):
    assert client.send(f"{ON};:SOUR1:FUNC {shape}") == []
    assert client.voltage(MILLISECOND) == pytest.approx(0.5 + np.array(SHAPES[shape]), abs=1e-9)


def test_duty_cycle_symmetry_and_phase_shape_a_cycle(client):
    assert client.send(f"{ON};:SOUR1:FUNC SQU;FUNC:SQU:DCYC 20") == []
    assert client.voltage([0.1e-3, 0.3e-3]).tolist() == [1.5, -0.5]
    assert client.send("SOUR1:FUNC RAMP;FUNC:RAMP:SYMM 25") == []
    assert client.voltage([0.25e-3, 0.625e-3]) == pytest.approx([1.5, 0.5])
    assert client.send("SOUR1:FUNC SIN;PHAS 90") == []
    assert client.voltage([0.0]) == pytest.approx([1.5])


def test_a_pulse_has_its_width_at_half_height_and_its_edges_from_10_to_90_percent(client):
    assert client.send(f"{ON};:SOUR1:FUNC PULS;FUNC:PULS:WIDT 1e-4;TRAN:BOTH 1e-6") == []
    times = np.linspace(0, 1.1e-4, 110_001)
    height = (client.voltage(times) + 0.5) / 2
    crossings = [times[np.flatnonzero(height >= level)[[0, -1]]] for level in (0.1, 0.5, 0.9)]
    assert np.diff(crossings[1]) == pytest.approx([1e-4], abs=3e-9)
    assert crossings[2][0] - crossings[0][0] == pytest.approx(1e-6, abs=3e-9)
    assert crossings[0][1] - crossings[2][1] == pytest.approx(1e-6, abs=3e-9)


def test_a_pulse_keeps_width_or_duty_cycle_when_its_period_changes(client):
    assert client.send("SOUR1:FUNC PULS;FUNC:PULS:WIDT 1e-4;PER 2e-3") == []
    assert float(client.ask("SOUR1:FUNC:PULS:DCYC?")) == pytest.approx(5)
    assert client.send("SOUR1:FUNC:PULS:HOLD DCYC;PER 1e-3") == []
    assert float(client.ask("SOUR1:FUNC:PULS:WIDT?")) == pytest.approx(5e-5)
    assert client.send("SOUR1:FUNC:PULS:WIDT 1e-3") == [-221]
    assert client.send("SOUR1:FUNC:PULS:HOLD WIDT;:SOUR1:FREQ 1e5") == []
    assert float(client.ask("SOUR1:FUNC:PULS:WIDT?")) < 1e-5


def test_a_bit_sequence_of_127_bits_is_balanced_but_for_one(client):
    assert client.send(f"{ON};:SOUR1:FUNC PRBS;FUNC:PRBS:BRAT 1000") == []
    bits = client.voltage((np.arange(254) + 0.5) * 1e-3)
    assert set(bits) == {-0.5, 1.5}
    assert (bits[:127] == 1.5).sum() == 64
    assert bits[127:].tolist() == bits[:127].tolist()
    assert len({tuple(bits[start : start + 7]) for start in range(127)}) == 127


def test_noise_is_gaussian_of_its_amplitude_and_the_same_at_the_same_time(make):
    client = make(seed=3)
    assert client.send("OUTP1 ON;OUTP2 ON;:SOUR1:VOLT 2;FUNC NOIS;:SOUR2:VOLT 2;FUNC NOIS") == []
    times = (np.arange(20_000) + 0.5) / 2e5
    noise = client.voltage(times)
    spread = 1 / NOISE_CREST
    assert abs(noise.mean()) < 5 * spread / math.sqrt(20_000)
    assert noise.std() == pytest.approx(spread, rel=5 / math.sqrt(2 * 20_000))
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 5 / math.sqrt(20_000)
    assert client.voltage(times[::-1]).tolist() == noise[::-1].tolist()
    assert not np.array_equal(client.voltage(times, 2), noise)
    assert np.abs(noise).max() <= 1


def test_the_voltage_of_the_past_stays_as_it_was(client):
    assert client.send(ON) == []
    client.clock.sleep(1.0)
    assert client.send("SOUR1:FUNC DC;VOLT:OFFS -0.5") == []
    client.clock.sleep(1.0)
    assert client.send("OUTP1 OFF") == []
    assert client.voltage([0.25e-3, 0.99975, 1.5, 2.5, -1.0]) == pytest.approx([1.5, -0.5, -0.5, 0, 0])


def test_a_long_history_forgets_its_beginning_only(client):
    assert client.send("OUTP1 ON;:SOUR1:FUNC DC") == []
    for step in range(2 * HISTORY):
        client.clock.sleep(1.0)
        assert client.send(f"SOUR1:VOLT:OFFS {step / 1000}") == []
    steps = np.arange(2 * HISTORY - 100, 2 * HISTORY)
    assert client.voltage(steps + 1.5) == pytest.approx(steps / 1000)


# levels


def test_a_load_that_is_not_the_one_told_gets_another_voltage(make):
    client = make(loads={1: math.inf, 2: 50.0})
    assert client.send("OUTP1 ON;OUTP2 ON;:SOUR1:FUNC DC;VOLT:OFFS 1;:SOUR2:FUNC DC;VOLT:OFFS 1") == []
    assert client.voltage([0.0]) == pytest.approx([2.0])
    assert client.voltage([0.0], 2) == pytest.approx([1.0])


def test_telling_another_load_changes_what_is_shown_and_not_the_output(make):
    client = make(loads={1: math.inf})
    assert client.send(ON) == []
    before = client.voltage(MILLISECOND)
    assert client.send("OUTP1:LOAD INF") == []
    assert [float(client.ask(f"SOUR1:VOLT{part}?")) for part in ("", ":OFFS", ":HIGH", ":LOW")] == [4, 1, 3, -1]
    assert float(client.ask("OUTP1:LOAD?")) == 9.9e37
    assert client.voltage(MILLISECOND) == pytest.approx(before)
    assert client.send("OUTP1:LOAD 1E3") == []
    assert float(client.ask("SOUR1:VOLT?")) == pytest.approx(4 * 1000 / 1050)


def test_levels_and_amplitude_with_offset_are_one_thing(client):
    assert client.send("SOUR1:VOLT:HIGH 3;:SOUR1:VOLT:LOW 1") == []
    assert [float(client.ask(f"SOUR1:VOLT{part}?")) for part in ("", ":OFFS")] == [2, 2]
    assert client.send("SOUR1:VOLT:HIGH 0.5") == []
    assert float(client.ask("SOUR1:VOLT:LOW?")) == pytest.approx(0.499)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("SOUR1:VOLT 10.1", -222),
        ("SOUR1:VOLT 0.0009", -222),
        ("SOUR1:VOLT:OFFS 5.1", -222),
        ("SOUR1:VOLT:OFFS 4.99", -221),
        ("SOUR1:VOLT:HIGH 5.1", -221),
        ("SOUR1:FREQ 31e6", -222),
        ("SOUR1:FUNC:PULS:DCYC 0", -221),
        ("SOUR1:FUNC:ARB NONE", -224),
        ("SOUR1:FUNC SINE", -224),
        ("OUTP1:LOAD 0.5", -222),
        ("SOUR3:FREQ 1", -114),
    ],
)
def test_what_the_outputs_cannot_do_is_refused_and_changes_nothing(client, command, error):
    before = client.ask("*LRN?")
    assert client.send(command) == [error]
    assert client.ask("*LRN?") == before
    assert float(client.ask("SOUR1:VOLT?")) == 0.1


def test_a_level_shape_may_use_the_whole_range_and_others_may_not_then(client):
    assert client.send("SOUR1:FUNC DC;VOLT:OFFS 5") == []
    assert client.send("SOUR1:FUNC SIN") == [-221]
    assert client.send("SOUR1:VOLT:OFFS 0;:SOUR1:FREQ 1e6") == []
    assert client.send("SOUR1:FUNC RAMP") == [-221]


@pytest.mark.parametrize(("shape", "rms"), [("SIN", 1 / math.sqrt(8)), ("SQU", 0.5), ("TRI", 1 / math.sqrt(12))])
def test_an_amplitude_may_be_said_as_rms_or_power(client, shape, rms):
    assert client.send(f"SOUR1:FUNC {shape};VOLT 2;VOLT:UNIT VRMS") == []
    assert float(client.ask("SOUR1:VOLT?")) == pytest.approx(2 * rms)
    assert client.send("SOUR1:VOLT:UNIT DBM") == []
    assert float(client.ask("SOUR1:VOLT?")) == pytest.approx(10 * math.log10((2 * rms) ** 2 / 50 / 1e-3))
    assert client.send("SOUR1:VOLT 0;VOLT:UNIT VPP") == []
    assert float(client.ask("SOUR1:VOLT?")) == pytest.approx(math.sqrt(1e-3 * 50) / rms)
    assert client.send("SOUR1:VOLT:UNIT DBM;:OUTP1:LOAD INF") == [-221]


# arbitrary waveforms

STEPS = np.array([-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 0.0])
RUN_STEPS = "OUTP1 ON;:SOUR1:VOLT 2;:SOUR1:FUNC:ARB STEPS;:SOUR1:FUNC:ARB:SRAT 1000;:SOUR1:FUNC ARB"


@pytest.mark.parametrize("order", ["NORM", "SWAP"])
@pytest.mark.parametrize(("header", "kind", "scale"), [("DATA:ARB:DAC", "i2", 32767), ("DATA:ARB", "f4", 1)])
def test_a_waveform_arrives_as_a_block_of_either_kind_in_either_order(client, block, order, header, kind, scale):
    payload = block(np.rint(STEPS * scale) if kind == "i2" else STEPS, (">" if order == "NORM" else "<") + kind)
    assert client.send(f"FORM:BORD {order};:SOUR1:{header} STEPS,".encode() + payload) == []
    assert client.send(RUN_STEPS) == []
    assert client.voltage((np.arange(16) + 0.5) * 1e-3) == pytest.approx(np.tile(STEPS, 2), abs=4e-5)


def test_a_waveform_arrives_as_text_too(client):
    codes = ", ".join(str(round(value * 32767)) for value in STEPS)
    assert client.send(f"SOUR1:DATA:ARB:DAC STEPS, {codes}") == []
    assert client.send(f"SOUR2:DATA:ARB STEPS, {', '.join(map(str, STEPS))}") == []
    assert client.send(f'{RUN_STEPS};:SOUR2:FUNC:ARB "STEPS"') == []
    assert client.voltage((np.arange(8) + 0.5) * 1e-3) == pytest.approx(STEPS, abs=4e-5)
    assert client.ask("SOUR2:FUNC:ARB?") == '"STEPS"'


def test_memory_is_listed_counted_and_cleared(client, block):
    client.send(b"FORM:BORD SWAP;:SOUR1:DATA:ARB:DAC A," + block(np.zeros(1000), "<i2"))
    assert client.ask("SOUR1:DATA:VOL:CAT?") == '"INT:\\BUILTIN\\EXP_RISE.arb","A"'
    assert client.ask("SOUR1:DATA:VOL:FREE?") == "999000"
    assert client.ask("SOUR2:DATA:VOL:FREE?") == "1000000"
    assert client.send("SOUR1:FUNC:ARB A;:SOUR1:DATA:VOL:CLE") == []
    assert client.ask("SOUR1:FUNC:ARB?") == '"INT:\\BUILTIN\\EXP_RISE.arb"'
    assert client.ask("SOUR1:DATA:VOL:FREE?") == "1000000"


@pytest.mark.parametrize(
    ("name", "points", "error"),
    [
        (b"A", 7, -222),
        (b"A", 1_000_001, -225),
        (b"1A", 8, -224),
        (b"WITH-DASH", 8, -224),
        (b"THIRTEEN_LONG", 8, -224),
        (b"TAKEN", 8, -221),
        (b"", 8, -104),
    ],
)
def test_a_waveform_that_does_not_fit_is_refused(client, block, name, points, error):
    assert client.send(b"SOUR1:DATA:ARB:DAC TAKEN," + block(np.zeros(8), "<i2")) == []
    assert client.send(b"SOUR1:DATA:ARB:DAC " + name + b"," + block(np.zeros(points), "<i2")) == [error]
    assert client.ask("SOUR1:DATA:VOL:FREE?") == "999992"


@pytest.mark.parametrize("command", ["SOUR1:DATA:ARB:DAC A,40000", "SOUR1:DATA:ARB A,1.1", "SOUR1:DATA:ARB A,-1.1"])
def test_points_beyond_the_converter_are_refused(client, command):
    assert client.send(command + ",0" * 8) == [-222]


def test_the_frequency_of_an_arbitrary_waveform_is_its_repetition(client, block):
    client.send(b"FORM:BORD SWAP;:SOUR1:DATA:ARB:DAC STEPS," + block(STEPS * 32767, "<i2"))
    assert client.send(RUN_STEPS) == []
    assert float(client.ask("SOUR1:FREQ?")) == 125
    assert client.send("SOUR1:FREQ 1000") == []
    assert float(client.ask("SOUR1:FUNC:ARB:SRAT?")) == 8000
    assert client.send("SOUR1:FREQ 1e8") == [-222]


def test_the_pulse_of_an_output_is_its_arbitrary_waveform_in_volts(client, block):
    assert not client.board.pulse(1).on
    client.send(b"FORM:BORD SWAP;:SOUR1:DATA:ARB:DAC STEPS," + block(STEPS * 32767, "<i2"))
    assert client.send(RUN_STEPS) == []
    pulse = client.board.pulse(1)
    assert (pulse.on, pulse.interval, pulse.period, pulse.start) == (True, 1e-3, 8e-3, 5.0)
    assert pulse.values == pytest.approx(STEPS, abs=4e-5)
    with pytest.raises(ValueError, match="read-only"):
        pulse.values[0] = 0
    client.clock.sleep(1)
    assert client.send("SOUR1:VOLT:OFFS 0.5;:SOUR1:BURS:INT:PER 0.1;:SOUR1:BURS:STAT ON") == []
    later = client.board.pulse(1)
    assert (later.period, later.start) == (0.1, 6.0)
    assert later.values == pytest.approx(STEPS + 0.5, abs=4e-5)
    assert pulse.values == pytest.approx(STEPS, abs=4e-5)
    assert client.send("OUTP1 OFF") == []
    assert not client.board.pulse(1).on


# bursts

BURST = "OUTP1 ON;:SOUR1:VOLT 2;FREQ 1000;:SOUR1:BURS:NCYC 3;:SOUR1:PHAS 90;:SOUR1:BURS:STAT ON"


def test_a_burst_of_the_timer_comes_every_period_and_rests_between(client):
    assert client.send(f"{BURST};:SOUR1:BURS:INT:PER 0.01") == []
    assert client.voltage([0.5e-3, 2.5e-3, 5.5e-3, 10.5e-3]) == pytest.approx([-1, -1, 1, -1])


def test_a_period_too_short_for_the_burst_is_extended(client, block):
    client.send(b"FORM:BORD SWAP;:SOUR1:DATA:ARB:DAC STEPS," + block(STEPS * 32767, "<i2"))
    assert client.send(f"{RUN_STEPS};:SOUR1:BURS:INT:PER 1e-3;:SOUR1:BURS:STAT ON") == []
    assert client.board.pulse(1).period == pytest.approx(8.001e-3)


def test_a_burst_on_command_runs_once_and_the_clock_goes_to_its_end(make):
    sync, trigger_out = TriggerLine(), TriggerLine()
    edges, more = Edges(sync), Edges(trigger_out)
    client = make(sync=sync, trigger_out=trigger_out)
    assert client.send(f"{BURST};:TRIG1:SOUR BUS") == []
    assert client.voltage([0.5e-3]) == pytest.approx([1])
    client.clock.sleep(1.0)
    assert client.send("*TRG;*WAI") == []
    assert client.clock.now() == pytest.approx(6.003)
    assert client.voltage([1.0005, 1.0025, 1.0035, 0.9995]) == pytest.approx([-1, -1, 1, 1])
    assert client.send("OUTP:TRIG ON;*TRG;*WAI") == []
    assert client.voltage([1.0005, 1.0035]) == pytest.approx([-1, -1])
    assert (edges.times, more.times) == ([6.0, pytest.approx(6.003)], [pytest.approx(6.003)])


def test_an_infinite_burst_goes_on_and_the_clock_stands_still(client):
    assert client.send(f"{BURST};:SOUR1:BURS:NCYC INF;:TRIG1:SOUR BUS;*TRG") == []
    assert client.ask("*OPC?") == "1"
    assert client.clock.now() == 5.0
    assert client.voltage([0.5e-3, 1000.5e-3]) == pytest.approx([-1, -1])
    assert float(client.ask("SOUR1:BURS:NCYC?")) == 9.9e37


def test_edges_at_the_trigger_input_start_bursts_unless_one_runs(make):
    line, sync = TriggerLine(), TriggerLine()
    edges = Edges(sync)
    client = make(trigger=line, sync=sync)
    assert client.send(f"{BURST};:TRIG1:SOUR EXT") == []
    line.send(5.0 + np.array([0.010, 0.0115, 0.020]))
    assert edges.times == [5.01, 5.02]
    assert client.voltage([0.0105, 0.0125, 0.0135, 0.0205]) == pytest.approx([-1, -1, 1, -1])
    assert client.clock.now() == pytest.approx(5.023)
    assert client.send("SOUR1:BURS:STAT OFF") == []
    line.send(np.array([7.0]))
    assert edges.times == [5.01, 5.02]


def test_a_trigger_that_nothing_waits_for_is_ignored(client):
    assert client.send("*TRG") == [-211]
    assert client.send("SOUR1:BURS:STAT ON;:TRIG1:SOUR EXT;*TRG") == [-211]


def test_the_trigger_connector_is_input_or_output(client):
    assert client.send("OUTP:TRIG ON") == []
    assert client.send("TRIG1:SOUR EXT") == [-221]
    assert client.send("OUTP:TRIG OFF;:TRIG2:SOUR EXT;:OUTP:TRIG ON") == [-221]


def test_edges_of_what_runs_freely_come_on_their_own(make):
    sync, trigger_out = TriggerLine(), TriggerLine()
    client = make(sync=sync, trigger_out=trigger_out)
    assert sync.upcoming(5.0, 3) == pytest.approx([5.0, 5.001, 5.002])
    assert trigger_out.upcoming(5.0, 3).size == 0
    assert client.send(f"{BURST};:SOUR1:BURS:INT:PER 0.5;:OUTP:TRIG ON") == []
    assert trigger_out.upcoming(5.6, 2) == pytest.approx([6.0, 6.5])
    assert client.send("TRIG1:SOUR BUS") == []
    assert trigger_out.upcoming(5.6, 2).size == 0
    assert client.send("TRIG1:SOUR IMM;:OUTP:SYNC OFF") == []
    assert sync.upcoming(5.0, 3).size == 0


def test_reset_switches_off_and_recall_brings_levels_back(client):
    assert client.send(f"{ON};*SAV 1;*RST") == []
    assert client.voltage([0.25e-3]).tolist() == [0.0]
    assert float(client.ask("SOUR1:VOLT?")) == 0.1
    assert client.send("*RCL 1") == []
    assert client.voltage([0.25e-3]) == pytest.approx([1.5])
