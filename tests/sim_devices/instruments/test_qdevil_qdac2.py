import math

import numpy as np
import pytest

from sim_devices.instruments.cabling import OPEN, TriggerLine
from sim_devices.instruments.qdevil_qdac2 import Qdac2
from twin.clock import VirtualClock


class Load:
    """A current that grows with the number of the acquisition, and notes how it was asked."""

    def __init__(self, current):
        self.current = current
        self.asked = []

    def mean(self, starts, aperture, acquisition):
        self.asked.append((starts.tolist(), aperture, acquisition))
        return np.full(len(starts), self.current * (acquisition + 1))


@pytest.fixture
def clock():
    return VirtualClock(100.0)


@pytest.fixture
def lines():
    return TriggerLine(), TriggerLine()


@pytest.fixture
def qdac(clock, lines):
    return Qdac2(clock, None, loads={2: Load(1e-9), 3: Load(3e-7)}, trigger_inputs=lines)


@pytest.fixture
def client(qdac, connect):
    return connect(qdac)


def send(client, *messages):
    for message in messages:
        assert client.send(message) == [], message


def volts(qdac, number, times):
    return qdac.output(number).voltage(np.asarray(times, float)).tolist()


def edges_of(qdac, number):
    seen = []
    qdac.trigger_outputs[number].listen(lambda times: seen.extend(times.tolist()))
    return seen


# ---- identity, errors, completion


def test_the_identity_has_the_form_that_drivers_take_apart(client):
    assert client.ask("*idn?") == "QDevil, QDAC-II, 1, 3-1.70"


def test_errors_have_a_space_after_the_comma(client):
    client.write("sour1:nonsense 1")
    assert client.ask("syst:err:coun?") == "1"
    assert client.ask("syst:err?").startswith('-113, "Undefined header')
    assert client.ask("syst:err?") == '0, "No error"'
    client.write("foo")
    client.write("bar")
    assert client.ask("syst:err:all?") == '-113, "Undefined header;foo", -113, "Undefined header;bar"'


@pytest.mark.parametrize("message", ["form real,32", "*sav 1", "*rcl 1"])
def test_what_a_qdac_does_not_have_is_an_undefined_header(client, message):
    assert client.send(message) == [-113]


@pytest.mark.parametrize("message", ["*opc?", "*opc", "*wai"])
def test_completion_lets_time_go_on_until_everything_with_an_end_rests(client, clock, message):
    send(client, "sour1:volt:slew 0.1", "sour1:volt 1", "sour2:sine:init", "sour3:volt:slew 1", "sour3:volt 2")
    client.ask(message) if message[-1] == "?" else send(client, message)
    assert clock.now() == pytest.approx(110.0)


def test_a_reset_takes_five_seconds_and_leaves_nothing(client, qdac, clock):
    send(client, "sour1:volt 1", "sour1:rang low", "sour1:sine:init", "sour1:list:volt 1,2")
    send(client, "sour2:dc:trig:sour int1", "sour2:dc:init", "*rst")
    assert clock.now() == 105.0
    assert volts(qdac, 1, [99.0, 100.0 + 1e-3, 200.0]) == [0.0, 0.0, 0.0]
    assert [client.ask(f"sour1:{query}?") for query in ("rang", "list:poin", "sine:ncl")] == ["high", "0", "0"]
    assert not qdac.armed


# ---- fixed voltage


def test_a_voltage_is_approached_at_the_slew_and_the_clock_stands_still(client, qdac, clock):
    send(client, "sour1:volt:slew 0.1", "sour1:volt 1")
    assert clock.now() == 100.0
    assert volts(qdac, 1, [99, 100, 105, 110, 120]) == pytest.approx([0, 0, 0.5, 1, 1])
    assert [float(client.ask(query)) for query in ("sour1:volt?", "sour1:volt:last?")] == [1.0, 0.0]
    clock.sleep(5)
    assert float(client.ask("sour1:volt:last?")) == pytest.approx(0.5)


def test_a_new_slew_holds_for_the_rest_of_a_ramp(client, qdac, clock):
    send(client, "sour1:volt:slew 0.1", "sour1:volt 1")
    clock.sleep(5)
    send(client, "sour1:volt:slew 0.5")
    assert volts(qdac, 1, [105, 105.5, 106, 107]) == pytest.approx([0.5, 0.75, 1, 1])


def test_an_abort_stops_a_ramp_where_it_is(client, qdac, clock):
    send(client, "sour1:volt:slew 0.1", "sour1:volt 1")
    clock.sleep(5)
    send(client, "sour1:dc:abor")
    assert volts(qdac, 1, [105, 1000]) == pytest.approx([0.5, 0.5])
    assert float(client.ask("sour1:volt?")) == pytest.approx(0.5)


