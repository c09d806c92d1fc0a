"""The driver on the twin, in process and over TCP, on a sound wire and on a bad one."""

import contextlib
import random
import threading

import numpy as np
import pytest

from drivers.errors import ConnectionLostError, InstrumentError, InstrumentTimeoutError, ReplyError
from drivers.thermodynamic_board import MEASURING, ThermodynamicBoard
from sim_devices import benches
from sim_devices.faults import Fault
from sim_devices.server import serve
from sim_devices.visa import open_library

RESOURCE = "TCPIP0::board::5025::SOCKET"


@pytest.fixture
def bench():
    with benches.open("thermodynamic_board", seed=1) as opened:
        yield opened


@pytest.fixture(params=["in process", "tcp"])
def board(request, bench):
    if request.param == "in process":
        driver = ThermodynamicBoard(RESOURCE, visa_library=open_library(bench), timeout=5000)
        yield driver
        driver.adapter.close()
        return
    with serve(bench, port=0) as server:
        host, port = server.addresses[RESOURCE]
        driver = ThermodynamicBoard(f"TCPIP0::{host}::{port}::SOCKET", visa_library="@py", timeout=5000)
        yield driver
        driver.adapter.close()


def start(board, cells=2):
    board.cells = cells
    board.shots = 2000
    board.temperature = 0.5
    board.switch_outputs(True)
    board.noise_enabled = True


@pytest.mark.parametrize("data_format", ["ASCii", "REAL,32", "REAL,64"])
@pytest.mark.parametrize("byte_order", ["big", "little"])
def test_programs_and_results_survive_every_encoding(board, data_format, byte_order):
    start(board, cells=3)
    board.use_encoding(data_format, byte_order)
    couplings = np.array([[0, 1, -0.5], [1, 0, 0.25], [-0.5, 0.25, 0]])
    board.load({0: {"couplings": couplings, "bias": [1, 0, -1], "quadratic": [2, 2, 2], "weights": [[1], [2], [3]]}})
    np.testing.assert_allclose(board.parameter("couplings"), couplings)
    np.testing.assert_allclose(board.actual_couplings(), couplings)
    np.testing.assert_allclose(board.parameter("weights"), [[1], [2], [3]])
    board.run()
    mean, variance, error = board.moments()
    samples = board.samples()
    covariance = board.covariance()
    np.testing.assert_allclose(mean, samples.mean(axis=2), atol=1e-4)
    np.testing.assert_allclose(np.diagonal(covariance[0, 0]), variance[0, 0], rtol=1e-5)
    hessian = 4 * np.eye(3) + couplings
    assert np.all(np.abs(mean[0, 0] - np.linalg.solve(hessian, [1, 0, -1])) < 5 * error[0, 0])
    assert board.histogram().sum() == 2000


def test_a_large_table_goes_there_and_back(board):
    board.inputs = 64
    board.use_encoding("REAL,32", "little")
    table = np.random.default_rng(0).uniform(-1, 1, (1437, 64)).astype(np.float32)
    board.set_input_table(table)
    np.testing.assert_array_equal(board.input_table(), table)


def test_nonsense_gets_a_typed_error_and_the_next_command_works(board):
    board.use_encoding("REAL,32", "little")
    with pytest.raises(InstrumentError, match="201"):
        board.program(0, couplings=[1.0, 2.0])
    with pytest.raises(InstrumentError):
        board.run()
    board.adapter.connection.timeout = 300
    with pytest.raises(InstrumentError) as raised:
        board.ask("SAMP:NONSENSE?")
    assert raised.value.code == -113
    assert board.shots == 1000


def test_results_before_any_run_are_an_error_and_not_a_silence(board):
    board.adapter.connection.timeout = 300
    with pytest.raises(InstrumentError) as raised:
        board.mean()
    assert raised.value.code == 241
    assert board.cells == 8


def test_a_mute_reply_costs_that_reply_only(board, bench):
    assert board.id.startswith("Szilard,TB256")
    board.adapter.connection.timeout = 300
    bench.inject(RESOURCE, [Fault("mute", "SAMPle:COUNt?", count=1)])
    with pytest.raises(InstrumentTimeoutError):
        _ = board.shots
    assert [board.shots for _ in range(3)] == [1000] * 3


