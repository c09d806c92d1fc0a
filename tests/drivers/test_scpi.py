import socket
import sys
import threading

import numpy as np
import pytest
import pyvisa
from pymeasure.adapters import Adapter
from pymeasure.test import expected_protocol

from drivers.arrays import block, parse_list, short_list, symmetric
from drivers.errors import ConnectionLostError, InstrumentError, InstrumentTimeoutError, ReplyError
from drivers.properties import boolean, choice, integer, real
from drivers.scpi import ScpiInstrument

IDENTITY = "Maker,Model,1,2"
NO_ERROR = ("SYST:ERR?", '0,"No error"')


class Source(ScpiInstrument):
    """A source of a little voltage."""

    voltage = real("VOLT", """Control the voltage in volts (float from -10 to 10).""", -10, 10)
    points = integer("POIN", """Control the number of points (int from 1 to 10).""", 1, 10)
    enabled = boolean("OUTP", """Control whether the output is on (bool).""")
    mode = choice("MODE", """Control the mode (str, "fast" or "slow").""", {"fast": "FAST", "slow": "SLOW"})


class Wire(Adapter):
    """An instrument of a few lines: answers by a function, late answers and a broken wire on demand."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.replies = []
        self.late = []
        self.sent = []
        self.connection = self

    def _write(self, command, **kwargs):
        self.sent.append(command)
        reply = self.answer(command)
        if reply is not None:
            self.replies.append(reply)

    def _read(self, **kwargs):
        if not self.replies:
            self.replies, self.late = self.late, []
            raise pyvisa.errors.VisaIOError(pyvisa.constants.StatusCode.error_timeout)
        return self.replies.pop(0)

    def clear(self):
        self.sent.append("<clear>")

    def flush_read_buffer(self):
        pass

    def close(self):
        pass


def standard(answers):
    errors = answers.pop("errors", [])

    def answer(command):
        if command == "SYST:ERR?":
            return errors.pop(0) if errors else '0,"No error"'
        return answers.get(command)

    answers.setdefault("*IDN?", IDENTITY)
    return answer


@pytest.mark.parametrize(
    ("name", "value", "written", "reply"),
    [
        ("voltage", -0.123456789, "VOLT -0.123456789", "-1.23456789E-01"),
        ("voltage", np.float32(1.5), "VOLT 1.5", "1.5"),
        ("points", 3, "POIN 3", "3"),
        ("points", 3.0, "POIN 3", "+3.000000E+00"),
        ("enabled", True, "OUTP 1", "On"),
        ("enabled", False, "OUTP 0", "off"),
        ("enabled", True, "OUTP 1", "1"),
        ("enabled", False, "OUTP 0", "OFF"),
        ("mode", "slow", "MODE SLOW", "SLOW"),
        ("mode", "slow", "MODE SLOW", "slowest"),
        ("mode", "slow", "MODE SLOW", '"SLOWest"'),
    ],
)
def test_a_value_is_written_checked_and_read_back(name, value, written, reply):
    header = written.split(" ")[0]
    with expected_protocol(Source, [(written, None), NO_ERROR, (f"{header}?", reply)]) as source:
        setattr(source, name, value)
        assert getattr(source, name) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("voltage", 10.1),
        ("voltage", float("nan")),
        ("voltage", float("inf")),
        ("voltage", "1"),
        ("voltage", True),
        ("points", 0),
        ("points", 2.5),
        ("points", float("nan")),
        ("points", True),
        ("points", "2"),
        ("enabled", 2),
        ("mode", "SLOW"),
        ("mode", "fast;*RST"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_before_anything_is_sent(name, value):
    with expected_protocol(Source, []) as source, pytest.raises(ValueError, match=r"\S"):
        setattr(source, name, value)


def test_an_error_in_the_queue_raises_with_its_code_text_and_command():
    exchange = [
        ("VOLT 1", None),
        ("SYST:ERR?", '-222,"Data out of range; 1, no more"'),
        ("SYST:ERR?", '101,"Interlock open"'),
        NO_ERROR,
    ]
    with expected_protocol(Source, exchange) as source, pytest.raises(InstrumentError) as raised:
        source.voltage = 1
    assert (raised.value.code, raised.value.text) == (-222, "Data out of range; 1, no more")
    assert raised.value.command == "VOLT 1"
    assert raised.value.__notes__ == ['then 101, "Interlock open"']


def test_an_instrument_that_always_reports_an_error_is_not_asked_for_ever():
    wire = Wire(lambda command: '-100,"Command error"' if command == "SYST:ERR?" else None)
    with pytest.raises(InstrumentError):
        Source(wire).voltage = 1
    assert len(wire.sent) < 40


def test_a_garbled_error_entry_is_a_reply_error():
    with pytest.raises(ReplyError, match="error queue"):
        Source(Wire(lambda command: "@@@")).check_errors()


@pytest.mark.parametrize(
    ("name", "query", "reply"),
    [
        ("voltage", "VOLT?", "1.O"),
        ("points", "POIN?", "e"),
        ("points", "POIN?", ""),
        ("points", "POIN?", "2.5"),
        ("points", "POIN?", "INF"),
        ("points", "POIN?", "1,2"),
        ("voltage", "VOLT?", "1.5,2.5"),
        ("enabled", "OUTP?", "OM"),
        ("enabled", "OUTP?", "7"),
        ("mode", "MODE?", "SL0W"),
        ("mode", "MODE?", "SLOW,FAST"),
        ("mode", "MODE?", "SLOW;FAST"),
    ],
)
def test_a_garbled_reply_is_a_reply_error_and_the_next_one_is_right(name, query, reply):
    replies = [reply]
    answer = standard({"VOLT?": "1", "POIN?": "1", "OUTP?": "1", "MODE?": "SLOW"})
    source = Source(Wire(lambda command: replies.pop() if replies and command == query else answer(command)))
    with pytest.raises(ReplyError, match=query[:-1]):
        getattr(source, name)
    assert getattr(source, name) in (1, True, "slow")


def test_a_missing_reply_is_explained_by_the_error_queue():
    wire = Wire(standard({"errors": ['-113,"Undefined header"']}))
    with pytest.raises(InstrumentError, match="'VOLT\\?' gave error -113") as raised:
        _ = Source(wire).voltage
    assert isinstance(raised.value.__cause__, pyvisa.errors.VisaIOError)


def test_all_errors_behind_a_missing_reply_are_told():
    wire = Wire(standard({"errors": ['-213,"Init ignored"', '-420,"Query UNTERMINATED"', '-222,"Data out of range"']}))
    with pytest.raises(InstrumentError, match="-213") as raised:
        _ = Source(wire).voltage
    assert raised.value.__notes__ == ['then -222, "Data out of range"']


def test_an_error_found_on_the_way_back_into_step_raises_with_the_next_command():
    answers = {"VOLT?": "@@", "POIN?": "7", "errors": ['-222,"Data out of range"', "-410,'Query INTERRUPTED'"]}
    wire = Wire(standard(answers))
    source = Source(wire)
    with pytest.raises(ReplyError):
        _ = source.voltage
    assert source.points == 7
    with pytest.raises(InstrumentError) as raised:
        source.points = 3
    assert "POIN 3" in wire.sent
    assert (raised.value.code, getattr(raised.value, "__notes__", [])) == (-222, [])
    source.points = 3


def test_after_a_timeout_the_session_is_cleared_and_reidentified_and_late_replies_are_dropped():
    wire = Wire(standard({"POIN?": "7"}))
    source = Source(wire)
    assert source.id == IDENTITY
    wire.late = ["+1.5E+00"]
    with pytest.raises(InstrumentTimeoutError):
        _ = source.voltage
    assert wire.sent[1:4] == ["VOLT?", "<clear>", "*IDN?"]
    assert source.points == 7


def test_a_mute_instrument_gets_nothing_but_the_question_who_it_is():
    answers = {"POIN?": "7"}
    wire = Wire(lambda command: answers.get(command))
    source = Source(wire)
    for _ in range(2):
        with pytest.raises(InstrumentTimeoutError):
            _ = source.voltage
    with pytest.raises(InstrumentTimeoutError):
        source.points = 3
    assert set(wire.sent) == {"VOLT?", "<clear>", "*IDN?"}
    answers.update({"*IDN?": IDENTITY, "SYST:ERR?": '0,"No error"'})
    assert source.points == 7


def test_another_instrument_at_the_address_is_refused():
    answers = {"*IDN?": IDENTITY, "SYST:ERR?": '0,"No error"'}
    source = Source(Wire(lambda command: answers.get(command)))
    source.identity_timeout = 0
    assert source.id == IDENTITY
    with pytest.raises(InstrumentTimeoutError):
        _ = source.voltage
    answers["*IDN?"] = "Other,Model,1,2"
    for _ in range(2):
        with pytest.raises(ConnectionLostError, match="Other"):
            _ = source.voltage


def test_threads_never_get_each_others_replies():
    pending = []

    class Torn(Wire):
        def _write(self, command, **kwargs):
            pending.append(command)

        def _read(self, **kwargs):
            reply = {"VOLT?": "1", "POIN?": "2", "SYST:ERR?": '0,"No error"'}.get(pending[-1])
            pending.clear()
            return reply

    source = Source(Torn(None))
    wrong = []

    def work(name, expected):
        for _ in range(300):
            if getattr(source, name) != expected:
                wrong.append(name)
            setattr(source, name, expected)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=pair) for pair in [("voltage", 1), ("points", 2)] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


@pytest.mark.parametrize(("order", "code"), [("NORM", ">f4"), ("SWAP", "<f4")])
def test_arrays_travel_as_blocks_in_the_byte_order_in_force(order, code):
    values = np.array([1.0, -2.5, 1e-3], np.float32)
    payload = block(values.astype(code).tobytes())
    exchange = [
        ("FORM?", "REAL,32"),
        ("FORM:BORD?", order),
        (b"DATA " + payload + b"\n", None),
        NO_ERROR,
        ("DATA?;:MORE?", payload + b";" + payload + b"\n"),
        NO_ERROR,
    ]
    with expected_protocol(Source, exchange) as source:
        source.write_arrays(("DATA", values))
        first, second = source.read_arrays("DATA?", "MORE?")
    np.testing.assert_array_equal(first, values)
    np.testing.assert_array_equal(second, values)
    assert first.dtype.isnative


def test_arrays_travel_as_numbers_in_ascii():
    exchange = [
        ("FORM?", "ASC"),
        ("FORM:BORD?", "NORM"),
        (b"DATA 1,-0.123456789\n", None),
        NO_ERROR,
        ("DATA?;:MORE?", "1,-0.123456789;3"),
        NO_ERROR,
    ]
    with expected_protocol(Source, exchange) as source:
        source.write_arrays(("DATA", [1.0, -0.123456789]))
        first, second = source.read_arrays("DATA?", "MORE?")
    assert first.tolist() == [1, -0.123456789]
    assert second.tolist() == [3]


@pytest.mark.parametrize("reply", ["1,2", block(np.array([1, 2], ">f4").tobytes()) + b"\n"])
def test_an_array_that_comes_with_an_error_raises(reply):
    exchange = [
        ("FORM?", "ASC" if isinstance(reply, str) else "REAL,32"),
        ("FORM:BORD?", "NORM"),
        ("DATA?", reply),
        ("SYST:ERR?", '233,"Cells saturated"'),
        NO_ERROR,
    ]
    with (
        expected_protocol(Source, exchange) as source,
        pytest.raises(InstrumentError, match="'DATA\\?' gave error 233"),
    ):
        source.read_array("DATA?")


@pytest.mark.parametrize("reply", [b"1,2,3", b"#0123", b"#x123", b"#14abc", b"#3a12xx", b"#15abcde\n", b"#14abcdX"])
def test_a_reply_that_is_no_whole_block_is_a_reply_error(reply):
    exchange = [("FORM?", "REAL,32"), ("FORM:BORD?", "NORM"), ("DATA?", reply)]
    with pytest.raises(ReplyError), expected_protocol(Source, exchange) as source:
        source.read_array("DATA?")


def test_an_array_that_is_not_finite_is_not_sent():
    with (
        expected_protocol(Source, []) as source,
        pytest.raises(ValueError, match="finite"),
    ):
        source.write_arrays(("DATA", [1.0, np.nan]))


def test_a_new_format_is_noticed_before_the_next_array():
    exchange = [
        ("FORM?", "ASC"),
        ("FORM:BORD?", "NORM"),
        ("DATA?", "1"),
        NO_ERROR,
        ("FORM REAL,64", None),
        NO_ERROR,
        ("FORM?", "REAL,64"),
        ("FORM:BORD?", "NORM"),
        ("DATA?", b"#18" + np.array([2.0], ">f8").tobytes() + b"\n"),
        NO_ERROR,
    ]
    with expected_protocol(Source, exchange) as source:
        assert source.read_array("DATA?").tolist() == [1]
        source.data_format = "REAL,64"
        assert source.read_array("DATA?").tolist() == [2]


def test_a_socket_sends_at_once_and_carries_blocks_with_newlines():
    payload = bytes(range(256)) * 16
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        client, _ = server.accept()
        with client, client.makefile("rb") as lines:
            for line in lines:
                if line == b"DATA?\n":
                    client.sendall(block(payload) + b"\n")
                elif line == b"FORM?\n":
                    client.sendall(b"REAL,32\n")
                elif line.endswith(b"BORD?\n"):
                    client.sendall(b"SWAP\n")
                elif line == b"SYST:ERR?\n":
                    client.sendall(b'0,"No error"\n')

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    source = Source(f"TCPIP0::127.0.0.1::{server.getsockname()[1]}::SOCKET", visa_library="@py", timeout=2000)
    try:
        session = source.adapter.connection.visalib.sessions[source.adapter.connection.session]
        assert session.interface.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for _ in range(3):
            assert source.read_array("DATA?", dtype="u1").tobytes() == payload
        assert source.ask("FORM?") == "REAL,32"
    finally:
        source.adapter.close()
        server.close()
        thread.join(5)


@pytest.mark.parametrize("numbers", [(), (1,), (1, 2, 3, 7), (3, 1), (63, 0, 1)])
def test_channel_lists_keep_their_order(numbers):
    assert parse_list(short_list(numbers)) == numbers


def test_an_upper_triangle_makes_a_symmetric_matrix_and_nothing_else_does():
    assert symmetric([1, 2, 3]).tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
    with pytest.raises(ValueError, match="upper triangle"):
        symmetric([1, 2])
