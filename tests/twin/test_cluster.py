"""On a cluster of two processes with one thread each."""

import os
import signal
import socket
import sys
import threading
import time

import numpy as np
import pytest

from twin import cluster, compute
from twin.compute import Cancelled, ClusterError, MissingExtraError
from twin.models.network import sample_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workers():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local:
        yield local


@pytest.fixture
def address(workers):
    return workers.scheduler_address


def network(**options):
    rng = np.random.default_rng(3)
    upper = np.triu(rng.normal(size=(4, 6, 6)), 1).astype(np.float32)
    fields = rng.normal(size=(4, 3, 6)).astype(np.float32)
    given = {"trajectories": 50, "key": (5, 6), "first": 0.5, "interval": 0.3, "observations": 2} | options
    return sample_network(upper + upper.swapaxes(1, 2), fields, np.ones((4, 6, 3), np.float32), 0.2, **given)


def long_run(**options):
    return network(**{"trajectories": 64 * 16, "first": 40.0} | options)


@pytest.mark.parametrize(
    "options", [{}, {"noise": "gaussian"}, {"scheme": "euler"}, {"trajectories": 3}, {"read": [1, 4], "rail": 0.5}]
)
def test_a_cluster_gives_the_very_numbers_of_this_machine(address, options):
    with compute.use(address):
        there = network(**options)
    np.testing.assert_array_equal(there, network(**options))


def test_a_series_goes_on_where_it_was(address):
    here, there = np.zeros((2, 4, 50 * 3, 6), np.float32)
    with compute.use(address):
        parts = [network(state=there), network(state=there, done=2)]
    expected = [network(state=here), network(state=here, done=2)]
    np.testing.assert_array_equal(parts, expected)
    np.testing.assert_array_equal(there, here)


def test_a_cluster_says_what_it_has(address):
    with compute.use(address) as executor:
        assert executor.description == f"2 workers with 2 threads at {address}"


def test_progress_comes_back_also_within_a_piece(address):
    fractions = []
    with compute.use(address):
        sample_network(
            np.zeros((1, 6, 6), np.float32), np.zeros((1, 1, 6), np.float32), np.ones((1, 6, 3), np.float32), 0.2,
            trajectories=64, key=(1, 2), first=1000.0, observations=100, progress=fractions.append,
        )  # fmt: skip
    assert fractions == sorted(fractions)
    assert len({fraction for fraction in fractions if 0 < fraction < 1}) > 1


def test_a_cancelled_run_ends_soon_and_leaves_the_workers_free(address):
    flag = threading.Event()
    threading.Timer(0.3, flag.set).start()
    with compute.use(address):
        begin = time.monotonic()
        with pytest.raises(Cancelled):
            network(first=1e6, cancelled=flag.is_set)
        np.testing.assert_array_equal(network(), network())
        assert time.monotonic() - begin < 10.0


def test_what_was_cancelled_before_it_began_is_not_sent(address):
    with compute.use(address), pytest.raises(Cancelled):
        network(cancelled=lambda: True)


def test_a_worker_that_dies_costs_time_and_nothing_else(workers, address):
    fractions, killed = [], []
    processes = [worker.pid for worker in workers.workers.values()]

    def kill_one(fraction):
        fractions.append(fraction)
        if fraction > 0.05 and not killed:
            killed.append(processes[0])
            os.kill(processes[0], signal.SIGKILL)

    with compute.use(address):
        there = long_run(progress=kill_one)
    assert killed
    assert fractions == sorted(fractions)
    np.testing.assert_array_equal(there, long_run())
    workers.wait_for_workers(2)


def test_an_error_of_a_piece_is_raised_here(address):
    with compute.use(address), pytest.raises(ValueError, match="longer than its noise"):
        network(first=1e10)


def test_several_threads_may_use_one_cluster(address):
    results = {}
    executor = compute.open_executor(address)

    def run(number):
        compute.choose(executor)
        results[number] = network()

    runs = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    executor.close()
    for number in range(4):
        np.testing.assert_array_equal(results[number], network())


def test_a_cluster_that_is_lost_is_an_error():
    distributed = pytest.importorskip("distributed")
    local = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
    closing = threading.Timer(0.5, local.close)
    with compute.use(local.scheduler_address):
        closing.start()
        with pytest.raises(ClusterError, match="lost"):
            network(first=1e5)
    closing.join()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:9", "refused"),
        ("tcp://127.0.0.1", "missing port"),
        ("smtp://127.0.0.1:9", "unknown address scheme"),
        ("tcp://nowhere.invalid:8786", "not known"),
    ],
)
def test_a_cluster_that_is_not_there_is_refused_at_once(address, said):
    begin = time.monotonic()
    with pytest.raises(ClusterError, match=f"no Dask scheduler answers at {address}.*{said}"):
        compute.open_executor(address)
    assert time.monotonic() - begin < 2.0


def test_what_listens_but_is_no_scheduler_is_refused(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECTING", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(ClusterError, match="timed out"):
        compute.open_executor(f"tcp://127.0.0.1:{mute.getsockname()[1]}")


@pytest.mark.parametrize(
    ("said", "told"), [(b"", "hangs up"), (b"HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1"), (bytes(8), "something else")]
)
def test_a_server_of_something_else_is_refused_before_dask_reads_it(said, told):
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            line, _ = other.accept()
            with line:
                line.sendall(said)

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(ClusterError, match=f"no Dask scheduler answers at .*{told}"):
            compute.open_executor(f"tcp://127.0.0.1:{other.getsockname()[1]}")
        answering.join()


def test_a_scheduler_behind_tls_without_certificates_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(ClusterError, match="no certificates"):
        compute.open_executor(f"tls://127.0.0.1:{listening.getsockname()[1]}")


def test_a_cluster_without_workers_is_refused(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "CONNECTING", 1.0)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(ClusterError, match="has no workers"),
    ):
        compute.open_executor(empty.scheduler_address)


def test_workers_with_other_software_are_refused(address, monkeypatch):
    monkeypatch.setattr(cluster.metadata, "version", lambda name: "0.0.1")
    with pytest.raises(ClusterError, match=r"the worker at tcp.* has szilard .*; needed is szilard 0\.0\.1, numba"):
        compute.open_executor(address)


@pytest.mark.parametrize(
    ("what", "other", "said"),
    [
        ("get_host_cpu_features", lambda: {"fma": False}, "needed is .* without FMA"),
        ("__file__", __file__, "needed is .*, twin "),
    ],
)
def test_workers_that_would_compute_other_numbers_are_refused(address, monkeypatch, what, other, said):
    monkeypatch.setattr(cluster, what, other)
    with pytest.raises(ClusterError, match=said):
        compute.open_executor(address)


def test_a_cluster_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'szilard\[cluster\]'"):
        compute.open_executor("tcp://127.0.0.1:8786")
