"""Runs on a Tiled server: all of them, once, as they are in the journal, whether or not the server was there."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from bluesky import plans
from click.testing import CliRunner

from lab import open_catalogue
from lab.catalog_address import CatalogAddress, CatalogError, catalog_address, send_in_background
from lab.cli import main
from lab.station_tables import CatalogTable
from lab.tiled_catalog import connected, pending, send


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """A catalog server in a process of its own."""

    def __init__(self, store, port):
        self.address = CatalogAddress(f"http://127.0.0.1:{port}", store / "key")
        command = [sys.executable, "-m", "lab", "catalog", "serve", "--store", str(store), "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.port = port
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        tick = threading.Event()
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, self.process.stdout.read()
            tick.wait(0.1)
        raise AssertionError("the catalog never listened")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    server = Served(tmp_path_factory.mktemp("catalog") / "store", free_port())
    yield server
    if server.process.poll() is None:
        server.stop()


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
        journal, sent = stored.read(name), node[name].read()
        keys = node[name].metadata["data_keys"]
        for key in journal:
            assert sent[key].shape == journal[key].shape
            assert np.array_equal(sent[key].values, journal[key].values)
            assert keys[key].get("units", "") == journal[key].attrs.get("units", "")


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
    client.create_container(key=first.uid, metadata={"start": {"uid": first.uid}}).create_container(key="primary")
    assert [sent.problem for sent in send(runs, served.address)] == ["", ""]
    shutil.copy(first.directory / "catalog.json", runs / "mark")
    (first.directory / "catalog.json").unlink()
    assert [sent.run.uid for sent in send(runs, served.address)] == [first.uid]
    assert (first.directory / "catalog.json").read_text() == (runs / "mark").read_text()
    assert_same(first, client[first.uid])
    assert list(client).count(first.uid) == 1


@pytest.mark.slow
def test_a_wrong_key_is_refused_and_no_key_is_ever_printed(served, runs, tmp_path, monkeypatch):
    (tmp_path / "wrong").write_text("not-the-key")
    with pytest.raises(CatalogError, match="401"):
        list(send(runs, CatalogAddress(served.address.uri, tmp_path / "wrong")))
    monkeypatch.setenv("LAB_CATALOG", served.address.uri)
    arguments = ["catalog", "sync", "--directory", str(runs)]
    monkeypatch.setenv("TILED_API_KEY", served.address.key())
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert done.output.count(" sent") == 2
    printed = served.stop()
    assert served.address.key() not in printed + done.output
    assert (served.address.key_file.stat().st_mode & 0o077) == 0
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0
    assert "has every run" in again.output


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
