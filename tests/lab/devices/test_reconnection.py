"""An instrument that is away for a while: it is waited for, has its settings back, and gives the same data."""

import contextlib
import threading

import numpy as np
import pytest

from drivers.errors import ConnectionLostError, InstrumentTimeoutError
from drivers.thermodynamic_board import ThermodynamicBoard as Driver
from lab import open_station
from lab.devices.driver_device import AcquisitionStoppedError
from lab.devices.quantum_dot import OutputsMovedError
from lab.devices.thermodynamic_board import ZERO, ThermodynamicBoard
from sim_devices import benches
from sim_devices.faults import Fault
from sim_devices.server import serve

RESOURCE = "TCPIP0::board::5025::SOCKET"


class Served:
    """A board behind a socket that can be switched off and on: all settings are lost then."""

    def __init__(self):
        self.port = 0
        self.on()

    def on(self):
        self.bench = benches.open("thermodynamic_board", seed=1, flowing=True)
        self.server = serve(self.bench, port=self.port)
        (self.host, self.port), *_ = self.server.addresses.values()

    def off(self):
        self.server.close()
        self.bench.close()


@pytest.fixture
def served():
    opened = Served()
    yield opened
    opened.off()


@pytest.fixture
def board(served):
    driver = Driver(f"TCPIP0::{served.host}::{served.port}::SOCKET", visa_library="@py", timeout=500)
    assert driver.id
    assert driver.claim()
    device = ThermodynamicBoard(driver, name="board")
    device.lines = []
    device.say = device.lines.append
    yield device
    with contextlib.suppress(ExceptionGroup):
        device.safe()
    device.close()
    driver.adapter.close()


def prepare(board):
    board.cells.put(2)
    board.shots.put(200)
    board.temperature.put(0.3)
    board.drive_cell.put(2)
    board.drive.put(0.4)
    board.stage()
    board.noise_seed.put(7)


def acquire(board):
    board.trigger().wait(60)
    return np.array(board.mean.get())


def test_a_board_switched_off_and_on_gives_what_it_would_have_given(served, board):
    prepare(board)
    undisturbed = acquire(board)
    board.noise_seed.put(7)
    served.off()
    board.say = lambda line: (board.lines or served.on(), board.lines.append(line))
    np.testing.assert_array_equal(acquire(board), undisturbed)
    assert board.driver.outputs_enabled
    assert board.driver.lock_granted
    assert "no connection" in board.lines[0]
    assert "connected again" in board.lines[-1]


def test_a_pulled_cable_costs_nothing(served, board):
    prepare(board)
    undisturbed = acquire(board)
    board.noise_seed.put(7)
    served.bench.inject(RESOURCE, [Fault("dropped", "INITiate", count=1), Fault("dropped", "*OPC?", count=1)])
    np.testing.assert_array_equal(acquire(board), undisturbed)


def silenced(board, served, seconds=1.3):
    """Say nothing for longer than the board waits for a word."""
    board.driver.communication_timeout = 1.0
    threading.Event().wait(seconds)
    return served.bench.instruments[RESOURCE]


def test_a_board_that_hears_nothing_switches_its_outputs_off_and_goes_on_when_it_is_asked_to(served, board):
    prepare(board)
    undisturbed = acquire(board)
    board.noise_seed.put(7)
    assert not silenced(board, served).outputs_on
    np.testing.assert_array_equal(acquire(board), undisturbed)
    assert board.driver.outputs_enabled
    assert board.troubles == {"InstrumentError": 1}


def test_a_board_whose_client_has_vanished_switches_its_outputs_off(served, board):
    prepare(board)
    board.driver.communication_timeout = 1.0
    board.driver.adapter.close()
    instrument = served.bench.instruments[RESOURCE]
    assert instrument.outputs_on
    threading.Event().wait(1.3)
    assert not instrument.outputs_on


def test_whoever_cannot_drive_a_board_does_not_keep_its_outputs_on(served, board):
    prepare(board)
    board.driver.communication_timeout = 1.0
    onlooker = Driver(f"TCPIP0::{served.host}::{served.port}::SOCKET", visa_library="@py", timeout=500)
    for _ in range(13):
        threading.Event().wait(0.1)
        assert onlooker.lock_owner
    assert not onlooker.outputs_enabled
    onlooker.adapter.close()


