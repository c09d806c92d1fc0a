"""Where the twin of a station computes: chosen when it is opened, told to the operator, and of no effect on results."""

import json

import pytest
from click.testing import CliRunner

from lab import open_catalogue, open_station
from lab.cli import main
from lab.outcome import BAD_ARGUMENT, FAILED, NO_COMMUNICATION
from lab.station import StationError, serve_bench

CURVE = [
    "run", "activation_curve", "--stiffness", "1,0,1", "--temperature", "0.1", "--drive", "-1,0,1",
    "--observation-time", "1", "--shots", "200", "--seed", "1", "--no-figure", "--json",
]  # fmt: skip
NOWHERE = "tcp://127.0.0.1:9"


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))


@pytest.fixture(scope="module")
def address():
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "protocol": "tcp://", "dashboard_address": ":0"}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as workers:
        yield workers.scheduler_address


def lab(*arguments):
    return CliRunner().invoke(main, [*CURVE, *arguments])


@pytest.mark.slow
def test_a_run_on_a_cluster_gives_what_it_gives_here_and_says_where_it_was(address):
    there, here = lab("--cluster", address), lab()
    assert there.exit_code == 0, there.stderr
    assert json.loads(there.stdout)["result"] == json.loads(here.stdout)["result"]
    assert f"the twin computes on 2 workers with 2 threads at {address}" in there.stderr
    assert "the twin computes on" in here.stderr
    recorded = [run.start["computing"] for run in open_catalogue()]
    assert recorded[0] == f"2 workers with 2 threads at {address}"
    assert "thread" in recorded[1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--compute", "abacus"], BAD_ARGUMENT, "'abacus' is not allowed; threads, gpu or the address of a cluster"),
        (["--cluster", NOWHERE], NO_COMMUNICATION, f"no Dask scheduler answers at {NOWHERE}"),
        (["--station", "sim", "--cluster", NOWHERE], BAD_ARGUMENT, f'only "twin" computes, so it cannot on {NOWHERE}'),
        (["--station", "tcp", "--compute", "gpu"], BAD_ARGUMENT, 'only "twin" computes, so it cannot on gpu'),
    ],
)  # fmt: skip
def test_a_place_that_cannot_compute_is_refused_in_plain_words(arguments, code, said):
    done = lab(*arguments)
    assert done.exit_code == code
    assert said in done.stderr


def test_a_gpu_that_is_not_there_is_refused_in_plain_words(monkeypatch):
    pytest.importorskip("numba_cuda")
    monkeypatch.setattr("numba.cuda.is_available", lambda: False)
    done = lab("--compute", "gpu")
    assert done.exit_code == FAILED
    assert "CUDA" in done.stderr


def test_only_a_twin_says_what_it_computes_with():
    with open_station("twin") as twin, open_station("sim", devices=["board"]) as datasheets:
        assert twin.computing.endswith(("thread", "threads"))
        assert twin.metadata()["computing"] == twin.computing
        assert datasheets.computing is None
        assert "computing" not in datasheets.metadata()


def test_what_is_served_may_compute_elsewhere_but_must_compute():
    with pytest.raises(ConnectionError, match="no Dask scheduler"), serve_bench("twin", port=0, compute=NOWHERE):
        pass
    with pytest.raises(StationError, match="can be served"), serve_bench("sim", port=0, compute=NOWHERE):
        pass
