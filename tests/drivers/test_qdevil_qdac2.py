import math

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers.arrays import block
from drivers.errors import InstrumentError, OutputLimitError
from drivers.qdevil_qdac2 import Qdac2

NO_ERROR = ("syst:err?", '0, "No error"')

CHANNEL_CONTROLS = [
    ("voltage_range", "low", "sour3:rang low", "LOW"),
    ("filter", "med", "sour3:filt med", "MEDium"),
    ("triggered_voltage", 0.123456789, "sour3:volt:trig 0.123456789", "+1.23456789E-01"),
    ("slew", 0.1, "sour3:volt:slew 0.1", "0.1"),
    ("slew", math.inf, "sour3:volt:slew inf", "+9.9E+37"),
    ("slew", math.inf, "sour3:volt:slew inf", '"INF"'),
    ("list_dwell", 1e-3, "sour3:list:dwel 0.001", "1e-3"),
    ("list_count", -1, "sour3:list:coun -1", "-1"),
    ("list_direction", "down", "sour3:list:dir down", "DOWN"),
    ("list_trigger_mode", "step", "sour3:list:tmod step", "stepped"),
    ("sweep_start", -1.5, "sour3:swe:star -1.5", "-1.5"),
    ("sweep_stop", 2.5, "sour3:swe:stop 2.5", "2.5"),
    ("sweep_points", 11, "sour3:swe:poin 11", "11"),
    ("sweep_dwell", 2e-3, "sour3:swe:dwel 0.002", "2E-3"),
    ("sweep_count", 3, "sour3:swe:coun 3", "+3"),
    ("sweep_direction", "up", "sour3:swe:dir up", "UP"),
    ("sweep_generation", "analog", "sour3:swe:gen anal", "ANAL"),
    ("trigger_source", "int14", "sour3:dc:trig:sour int14", "INTernal14"),
    ("trigger_source", "immediate", "sour3:dc:trig:sour imm", "IMM"),
    ("continuous", True, "sour3:dc:init:cont on", "1"),
    ("delay", 0.5, "sour3:dc:del 0.5", "0.5"),
    ("marker_start", 1, "sour3:dc:mark:star 1", "1"),
    ("marker_end", 2, "sour3:dc:mark:end 2", "2"),
    ("marker_step_start", 3, "sour3:dc:mark:sst 3", "3"),
    ("marker_step_end", 0, "sour3:dc:mark:send 0", "0"),
    ("current_range", "low", "sens3:rang low", "low"),
    ("nplc", 2.0, "sens3:nplc 2", "2"),
    ("aperture", 0.04, "sens3:aper 0.04", "0.04"),
    ("current_count", 10, "sens3:coun 10", "10"),
    ("current_delay", 0.1, "sens3:del 0.1", "0.1"),
    ("current_trigger_source", "ext4", "sens3:trig:sour ext4", "EXT4"),
    ("current_continuous", False, "sens3:init:cont off", "OFF"),
]
WAVE_CONTROLS = [
    ("offset", 0.25, "offs 0.25", "0.25"),
    ("slew", 10.0, "slew 10", "10"),
    ("count", -1, "coun -1", "-1"),
    ("delay", 1.0, "del 1", "1"),
    ("trigger_source", "bus", "trig:sour bus", "BUS"),
    ("continuous", True, "init:cont on", "ON"),
    ("continuous", False, "init:cont off", "+0"),
    ("marker_start", 1, "mark:star 1", "1"),
    ("marker_end", 2, "mark:end 2", "2"),
    ("marker_period_start", 3, "mark:pstart 3", "3"),
    ("marker_period_end", 4, "mark:pend 4", "4"),
    ("frequency", 0.5, "freq 0.5", "0.5"),
    ("span", 0.2, "span 0.2", "0.2"),
    ("polarity", "inverted", "pol inv", "INV"),
]
WAVES = {"sine": "sine", "triangle": "tri", "square": "squ", "awg": "awg"}
READINGS = [
    ("actual_voltage", "sour3:volt:last?", "+1.25E-01", 0.125),
    ("voltage", "sour3:volt?", "0.5", 0.5),
    ("mode", "sour3:volt:mode?", "fixed", "fixed"),
    ("list_points", "sour3:list:poin?", "200", 200),
    ("list_cycles_left", "sour3:list:ncl?", "-1", -1),
    ("sweep_time", "sour3:swe:time?", "0.011", 0.011),
    ("sweep_cycles_left", "sour3:swe:ncl?", "0", 0),
    ("readings_available", "sens3:data:poin?", "5", 5),
    ("current", "read3?", "1e-9,2e-9", 2e-9),
    ("current", "read3?", "9.9E37", math.inf),
    ("last_current", "sens3:data:last?", "-9.9E37", -math.inf),
]


