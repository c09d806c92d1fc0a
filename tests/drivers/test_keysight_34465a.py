import math

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers.arrays import block
from drivers.errors import InstrumentError, MissingReadingsError, OverloadError, ReplyError
from drivers.keysight_34465a import Keysight34465A

NO_ERROR = ("SYST:ERR?", '+0,"No error"')
LITTLE = [("FORM?", "REAL,64"), ("FORM:BORD?", "SWAP")]
DONE = [("STAT:OPER:COND?", "0"), ("DATA:POIN?", "1")]

CONTROLS = [
    ("function", "voltage", 'FUNC "VOLT"', '"VOLT"'),
    ("function", "current", 'FUNC "CURR"', '"CURR:DC"'),
    ("function", "voltage", 'FUNC "VOLT"', "VOLTage:dc"),
    ("voltage_range", 0.1, "VOLT:RANG 0.1", "+1.00000000E-01"),
    ("voltage_autorange", False, "VOLT:RANG:AUTO 0", "0"),
    ("voltage_nplc", 0.02, "VOLT:NPLC 0.02", "+2.00000000E-02"),
    ("voltage_aperture", 1e-3, "VOLT:APER 0.001", "+1.00000000E-03"),
    ("voltage_autozero", True, "VOLT:ZERO:AUTO 1", "ON"),
    ("current_range", 1e-6, "CURR:RANG 1e-06", "1e-6"),
    ("current_autorange", True, "CURR:RANG:AUTO 1", "1"),
    ("current_nplc", 100.0, "CURR:NPLC 100", "100"),
    ("current_aperture", 0.5, "CURR:APER 0.5", "+5.00000000E-01"),
    ("current_autozero", False, "CURR:ZERO:AUTO 0", "OFF"),
    ("automatic_impedance", True, "INP:IMP:AUTO 1", "1"),
    ("sample_count", 1000000000, "SAMP:COUN 1000000000", "+1000000000"),
    ("sample_count", 3, "SAMP:COUN 3", "+3.00000000E+00"),
    ("sample_source", "timer", "SAMP:SOUR TIM", "TIMer"),
    ("sample_interval", 0.25, "SAMP:TIM 0.25", "+2.50000000E-01"),
    ("trigger_source", "external", "TRIG:SOUR EXT", "ext"),
    ("trigger_source", "bus", "TRIG:SOUR BUS", '"BUS"'),
    ("trigger_count", 7, "TRIG:COUN 7", "+7.00000000E+00"),
    ("trigger_count", math.inf, "TRIG:COUN INF", "9.9E37"),
    ("trigger_count", math.inf, "TRIG:COUN INF", "INF"),
    ("trigger_delay", 1.5e-3, "TRIG:DEL 0.0015", "+1.50000000E-03"),
    ("automatic_delay", True, "TRIG:DEL:AUTO 1", "1"),
    ("trigger_slope", "positive", "TRIG:SLOP POS", "POSITIVE"),
    ("display_enabled", False, "DISP 0", "0"),
    ("data_format", "ASCii", "FORM ASC", "ASC,9"),
    ("data_format", "REAL,64", "FORM REAL,64", "real,64"),
    ("data_format", "REAL,32", "FORM REAL,32", "REAL,+32"),
    ("byte_order", "little", "FORM:BORD SWAP", "SWAP"),
]

MEASUREMENTS = [
    ("id", "*IDN?", "Keysight Technologies,34465A,MY1,A", "Keysight Technologies,34465A,MY1,A"),
    ("configuration", "CONF?", '"VOLT +1.0E+01,+1.0E-06"', "VOLT +1.0E+01,+1.0E-06"),
    ("line_frequency", "SYST:LFR?", "+5.00000000E+01", 50),
    ("shortest_aperture", "VOLT:APER? MIN", "+2.00000000E-04", 2e-4),
    ("shortest_interval", "SAMP:TIM? MIN", "+1.02000000E-03", 1.02e-3),
    ("configuration", "CONF?", "'VOLT +1.0E+01,+1.0E-06'", "VOLT +1.0E+01,+1.0E-06"),
    ("points", "DATA:POIN?", "+12", 12),
    ("points", "DATA:POIN?", "+1.20000000E+01", 12),
    ("last_reading", "DATA:LAST?", "-4.79221344E-04 VDC", -4.79221344e-04),
    ("last_reading", "DATA:LAST?", "-4.79221344E-04", -4.79221344e-04),
    ("last_reading", "DATA:LAST?", "+9.90000000E+37 VDC", pytest.approx(math.nan, nan_ok=True)),
    ("event_status", "*ESR?", "+1", 1),
    ("operation_condition", "STAT:OPER:COND?", "+32", 32),
    ("operation_condition", "STAT:OPER:COND?", "+3.20000000E+01", 32),
    ("questionable_condition", "STAT:QUES:COND?", "16384", 16384),
]


