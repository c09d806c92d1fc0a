"""What each kind of parameter takes, refuses and answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.parameters import exponent_of_suffix, short_form


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("5", "5"),
        ("+7", "7"),
        ("1e3", "1000"),
        ("1.5E+1", "15"),
        ("12.5", "12"),
        ("13.5", "14"),
        (".6", "1"),
        ("1 E 2", "100"),
        ("#HfF", "255"),
        ("#q17", "15"),
        ("#B101", "5"),
        ("MIN", "1"),
        ("maximum", "16777216"),
        ("DEF", "1000"),
        ("  42\t", "42"),
    ],
)
def test_integers_are_taken_in_every_form_and_rounded(client, sent, answered):
    assert client.ask(f"SAMP:COUN {sent};COUN?") == answered
    assert client.errors() == []


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("0", -222),
        ("16777217", -222),
        ("-1", -222),
        ("1e400", -222),
        ("-1e400", -222),
        ("1e99999", -123),
        ("1" * 256, -124),
        ("5 S", -138),
        ("abc", -141),
        ("NAN", -141),
        ("INF", -141),
        ("1_000", -121),
        ("#H", -104),
        ("#HXY", -121),
        ("1.2.3", -121),
        ("'5'", -104),
        ("(@5)", -104),
        ("#15abcde", -168),
        ("", -109),
        ("5,6", -108),
        (",", -108),
        ("\xb2", -104),
    ],
)
def test_a_wrong_number_is_refused_and_changes_nothing(client, sent, number):
    client.send("SAMP:COUN 77")
    client.send(f"SAMP:COUN {sent}\n".encode("latin-1"))
    assert client.errors() == [number]
    assert client.ask("SAMP:COUN?") == "77"


@pytest.mark.parametrize(
    ("header", "sent", "value"),
    [
        ("SAMP:PER", "20 us", 20e-6),
        ("SAMP:PER", "1.5MS", 1.5e-3),
        ("SAMP:PER", "1e3 US", 1e-3),
        ("SAMP:PER", "0.001KS", 1.0),
        ("SAMP:PER", "2S", 2.0),
        ("SOUR:FREQ", "12 MHz", 12e6),
        ("SOUR:FREQ", "12MAHZ", 12e6),
        ("SOUR:FREQ", "1 GHZ", 1e9),
        ("SOUR3:VOLT", "250 mV", 0.25),
        ("SOUR3:VOLT", "1E-6MAV", 1.0),
    ],
)
def test_units_have_the_multipliers_of_488(client, header, sent, value):
    assert float(client.ask(f"{header} {sent};:{header}?")) == pytest.approx(value, rel=1e-6)
    assert client.errors() == []


@pytest.mark.parametrize(("sent", "number"), [("1 V", -131), ("1 QS", -131), ("1 SS", -131), ("1 M", -131)])
def test_a_wrong_unit_is_refused(client, sent, number):
    client.send(f"SAMP:PER {sent}")
    assert client.errors() == [number]


def test_mega_is_ma_except_for_hertz_and_ohm():
    assert exponent_of_suffix("MV", "V") == -3
    assert exponent_of_suffix("MAV", "V") == 6
    assert exponent_of_suffix("mohm", "Ohm") == 6
    with pytest.raises(ScpiError, match="-131"):
        exponent_of_suffix("", "V")


def test_a_quantised_setting_answers_the_value_in_force(client):
    assert float(client.ask("SAMP:PER 1.04E-6;PER?")) == pytest.approx(12 / 12e6)


def test_limits_are_answered_and_may_depend_on_the_state(client):
    assert client.ask("SAMP:COUN? MIN;COUN? MAX;COUN? DEF") == "1;16777216;1000"
    assert (
        client.ask("SAMP:COUN 10;:SOUR:LEV? MAX;LEV? DEF;LEV MAX;LEV?") == "+2.000000E+01;+5.000000E+00;+2.000000E+01"
    )
    assert client.ask("SAMP:WIND? MAX") == "+1.000000E+00,+1.000000E+00"
    client.send("SAMP:COUN? 5;MODE? MIN")
    assert client.errors() == [-108, -224]


@pytest.mark.parametrize(
    ("sent", "answered"), [("ON", "1"), ("off", "0"), ("1", "1"), ("0", "0"), ("0.4", "0"), ("-3", "1")]
)
def test_booleans_are_words_or_numbers(client, sent, answered):
    assert client.ask(f"OUTP {sent};OUTP?") == answered


@pytest.mark.parametrize(("sent", "number"), [("MAYBE", -224), ("'ON'", -224), ("", -109), ("ON,OFF", -108)])
def test_a_wrong_boolean_is_refused(client, sent, number):
    client.send(f"OUTP {sent}")
    assert client.errors() == [number]


def test_choices_have_short_and_long_forms_and_answer_the_short_one(client):
    assert client.ask("SAMP:MODE serial;MODE?;MODE RES;MODE?;MODE reset;MODE?") == "SER;RES;RES"
    client.send("SAMP:MODE SERI;MODE 1;MODE 'RES';MODE")
    assert client.errors() == [-224, -224, -224, -109]


def test_a_quoted_choice_is_a_string(client):
    assert client.ask("SENS:FUNC 'statistics';FUNC?") == '"STAT"'
    client.send("SENS:FUNC STAT;FUNC 'XXX'")
    assert client.errors() == [-104, -224]


def test_a_word_may_stand_for_a_number(client):
    assert client.ask("SAMP:THR?;THR 0.5;THR?;THR off;THR?") == "OFF;+5.000000E-01;OFF"


@pytest.mark.parametrize(
    ("sent", "text"),
    [("'a\"b'", 'a"b'), ('"a""b"', 'a"b'), ("'it''s; #1'", "it's; #1"), ('""', ""), ("'(@,)'", "(@,)")],
)
def test_strings_have_either_quote_and_doubled_ones_inside(client, source, sent, text):
    answer = client.ask(f"SOUR:LAB {sent};LAB?")
    assert source.label == text
    assert answer == '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("abc", -104),
        ("'abc", -151),
        ("'a' 'b'", -151),
        ("'a'b", -151),
        ("'thirteen char'", -223),
        ("'\xe9'", -151),
        ("'\x07'", -151),
        ("#13abc", -168),
    ],
)
def test_a_wrong_string_is_refused(client, source, sent, number):
    client.send(f"SOUR:LAB {sent}\n".encode("latin-1"))
    assert client.errors() == [number]
    assert source.label == ""


@pytest.mark.parametrize(
    ("sent", "channels", "answered"),
    [
        ("(@1:4,7)", (1, 2, 3, 4, 7), "(@1:4,7)"),
        ("(@5)", (5,), "(@5)"),
        ("(@ 8 : 6 , 1 )", (8, 7, 6, 1), "(@8,7,6,1)"),
        ("(@1,2,3,5)", (1, 2, 3, 5), "(@1:3,5)"),
    ],
)
def test_channel_lists_keep_their_order(client, source, sent, channels, answered):
    assert client.ask(f"SAMP:CELL {sent};CELL?") == answered
    assert source.cells == channels


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("(@0:4)", -222),
        ("(@1:999999999)", -222),
        ("(@1:9999999999)", -171),
        ("(@1,1)", -224),
        ("(@1:3,2)", -224),
        ("(@)", -171),
        ("(@1,)", -171),
        ("(@,1)", -171),
        ("(@1-3)", -171),
        ("(1:3)", -104),
        ("(@1:3", -171),
        ("3", -104),
        ("(@1)(@2)", -171),
    ],
)
def test_a_wrong_channel_list_is_refused(client, source, sent, number):
    client.send(f"SAMP:CELL {sent}")
    assert client.errors() == [number]
    assert source.cells == (1, 2, 3)


def test_optional_parameters_may_be_left_out(client, source):
    client.send("SOUR:COPY 1,2;COPY 3")
    assert source.log == [(1, 2), (3, None)]
    client.send("SOUR:COPY;COPY 1,2,3;COPY 1,;COPY 64")
    assert client.errors() == [-109, -108, -109, -222]
    assert source.log == [(1, 2), (3, None)]


# ---- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["REAL,32", "REAL,64", "INT,16"])
@pytest.mark.parametrize("order", ["NORM", "SWAP"])
def test_blocks_go_both_ways_in_every_format_and_byte_order(client, source, name, order):
    dtype = {"REAL,32": "f4", "REAL,64": "f8", "INT,16": "i2"}[name]
    values = np.array([1, -2, 300, 0x0A23]).astype(("<" if order == "SWAP" else ">") + dtype)
    payload = values.tobytes()
    client.send(f"FORM {name};:FORM:BORD {order}")
    client.send(b"SOUR:DATA #9%09d%s\n" % (len(payload), payload))
    assert client.errors() == []
    assert source.values.tolist() == values.tolist()
    assert source.values.dtype.isnative
    client.send("SOUR:DATA?;:SOUR:RAW?;*OPC?")
    raw = source.values.astype(source.values.dtype.newbyteorder("<" if order == "SWAP" else ">")).tobytes()
    assert client.read() == b"#9%09d%s;#9%09d%s;1" % (len(payload), payload, len(raw), raw)


def test_lists_are_taken_as_text_with_units_and_limits(client, source):
    assert client.ask("SOUR:DATA 1, -2.5,3e-3 ,250 mV,MAX,#H10;DATA?") == (
        "+1.000000E+00,-2.500000E+00,+3.000000E-03,+2.500000E-01,+1.000000E+06,+1.600000E+01"
    )
    client.send("SOUR:DATA 7")
    assert source.values.tolist() == [7.0]


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (b"1,2,x", -141),
        (b"1,,2", -109),
        (b"1,2,", -109),
        (b"", -109),
        (b"nan", -141),
        (b"1,1e999", -224),
        (b"1,2e6", -222),
        (b"#13abc", -161),
        (b"#14" + np.array([np.nan], ">f4").tobytes(), -224),
        (b"#14" + np.array([np.inf], ">f4").tobytes(), -224),
        (b"#14" + np.array([2e6], ">f4").tobytes(), -222),
        (b"#14abcd,1", -168),
        (b"'1'", -104),
        (b"1,(@1)", -104),
        (b"#0abc", -161),
        (b"1," * (1 << 20) + b"1", -223),
    ],
)
def test_a_wrong_array_is_refused_and_changes_nothing(client, source, sent, number):
    client.send("SOUR:DATA 1,2,3")
    client.send(b"SOUR:DATA " + sent + b"\n")
    assert client.errors() == [number]
    assert source.values.tolist() == [1.0, 2.0, 3.0]


def test_an_empty_block_is_an_empty_array(client, source):
    client.send(b"SOUR:DATA 1\n")
    client.send(b"SOUR:DATA #10\n")
    assert client.errors() == []
    assert source.values.size == 0


def test_records_are_taken_as_a_block_in_the_byte_order_of_the_session_or_as_text(client, source):
    edges = np.array([(1, 2, 0.5), (2, 300, -1.5)], source.edges.dtype)
    for swapped in (False, True):
        payload = edges.astype(edges.dtype.newbyteorder("<" if swapped else ">")).tobytes()
        client.send(f"FORM REAL,64;:FORM:BORD {'SWAP' if swapped else 'NORM'}")
        client.send(b"SOUR:EDG #216" + payload + b"\n")
        assert source.edges.tolist() == edges.tolist()
    client.send("SOUR:EDG 3,4,0.25")
    assert source.edges.tolist() == [(3, 4, 0.25)]
    client.send("SOUR:EDG 1,2;EDG 1,70000,1;EDG -1,2,1")
    client.send(b"SOUR:EDG #15abcde\n")
    assert client.errors() == [-109, -222, -222, -161]
    assert source.edges.tolist() == [(3, 4, 0.25)]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_arrays_survive_a_round_trip_as_text(make_client, values):
    client = make_client()
    sent = np.array(values)
    client.send("SOUR:DATA " + ",".join(f"{value:.17g}" for value in sent))
    assert np.array_equal(np.array(client.ask("SOUR:DATA?").split(","), float), sent)


@pytest.mark.parametrize(
    ("mnemonic", "short"), [("COUPling", "COUP"), ("*IDN", "*IDN"), ("off", "OFF"), ("COV", "COV"), ("CH2", "CH2")]
)
def test_the_short_form_is_the_capitals(mnemonic, short):
    assert short_form(mnemonic) == short