@pytest.mark.parametrize(
    ("name", "value", "command", "reply"), CHANNEL_CONTROLS, ids=[row[2] for row in CHANNEL_CONTROLS]
)
def test_every_setting_of_a_channel_is_sent_checked_and_read(name, value, command, reply):
    query = command.split(" ")[0] + "?"
    with expected_protocol(Qdac2, [(command, None), NO_ERROR, (query, reply)]) as dac:
        setattr(dac.channel(3), name, value)
        assert getattr(dac.channel(3), name) == value


@pytest.mark.parametrize("wave", WAVES)
@pytest.mark.parametrize(("name", "value", "command", "reply"), WAVE_CONTROLS, ids=[row[2] for row in WAVE_CONTROLS])
def test_every_setting_of_a_waveform_is_sent_checked_and_read(wave, name, value, command, reply):
    if wave == "awg" and name in ("frequency", "span", "polarity"):
        pytest.skip("an arbitrary waveform has no frequency")
    command = f"sour24:{WAVES[wave]}:{command}"
    query = command.split(" ")[0] + "?"
    with expected_protocol(Qdac2, [(command, None), NO_ERROR, (query, reply)]) as dac:
        generator = getattr(dac.channel(24), wave)
        setattr(generator, name, value)
        assert getattr(generator, name) == value


@pytest.mark.parametrize(
    ("wave", "name", "value", "command", "reply"),
    [
        ("square", "duty_cycle", 25.0, "sour1:squ:dcyc 25", "25"),
        ("square", "kind_of_levels", "positive", "sour1:squ:typ pos", "POS"),
        ("triangle", "duty_cycle", 75.0, "sour1:tri:dcyc 75", "75"),
        ("awg", "scale", -0.5, "sour1:awg:scal -0.5", "-0.5"),
        ("awg", "trace", "Ramp", 'sour1:awg:def "Ramp"', '"Ramp"'),
        ("awg", "trace", "Ramp", 'sour1:awg:def "Ramp"', "'Ramp'"),
    ],
)
def test_what_one_waveform_has_alone_is_sent_checked_and_read(wave, name, value, command, reply):
    query = command.split(" ")[0] + "?"
    with expected_protocol(Qdac2, [(command, None), NO_ERROR, (query, reply)]) as dac:
        generator = getattr(dac.channel(1), wave)
        setattr(generator, name, value)
        assert getattr(generator, name) == value


@pytest.mark.parametrize(("name", "query", "reply", "value"), READINGS)
def test_every_reading_is_asked_as_the_manual_says(name, query, reply, value):
    asked_after = [NO_ERROR] if name in ("current", "last_current") else []
    with expected_protocol(Qdac2, [(query, reply), *asked_after]) as dac:
        assert getattr(dac.channel(3), name) == value


@pytest.mark.parametrize(
    ("name", "value", "command", "reply"),
    [
        ("source", "int3", "outp:trig2:sour int3", "INT3"),
        ("width", 1e-5, "outp:trig2:widt 1e-05", "1e-5"),
        ("delay", 0.0, "outp:trig2:del 0", "0"),
        ("polarity", "inverted", "outp:trig2:pol inv", "INVerted"),
    ],
)
def test_a_trigger_output_is_set_checked_and_read(name, value, command, reply):
    query = command.split(" ")[0] + "?"
    with expected_protocol(Qdac2, [(command, None), NO_ERROR, (query, reply)]) as dac:
        setattr(dac.trigger_output(2), name, value)
        assert getattr(dac.trigger_output(2), name) == value


