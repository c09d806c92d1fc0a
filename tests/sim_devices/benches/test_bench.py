import logging
import threading
import time
from types import SimpleNamespace

import pytest

from sim_devices import benches
from sim_devices.benches import Bench, BenchNameError, BenchOptionError, ResourceError, ResourceNameError
from sim_devices.benches.bench import BenchStateError
from sim_devices.faults import Fault
from sim_devices.scpi import Instrument

SOCKET = "TCPIP0::probe::5025::SOCKET"


class Cold(Instrument):
    """Takes long to warm up."""

    def __init__(self):
        super().__init__("Szilard,Cold,1,1")
        self.release = threading.Event()
        self.thread = None
        self.warmed = 0

    def warm_up(self):
        self.warmed += 1
        self.thread = threading.current_thread()
        self.release.wait(20)


class Broken(Instrument):
    """Cannot warm up."""

    def warm_up(self):
        raise RuntimeError("the kernel does not compile")


@pytest.fixture
def empty():
    with Bench("empty", SimpleNamespace(now=lambda: 0.0)) as bench:
        yield bench


def test_an_instrument_that_nobody_uses_is_not_warmed_up(empty):
    instrument = Cold()
    empty.place(instrument, SOCKET)
    assert empty.worker.submit(lambda: instrument.warmed).result(10) == 0


def test_physics_is_compiled_beforehand_only_for_clients_that_cannot_wait(empty):
    compiled = []
    instrument = Cold()
    instrument.release.set()
    empty.place(instrument, SOCKET, physics=lambda: compiled.append(instrument.warmed))
    empty.connect(SOCKET, "test")
    empty.worker.submit(int).result(10)
    assert compiled == []
    empty.warm_up()
    assert compiled == [1]


def test_a_bench_is_there_before_its_instruments_are_warm(empty):
    instrument = Cold()
    start = time.monotonic()
    empty.place(instrument, SOCKET)
    session = empty.connect(SOCKET, "test")
    session.write(b"*IDN?\n")
    assert session.read(100, 1.0) == (b"Szilard,Cold,1,1\n", True)
    assert time.monotonic() - start < 1.0
    after = empty.worker.submit(threading.current_thread)
    assert not after.done()
    instrument.release.set()
    assert after.result(10) is instrument.thread


def test_a_failed_warm_up_is_logged_and_the_bench_goes_on(empty, caplog):
    with caplog.at_level(logging.ERROR):
        empty.place(Broken("Szilard,Broken,1,1"), SOCKET)
        empty.connect(SOCKET, "test")
        assert empty.worker.submit(lambda: 1).result(10) == 1
    assert "the kernel does not compile" in caplog.text


def test_an_instrument_with_two_names_is_warmed_up_once_and_shares_its_faults(empty):
    instrument = Cold()
    instrument.release.set()
    empty.place(instrument, SOCKET, "GPIB0::7::INSTR")
    empty.place(instrument, "ASRL1::INSTR")
    empty.inject("GPIB::7", [Fault("identity", identity="X")])
    for name in empty.instruments:
        session = empty.connect(name, "test")
        session.write(b"*IDN?\n")
        assert session.read(100, 1.0) == (b"X\n", True)
    empty.worker.submit(int).result(10)
    assert instrument.warmed == 1


def test_a_name_can_be_taken_once_only(bench):
    with pytest.raises(ResourceError, match=r"TCPIP0::probe::5025::SOCKET is already on the bench probes"):
        bench.place(Instrument("Szilard,Other,1,1"), "GPIB0::9::INSTR", SOCKET)
    assert "GPIB0::9::INSTR" not in bench.instruments


def test_an_unknown_name_is_refused_with_the_names_there_are(bench):
    with pytest.raises(ResourceError, match=r"no GPIB0::1::INSTR on the bench probes; there are: TCPIP0::probe::5025"):
        bench.connect("GPIB0::1::INSTR", "test")
    with pytest.raises(ResourceNameError, match="'oven' is not a VISA resource name"):
        bench.inject("oven", [])


def test_a_closed_bench_admits_nobody_and_forgets_its_sessions(bench, probe):
    session = bench.connect(SOCKET, "test")
    session.write(b"INIT\n")
    bench.close()
    bench.close()
    assert not probe.sessions
    with pytest.raises(ConnectionResetError):
        session.write(b"*IDN?\n")
    with pytest.raises(ConnectionResetError, match="the bench probes is closed"):
        bench.connect(SOCKET, "test")
    with pytest.raises(RuntimeError):
        bench.worker.submit(print)


def test_closing_a_session_twice_is_no_error(bench, probe):
    session = bench.connect(SOCKET, "test")
    session.close()
    session.close()
    assert not probe.sessions


def test_an_unknown_bench_is_refused_with_the_names_there_are():
    with pytest.raises(BenchNameError, match="no bench named 'kitchen'; there are: laboratory, thermodynamic_board"):
        benches.open("kitchen")


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(BenchOptionError, match="seed: must be a whole number from 0 on"):
        benches.open(seed=seed)


def test_a_bench_goes_on_where_an_equal_one_was():
    with benches.open("photon_kernel", seed=3) as bench, benches.open("photon_kernel", seed=3) as other:
        counter = bench.connect("TCPIP0::counter::5025::SOCKET", "here")
        counter.write(b"CONF:TOT:TIM 0.01;:READ?\n")
        counter.read(100, 10)
        bench.clock.sleep(2.5)
        state = bench.state()
        assert state["time"] >= 2.5
        assert state["acquisitions"]["TCPIP0::counter::5025::SOCKET"] > 0
        other.restore(state)
        assert other.state() == state


def test_a_bench_refuses_the_state_of_another():
    with benches.open("photon_kernel") as bench, benches.open("thermodynamic_board") as other:
        before = other.state()
        with pytest.raises(BenchStateError, match="the state is one of TCPIP0::counter"):
            other.restore(bench.state())
        assert other.state() == before
