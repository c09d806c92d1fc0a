"""An instrument with one declaration of every kind, whose overlapped operations a test completes when it likes."""

from concurrent.futures import Future

import numpy as np
import pytest

from sim_devices.scpi import (
    DEVICE_ERROR,
    Block,
    Boolean,
    ChannelList,
    Choice,
    Instrument,
    Integer,
    Numbers,
    Operation,
    Quoted,
    Real,
    ScpiError,
    String,
    command,
    query,
    setting,
)

IDENTITY = "Szilard,Source,SN1,1.0"
EDGE = np.dtype([("i", "u2"), ("j", "u2"), ("value", "f4")])


class Source(Instrument):
    errors = {101: ("Interlock open", DEVICE_ERROR)}  # noqa: RUF012

    count = setting("SAMPle:COUNt", Integer(1, 16777216), reset=1000, guards=("idle",))
    period = setting("SAMPle:PERiod", Real(1e-6, 10, "s"), reset=1e-3)
    frequency = setting("SOURce:FREQuency", Real(0, 1e9, "Hz"), reset=1e3)
    voltage = setting("SOURce<1:4>:VOLTage[:LEVel]", Real(-10, 10, "V"), reset=0.0)
    mode = setting("SAMPle:MODE", Choice("RESet", "SERial"), reset="RES")
    cells = setting("SAMPle:CELLs", ChannelList(1, 8), reset=(1, 2, 3))
    label = setting("SOURce:LABel", String(0, 12), reset="")
    output = setting("OUTPut[:STATe]", Boolean(), reset=False)
    window = setting("SAMPle:WINDow", Real(-1, 1), Real(-1, 1), reset=(-1.0, 1.0))
    threshold = setting("SAMPle:THReshold", Real(-1, 1, also=("OFF",)), reset="OFF")
    function = setting("SENSe:FUNCtion", Choice("SAMPle", "STATistics", quoted=True), reset="SAMP")
    level = setting("SOURce:LEVel", Real(0, lambda source: 2.0 * source.count), reset=lambda source: source.count / 2)

    def __init__(self):
        self.futures = []
        self.values = np.zeros(0)
        self.edges = np.zeros(0, EDGE)
        self.log = []
        super().__init__(IDENTITY)

    def idle(self):
        if self.pending:
            raise ScpiError(-221, "a run is active")

    @period.check
    def quantised(self, value):
        return max(1, round(value * 12e6)) / 12e6

    @command("SOURce:DATA", Numbers(-1e6, 1e6, "V"))
    def set_values(self, session, values):
        self.values = values

    @query("SOURce:DATA?")
    def get_values(self, session):
        return self.values

    @query("SOURce:RAW?")
    def raw_values(self, session):
        return Block(self.values)

    @command("SOURce:EDGes", Numbers(record=EDGE))
    def set_edges(self, session, edges):
        self.edges = edges

    @command("SOURce:COPY", Integer(0, 63), Integer(0, 63, optional=True))
    def copy(self, session, first, last):
        self.log.append((first, last))

    @command("INITiate[:IMMediate]", guards=("idle",))
    def initiate(self, session):
        return self.operation()

    @query("READ?", guards=("idle",), owner=True)
    def read(self, session):
        return self.operation()

    @query("FETCh?")
    def fetch(self, session):
        if not self.pending:
            return Quoted("ready")
        return Operation(self.futures[-1], lambda: Quoted("fetched"))

    @command("ABORt")
    def abort(self, session):
        self.futures[-1].cancel()

    @command("FAULt:DIVide")
    def divide(self, session):
        return 1 / 0

    @command("FAULt:MEMory")
    def exhaust(self, session):
        raise MemoryError

    @query("FAULt:OBJect?")
    def unknown(self, session):
        return object()

    @command("FAULt:INTerlock")
    def interlock(self, session):
        raise ScpiError(101, "the lid is open")

    def operation(self):
        future = Future()
        self.futures.append(future)
        return Operation(future)

    def complete(self, result=None):
        self.futures[-1].set_result(result)

    def reset(self):
        self.values = np.zeros(0)

    def trigger(self, session):
        self.log.append("trigger")


class Client:
    """A session in terms of text."""

    def __init__(self, source, name="host:1", on_output=None):
        self.source = source
        self.session = source.open_session(name, on_output)

    def send(self, text):
        self.session.write(text if isinstance(text, bytes) else text.encode() + b"\n")

    def read(self, timeout=5.0):
        data, end = self.session.read(1 << 30, timeout)
        assert end
        assert data.endswith(b"\n")
        return data[:-1]

    def ask(self, text):
        self.send(text)
        return self.read().decode()

    def silent(self):
        """Whether no reply is ready."""
        return not self.session.status_byte() & 16

    def errors(self):
        """Return the numbers in the error queue and empty it."""
        numbers = []
        while len(self.session.errors):
            numbers.append(self.session.errors.pop()[0])
        return numbers


@pytest.fixture(scope="session")
def make_client():
    """Return a function that opens a session with a given instrument, or with one of its own."""
    return lambda source=None, **options: Client(Source() if source is None else source, **options)


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def client(source):
    return Client(source)