def test_channels_do_not_disturb_each_other(client, qdac):
    send(client, "sour24:volt 3", "sour1:volt -2")
    assert [volts(qdac, number, [101])[0] for number in (1, 2, 24)] == [-2, 0, 3]


@pytest.mark.parametrize(
    "message", ["sour25:volt 1", "sour0:volt 1", "sour1:volt 11", "sour1:volt nan", "sour1:volt:slew 0"]
)
def test_what_is_out_of_range_is_refused_and_nothing_moves(client, qdac, message):
    assert client.send(message)
    assert volts(qdac, 1, [101]) == [0.0]


def test_the_low_range_ends_at_two_volts_and_is_refused_beyond(client, qdac):
    send(client, "sour1:volt 3")
    assert client.send("sour1:rang low") == [-221]
    send(client, "sour1:volt 1", "*wai", "sour1:rang low")
    assert client.send("sour1:volt 2.5") == [-222]
    assert client.send("sour1:list:volt 0,2.5") == [-222]


def test_a_triggered_voltage_comes_with_the_bus_trigger(client, qdac, clock):
    send(client, "sour1:volt:slew 1", "sour1:volt:trig 0.5", "sour1:dc:trig:sour bus", "sour1:dc:init")
    assert volts(qdac, 1, [101]) == [0.0]
    send(client, "*trg")
    assert volts(qdac, 1, [100.25, 101]) == pytest.approx([0.25, 0.5])
    assert float(client.ask("sour1:volt?")) == 0.5


# ---- lists and sweeps


def test_a_list_steps_with_its_dwell_and_its_slew(client, qdac, clock):
    send(client, "sour1:volt:slew 1", "sour1:volt:mode list", "sour1:list:volt 0.1,0.3,-0.2", "sour1:list:dwel 1")
    send(client, "sour1:dc:init")
    assert volts(qdac, 1, [100.05, 100.5, 101.1, 101.9, 102.25, 103, 200]) == pytest.approx(
        [0.05, 0.1, 0.2, 0.3, 0.05, -0.2, -0.2]
    )
    assert clock.now() == 100.0


def test_a_question_about_the_cycles_left_lets_one_end(client, clock):
    send(
        client, "sour1:volt:mode list", "sour1:list:volt 0,1", "sour1:list:dwel 1", "sour1:list:coun 3", "sour1:dc:init"
    )
    assert [client.ask("sour1:list:ncl?") for _ in range(3)] == ["2", "1", "0"]
    assert clock.now() == 106.0
    send(client, "sour1:list:coun -1", "sour1:dc:init")
    assert client.ask("sour1:list:ncl?") == "-1"
    assert clock.now() == 106.0


def test_a_list_goes_down_repeats_and_grows(client, qdac):
    send(client, "sour1:volt:mode list", "sour1:list:volt 1,2", "sour1:list:volt:app 3", "sour1:list:dir down")
    send(client, "sour1:list:coun -1", "sour1:list:dwel 0.5", "sour1:dc:init")
    assert client.ask("sour1:list:poin?") == "3"
    assert client.values("sour1:list:volt?").tolist() == [1, 2, 3]
    assert volts(qdac, 1, 100.25 + 0.5 * np.arange(7)) == pytest.approx([3, 2, 1, 3, 2, 1, 3])


def test_a_list_may_come_as_a_block_of_floats_least_significant_byte_first(client, block):
    client.write(b"sour1:list:volt " + block([0.25, -1.5, 1 / 3]))
    assert client.errors() == []
    assert client.values("sour1:list:volt?") == pytest.approx([0.25, -1.5, 1 / 3], rel=1e-7)


def test_a_stepped_list_goes_one_value_on_with_every_edge(client, qdac, lines):
    send(client, "sour1:volt:mode list", "sour1:list:volt 1,2,3", "sour1:list:tmod step", "sour1:dc:trig:sour ext2")
    send(client, "sour1:dc:init:cont on", "sour1:dc:init")
    lines[0].send(np.array([100.5]))
    lines[1].send(np.array([101.0, 102.0]))
    lines[1].send(np.array([103.0, 104.0]))
    assert volts(qdac, 1, [100.9, 101.5, 102.5, 103.5, 104.5]) == pytest.approx([0, 1, 2, 3, 1])


@pytest.mark.parametrize(("generation", "voltages"), [("step", [0, 0.5, 1]), ("anal", [1 / 6, 0.5, 5 / 6])])
def test_a_sweep_goes_from_start_to_stop(client, qdac, generation, voltages):
    send(client, "sour1:volt:mode swe", "sour1:swe:star 0", "sour1:swe:stop 1", "sour1:swe:poin 3", "sour1:swe:dwel 2")
    send(client, f"sour1:swe:gen {generation}", "sour1:dc:init")
    assert client.ask("sour1:swe:time?") == "+6.000000E+00"
    assert volts(qdac, 1, [101, 103, 105]) == pytest.approx(voltages)
    assert client.ask("sour1:swe:ncl?") == "0"


