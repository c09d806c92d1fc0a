import math

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers.arrays import block
from drivers.errors import InstrumentError, InstrumentTimeoutError
from drivers.keysight_53220a import CounterInput, Keysight53220A

NO_ERROR = ("SYST:ERR?", '+0,"No error"')
LITTLE = [("FORM?", "REAL,64"), ("FORM:BORD?", "SWAP")]

CONTROLS = [
    ("function", "totalize", 'FUNC "TOT"', '"TOT"'),
    ("function", "frequency", 'FUNC "FREQ"', '"FREQuency 1"'),
    ("gate_source", "external", "SENS:TOT:GATE:SOUR EXT", "EXTernal"),
    ("gate_source", "input2", "SENS:TOT:GATE:SOUR INP2", "INPut2"),
    ("gate_time", 1e-4, "SENS:TOT:GATE:TIME 0.0001", "+1.00000000000000E-004"),
    ("gate_polarity", "negative", "SENS:TOT:GATE:POL NEG", "neg"),
    ("frequency_gate_time", 0.5, "SENS:FREQ:GATE:TIME 0.5", "0.5"),
    ("gate_output_enabled", False, "OUTP 0", "OFF"),
    ("reading_timeout", 10.0, "SYST:TIM 10", "+1.00000000000000E+001"),
    ("reading_timeout", math.inf, "SYST:TIM INF", "+9.90000000000000E+037"),
    ("reading_timeout", math.inf, "SYST:TIM INF", "INF"),
    ("sample_count", 1000000, "SAMP:COUN 1000000", "+1000000"),
    ("trigger_source", "immediate", "TRIG:SOUR IMM", "IMM"),
    ("trigger_count", 2, "TRIG:COUN 2", "+2"),
    ("trigger_delay", 0.25, "TRIG:DEL 0.25", "+2.50000000000000E-001"),
    ("trigger_slope", "negative", "TRIG:SLOP NEG", "NEG"),
    ("display_enabled", True, "DISP 1", "1"),
    ("data_format", "ASCii", "FORM ASC", "ASC,15"),
    ("byte_order", "big", "FORM:BORD NORM", "NORMal"),
]

INPUTS = [
    ("threshold", -0.05, "LEV -0.05", "-5.00000000000000E-002"),
    ("relative_threshold", 30, "LEV:REL 30", "+30"),
    ("automatic_threshold", False, "LEV:AUTO 0", "0"),
    ("slope", "negative", "SLOP NEG", "NEG"),
    ("coupling", "dc", "COUP DC", "dc"),
    ("impedance", 50, "IMP 50", "+5.00000000000000E+001"),
    ("impedance", 1e6, "IMP 1e+06", "+1.00000000000000E+006"),
    ("range", 50, "RANG 50", "+5.0E+001"),
    ("low_pass_enabled", True, "FILT 1", "1"),
    ("noise_rejection_enabled", False, "NREJ 0", "0"),
]

MEASUREMENTS = [
    ("id", "*IDN?", "Keysight Technologies,53220A,MY1,03.02", "Keysight Technologies,53220A,MY1,03.02"),
    ("configuration", "CONF?", '"TOT +1.0E-001,(@1)"', "TOT +1.0E-001,(@1)"),
    ("points", "DATA:POIN?", "+1000000", 1000000),
    ("last_reading", "DATA:LAST?", "+1.21510000000000E+004", 12151),
    ("event_status", "*ESR?", "1", 1),
    ("operation_condition", "STAT:OPER:COND?", "16", 16),
    ("questionable_condition", "STAT:QUES:COND?", "0", 0),
]


@pytest.mark.parametrize(("name", "value", "command", "reply"), CONTROLS, ids=[f"{r[2]} {r[3]}" for r in CONTROLS])
def test_every_register_is_set_checked_and_read_as_the_manual_says(name, value, command, reply):
    query = command.split(" ")[0] + "?"
    with expected_protocol(Keysight53220A, [(command, None), NO_ERROR, (query, reply)]) as counter:
        setattr(counter, name, value)
        assert getattr(counter, name) == value


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(("name", "value", "command", "reply"), INPUTS, ids=[row[2] for row in INPUTS])
def test_every_register_of_an_input_is_set_checked_and_read_as_the_manual_says(number, name, value, command, reply):
    command = f"INP{number}:{command}"
    query = command.split(" ")[0] + "?"
    with expected_protocol(Keysight53220A, [(command, None), NO_ERROR, (query, reply)]) as counter:
        setattr(counter.inputs[number], name, value)
        assert getattr(counter.inputs[number], name) == value


@pytest.mark.parametrize(("name", "query", "reply", "value"), MEASUREMENTS, ids=[row[1] for row in MEASUREMENTS])
def test_every_reading_is_asked_as_the_manual_says(name, query, reply, value):
    with expected_protocol(Keysight53220A, [(query, reply)]) as counter:
        assert getattr(counter, name) == value


def properties(kind):
    members = {name: getattr(kind, name) for name in dir(kind) if name[0] != "_"}
    return {name: member for name, member in members.items() if isinstance(member, property)}


@pytest.mark.parametrize("kind", [Keysight53220A, CounterInput])
def test_the_docstring_of_a_property_begins_with_its_verb_and_ends_as_a_sentence(kind):
    for name, member in properties(kind).items():
        if name == "lock":
            continue
        verbs = ("Control", "Get", "Measure", "Set") if member.fset else ("Get", "Measure")
        assert member.__doc__.strip().split()[0] in verbs, name
        assert member.__doc__.strip().endswith("."), name


