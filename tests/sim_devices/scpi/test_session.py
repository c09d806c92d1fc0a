"""The exchange of messages: replies, errors in the middle, broken exchanges, several clients."""

import threading

import numpy as np
import pytest

from sim_devices.scpi import session as session_module
from sim_devices.scpi.program import UNIT_LIMIT

IDENTITY = "Szilard,Source,SN1,1.0"


def test_the_replies_of_a_message_are_joined_in_one_line(client):
    client.send(":SAMP:COUN 5;COUN?;MODE?;*IDN?;PER?;:OUTP?;*OPC?")
    assert client.read() == b"5;RES;Szilard,Source,SN1,1.0;+1.000000E-03;0;1"
    assert client.silent()


@pytest.mark.parametrize("text", ["*IDN?\r", "  *idn?  ", ";;*IDN?;", ":SAMP:COUN 4;*IDN?", "\t*IDN?;;"])
def test_white_space_and_empty_units_do_not_matter(client, text):
    assert client.ask(text) == IDENTITY
    assert client.errors() == []


def test_the_units_after_a_wrong_one_are_carried_out(client):
    assert client.ask("SAMP:COUN 0;NONSENSE 1;:SAMP:COUN 8;COUN?;MODE X;*IDN") == "8"
    assert client.errors() == [-222, -113, -224, -113]


def test_the_rest_of_a_message_without_end_of_unit_is_dropped(client):
    client.send('SAMP:COUN 4;:SOUR:LAB "abc;:SAMP:COUN 5')
    assert client.errors() == [-151]
    assert client.ask("SAMP:COUN?") == "4"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1ABC", -102),
        ("*", -102),
        ("?", -102),
        ("SAMP::COUN 5", -103),
        ("SAMP:COUN,5", -103),
        ("*IDN?5", -103),
        ("SAMP:COUN?5", -103),
        ("*IDN? 5", -108),
        ("*RST 1", -108),
        ("\xff\xfe", -102),
        ("(@1)", -102),
        ("#15abcde", -102),
        ("SAMP:COUNTINGEVERYTHING 5", -112),
        ("*SAV 10", -222),
        ("SOUR5:VOLT 1", -114),
        ("SYST:ERR", -113),
        ("*CLS?", -113),
    ],
)
def test_a_malformed_unit_has_its_number(client, text, number):
    client.send(f"{text}\n".encode("latin-1"))
    assert client.errors() == [number]
    assert client.ask("*IDN?") == IDENTITY


def test_errors_say_what_where_and_what_is_allowed(client):
    assert client.ask("SAMP:COUN 0;:SYST:ERR?") == ('-222,"Data out of range;SAMP:COUN: 0 is not within 1 to 16777216"')
    assert client.ask("FOO:BAR 1;:SYST:ERR?") == '-113,"Undefined header;FOO:BAR"'
    assert client.ask("FAUL:INT;:SYST:ERR?") == '101,"Interlock open;FAUL:INT: the lid is open"'


def test_error_texts_stay_short_and_printable(client):
    client.send(b'SOUR:LAB "' + b"\x01\x80\xff" * 500 + b'"\n')
    client.send(b"\x01\x80" * 500 + b"\n")
    for text in (client.ask("SYST:ERR?"), client.ask("SYST:ERR?")):
        assert text.isascii()
        assert text.isprintable()
        assert text.count('"') == 2
        assert len(text) < 270


def test_a_fault_of_the_instrument_is_an_error_number(client):
    client.send("FAUL:DIV;MEM;OBJ?")
    assert client.errors() == [-310, -321, -310]
    assert client.ask("*IDN?") == IDENTITY


def test_a_message_has_a_bounded_number_of_units(client):
    client.send(b"*CLS;" * (UNIT_LIMIT + 5) + b"*IDN?\n")
    assert client.errors() == [-223]
    assert client.silent()


def test_a_reply_is_read_in_pieces(client):
    client.send("*IDN?;*IDN?")
    pieces = []
    while not pieces or not pieces[-1][1]:
        pieces.append(client.session.read(10, 1.0))
    assert b"".join(data for data, _ in pieces) == f"{IDENTITY};{IDENTITY}\n".encode()
    assert [end for _, end in pieces] == [False] * (len(pieces) - 1) + [True]


def test_a_message_may_arrive_in_pieces_or_with_end_instead_of_newline(client):
    for piece in (b"*I", b"DN", b"?", b"\n"):
        client.session.write(piece)
    assert client.read().decode() == IDENTITY
    client.session.write(b"*IDN?", end=True)
    assert client.read().decode() == IDENTITY
    client.session.write(bytearray(b"*IDN?\n"))
    assert client.read().decode() == IDENTITY


def test_a_new_message_interrupts_an_unread_reply(client):
    client.send("*IDN?")
    assert client.ask("SAMP:COUN?") == "1000"
    assert client.errors() == [-410]
    client.send("*IDN?")
    client.session.read(4, 1.0)
    assert client.ask("SAMP:COUN?") == "1000"
    assert client.errors() == [-410]


