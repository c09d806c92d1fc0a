"""Declarations, common commands, memories, conditions."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_devices.scpi import Instrument, Integer, Numbers, Real, ScpiError, command, query, setting

IDENTITY = "Szilard,Source,SN1,1.0"


@pytest.mark.parametrize(
    ("query_", "answer"),
    [
        ("*IDN?", IDENTITY),
        ("*TST?", "0"),
        ("*OPT?", "0"),
        ("*STB?;*ESE?;*SRE?;*PSC?;*ESR?", "0;0;0;1;0"),
        ("SYST:VERS?", "1999.0"),
        ("SYST:ERR?", '0,"No error"'),
        ("SYST:ERR:NEXT?", '0,"No error"'),
        ("SYST:ERR:ALL?", '0,"No error"'),
        ("SYST:ERR:COUN?", "0"),
        ("FORM?;:FORM:BORD?", "ASC;NORM"),
        ("STAT:OPER:PTR?;NTR?;ENAB?;COND?", "32767;0;0;0"),
        ("STAT:QUES?;QUES:PTR? MAX", "0;32767"),
    ],
)
def test_a_fresh_instrument_answers(client, query_, answer):
    assert client.ask(query_) == answer
    assert client.errors() == []


def test_reset_restores_settings_and_the_format_but_not_the_enables(client, source):
    source.values = [1.0]
    client.send("SAMP:COUN 5;MODE SER;:SOUR2:VOLT 3;:FORM REAL,64;:FORM:BORD SWAP;*ESE 7;*RST")
    assert client.ask("SAMP:COUN?;MODE?;:SOUR2:VOLT?;:FORM?;:FORM:BORD?;*ESE?") == "1000;RES;+0.000000E+00;ASC;NORM;7"
    assert len(source.values) == 0


def test_what_lrn_answers_restores_every_setting(client, source, make_client):
    client.send("SAMP:COUN 5;MODE SER;CELL (@2,5:7);WIND -0.1,0.3;THR 0.25;PER 2E-6")
    client.send("SOUR2:VOLT 3;:SOUR:LAB 'it''s \"x\"';:OUTP ON;:SENS:FUNC 'STAT';:SOUR:LEV 1.234567891;:FORM REAL,32")
    learned = client.ask("*LRN?")
    before = dict(source.settings, voltage=dict(source.voltage))
    other = make_client()
    other.send(learned)
    assert other.errors() == []
    assert other.source.settings == before
    client.send("*RST")
    client.send(learned)
    assert source.settings == before


def test_memories_keep_settings(client, source):
    client.send("SOUR2:VOLT 3;:SAMP:COUN 5;*SAV 3;:SOUR2:VOLT 4;:SAMP:COUN 6")
    assert client.ask("*RCL 3;:SOUR2:VOLT?;:SAMP:COUN?") == "+3.000000E+00;5"
    client.send("SOUR2:VOLT 4;*RST")
    assert client.ask("*RCL 3;:SOUR2:VOLT?;:SAMP:COUN?") == "+3.000000E+00;5"
    client.send("*RCL 4;*SAV 10;*RCL")
    assert client.errors() == [-224, -222, -109]


def test_the_list_of_headers_is_complete_and_every_header_is_known(client, source):
    client.send("SYST:HELP:HEAD?")
    reply = client.read()
    assert int(reply[2:11]) == len(reply) - 11
    lines = reply[11:].decode().split("\n")
    assert {"*IDN?/qonly/", "*CLS/nquery/", "*ESE", ":SAMPle:COUNt", ":SOURce<1:4>:VOLTage[:LEVel]"} <= set(lines)
    assert len(lines) == len(set(lines)) > 50
    for line in lines:
        header = re.sub(r"<.*?>|[\[\]]", "", line.split("/")[0])
        client.send(header + ("" if header.endswith("?") else " "))
        client.session.clear()
        assert -113 not in client.errors(), line


def test_conditions_become_events_in_every_session(make_client, source):
    one, two = make_client(source), make_client(source)
    one.send("STAT:OPER:PTR 0;NTR 16;ENAB 16;:STAT:QUES:ENAB 4096;*SRE 136")
    source.set_condition("operation", 4, True)
    source.set_condition("questionable", 12, True)
    assert one.session.read_stb() == 64 + 8
    assert one.session.read_stb() == 8
    assert two.session.read_stb() == 0
    assert one.ask("STAT:OPER:COND?;:STAT:OPER?;:STAT:QUES?") == "16;0;4096"
    assert two.ask("STAT:OPER:COND?;:STAT:OPER?;:STAT:QUES?") == "16;16;4096"
    source.set_condition("operation", 4, False)
    assert one.session.read_stb() == 64 + 128
    assert one.ask("STAT:OPER?;OPER?;:STAT:PRES;:STAT:OPER:ENAB?;PTR?;NTR?") == "16;0;0;32767;0"
    assert make_client(source).ask("STAT:QUES:COND?;:STAT:QUES?") == "4096;0"


def test_a_request_for_service_comes_once_for_each_reason(client):
    client.send("*SRE 16")
    for _ in range(2):
        client.send("*IDN?")
        assert [client.session.read_stb(), client.session.read_stb()] == [64 + 16, 16]
        client.read()
        assert client.session.read_stb() == 0
    client.send("*SRE 4;NONSENSE")
    assert client.session.read_stb() == 64 + 4
    assert client.ask("*STB?") == str(64 + 4)


def test_errors_nobody_asked_for_reach_every_session(make_client, source):
    clients = [make_client(source), make_client(source)]
    source.report(ScpiError(101))
    assert [client.ask("SYST:ERR?") for client in clients] == ['101,"Interlock open"'] * 2
    assert [client.ask("*ESR?") for client in clients] == ["8"] * 2


def test_a_group_execute_trigger_is_trg(client, source):
    client.session.trigger()
    client.send("*TRG")
    assert source.log == ["trigger", "trigger"]
    plain = Instrument("A,B,C,D").open_session("x")
    plain.trigger()
    assert plain.errors.pop()[0] == -211


def test_closing_the_instrument_closes_its_sessions(make_client, source):
    clients = [make_client(source), make_client(source)]
    source.close()
    assert all(client.session.closed for client in clients)
    assert source.sessions == []


def test_a_setting_is_an_attribute(source):
    assert source.count == 1000
    assert source.voltage == {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}
    source.count = 7
    assert source.settings["count"] == 7


def test_a_change_that_fails_is_undone(make_client):
    class Fragile(Instrument):
        gain = setting("GAIN", Real(0, 10), reset=1.0)
        tap = setting("TAP<1:2>:GAIN", Real(0, 10), reset=1.0)

        @gain.changed
        def apply(self, value):
            if value > 5:
                raise ScpiError(-221, "too much")

        @tap.changed
        def apply_tap(self, number, value):
            raise ScpiError(-221, f"tap {number}")

    client = make_client(Fragile("A,B,C,D"))
    assert client.ask("GAIN 3;GAIN 7;GAIN?;:TAP2:GAIN 4;GAIN?") == "+3.000000E+00;+1.000000E+00"
    assert client.errors() == [-221, -221]


def test_a_subclass_may_replace_remove_and_add_declarations(make_client):
    class Base(Instrument):
        gain = setting("GAIN", Integer(0, 10), reset=1)
        old = setting("OLD", Integer(0, 10), reset=1)

    class Derived(Base):
        gain = setting("GAIN", Integer(0, 100), reset=2)
        old = None

        @query("*TST?")
        def test(self, session):
            return 5

    client = make_client(Derived("A,B,C,D"))
    assert client.ask("GAIN 50;GAIN?;*TST?") == "50;5"
    client.send("OLD 5")
    assert client.errors() == [-113]
    assert make_client(Base("A,B,C,D")).ask("*TST?;OLD?") == "0;1"


def test_declarations_that_contradict_each_other_are_refused():
    with pytest.raises(TypeError, match=r"both declare GAIN"):

        class Twice(Instrument):
            gain = setting("GAIN", Integer(0, 10), reset=1)

            @command("GAIN", Integer(0, 10))
            def set_gain(self, session, value): ...

    with pytest.raises(TypeError, match=r"hides the declaration of \*CLS"):

        class Hidden(Instrument):
            def _common_clear_status(self): ...

    with pytest.raises(ValueError, match="last parameter"):
        command("DATA", Numbers(), Integer(0, 1))(lambda *_: None)
    with pytest.raises(ValueError, match="takes a parameter"):
        setting("GAIN", reset=1)


def test_a_declaration_needs_a_name():
    with pytest.raises((TypeError, RuntimeError)) as caught:

        class Nameless(Instrument):
            @command("GAIN")
            def _(self, session): ...

    assert "GAIN needs a name" in str(caught.value.__cause__ or caught.value)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-10, max_value=10))
def test_a_float_survives_a_round_trip(make_client, value):
    client = make_client()
    client.send(f"SOUR2:VOLT {value!r}")
    assert client.errors() == []
    assert float(client.ask("SOUR2:VOLT?")) == client.source.voltage[2] == value


@pytest.mark.parametrize(
    ("sent", "answer", "errors"),
    [
        ("ASC", "ASC", []),
        ("ascii,0", "ASC", []),
        ("REAL", "REAL,32", []),
        ("REAL,64", "REAL,64", []),
        ("INTEGER,16", "INT,16", []),
        ("REAL,16", "ASC", [-224]),
        ("ASC,9", "ASC", [-224]),
        ("INT,32", "ASC", [-224]),
        ("UINT,16", "ASC", [-224]),
        ("REAL,32,1", "ASC", [-108]),
    ],
)
def test_format_takes_what_the_instrument_has(client, sent, answer, errors):
    client.send(f"FORM {sent}")
    assert client.errors() == errors
    assert client.ask("FORM?") == answer