@pytest.mark.parametrize(
    ("call", "commands"),
    [
        (lambda dac: dac.fire(3), ["tint 3"]),
        (lambda dac: dac.bus_trigger(), ["*trg"]),
        (lambda dac: dac.synchronise(), ["syst:cloc:sync"]),
        (lambda dac: dac.remove_traces(), ["trac:rem:all"]),
        (lambda dac: dac.trigger_output(5).signal(), ["outp:trig5:sign"]),
        (lambda dac: dac.channel(2).start(), ["sour2:dc:init"]),
        (lambda dac: dac.channel(2).abort(), ["sour2:dc:init:cont off", "sour2:dc:abor"]),
        (lambda dac: dac.channel(2).sine.start(), ["sour2:sine:init"]),
        (lambda dac: dac.channel(2).awg.abort(), ["sour2:awg:init:cont off", "sour2:awg:abor"]),
        (lambda dac: dac.channel(2).start_current(), ["sens2:init"]),
        (lambda dac: dac.channel(2).abort_current(), ["sens2:abor"]),
        (lambda dac: setattr(dac, "clock_source", "external"), ["syst:cloc:sour ext"]),
        (lambda dac: setattr(dac, "clock_output", True), ["syst:cloc:send on"]),
    ],
)
def test_an_action_is_one_command_or_two(call, commands):
    exchange = [pair for command in commands for pair in ((command, None), NO_ERROR)]
    with expected_protocol(Qdac2, exchange) as dac:
        call(dac)


def test_a_list_travels_as_a_block_of_floats_least_significant_byte_first():
    data = block(np.array([0.1, -0.2], "<f4").tobytes())
    exchange = [
        (b"sour1:list:volt " + data + b"\n", None),
        NO_ERROR,
        (b"sour1:list:volt:app 0.1,-0.2\n", None),
        NO_ERROR,
        ("sour1:list:volt?", "0.1,-0.2,0.1,-0.2"),
    ]
    with expected_protocol(Qdac2, exchange) as dac:
        dac.channel(1).set_list([0.1, -0.2])
        dac.channel(1).append_list([0.1, -0.2], binary=False)
        assert dac.channel(1).list_values.tolist() == [0.1, -0.2, 0.1, -0.2]


def test_a_trace_keeps_the_case_of_its_name():
    data = block(np.array([0.5], "<f4").tobytes())
    exchange = [
        ('trac:def "Up",1', None),
        NO_ERROR,
        (b'trac:data "Up",' + data + b"\n", None),
        NO_ERROR,
        ("trac:cat?", '"Up", "Down"'),
    ]
    with expected_protocol(Qdac2, exchange) as dac:
        dac.define_trace("Up", [0.5])
        assert dac.trace_names == ("Up", "Down")


def test_a_ramp_says_how_long_it_takes():
    exchange = [
        ("sour1:volt:mode?", "FIX"),
        ("sour1:volt:last?", "0.25"),
        ("sour1:volt 0.5", None),
        NO_ERROR,
        ("sour1:volt:slew?", "0.1"),
    ]
    with expected_protocol(Qdac2, exchange) as dac:
        assert dac.channel(1).ramp(0.5) == pytest.approx(2.5)


def test_currents_of_several_channels_are_asked_in_one_question():
    with expected_protocol(Qdac2, [("read? (@1,2,3)", "1e-9,2e-9,9.9e37"), NO_ERROR]) as dac:
        assert dac.currents([1, 2, 3]) == [1e-9, 2e-9, math.inf]


def test_an_empty_buffer_is_not_asked_for_its_readings():
    with expected_protocol(Qdac2, [("sens1:data:poin?", "0")]) as dac:
        assert dac.channel(1).take_currents() == []


