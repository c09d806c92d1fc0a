"""The oscilloscope: its memory, its converter, and what triggers it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim_devices.instruments.cabling import Grounded, TriggerLine
from sim_devices.instruments.rigol_ds1000z import RigolDS1000Z
from sim_devices.instruments.rigol_ds1000z_records import first_edge
from twin.clock import VirtualClock


class Signal(Grounded):
    """A signal given as a function of time, which remembers what was asked of it."""

    def __init__(self, function):
        self.function = function
        self.asked = []

    def trace(self, start, interval, points, acquisition):
        self.asked.append((start, interval, points, acquisition))
        return self.function(start + interval * np.arange(points))


@pytest.fixture
def line():
    return TriggerLine()


@pytest.fixture
def make(line, connect):
    with ThreadPoolExecutor(1) as worker:

        def scope(*functions):
            signals = functions or (lambda times: np.zeros(len(times)),)
            inputs = {channel: Signal(function) for channel, function in enumerate(signals, 1)}
            persona = RigolDS1000Z(VirtualClock(10.0), worker, inputs=inputs, trigger=line)
            client = connect(persona)
            client.inputs, client.clock = inputs, persona.clock
            return client

        yield scope


SETUP = ":CHAN1:PROB 1;SCAL 0.1;:TIM:MAIN:SCAL 1e-3;OFFS 6e-3;:ACQ:MDEP 12000"


def volts(client, channel=1, stop=12000):
    assert client.send(f":WAV:SOUR CHAN{channel};MODE RAW;FORM BYTE;STAR 1;STOP {stop}") == []
    origin, reference, increment = (float(client.ask("WAV:PRE?").split(",")[index]) for index in (8, 9, 7))
    return (client.block("WAV:DATA?", np.uint8).astype(float) - origin - reference) * increment


def test_a_forced_record_begins_at_once_and_moves_the_clock_to_its_end(make):
    client = make(lambda times: 0.3 * np.sin(500 * (times - 10)))
    assert client.send(f"{SETUP};:TRIG:EDG:SOUR EXT;:SING") == []
    assert client.ask("TRIG:STAT?") == "WAIT"
    assert client.send("TFOR") == []
    assert client.ask("TRIG:STAT?") == "STOP"
    (start, interval, points, _) = client.inputs[1].asked[-1]
    assert (start, interval, points) == (pytest.approx(10), pytest.approx(1e-6), 12000)
    assert volts(client) == pytest.approx(0.3 * np.sin(500e-6 * np.arange(12000)), abs=0.5001 * 0.1 / 25)


@pytest.mark.parametrize(("offset", "level"), [(0.0, 0.2), (-1.0, 1.1), (0.5, -0.45)])
def test_the_offset_brings_a_level_to_the_middle_of_the_converter(make, offset, level):
    client = make(lambda times: np.full(len(times), level))
    assert client.send(f"{SETUP};:CHAN1:OFFS {offset};:SING;:TFOR") == []
    assert volts(client, stop=10) == pytest.approx(np.full(10, level), abs=0.0021)


def test_what_is_off_the_converter_is_clipped(make):
    client = make(lambda times: np.where(np.arange(len(times)) % 2, 5.0, -5.0))
    assert client.send(f"{SETUP};:SING;:TFOR") == []
    assert set(np.round(volts(client, stop=10), 6)) == {0.512, -0.508}


def test_a_probe_multiplies_what_is_shown(make):
    client = make(lambda times: np.full(len(times), 0.02))
    assert client.send(f"{SETUP};:CHAN1:PROB 10;:SING;:TFOR") == []
    assert float(client.ask("CHAN1:SCAL?")) == pytest.approx(1.0)
    assert volts(client, stop=8) == pytest.approx(np.full(8, 0.2), abs=0.02)


def test_alternating_coupling_takes_the_mean_away_and_ground_everything(make):
    client = make(lambda times: 0.1 + 0.2 * (np.arange(len(times)) % 2))
    assert client.send(f"{SETUP};:CHAN1:COUP AC;:SING;:TFOR") == []
    assert volts(client, stop=4) == pytest.approx([-0.1, 0.1, -0.1, 0.1], abs=0.0021)
    assert client.send(":CHAN1:COUP GND;:SING;:TFOR") == []
    assert volts(client, stop=4).tolist() == [0, 0, 0, 0]


def test_pieces_make_up_the_whole_memory(make):
    client = make(lambda times: 0.4 * np.sin(np.arange(len(times)) / 1e4))
    assert client.send(f"{SETUP};:ACQ:MDEP 1200000;:SING;:TFOR;:WAV:MODE RAW") == []
    pieces = []
    for first in range(1, 1_200_001, 250_000):
        assert client.send(f"WAV:STAR {first};:WAV:STOP {min(first + 249_999, 1_200_000)}") == []
        pieces.append(client.block("WAV:DATA?", np.uint8))
    codes = np.concatenate(pieces).astype(int)
    assert codes.tolist() == np.rint(127 + 0.4 * np.sin(np.arange(1_200_000) / 1e4) / 0.004).astype(int).tolist()


@pytest.mark.parametrize(("kind", "most"), [("BYTE", 250_000), ("WORD", 125_000), ("ASC", 15_625)])
def test_a_read_beyond_the_largest_piece_is_refused(make, kind, most):
    client = make()
    assert client.send(f"{SETUP};:ACQ:MDEP 1200000;:SING;:TFOR;:WAV:MODE RAW;FORM {kind};STOP {most + 1}") == []
    client.write("WAV:DATA?")
    assert client.errors() == [-222]
    assert client.send(f"WAV:STOP {most}") == []
    client.write("WAV:DATA?")
    assert client.read()[:2] == b"#9"


def test_words_and_text_say_the_same_as_bytes(make):
    client = make(lambda times: 0.3 * np.sin(np.arange(len(times)) / 100))
    assert client.send(f"{SETUP};:SING;:TFOR;:WAV:MODE RAW;STOP 500") == []
    codes = client.block("WAV:DATA?", np.uint8)
    assert client.send("WAV:FORM WORD") == []
    assert client.block("WAV:DATA?", "<u2").tolist() == codes.tolist()
    assert client.send("WAV:FORM ASC") == []
    client.write("WAV:DATA?")
    text = client.read()[11:-1].decode()
    assert [float(number) for number in text.split(",")] == pytest.approx((codes - 127.0) * 0.004, abs=1e-9)


def test_the_memory_of_a_running_oscilloscope_cannot_be_read(make):
    client = make()
    assert client.send("WAV:MODE RAW") == []
    client.write("WAV:DATA?")
    assert client.errors() == [-221]


def test_without_a_record_there_is_nothing_to_read(make):
    client = make()
    assert client.send("SING;:STOP;:WAV:MODE RAW") == []
    for question in ("WAV:DATA?", "WAV:PRE?"):
        client.write(question)
        assert client.errors() == [-230]
    assert client.send("SING;:TFOR;:WAV:SOUR CHAN2") == []
    client.write("WAV:DATA?")
    assert client.errors() == [-230]


def test_the_screen_of_a_running_oscilloscope_shows_1200_points(make):
    client = make(lambda times: 0.3 * np.sin(500 * (times - 10)))
    assert client.send(SETUP) == []
    codes = client.block("WAV:DATA?", np.uint8)
    numbers = [float(number) for number in client.ask("WAV:PRE?").split(",")]
    assert numbers[:4] == [0, 0, 1200, 1]
    assert numbers[4] == pytest.approx(12e-3 / 1200)
    assert (codes - 127.0) * 0.004 == pytest.approx(0.3 * np.sin(500 * 1e-5 * np.arange(1200)), abs=0.0025)


def test_stopping_a_running_oscilloscope_keeps_a_record(make):
    client = make(lambda times: np.full(len(times), 0.1))
    assert client.send(f"{SETUP};:STOP") == []
    assert volts(client, stop=3) == pytest.approx([0.1, 0.1, 0.1], abs=0.0021)


@pytest.mark.parametrize(
    ("shown", "depth", "rate", "depths"),
    [
        ((1,), 12_000, 1e9, "12000"),
        ((1, 2), 6_000, 5e8, "6000000"),
        ((1, 2, 3), 3_000, 2.5e8, "3000000"),
        ((1, 2, 3, 4), 3_000, 2.5e8, "300000"),
    ],
)
def test_channels_share_memory_and_rate(make, shown, depth, rate, depths):
    client = make()
    assert client.send("ACQ:MDEP 12000;:TIM:MAIN:SCAL 1e-6") == []
    for channel in shown:
        assert client.send(f"CHAN{channel}:DISP ON") == []
    assert client.ask("ACQ:MDEP?") == str(depth)
    assert float(client.ask("ACQ:SRAT?")) == pytest.approx(rate)
    assert client.send(f"ACQ:MDEP {depths}") == []
    assert client.send("ACQ:MDEP 24000001") == [-222]
    assert client.send("ACQ:MDEP 13000") == [-224]


def test_the_automatic_memory_is_the_smallest_at_the_highest_rate(make):
    client = make()
    assert client.send("TIM:MAIN:SCAL 2e-5") == []
    assert float(client.ask("ACQ:SRAT?")) == pytest.approx(1e9)
    assert client.send("TIM:MAIN:SCAL 10") == []
    assert float(client.ask("ACQ:SRAT?")) == pytest.approx(24e6 / 120)


def test_all_channels_of_a_record_belong_to_one_acquisition(make):
    client = make(lambda times: np.full(len(times), 0.1), lambda times: np.full(len(times), -0.2))
    assert client.send(f"{SETUP};:CHAN2:DISP ON;PROB 1;SCAL 0.1") == []
    assert client.send("SING;:TFOR;:SING;:TFOR") == []
    assert [ask[3] for ask in client.inputs[1].asked] == [0, 1]
    assert client.inputs[1].asked == client.inputs[2].asked
    assert volts(client, 2, 3) == pytest.approx([-0.2] * 3, abs=0.0021)


# triggers


def test_an_edge_on_the_trigger_cable_starts_a_record_there(make, line):
    client = make(lambda times: 0.1 * (times > 11))
    assert client.send(f"{SETUP};:TRIG:EDG:SOUR EXT;:SING") == []
    line.send(np.array([9.0]))
    assert client.ask("TRIG:STAT?") == "WAIT"
    line.send(np.array([10.5, 11.0]))
    assert client.ask("TRIG:STAT?") == "STOP"
    assert client.inputs[1].asked[-1][0] == pytest.approx(10.5)
    assert client.clock.now() == pytest.approx(10.512)
    assert len(client.inputs[1].asked) == 1


def test_edges_that_come_on_their_own_are_taken_when_they_begin_and_when_they_are_waited_for(make, line):
    client = make()
    assert client.send(f"{SETUP};:TRIG:EDG:SOUR EXT;:SING") == []
    line.run(lambda time, count: np.ceil(time) + 0.25 + np.arange(count))
    assert client.ask("TRIG:STAT?") == "STOP"
    assert client.send("SING") == []
    assert client.ask("TRIG:STAT?") == "STOP"
    assert [ask[0] for ask in client.inputs[1].asked] == pytest.approx([10.25, 11.25])


def test_an_edge_of_the_channel_lies_where_the_trigger_is(make):
    client = make(lambda times: 0.2 * np.sin(2 * np.pi * 200 * (times - 10.001)))
    assert client.send(f"{SETUP};:TIM:MAIN:OFFS 0;:TRIG:EDG:SOUR CHAN1;LEV 0.1;SLOP NEG;:SING") == []
    assert client.ask("TRIG:STAT?") == "STOP"
    trace = volts(client)
    numbers = [float(number) for number in client.ask("WAV:PRE?").split(",")]
    at_trigger = round(-numbers[5] / numbers[4])
    assert trace[at_trigger - 30 : at_trigger].min() >= 0.1 - 0.002
    assert trace[at_trigger : at_trigger + 30].max() <= 0.1 + 0.002


def test_an_edge_that_comes_late_is_found_by_asking_again(make):
    client = make(lambda times: 0.2 * (times >= 10.1))
    assert client.send(f"{SETUP};:TRIG:EDG:SOUR CHAN1;LEV 0.1;:SING") == []
    asked = 0
    while client.ask("TRIG:STAT?") == "WAIT":
        asked += 1
        assert asked < 20
    assert asked > 3
    assert volts(client, stop=2) == pytest.approx([0.2, 0.2], abs=0.0021)
    assert client.clock.now() == pytest.approx(10.112)


def test_normal_sweeps_go_on_after_a_trigger(make, line):
    client = make()
    assert client.send(f"{SETUP};:TRIG:EDG:SOUR EXT;:TRIG:SWE NORM;:RUN") == []
    line.send(np.array([10.1, 10.105, 10.2]))
    assert client.ask("TRIG:STAT?") == "TD"
    assert [ask[0] for ask in client.inputs[1].asked] == pytest.approx([10.1, 10.2])
    assert client.send("STOP") == []
    line.send(np.array([11.0]))
    assert len(client.inputs[1].asked) == 2


def test_a_level_off_the_screen_cannot_trigger(make):
    client = make()
    assert client.send(f"{SETUP};:CHAN1:OFFS -1;:TRIG:EDG:LEV 1.4") == []
    assert client.send("TRIG:EDG:LEV 1.6") == [-222]


@pytest.mark.parametrize(
    ("slope", "begin", "index"), [("POS", 0, 2), ("NEG", 0, 4), ("RFAL", 3, 4), ("POS", 3, 6), ("NEG", 7, None)]
)
def test_the_first_edge_is_found_from_a_sample_on(slope, begin, index):
    assert first_edge(np.array([0, 0, 1, 1, 0, 0, 1, 1.0]), 0.5, slope, begin) == index


def test_a_large_memory_is_kept_as_bytes(make):
    client = make(np.zeros_like)
    assert client.send(f"{SETUP};:ACQ:MDEP 1200000;:SING;:TFOR") == []
    assert client.board._record.codes[1].nbytes == 1_200_000
