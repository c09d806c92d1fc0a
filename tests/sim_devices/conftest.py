"""A small instrument whose long operations a test ends when it likes, on a bench under every kind of resource name."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from sim_devices.benches import Bench
from sim_devices.scpi import Instrument, Integer, Numbers, Operation, command, query, setting

RESOURCES = (
    "TCPIP0::probe::5025::SOCKET",
    "TCPIP0::probe::inst0::INSTR",
    "GPIB0::7::INSTR",
    "USB0::0x1234::0x5678::SN1::0::INSTR",
    "ASRL3::INSTR",
)


class Probe(Instrument):
    """Keeps an array and takes as long over INITiate as the test wants."""

    count = setting("SAMPle:COUNt", Integer(1, 1000), reset=10)

    def __init__(self, worker, identity="Szilard,Probe,SN7,1.0"):
        super().__init__(identity)
        self.worker = worker
        self.gate = threading.Event()
        self.data = np.zeros(0)
        self.triggers = 0

    @command("DATA", Numbers())
    def set_data(self, session, values):
        self.data = values

    @query("DATA")
    def get_data(self, session):
        return self.data

    @command("INITiate")
    def initiate(self, session):
        self.gate.clear()
        return Operation(self.worker.submit(self.gate.wait, 20))

    def trigger(self, session):
        self.triggers += 1

    def close(self):
        self.gate.set()
        super().close()


def make_bench(name="probes", identity="Szilard,Probe,SN7,1.0"):
    bench = Bench(name, SimpleNamespace(now=lambda: 0.0))
    bench.place(Probe(bench.worker, identity), *RESOURCES)
    return bench


@pytest.fixture
def bench():
    with make_bench() as opened:
        yield opened


@pytest.fixture
def probe(bench):
    return bench.instruments[RESOURCES[0]]


@pytest.fixture
def second_bench():
    with make_bench("others", "Szilard,Other,SN8,1.0") as opened:
        yield opened
