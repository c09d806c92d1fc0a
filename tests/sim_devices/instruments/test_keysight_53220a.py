"""The counter: inputs and their levels, gates, and what they make of pulses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim_devices.instruments.cabling import TriggerLine
from sim_devices.instruments.keysight_53220a import GATE_GAP, Keysight53220A
from twin.clock import VirtualClock


class Train:
    """Pulses of one height at a steady rate, the first at time 0; remembers what it was asked."""

    def __init__(self, rate, height=1.0):
        self.rate = rate
        self.height = height
        self.asked = []

    def count(self, starts, gate, threshold, acquisition):
        self.asked.append((np.array(starts), gate, threshold, acquisition))
        if threshold >= self.height:
            return np.zeros(len(starts), np.int64)
        ends = np.asarray(starts) + gate
        return (np.ceil(ends * self.rate - 1e-6) - np.ceil(np.asarray(starts) * self.rate - 1e-6)).astype(np.int64)


@pytest.fixture
def train():
    return Train(1000.0)


@pytest.fixture
def lines():
    return {"trigger": TriggerLine(), "gate": TriggerLine()}


@pytest.fixture
def open_counter(connect):
    with ThreadPoolExecutor(1) as worker:
        yield lambda **cables: connect(Keysight53220A(VirtualClock(), worker, **cables))


@pytest.fixture
def client(open_counter, train, lines):
    return open_counter(pulses2=train, gate_width=0.004, **lines)


def readings(client):
    return [float(value) for value in client.ask("FETC?").split(",")]


# ---- inputs ----------------------------------------------------------------------------------------------------------


def test_configuration_and_reset_make_the_level_automatic_again(client):
    for message in ("CONF:TOT:TIM 0.1,(@2)", "CONF:FREQ 1E3,(@2)", "*RST"):
        client.write("INP2:LEV 0.25;SLOP NEG")
        assert client.ask("INP2:LEV:AUTO?;REL?") == "0;50"
        client.write(message)
        assert client.ask("INP2:LEV:AUTO?;REL?;:INP2:SLOP?") == "1;50;POS"


def test_configuration_leaves_the_level_of_the_other_input(client):
    client.write("INP1:LEV 0.25;:CONF:TOT:TIM 0.1,(@2)")
    assert client.ask("INP1:LEV:AUTO?") == "0"


def test_levels_come_in_steps_of_the_input_range(client):
    client.write("INP1:LEV 0.0512")
    assert float(client.ask("INP1:LEV?")) == pytest.approx(0.05)
    assert client.send("INP:LEV 5.2") == [-222]
    assert client.send("INP1:RANG 50;LEV 5.21") == []
    assert float(client.ask("INP:LEV?")) == pytest.approx(5.2)


def test_inputs_are_set_apart_from_each_other(client):
    client.write("INP1:IMP 50;COUP DC;FILT ON;NREJ 1")
    assert client.ask("INP1:IMP?;COUP?;FILT?;NREJ?") == "+5.00000000000000E+001;DC;1;1"
    assert client.ask("INP2:IMP?;COUP?;FILT?;NREJ?") == "+1.00000000000000E+006;AC;0;0"
    assert client.send("INP3:IMP 50") == [-114]


@pytest.mark.parametrize(("percent", "rate", "level"), [(50, 1000.0, 0.5), (30, 1000.0, 0.3), (50, 40.0, 0.0)])
def test_an_automatic_level_is_a_fraction_of_the_height_of_pulses_that_are_fast_enough(
    open_counter, percent, rate, level
):
    train = Train(rate)
    client = open_counter(pulses1=train)
    client.board.clock.sleep(0.001)
    client.write(f"CONF:TOT:TIM 0.1;:INP1:LEV:REL {percent};:INIT")
    assert client.ask("INP1:LEV:AUTO?") == "1"
    assert float(client.ask("INP1:LEV?")) == pytest.approx(level, abs=2.5e-3)
    assert train.asked[-1][2] == pytest.approx(level, abs=2.5e-3)
    assert client.board.clock.now() == pytest.approx(0.001 + 0.02 + 0.1)


def test_a_level_can_be_found_once(client):
    assert client.send("INP2:LEV:AUTO ONCE") == []
    assert client.ask("INP2:LEV:AUTO?") == "0"
    assert float(client.ask("INP2:LEV?")) == pytest.approx(0.5, abs=2.5e-3)


# ---- gates -----------------------------------------------------------------------------------------------------------


def test_timed_gates_follow_each_other(client, train):
    client.write("CONF:TOT:TIM 0.01,(@2);:INP2:LEV 0.1;:SAMP:COUN 4;:INIT")
    ((starts, gate, threshold, _),) = train.asked
    np.testing.assert_allclose(starts, np.arange(4) * (0.01 + GATE_GAP))
    assert (gate, threshold) == (0.01, 0.1)
    assert readings(client) == [10] * 4
    assert client.board.clock.now() == pytest.approx(0.04 + 3 * GATE_GAP)


def test_a_trigger_opens_its_gates_after_the_delay(client, train, lines):
    client.write("CONF:TOT:TIM 0.01,(@2);:INP2:LEV 0.1;:SAMP:COUN 2;:TRIG:SOUR EXT;COUN 2;DEL 0.5;:INIT")
    lines["gate"].send([0.5])
    lines["trigger"].send([1.0, 2.0])
    np.testing.assert_allclose(train.asked[0][0], [1.5, 1.51 + GATE_GAP, 2.5, 2.51 + GATE_GAP])
    assert readings(client) == [10] * 4


def test_an_external_gate_counts_while_its_pulses_are_high(client, train, lines):
    client.write("CONF:TOT:TIM 0.1,(@2);:INP2:LEV 0.1;:TOT:GATE:SOUR EXT;POL POS;:SAMP:COUN 3;:TRIG:COUN 2;:INIT")
    lines["trigger"].send([0.5])
    lines["gate"].send([1.0, 2.0, 2.001, 3.0])
    assert client.ask("DATA:POIN?;:STAT:OPER:COND?") == f"3;{1 << 5 | 1 << 9}"
    assert client.board.missed_triggers == 1
    lines["gate"].send([4.0, 5.0, 6.0, 7.0])
    np.testing.assert_allclose(np.concatenate([call[0] for call in train.asked]), [1, 2, 3, 4, 5, 6])
    assert [call[1] for call in train.asked] == [0.004, 0.004]
    assert readings(client) == [4] * 6
    assert client.board.clock.now() == pytest.approx(6.004)


@pytest.mark.parametrize("setting", ["OUTP ON", "TRIG:SOUR BUS", "TOT:GATE:POL NEG"])
def test_an_external_gate_needs_its_connector_its_polarity_and_no_other_trigger(client, setting):
    client.write("CONF:TOT:TIM 0.1,(@2);:TOT:GATE:SOUR EXT;POL POS")
    assert client.send(f"{setting};:INIT") == [-221]


@pytest.mark.parametrize("word", ["INP1", "ADV", "NONSENSE"])
def test_gate_sources_that_are_not_there_are_refused(client, word):
    assert client.send(f"SENS:TOT:GATE:SOUR {word}") == [-224]


def test_gates_come_in_steps_within_their_limits(client):
    client.write("CONF:TOT:TIM 123.456E-6")
    assert client.ask("SENS:TOT:GATE:TIME?") == "+1.20000000000000E-004"
    for gate in ("50E-6", "1001"):
        assert client.send(f"CONF:TOT:TIM {gate}") == [-222]
    client.write("CONF:TOT:TIM DEF,(@2)")
    assert client.ask("CONF?") == '"TOT +1.00000000000000E-001,(@2)"'
    assert client.send("CONF:TOT:TIM 0.1,(@1,2)") == [-108]


def test_a_gate_longer_than_the_timeout_is_given_up(client, train):
    client.write("CONF:TOT:TIM 2,(@2);:INP2:LEV 0.1;:SAMP:COUN 2;:INIT")
    assert readings(client) == [9.91e37] * 2
    assert train.asked == []
    assert client.board.clock.now() == pytest.approx(2 + GATE_GAP)
    client.write("SYST:TIM INF;:INIT")
    assert readings(client) == [2000] * 2


@pytest.mark.parametrize("word", ["INF", "INFinity", "9.9E37", "MAX"])
def test_the_timeout_may_be_endless(client, word):
    client.write(f"SYST:TIM {word}")
    assert client.ask("SYST:TIM?") == "+9.90000000000000E+037"
    assert client.send("SYST:TIM 2001") == [-222]


def test_a_frequency_is_counted_within_its_gate(client):
    client.write("CONF:FREQ (@2);:INP2:LEV 0.1;:FREQ:GATE:TIME 0.5;:INIT")
    assert readings(client) == [1000]
    client.write("CONF:FREQ 1 MHZ,1E-6,(@2);:INP2:LEV 2;:INIT")
    assert readings(client) == [9.91e37]
    assert client.ask("CONF?") == '"FREQ +1.00000000000000E-001,(@2)"'


def test_the_channel_is_saved_and_recalled(client):
    client.write("CONF:TOT:TIM 0.1,(@2);*SAV 3;*RST")
    assert client.ask("CONF?").endswith('(@1)"')
    client.write("*RCL 3")
    assert client.ask("CONF?").endswith('(@2)"')