@pytest.mark.parametrize(("name", "value", "command", "reply"), CONTROLS, ids=[f"{r[2]} {r[3]}" for r in CONTROLS])
def test_every_register_is_set_checked_and_read_as_the_manual_says(name, value, command, reply):
    query = command.split(" ")[0] + "?"
    with expected_protocol(Keysight34465A, [(command, None), NO_ERROR, (query, reply)]) as meter:
        setattr(meter, name, value)
        read = getattr(meter, name)
    assert read == pytest.approx(value) if isinstance(value, float) else read == value


@pytest.mark.parametrize(
    ("name", "query", "reply", "value"), MEASUREMENTS, ids=[f"{r[1]} {r[2]}" for r in MEASUREMENTS]
)
def test_every_reading_is_asked_as_the_manual_says(name, query, reply, value):
    with expected_protocol(Keysight34465A, [(query, reply)]) as meter:
        assert getattr(meter, name) == value


def properties():
    members = {name: getattr(Keysight34465A, name) for name in dir(Keysight34465A) if name[0] != "_"}
    return {name: member for name, member in members.items() if isinstance(member, property)}


@pytest.mark.parametrize("name", properties())
def test_the_docstring_of_a_property_begins_with_its_verb_and_ends_as_a_sentence(name):
    member = properties()[name]
    verbs = ("Control", "Get", "Measure", "Set") if member.fset else ("Get", "Measure")
    assert member.__doc__.strip().split()[0] in verbs
    assert member.__doc__.strip().endswith(".")