def test_every_property_of_the_counter_has_a_line_in_the_tables_here():
    inherited = {"complete", "status", "options", "next_error"}
    assert set(properties(Keysight53220A)) - inherited == {row[0] for row in CONTROLS + MEASUREMENTS}
    assert set(properties(CounterInput)) - {"lock"} == {row[0] for row in INPUTS}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("function", "TOT"),
        ("gate_time", 50e-6),
        ("gate_time", 1001),
        ("gate_source", "input3"),
        ("reading_timeout", 0),
        ("reading_timeout", 2001),
        ("sample_count", 1_000_001),
        ("trigger_source", "internal"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_before_anything_is_sent(name, value):
    with expected_protocol(Keysight53220A, []) as counter, pytest.raises(ValueError, match=r"\S"):
        setattr(counter, name, value)


@pytest.mark.parametrize(("name", "value"), [("threshold", 60), ("range", 10), ("impedance", 75), ("coupling", "AC")])
def test_a_value_that_an_input_does_not_have_is_refused_before_anything_is_sent(name, value):
    with expected_protocol(Keysight53220A, []) as counter, pytest.raises(ValueError, match=r"\S"):
        setattr(counter.inputs[1], name, value)


def test_an_error_at_an_input_raises():
    exchange = [("INP1:LEV 6", None), ("SYST:ERR?", '-222,"Data out of range"'), NO_ERROR]
    with pytest.raises(InstrumentError) as raised, expected_protocol(Keysight53220A, exchange) as counter:
        counter.inputs[1].threshold = 6
    assert raised.value.command == "INP1:LEV 6"


TIMED = "ABOR;:CONF:TOT:TIM 0.01,(@2);:INP2:LEV 0.05;:SAMP:COUN 100;:SENS:TOT:GATE:SOUR TIME;:SYST:TIM INF"
EXTERNAL = (
    "ABOR;:CONF:TOT:TIM 0.0001,(@1);:INP1:LEV -0.05;:SAMP:COUN 7;:SENS:TOT:GATE:SOUR EXT;:SYST:TIM INF"
    ";:SENS:TOT:GATE:POL POS;:OUTP 0"
)


def test_timed_gates_are_begun_with_the_level_after_the_configuration():
    with expected_protocol(Keysight53220A, [(TIMED, None), NO_ERROR, ("INIT", None), NO_ERROR]) as counter:
        counter.arm_totalise(gates=100, gate_time=0.01, threshold=0.05, channel=2)


def test_external_gates_need_no_time():
    with expected_protocol(Keysight53220A, [(EXTERNAL, None), NO_ERROR, ("INIT", None), NO_ERROR]) as counter:
        counter.arm_totalise(gates=7, threshold=-0.05, gate_time=1e-6, source="external")


def test_counting_that_the_counter_refuses_is_not_begun():
    exchange = [(TIMED, None), ("SYST:ERR?", '-222,"Data out of range"'), NO_ERROR]
    with pytest.raises(InstrumentError), expected_protocol(Keysight53220A, exchange) as counter:
        counter.arm_totalise(gates=100, gate_time=0.01, threshold=0.05, channel=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gates": 0},
        {"gates": 1_000_001},
        {"gate_time": None},
        {"gate_time": 1e-5},
        {"threshold": 60},
        {"threshold": float("nan")},
        {"channel": 3},
        {"source": "input1"},
    ],
    ids=str,
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(wrong):
    with expected_protocol(Keysight53220A, []) as counter, pytest.raises(ValueError, match=r"\S"):
        counter.arm_totalise(**{"gates": 1, "gate_time": 0.01, "threshold": 0.05, **wrong})


def taken(*values):
    return [
        *LITTLE,
        ("STAT:OPER:COND?", "0"),
        ("DATA:POIN?", str(len(values))),
        (f"R? {len(values)}", block(np.array(values, "<f8").tobytes()) + b"\n"),
        ("STAT:QUES:COND?", "0"),
        NO_ERROR,
    ]


def test_counts_are_whole_numbers():
    with expected_protocol(Keysight53220A, taken(0.0, 12151.0, 2.0**52)) as counter:
        counts = counter.counts(3)
    assert counts.dtype == np.int64
    assert counts.tolist() == [0, 12151, 2**52]


def test_a_gate_that_the_counter_gave_up_raises():
    with (
        pytest.raises(InstrumentTimeoutError, match="1 gates, first 2"),
        expected_protocol(Keysight53220A, taken(1.0, 9.91e37)) as counter,
    ):
        counter.counts(2)


FREQUENCY = "ABOR;:CONF:FREQ (@2);:INP2:LEV 0.5;:SENS:FREQ:GATE:TIME 0.25;:SYST:TIM 1.25"


def test_a_frequency_is_measured_with_the_level_after_the_configuration():
    exchange = [(FREQUENCY, None), NO_ERROR, ("INIT", None), NO_ERROR, *taken(1.25e6)]
    with expected_protocol(Keysight53220A, exchange) as counter:
        assert counter.measure_frequency(2, threshold=0.5, gate_time=0.25) == 1.25e6


def test_a_signal_that_does_not_come_raises():
    exchange = [(FREQUENCY, None), NO_ERROR, ("INIT", None), NO_ERROR, *taken(9.91e37)]
    with (
        pytest.raises(InstrumentTimeoutError, match="input 2"),
        expected_protocol(Keysight53220A, exchange) as counter,
    ):
        counter.measure_frequency(2, threshold=0.5, gate_time=0.25)