def test_a_board_that_is_spoken_to_keeps_its_outputs_on(served, board):
    prepare(board)
    board.driver.communication_timeout = 1.0
    for _ in range(13):
        threading.Event().wait(0.1)
        assert board.shots.get() == 200
    assert board.driver.outputs_enabled


def test_a_size_that_is_set_again_because_its_reply_was_lost_resets_what_hangs_on_it_all_the_same(served, board):
    board.cells.put(2)
    board.start.put([0.1, 0.2])
    served.bench.inject(RESOURCE, [Fault("error", "MODel:CELLs", count=1)])
    board.cells.put(3)
    assert board.troubles
    assert board.start.last == ZERO


def test_an_error_queued_while_settings_are_put_back_is_no_end(served, board):
    prepare(board)
    undisturbed = acquire(board)
    board.noise_seed.put(7)
    served.bench.inject(RESOURCE, [Fault("dropped", "INITiate", count=1), Fault("error", "FORMat", count=1)])
    np.testing.assert_array_equal(acquire(board), undisturbed)


def test_an_acquisition_whose_results_were_lost_has_the_same_noise_again(served, board):
    prepare(board)
    undisturbed = acquire(board)
    board.noise_seed.put(7)
    served.bench.inject(RESOURCE, [Fault("mute", "CALCulate:MEAN?", count=1), Fault("dropped", "FETCh?", count=1)])
    np.testing.assert_array_equal(acquire(board), undisturbed)
    assert board.troubles.total() == 2


def test_a_wait_ends_at_once_when_the_device_is_made_safe(served, board):
    prepare(board)
    served.off()
    said = threading.Event()
    board.say = lambda _: said.set()
    status = board.trigger()
    assert said.wait(20)
    with pytest.raises(ExceptionGroup):
        board.safe()
    with pytest.raises((AcquisitionStoppedError, ConnectionLostError)):
        status.wait(10)
    served.on()


def test_patience_has_an_end_which_says_what_was_wrong_and_how_long(served, board):
    prepare(board)
    board.driver.patience = 0.2
    served.off()
    with pytest.raises((ConnectionLostError, InstrumentTimeoutError)) as raised:
        board.trigger().wait(30)
    assert "board was waited for" in raised.value.__notes__[0]
    served.on()


def test_a_board_taken_by_another_meanwhile_is_not_written_to(served, board):
    prepare(board)
    board.driver.patience = 0.2
    served.off()
    served.on()
    thief = Driver(f"TCPIP0::{served.host}::{served.port}::SOCKET", visa_library="@py", timeout=2000)
    assert thief.claim()
    with pytest.raises(ConnectionLostError):
        board.trigger().wait(30)
    assert not thief.outputs_enabled
    thief.adapter.close()


@pytest.fixture
def dot():
    with open_station("twin", seed=1, devices=["dot"]) as station:
        yield station["dot"]


def test_gates_that_stayed_where_they_were_let_the_dot_go_on(dot):
    before = dict(dot.volts)
    dot.driver.dac.reconnect()
    dot.do(lambda: None)
    assert dot.actual_volts() == pytest.approx(before, abs=1e-5)


def test_gates_that_moved_while_the_connection_was_lost_stop_the_dot_and_are_not_taken_back(dot):
    gate = next(iter(dot.wiring.gates))
    channel = dot.driver.dac.channel(dot.wiring.gates[gate].channel)
    left = dot.volts[gate]
    channel.ramp(left + 0.01)
    dot.clock.sleep(1.0)
    dot.driver.dac.reconnect()
    with pytest.raises(OutputsMovedError, match=gate):
        dot.do(lambda: None)
    assert float(channel.actual_voltage) == pytest.approx(left + 0.01, abs=1e-4)


def test_a_bias_that_went_off_behind_a_connection_that_stayed_stops_the_dot_and_is_not_switched_on(dot):
    dot.stage()
    dot.trigger().wait(10)
    source = dot.driver.bias_source
    source.reset()
    with pytest.raises(OutputsMovedError, match="the bias is off"):
        dot.trigger().wait(10)
    assert not source.source_enabled
    dot.unstage()


@pytest.mark.parametrize("switch", ["switch", "dot_switch", "photon_switch"])
def test_a_switch_is_made_safe_over_new_sessions_to_the_instruments_of_its_body(switch):
    with open_station(devices=[switch], seed=1) as station:
        station[switch].stage()
        for resource in station.bench.instruments:
            station.bench.inject(resource, [Fault("dropped", count=1)])
        assert station[switch].safe()
        assert station[switch].at_rest