def test_an_error_of_the_instrument_raises():
    with (
        expected_protocol(
            Qdac2, [("sour1:volt:trig 3", None), ("syst:err?", '-222, "Data out of range"'), NO_ERROR]
        ) as dac,
        pytest.raises(InstrumentError, match="-222") as raised,
    ):
        dac.channel(1).triggered_voltage = 3
    assert (raised.value.code, raised.value.text) == (-222, "Data out of range")


def test_connecting_and_protecting_send_nothing():
    with expected_protocol(Qdac2, []) as dac:
        dac.channel(1).protect(limits=(-1, 1), slew=0.1)
        assert dac.channel(1).protected
        assert not dac.channel(2).protected


@pytest.mark.parametrize("number", [0, 25, 1.5, True, "1"])
def test_there_are_24_channels(number):
    with expected_protocol(Qdac2, []) as dac, pytest.raises((ValueError, TypeError)):
        dac.channel(number)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("voltage", math.nan),
        ("voltage", 11),
        ("voltage", "1"),
        ("triggered_voltage", math.inf),
        ("slew", 0),
        ("slew", math.nan),
        ("mode", "fast"),
        ("voltage_range", "medium"),
        ("list_dwell", 0),
        ("trigger_source", "int15"),
        ("continuous", "on"),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(name, value):
    with expected_protocol(Qdac2, []) as dac, pytest.raises(ValueError, match=r"\S"):
        setattr(dac.channel(1), name, value)


@pytest.mark.parametrize("values", [[], [math.nan], [[1.0]], [math.inf]])
def test_a_list_of_nonsense_is_refused_before_anything_is_sent(values):
    with expected_protocol(Qdac2, []) as dac, pytest.raises(ValueError, match="list"):
        dac.channel(1).set_list(values)


@pytest.mark.parametrize("limits", [(1, -1), (math.nan, 1)])
def test_limits_are_in_ascending_order(limits):
    with expected_protocol(Qdac2, []) as dac, pytest.raises(ValueError, match="limits"):
        dac.channel(1).protect(limits=limits)


@pytest.mark.parametrize(
    "message",
    [
        "sour1:volt 5",
        ":SOURCE1:VOLTAGE 5",
        "*RST",
        "*rcl 1",
        "*TRG",
        "tint 1",
        'trac:data "a",5',
        "sour1:volt?;volt 5",
        "syst:err?;:sour1:volt 5",
        "sens1:rang low\nsour1:volt 5",
        "\tsour1:sine:init",
        "syst:pres",
        "volt 5",
        "sour1:volt?5;:sour1:volt 5",
    ],
)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_raw_message_that_could_move_an_output_is_not_sent(message, as_bytes):
    with expected_protocol(Qdac2, []) as dac, pytest.raises(OutputLimitError, match="move an output"):
        dac.write_bytes(message.encode() + b"\n") if as_bytes else dac.write(message)


@pytest.mark.parametrize("message", ["sens1:rang low", "outp:trig1:sour bus", "*cls", "abor", "syst:cloc:sync", "*opc"])
def test_a_raw_message_that_moves_nothing_is_sent(message):
    with expected_protocol(Qdac2, [(message, None), ("sour1:volt?", "1")]) as dac:
        dac.write(message)
        assert dac.ask("SOUR1:VOLT?") == "1"


def test_lists_of_different_lengths_are_refused_before_anything_is_sent():
    with expected_protocol(Qdac2, []) as dac:
        for lists in ({}, {1: [0, 1], 2: [0]}):
            with pytest.raises(ValueError, match="one length"):
                dac.load_lists(lists, 1e-3)
        with pytest.raises(RuntimeError, match="no lists"):
            dac.start_lists()


def test_currents_that_come_with_an_error_raise():
    exchange = [("read? (@1,7)", "1e-9,2e-9"), ("syst:err?", '-240, "Hardware error"'), NO_ERROR]
    with expected_protocol(Qdac2, exchange) as dac, pytest.raises(InstrumentError, match="-240"):
        dac.currents([1, 7])