def test_every_property_of_the_meter_has_a_line_in_the_tables_here():
    inherited = {"complete", "status", "options", "next_error"}
    assert set(properties()) - inherited == {row[0] for row in CONTROLS} | {row[0] for row in MEASUREMENTS}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("function", "VOLT"),
        ("voltage_range", 1001),
        ("current_range", -1),
        ("voltage_nplc", 0),
        ("voltage_aperture", 1.5),
        ("current_aperture", float("nan")),
        ("voltage_autozero", 2),
        ("sample_count", 0),
        ("sample_count", 1.5),
        ("trigger_count", 0),
        ("trigger_count", 1_000_001),
        ("trigger_count", "3"),
        ("trigger_source", "level"),
        ("trigger_delay", -1),
        ("data_format", "INTeger,16"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_before_anything_is_sent(name, value):
    with expected_protocol(Keysight34465A, []) as meter, pytest.raises(ValueError, match=r"\S"):
        setattr(meter, name, value)


@pytest.mark.parametrize("reply", ['"RES"', "VOLT1", ""])
def test_a_function_that_is_not_known_is_a_reply_error(reply):
    with pytest.raises(ReplyError), expected_protocol(Keysight34465A, [("FUNC?", reply)]) as meter:
        _ = meter.function


def test_configuration_chooses_a_range_or_follows_the_signal():
    exchange = [("CONF:VOLT:DC", None), NO_ERROR, ("CONF:CURR:DC 1e-06", None), NO_ERROR]
    with expected_protocol(Keysight34465A, exchange) as meter:
        meter.configure()
        meter.configure("current", 1e-6)
        with pytest.raises(ValueError, match="1001"):
            meter.configure("voltage", 1001)


SERIES = [
    (
        {"readings": 200, "range": 10, "aperture": 1e-3, "delay": 2e-3, "source": "external"},
        "CONF:VOLT:DC 10;:VOLT:ZERO:AUTO 0;:VOLT:APER 0.001;:TRIG:DEL 0.002;:SAMP:COUN 1;:TRIG:COUN 200;:TRIG:SOUR EXT",
    ),
    (
        {"readings": 5, "range": 1e-6, "nplc": 1, "function": "current", "autozero": True},
        "CONF:CURR:DC 1e-06;:CURR:ZERO:AUTO 1;:CURR:NPLC 1;:TRIG:DEL 0;:SAMP:COUN 5;:TRIG:COUN 1;:TRIG:SOUR IMM",
    ),
    (
        {"readings": 2, "range": 1, "nplc": 0.02, "source": "bus"},
        "CONF:VOLT:DC 1;:VOLT:ZERO:AUTO 0;:VOLT:NPLC 0.02;:TRIG:DEL 0;:SAMP:COUN 1;:TRIG:COUN 2;:TRIG:SOUR BUS",
    ),
]


@pytest.mark.parametrize(("arguments", "commands"), SERIES, ids=["external", "immediate", "bus"])
def test_a_series_is_configured_in_one_message_checked_and_begun(arguments, commands):
    exchange = [
        ("ABOR;:" + commands, None),
        NO_ERROR,
        ("SAMP:TIM? MIN", "+1.02000000E-03"),
        ("INIT", None),
        NO_ERROR,
    ]
    with expected_protocol(Keysight34465A, exchange) as meter:
        assert meter.arm(**arguments) == pytest.approx(1.03e-3)


def test_a_series_that_the_meter_refuses_is_not_begun():
    exchange = [("ABOR;:" + SERIES[0][1], None), ("SYST:ERR?", '-222,"Data out of range"'), NO_ERROR]
    with pytest.raises(InstrumentError) as raised, expected_protocol(Keysight34465A, exchange) as meter:
        meter.arm(**SERIES[0][0])
    assert raised.value.code == -222


@pytest.mark.parametrize(
    "wrong",
    [
        {"readings": 0},
        {"readings": 1_000_001},
        {"range": 1001},
        {"range": float("nan")},
        {"aperture": None},
        {"nplc": 1},
        {"aperture": 2.0},
        {"aperture": None, "nplc": 200},
        {"delay": -1},
        {"source": "level"},
        {"function": "resistance"},
    ],
    ids=str,
)
def test_a_series_with_a_wrong_argument_is_refused_before_anything_is_sent(wrong):
    with expected_protocol(Keysight34465A, []) as meter, pytest.raises(ValueError, match=r"\S"):
        meter.arm(**{**SERIES[0][0], **wrong})


def single(value):
    return [
        ("ABOR;:TRIG:SOUR IMM;:TRIG:COUN 1;:SAMP:COUN 1", None),
        NO_ERROR,
        ("INIT", None),
        NO_ERROR,
        *LITTLE,
        *DONE,
        ("R? 1", block(np.array([value], "<f8").tobytes()) + b"\n"),
        ("STAT:QUES:COND?", "0"),
        NO_ERROR,
    ]


def test_one_reading_is_taken_with_the_settings_in_force():
    with expected_protocol(Keysight34465A, single(-0.125)) as meter:
        assert meter.measure() == -0.125


@pytest.mark.parametrize(
    ("value", "error"), [(9.9e37, OverloadError), (-9.9e37, OverloadError), (9.91e37, MissingReadingsError)]
)
def test_one_reading_beyond_the_range_or_not_taken_raises(value, error):
    with pytest.raises(error), expected_protocol(Keysight34465A, single(value)) as meter:
        meter.measure()


@pytest.mark.parametrize(("error", "builtin"), [(OverloadError, OverflowError), (MissingReadingsError, RuntimeError)])
def test_errors_are_also_the_builtin_they_are(error, builtin):
    assert issubclass(error, builtin)


def test_constructing_a_driver_sends_nothing():
    with expected_protocol(Keysight34465A, []):
        pass


def test_a_function_that_the_driver_does_not_serve_is_not_taken_for_another():
    with (
        expected_protocol(Keysight34465A, [("FUNC?", '"VOLT:AC"')]) as meter,
        pytest.raises(ReplyError, match="VOLT:AC"),
    ):
        _ = meter.function
