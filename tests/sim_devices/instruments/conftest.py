"""A board whose clients talk to it in process, and a gate that holds its runs until a test lets them go."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from sim_devices.instruments.thermodynamic_board import ThermodynamicBoard
from twin.clock import VirtualClock
from twin.models.thermodynamic_board import ThermodynamicBoard as Model


class Client:
    """One session, in plain Python values."""

    def __init__(self, board, name="client:1"):
        self.board = board
        self.session = board.open_session(name)

    def send(self, message):
        """Write a message and return the error numbers it left."""
        self.write(message)
        return self.errors()

    def write(self, message):
        self.session.write((message if isinstance(message, bytes) else message.encode()) + b"\n")

    def errors(self):
        entries = self.ask("SYST:ERR:ALL?").split('"')[:-1:2]
        return [number for number in (int(entry.strip(", ")) for entry in entries) if number]

    def ask(self, message):
        self.write(message)
        return self.read().decode().rstrip("\n")

    def read(self):
        try:
            return self.session.read(1 << 30, 10)[0]
        except TimeoutError as error:
            raise AssertionError(f"no reply, the oldest error is {self.session.errors.pop()}") from error

    def values(self, message):
        """Ask for an array as text."""
        return np.array([float(value) for value in self.ask(message).split(",")])

    def block(self, message, dtype):
        """Ask for an array as a block in native byte order."""
        self.write(message)
        reply = self.read()
        assert reply[:2] == b"#9"
        assert len(reply) == 11 + int(reply[2:11]) + 1
        return np.frombuffer(reply[11:-1], dtype)


@contextmanager
def make_board(**options):
    worker = ThreadPoolExecutor(1)
    board = ThermodynamicBoard(Model(**options), VirtualClock(), worker, "board")
    try:
        yield board
    finally:
        board.close()
        worker.shutdown(wait=True, cancel_futures=True)


@pytest.fixture
def open_board():
    """Make boards of given model options, to be closed after the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(make_board(**options))


@pytest.fixture
def connect():
    """Open a session of a board."""
    return Client


@pytest.fixture
def block():
    """Write values as a definite-length block."""

    def write(values, dtype="<f4"):
        data = np.asarray(values, dtype).tobytes()
        return b"#9%09d" % len(data) + data

    return write


@pytest.fixture
def board(open_board):
    return open_board()


@pytest.fixture
def client(board):
    return Client(board)


@pytest.fixture
def powered(client):
    """A client of a board with rails and noise on and one committed cell of stiffness (1, 0, 1)."""
    assert client.send("MOD:CELL 1;QUAD 1;QUAR 1;:OUTP ON;:NOIS ON;NOIS:TEMP 0.1;:MOD:COMM;*WAI") == []
    return client


@pytest.fixture
def gate(board):
    """Runs begun before the gate is set wait for it."""
    opened = threading.Event()
    board.worker.submit(opened.wait, 20)
    yield opened
    opened.set()