def test_an_empty_list_is_a_conflict(client):
    send(client, "sour1:volt:mode list")
    assert client.send("sour1:dc:init") == [-221]


# ---- triggers


def test_an_internal_trigger_starts_lists_together_and_their_steps_leave_at_an_output(client, qdac):
    edges = edges_of(qdac, 2)
    for number in (1, 2):
        send(client, f"sour{number}:volt:mode list", f"sour{number}:list:volt {number},{-number}")
        send(client, f"sour{number}:dc:trig:sour int3", f"sour{number}:dc:init")
    send(client, "sour1:dc:mark:sst 5", "outp:trig2:sour int5", "outp:trig2:del 1e-4")
    assert edges == []
    send(client, "tint 3")
    assert edges == pytest.approx([100.0001, 100.0011])
    assert [volts(qdac, number, [100.0005, 100.0015]) for number in (1, 2)] == [[1, -1], [2, -2]]
    send(client, "tint 3")
    assert len(edges) == 2, "what is not continuous waits for one trigger"


def test_outputs_are_in_place_before_edges_are_sent(client, qdac):
    seen = []
    qdac.trigger_outputs[1].listen(lambda times: seen.extend(volts(qdac, 1, times + 5e-4)))
    send(client, "sour1:volt:mode list", "sour1:list:volt 1,2", "sour1:dc:mark:sst 1", "outp:trig1:sour int1")
    send(client, "sour1:dc:init")
    assert seen == [1.0, 2.0]


def test_the_end_of_one_list_starts_another_and_a_chain_has_an_end(client, qdac):
    for number, source, mark in ((1, "int1", 2), (2, "int2", 1)):
        send(client, f"sour{number}:volt:mode list", f"sour{number}:list:volt 1,0", f"sour{number}:list:dwel 1")
        send(client, f"sour{number}:dc:trig:sour {source}", f"sour{number}:dc:mark:end {mark}")
        send(client, f"sour{number}:dc:init:cont on", f"sour{number}:dc:init")
    send(client, "tint 1")
    assert volts(qdac, 1, [100.5, 101.5, 102.5, 104.5]) == [1, 0, 0, 0]
    assert volts(qdac, 2, [100.5, 101.5, 102.5, 103.5]) == [0, 0, 1, 0]


def test_a_delay_comes_before_the_start(client, qdac):
    send(client, "sour1:volt:trig 1", "sour1:dc:del 2", "sour1:dc:init")
    assert volts(qdac, 1, [101.9, 102.1]) == [0, 1]


def test_an_output_sends_on_request_and_on_the_bus(client, qdac):
    edges = edges_of(qdac, 4)
    send(client, "outp:trig4:sign", "outp:trig4:sour bus", "*trg", "tint 1")
    assert edges == [100.0, 100.0]


# ---- waveforms


def test_waveforms_add_to_the_dc_voltage(client, qdac):
    send(client, "sour1:volt 1", "sour1:sine:freq 1", "sour1:sine:span 0.4", "sour1:sine:init")
    send(client, "sour1:squ:freq 1", "sour1:squ:span 0.2", "sour1:squ:pol inv", "sour1:squ:init")
    assert volts(qdac, 1, [101.25, 101.75]) == pytest.approx([1 + 0.2 - 0.1, 1 - 0.2 + 0.1])


@pytest.mark.parametrize(("levels", "expected"), [("symm", [0.6, 0.4]), ("pos", [0.7, 0.5]), ("neg", [0.5, 0.3])])
def test_the_levels_of_a_square_wave_lie_about_its_offset(client, qdac, levels, expected):
    send(
        client,
        "sour1:squ:per 1",
        "sour1:squ:dcyc 25",
        "sour1:squ:offs 0.5",
        f"sour1:squ:typ {levels}",
        "sour1:squ:init",
    )
    assert volts(qdac, 1, [105.2, 105.3]) == pytest.approx(expected)


def test_a_triangle_rises_during_its_duty_cycle(client, qdac):
    send(client, "sour1:tri:freq 1", "sour1:tri:dcyc 80", "sour1:tri:span 2", "sour1:tri:init")
    assert volts(qdac, 1, [103.0, 103.4, 103.8, 103.9]) == pytest.approx([-1, 0, 1, 0], abs=1e-6)


def test_a_wave_of_some_cycles_goes_back_to_nothing_at_its_slew(client, qdac, clock):
    send(client, "sour1:squ:freq 1", "sour1:squ:span 0.2", "sour1:squ:slew 1", "sour1:squ:coun 2", "sour1:squ:init")
    assert volts(qdac, 1, [100.05, 100.3, 100.9, 101.4, 102.05, 103]) == pytest.approx([0.05, 0.1, -0.1, 0.1, -0.05, 0])
    assert [client.ask("sour1:squ:ncl?") for _ in range(2)] == ["1", "0"]
    assert clock.now() == pytest.approx(102.1)