def test_a_late_reply_is_never_taken_for_another(board, bench):
    assert board.id.startswith("Szilard,TB256")
    board.adapter.connection.timeout = 200
    bench.inject(RESOURCE, [Fault("slow", "SAMPle:COUNt?", count=1, delay=0.35)])
    with pytest.raises(InstrumentTimeoutError):
        _ = board.shots
    board.adapter.connection.timeout = 2000
    assert [board.cells for _ in range(3)] == [8] * 3
    assert board.shots == 1000


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["shots", "temperature", "slots", "rows", "unit", "noise_enabled", "function"])
def test_a_garbled_reply_is_a_typed_error_or_a_value_and_never_shifts_the_next(board, bench, name, seed):
    assert board.id.startswith("Szilard,TB256")
    sound = getattr(board, name)
    bench.inject(RESOURCE, [Fault("garbled", count=1)], seed=seed)
    with contextlib.suppress(ReplyError):
        assert type(getattr(board, name)) in (type(sound), int)
    assert getattr(board, name) == sound


def test_after_an_array_that_never_came_text_is_read_as_before(board):
    board.use_encoding("REAL,32", "little")
    board.adapter.connection.timeout = 300
    with pytest.raises(InstrumentError):
        board.moments()
    assert [board.shots for _ in range(3)] == [1000] * 3


@pytest.mark.parametrize("kind", ["garbled", "mute"])
def test_a_run_survives_a_lost_answer_to_whether_it_has_ended(board, bench, kind):
    start(board)
    board.load({0: {"bias": [1, 0]}})
    board.adapter.connection.timeout = 300
    bench.inject(RESOURCE, [Fault(kind, "*ESR?", count=2)])
    board.run()
    assert board.points == 2000


def test_what_ends_the_waiting_ends_the_run(board, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    start(board)
    board.load({0: {"bias": [1, 0]}})
    board.run_time_limit = 1e5
    board.shots, board.observation_time = 1 << 24, 100.0
    board.function = "statistics"
    monkeypatch.setattr(board, "_poll", interrupt)
    with pytest.raises(KeyboardInterrupt):
        board.run()
    monkeypatch.undo()
    assert board.operation_condition & MEASURING == 0
    board.shots, board.observation_time = 10, 0.5
    board.run()


def test_a_closed_session_is_a_lost_connection(board):
    board.adapter.close()
    with pytest.raises(ConnectionLostError):
        _ = board.shots


@pytest.mark.parametrize("seed", range(3))
def test_threads_that_run_abort_commit_and_switch_never_wait_for_each_other_for_ever(board, seed):
    start(board)
    board.shots = 500
    board.load({0: {"bias": [1, 0]}})
    refused = []

    def commit_what_is_selected():
        with board.lock:
            board.select(0)
            board.commit()

    def work(number):
        chances = random.Random(f"{seed}/{number}")
        actions = [
            board.run,
            board.abort,
            commit_what_is_selected,
            lambda: board.load({1: {"bias": [0, 1]}}),
            lambda: board.switch_outputs(chances.random() < 0.8),
            lambda: board.commit_slots([0, 1]),
        ]
        for _ in range(15):
            try:
                chances.choice(actions)()
            except InstrumentError as error:
                refused.append(error.code)
            threading.Event().wait(chances.random() * 2e-3)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert set(refused) <= {-221, -213, 203}
    assert board.id.startswith("Szilard,TB256")


def test_a_lost_connection_is_a_connection_error(board, bench):
    board.adapter.connection.timeout = 500
    bench.inject(RESOURCE, [Fault("dropped", "SAMPle:COUNt?")])
    with pytest.raises(ConnectionLostError):
        _ = board.shots
    with pytest.raises(ConnectionLostError):
        _ = board.cells


def test_an_injected_error_raises_where_it_was_queued(board, bench):
    bench.inject(RESOURCE, [Fault("error", "SAMPle:COUNt", code=-310, count=1)])
    with pytest.raises(InstrumentError) as raised:
        board.shots = 10
    assert (raised.value.code, raised.value.command) == (-310, "SAMP:COUN 10")


@pytest.mark.parametrize("data_format", ["ASCii", "REAL,32", "REAL,64"])
def test_resets_put_the_cells_where_they_are_told(board, data_format):
    board.cells, board.data_format = 3, data_format
    assert board.reset_values().tolist() == [0.0]
    board.set_reset_values([1.5, -2.0, 0.25])
    assert board.reset_values().tolist() == [1.5, -2.0, 0.25]
    with pytest.raises(InstrumentError):
        board.set_reset_values([1.0, 2.0])
    board.set_reset_values(0.5)
    assert board.reset_values().tolist() == [0.5]
