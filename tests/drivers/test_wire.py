"""What happens on a socket, against a server of a few lines that is no simulated instrument of ours."""

import contextlib
import socket
import threading

import pytest

from drivers.arrays import block
from drivers.errors import InstrumentError, InstrumentTimeoutError
from drivers.keithley_2400 import Keithley2400
from drivers.scpi import ScpiInstrument
from drivers.srs_sr830 import SR830


@contextlib.contextmanager
def served(kind, answer, timeout=100):
    """Yield a driver of an instrument whose replies, bytes as they travel, a function of the message returns."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        client, _ = server.accept()
        with client, client.makefile("rb") as lines:
            for line in lines:
                reply = answer(line.decode().strip())
                if reply is not None:
                    client.sendall(reply)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    resource = f"TCPIP0::127.0.0.1::{server.getsockname()[1]}::SOCKET"
    driver = kind(resource, visa_library="@py", timeout=timeout)
    try:
        yield driver
    finally:
        driver.adapter.close()
        server.close()
        thread.join(5)


def lock_in(**answers):
    known = {"*IDN?": b"Maker,SR830,1,1\n", "*ESR?": b"0\n", "ERRS?": b"0\n", "FREQ?": b"1000\n"}
    return lambda message: answers.get(message.split("?")[0].strip("*"), known.get(message))


def test_where_there_is_no_serial_poll_the_status_byte_is_asked_for():
    with served(SR830, lock_in(STB=b"+2\n")) as driver:
        driver.auto_gain()
    with served(Keithley2400, {"*STB?": b"1\n", "SYST:ERR?": b'0,"No error"\n'}.get) as driver:
        assert driver.is_buffer_full()
        driver.wait_for_buffer(timeout=1)


def test_a_refused_transfer_of_bytes_is_explained_by_the_status():
    with served(SR830, lock_in(ESR=b"16\n")) as driver, pytest.raises(InstrumentError, match="TRCB") as raised:
        driver.get_buffer(1, 0, 4)
    assert raised.value.code == 16


def test_a_newline_after_bytes_does_not_answer_the_next_question():
    with served(SR830, lock_in(TRCB=bytes(16) + b"\n")) as driver:
        assert driver.get_buffer(1, 0, 4).tolist() == [0, 0, 0, 0]
        assert driver.frequency == 1000


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("late", [block(bytes(range(256))) + b"\n", b"1,2,3,4\n"])
def test_a_late_reply_is_taken_for_no_identity(late, known):
    held = threading.Event()

    def answer(message):
        if message == "VOLT?":
            held.wait(5)
            return late
        return {"*IDN?": b"Maker,Model,1,2\n", "SYST:ERR?": b'0,"No error"\n', "TIM?": b"7\n"}[message]

    with served(ScpiInstrument, answer) as driver:
        if known:
            assert driver.id == "Maker,Model,1,2"
        driver._drain = held.set
        with pytest.raises(InstrumentTimeoutError, match="VOLT"):
            driver.ask("VOLT?")
        assert driver.ask("TIM?") == "7"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_block_ends_as_lines_do(end):
    answers = {"FORM?": b"REAL,32" + end, "FORM:BORD?": b"SWAP" + end, "SYST:ERR?": b'0,"No error"' + end}
    answers |= {"DATA?": block(b"\r\n#1") + end, "TIM?": b"7" + end}
    with served(ScpiInstrument, answers.get) as driver:
        assert driver.read_array("DATA?", dtype="u1").tobytes() == b"\r\n#1"
        assert driver.values("TIM?") == [7]