def test_an_aborted_wave_goes_to_nothing_at_its_slew(client, qdac, clock):
    send(client, "sour1:sine:freq 1", "sour1:sine:span 0.4", "sour1:sine:slew 2", "sour1:sine:init")
    clock.sleep(0.25)
    send(client, "sour1:sine:abor")
    assert volts(qdac, 1, [100.2, 100.25, 100.3, 100.4]) == pytest.approx([0.2 * math.sin(0.4 * math.pi), 0.2, 0.1, 0])
    assert client.ask("sour1:sine:ncl?") == "0"
    assert clock.now() == pytest.approx(100.35)


def test_a_sine_faster_than_its_slew_is_a_conflict(client):
    send(client, "sour1:sine:freq 10", "sour1:sine:span 1", "sour1:sine:slew 31")
    assert client.send("sour1:sine:init") == [-221]


def test_a_trace_is_put_out_one_sample_a_microsecond(client, qdac, block):
    send(client, 'trac:def "pulse",4')
    client.write(b'trac:data "pulse",' + block([0, 1, 2, 3]))
    assert client.errors() == []
    send(
        client,
        'sour1:awg:def "pulse"',
        "sour1:awg:scal 0.5",
        "sour1:awg:offs 0.25",
        "sour1:awg:coun 1",
        "sour1:awg:init",
    )
    assert volts(qdac, 1, 100 + 1e-6 * np.array([0.5, 1.5, 2.5, 3.5, 6.0])) == pytest.approx(
        [0.25, 0.75, 1.25, 1.75, 0]
    )


@pytest.mark.parametrize(
    "message", ['trac:data "none",1', 'trac:data "two",1,2,3', 'trac:def "huge",2000000', 'trac:data "two",1,11']
)
def test_a_wrong_trace_is_refused(client, message):
    send(client, 'trac:def "two",2')
    assert client.send(message)
    assert client.ask("trac:cat?") == '"two"'


def test_everything_is_aborted_at_once(client, qdac, clock):
    send(client, "sour1:volt:slew 0.1", "sour1:volt 1", "sour1:sine:slew 10", "sour1:sine:freq 1", "sour1:sine:init")
    send(client, "sour2:dc:trig:sour int1", "sour2:dc:init")
    clock.sleep(2)
    send(client, "abor")
    assert volts(qdac, 1, [103, 200]) == pytest.approx([0.2, 0.2])
    assert not qdac.armed


# ---- currents


def test_a_current_is_the_mean_over_the_aperture_and_takes_its_time(client, qdac, clock):
    send(client, "sens2:rang low", "sens2:nplc 2")
    assert client.ask("sens2:aper?") == "+4.000000E-02"
    assert client.values("read2?").tolist() == [1e-9]
    assert qdac.loads[2].asked == [([100.0], 0.04, 0)]
    assert clock.now() == pytest.approx(100.04)
    assert client.values("read2?").tolist() == [2e-9]


def test_channels_of_a_list_are_measured_at_the_same_time(client, qdac, clock):
    assert client.values("read? (@1:3)").tolist() == [0.0, 1e-9, 3e-7]
    assert qdac.loads[2].asked == qdac.loads[3].asked == [([100.0], 0.02, 0)]
    assert client.values("fetc? (@3,2)").tolist() == [3e-7, 1e-9]


def test_a_current_beyond_the_range_reads_as_infinite(client):
    send(client, "sens3:rang low")
    assert client.ask("read3?") == "+9.9E+37"


def test_triggered_readings_fill_the_buffer(client, lines, clock):
    send(client, "sens2:coun 2", "sens2:aper 0.1", "sens2:trig:sour ext1", "sens2:init")
    assert client.ask("sens2:ncl?") == "2"
    lines[0].send(np.array([101.0, 105.0]))
    assert clock.now() == pytest.approx(101.2)
    assert client.ask("sens2:data:poin?") == "2"
    assert client.values("sens2:data:rem?").tolist() == [1e-9, 1e-9]
    client.write("sens2:data:last?")
    assert client.errors() == [-230]


def test_a_terminal_that_nothing_is_connected_to_carries_no_current(qdac):
    assert qdac.loads.get(1, OPEN) is OPEN


def test_what_an_edge_cannot_start_is_reported(client, lines):
    send(
        client,
        "sour1:volt:mode list",
        "sour1:list:volt 1",
        "sour1:dc:trig:sour ext1",
        "sour1:dc:init",
        "sour1:list:coun 0",
    )
    lines[0].send(np.array([100.0]))
    assert client.errors() == [-221]