def test_reading_without_asking_is_unterminated(client):
    with pytest.raises(TimeoutError):
        client.read(timeout=0.01)
    assert client.errors() == [-420]
    client.session.write(b"SOUR:DATA #3999")
    with pytest.raises(TimeoutError):
        client.read(timeout=0.01)
    assert client.errors() == [-420]
    assert client.ask("*IDN?") == IDENTITY


def test_a_reply_that_outgrows_the_output_is_a_deadlock(client, source, monkeypatch):
    monkeypatch.setattr(session_module, "REPLY_LIMIT", 100)
    source.values = np.zeros(20)
    client.send("SOUR:DATA?;*IDN?")
    assert client.errors() == [-430]
    assert client.silent()
    assert client.ask("*IDN?") == IDENTITY


def test_an_array_too_long_for_text_is_refused(client, source):
    source.values = np.zeros((1 << 22) + 1, np.int8)
    client.send("SOUR:DATA?")
    assert client.errors() == [-223]


def test_a_stream_keeps_every_reply_and_is_told(make_client):
    told = []
    client = make_client(on_output=lambda: told.append(client.session.take()))
    client.send("*IDN?\nSAMP:COUN?\nSAMP:MODE?")
    assert b"".join(told) == f"{IDENTITY}\n1000\nRES\n".encode()
    assert client.errors() == []


def test_a_client_that_cannot_be_told_is_closed(make_client, source):
    def gone():
        raise BrokenPipeError

    client = make_client(source, on_output=gone)
    client.send("*IDN?")
    assert client.session.closed
    assert source.sessions == []


def test_a_closed_session_says_so(client, source):
    outcome = []

    def wait():
        try:
            outcome.append(client.read(30))
        except ConnectionResetError as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    client.session.close()
    waiting.join(5)
    assert isinstance(outcome[0], ConnectionResetError)
    for call in (lambda: client.send("*IDN?"), client.read, client.session.trigger):
        with pytest.raises(ConnectionResetError):
            call()


def test_clients_share_settings_and_nothing_else(make_client, source):
    one, two = make_client(source, name="a:1"), make_client(source, name="b:2")
    one.send("FORM REAL,32;*ESE 4;NONSENSE;:SAMP:COUN 5")
    one.send("*IDN?")
    assert two.ask("*STB?;:SAMP:COUN?;:FORM?;*ESE?;:SYST:ERR:COUN?") == "0;5;ASC;0;0"
    assert one.read().decode() == IDENTITY
    assert one.errors() == [-113]


def test_the_lock_gives_one_client_the_right_to_change(make_client, source):
    one, two = make_client(source, name="a:1"), make_client(source, name="b:2")
    assert two.ask("SYST:LOCK:OWN?") == '"NONE"'
    assert one.ask("SYST:LOCK:REQ?") == "1"
    assert one.ask("SYST:LOCK:REQ?") == "1"
    assert two.ask("SYST:LOCK:REQ?;OWN?") == '0;"a:1"'
    two.send("SAMP:COUN 5;*RST;:INIT;*TRG;:READ?;:SYST:LOCK:REL;:FORM REAL,32;*ESE 1;*OPC")
    assert two.errors() == [110] * 5
    assert two.session.operation.condition == 1 << 11
    assert two.ask("SAMP:COUN?;:STAT:OPER?") == "1000;2048"
    one.send("SAMP:COUN 6")
    assert one.errors() == []
    one.session.close()
    assert two.ask("SYST:LOCK:REQ?;:STAT:OPER:COND?") == "1;0"
    three = make_client(source, name="c:3")
    assert three.ask("STAT:OPER:COND?;:STAT:OPER?") == "2048;0"
    two.send("SYST:LOCK:REL")
    assert three.ask("SYST:LOCK:OWN?;:STAT:OPER:COND?") == '"NONE";0'


def test_clients_on_many_threads_get_their_own_replies(make_client, source):
    wrong = []

    def talk(number):
        client = make_client(source, name=f"client:{number}")
        for count in range(200):
            text = f"{number}.{count}"
            if client.ask(f"SOUR{number}:VOLT {text};VOLT?;*IDN?") != f"{float(text):+.6E};{IDENTITY}":
                wrong.append(text)

    threads = [threading.Thread(target=talk, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_device_clear_forgets_input_and_output_but_not_errors(client):
    client.send("NONSENSE;*IDN?")
    client.session.write(b"SOUR:DATA #3999")
    client.session.clear()
    assert client.ask("SAMP:COUN?") == "1000"
    assert client.errors() == [-113]


def test_a_large_block_comes_back_to_the_byte(client, source):
    values = np.arange(1 << 20, dtype=">f4")
    message = b"SOUR:DATA #9%09d%s\n" % (values.nbytes, values.tobytes())
    source.values = values
    client.send("FORM REAL,32")
    client.send(message)
    client.send("SOUR:DATA?")
    reply = client.read()
    assert client.errors() == [-222]
    assert reply == message[10:-1]
