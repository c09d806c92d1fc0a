import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bluesky.plans as bp
import event_model
import h5py
import numpy as np
import pytest
from bluesky.utils import Msg
from event_model import compose_run

import lab.journal
from lab.catalogue import Run
from lab.journal import JOURNAL, Journal, JournalError, default_directory, read_lines


def only_run(directory: Path) -> Path:
    (run,) = directory.iterdir()
    return run


def a_run(journal, *values, stream="primary", shape=(300,)):
    """Write a run of one array key, without a run engine; the stop document is left to the test."""
    run = compose_run(metadata={"plan_name": "by hand"})
    journal("start", run.start_doc)
    keys = {"x": {"source": "test", "dtype": "array", "shape": list(shape)}}
    descriptor = run.compose_descriptor(stream, keys)
    journal("descriptor", descriptor.descriptor_doc)
    for value in values:
        journal("event", descriptor.compose_event({"x": value}, {"x": 0.0}))
    return run, descriptor


def test_every_document_comes_back_as_it_was_emitted(engine, detector, tmp_path):
    emitted = []
    engine.subscribe(lambda name, doc: emitted.append((name, doc)))
    engine(bp.count([detector], num=3))
    stored = list(Run(only_run(tmp_path / "runs")).documents())
    assert [name for name, _ in stored] == ["start", "descriptor", "event", "event", "event", "stop"]
    for (_, was), (_, now) in zip(emitted, stored, strict=True):
        assert event_model.sanitize_doc(was) == event_model.sanitize_doc(now)


def test_subscribers_get_valid_documents_with_their_arrays_in_place(engine, detector):
    def check(name, doc):
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
        if name == "event":
            assert isinstance(doc["data"]["image"], np.ndarray)
            assert doc["filled"] == {}

    engine.subscribe(check)
    engine(bp.count([detector]))


def test_the_lines_on_disk_are_valid_documents_too(engine, detector, tmp_path):
    engine(bp.count([detector], num=2))
    for name, doc in read_lines(only_run(tmp_path / "runs") / JOURNAL):
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def test_large_arrays_go_to_hdf5_and_small_ones_stay_in_the_line(engine, detector, tmp_path):
    engine(bp.count([detector], num=2))
    directory = only_run(tmp_path / "runs")
    events = [doc for name, doc in read_lines(directory / JOURNAL) if name == "event"]
    assert events[1]["data"]["image"] == {"file": "primary.h5", "dataset": "image", "row": 1}
    assert events[1]["filled"] == {"image": False}
    assert events[1]["data"]["small"] == [0.0, 2.0, 4.0, 6.0]
    with h5py.File(directory / "primary.h5") as file:
        assert file["image"].shape == (2, 2, 500)
        assert file["image"].dtype == np.float32


def test_the_directory_says_when_and_what_was_run(engine, detector, tmp_path):
    (uid,) = engine(bp.count([detector]))
    directory = only_run(tmp_path / "runs")
    started = Run(directory).started
    assert directory.name == f"{started:%Y-%m-%dT%H-%M-%S}_count_{uid[:8]}"
    assert engine.journal.run_directory(uid) == directory


def test_a_name_that_is_no_file_name_stays_inside_the_runs(engine, detector, tmp_path):
    engine(bp.count([detector]), plan_name="../../etc/passwd\0")
    assert only_run(tmp_path / "runs").name.split("_", 1)[1].startswith("_etc_passwd")


def test_an_array_that_changes_its_shape_begins_a_new_file(tmp_path):
    journal = Journal(tmp_path)
    values = [np.arange(300.0), np.arange(400.0), np.arange(400.0) + 1, np.arange(300, dtype=np.int16)]
    a_run(journal, *values)
    journal.close()
    directory = only_run(tmp_path)
    stored = [doc["data"]["x"] for name, doc in Run(directory).documents() if name == "event"]
    for was, now in zip(values, stored, strict=True):
        np.testing.assert_array_equal(was, now)
        assert was.dtype == now.dtype
    assert sorted(path.name for path in directory.glob("*.h5")) == ["primary-2.h5", "primary-3.h5", "primary.h5"]


def test_two_runs_open_at_once_are_kept_apart(tmp_path):
    journal = Journal(tmp_path)
    first, _ = a_run(journal, np.zeros(300))
    second, descriptor = a_run(journal, np.ones(300))
    journal("stop", first.compose_stop())
    journal("event", descriptor.compose_event({"x": np.full(300, 2.0)}, {"x": 0.0}))
    journal("stop", second.compose_stop())
    assert Run(journal.run_directory(first.start_doc["uid"])).steps == 1
    np.testing.assert_array_equal(Run(journal.run_directory(second.start_doc["uid"])).read()["x"][:, 0], [1.0, 2.0])


def test_event_pages_are_stored_as_events(tmp_path):
    journal = Journal(tmp_path)
    run, descriptor = a_run(journal)
    page = descriptor.compose_event_page(
        data={"x": [np.zeros(300), np.ones(300)]}, timestamps={"x": [0.0, 1.0]}, seq_num=[1, 2], time=[0.0, 1.0]
    )
    journal("event_page", page)
    journal("stop", run.compose_stop())
    np.testing.assert_array_equal(Run(only_run(tmp_path)).read()["x"][:, 7], [0.0, 1.0])


def test_a_line_cut_short_at_the_end_is_left_out(engine, detector, tmp_path):
    engine(bp.count([detector], num=2))
    path = only_run(tmp_path / "runs") / JOURNAL
    path.write_bytes(path.read_bytes()[:-40])
    assert [name for name, _ in read_lines(path)] == ["start", "descriptor", "event", "event"]
    assert Run(path.parent).state == "cut"


def test_an_event_whose_arrays_are_not_on_disk_ends_a_run_without_an_end(tmp_path):
    journal = Journal(tmp_path)
    _, descriptor = a_run(journal, np.zeros(300))
    for number in range(3):
        journal("event", descriptor.compose_event({"x": np.full(300, float(number))}, {"x": 0.0}))
    journal.close()
    directory = only_run(tmp_path)
    with h5py.File(directory / "primary.h5", "r+") as arrays:
        arrays["x"].resize(2, axis=0)
    assert Run(directory).read().sizes["event"] == 2
    assert len(list(Run(directory).documents())) == 4
    (directory / "primary.h5").write_bytes(b"")
    assert Run(directory).read().sizes["event"] == 0


def test_arrays_missing_from_a_complete_run_are_damage(tmp_path):
    journal = Journal(tmp_path)
    run, _ = a_run(journal, np.zeros(300))
    journal("stop", run.compose_stop())
    with h5py.File(only_run(tmp_path) / "primary.h5", "r+") as arrays:
        arrays["x"].resize(0, axis=0)
    with pytest.raises(JournalError, match="row 0 of x cannot be read"):
        Run(only_run(tmp_path)).read()


def test_damage_before_the_end_is_an_error_that_names_the_line(engine, detector, tmp_path):
    engine(bp.count([detector]))
    path = only_run(tmp_path / "runs") / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"garbage\n" + b"".join(lines[2:]))
    with pytest.raises(JournalError, match="line 2 is damaged"):
        list(read_lines(path))


def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(make_engine, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file") as caught:
        make_engine(directory=tmp_path / "file" / "runs")
    assert isinstance(caught.value, OSError)
    assert "Errno" not in str(caught.value)


def test_arrays_are_refused_before_the_disk_is_full(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    _, descriptor = a_run(journal, np.zeros(300))
    monkeypatch.setattr(lab.journal.shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, free=70_000))
    with pytest.raises(JournalError, match="the disk is full"):
        journal("event", descriptor.compose_event({"x": np.ones(300)}, {"x": 0.0}))
    journal.close()
    np.testing.assert_array_equal(Run(only_run(tmp_path)).read()["x"][:, 0], [0.0])


def test_a_disk_that_fills_up_between_plans_stops_the_next_one_before_its_first_message(
    engine, detector, stub_station, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lab.journal.os, "write", full)
    with pytest.raises(JournalError, match="the disk is full"):
        engine(bp.count([detector]))
    monkeypatch.undo()
    assert detector.count == 0
    assert engine.state == "idle"
    engine(bp.count([detector]))


def test_a_disk_that_fills_up_in_a_run_fails_it_and_keeps_what_was_written(
    engine, detector, stub_station, tmp_path, monkeypatch
):
    write = os.write

    def plan():
        yield Msg("open_run")
        yield from steps(3)
        monkeypatch.setattr(lab.journal.os, "write", half_then_full)
        yield from steps(1)

    def steps(count):
        for _ in range(count):
            yield Msg("trigger", detector, group="x")
            yield Msg("wait", group="x")
            yield Msg("create", name="learning")
            yield Msg("read", detector)
            yield Msg("save")

    def half_then_full(descriptor, data):
        if len(data) > 100:
            return write(descriptor, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(JournalError, match="the disk is full"):
        engine(plan())
    monkeypatch.undo()
    assert engine.state == "idle"
    assert stub_station.made_safe == 1
    engine.journal.close()
    run = Run(only_run(tmp_path / "runs"))
    np.testing.assert_array_equal(run.read("learning")["image"][:, 0, 0], [1.0, 2.0, 3.0])
    engine(bp.count([detector]))


def test_what_json_cannot_carry_fails_the_run_and_leaves_whole_lines(engine, detector, tmp_path):
    detector.values = lambda: {"level": object(), "small": np.zeros(4), "image": np.zeros((2, 500))}
    with pytest.raises(TypeError, match="JSON"):
        engine(bp.count([detector]))
    assert [name for name, _ in read_lines(only_run(tmp_path / "runs") / JOURNAL)] == ["start", "descriptor", "stop"]


def test_a_document_of_no_known_run_is_refused(tmp_path):
    run = compose_run()
    with pytest.raises(JournalError, match="belongs to no run"):
        Journal(tmp_path)("stop", run.compose_stop())


def test_a_subscriber_that_fails_loses_no_line(engine, detector, tmp_path):
    def fail(name, doc):
        if name == "event":
            raise RuntimeError("the plot broke")

    engine.subscribe(fail)
    with pytest.raises(RuntimeError, match="the plot broke"):
        engine(bp.count([detector], num=2))
    names = [name for name, _ in read_lines(only_run(tmp_path / "runs") / JOURNAL)]
    assert names == ["start", "descriptor", "event", "stop"]


def test_the_journal_cannot_be_unsubscribed(engine, detector, tmp_path):
    engine.reset()
    engine.dispatcher.unsubscribe_all()
    engine(bp.count([detector]))
    assert Run(only_run(tmp_path / "runs")).state == "success"


def test_runs_go_to_the_directory_of_the_environment_else_to_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "here"))
    assert default_directory() == tmp_path / "here"
    monkeypatch.delenv("LAB_RUNS")
    monkeypatch.chdir(tmp_path)
    assert default_directory() == tmp_path / "runs"


@pytest.mark.parametrize(("stream", "synced"), [("learning", 20), ("primary", 0)])
def test_learning_steps_are_synced_at_once_and_others_now_and_then(tmp_path, monkeypatch, stream, synced):
    journal = Journal(tmp_path)
    _, descriptor = a_run(journal, stream=stream)
    calls = []
    monkeypatch.setattr(lab.journal.os, "fsync", calls.append)
    for _ in range(20):
        journal("event", descriptor.compose_event({"x": [1.0]}, {"x": 0.0}))
    assert len(calls) == synced
    journal.close()


KILLED = """
import sys
sys.path.insert(0, {here!r})
from conftest import Detector, StationStub
from bluesky.utils import Msg
from lab import make_run_engine

detector = Detector()

def endless():
    yield Msg("open_run", plan_name="endless")
    while True:
        yield Msg("checkpoint")
        yield Msg("trigger", detector, group="x")
        yield Msg("wait", group="x")
        yield Msg("create", name="learning")
        yield Msg("read", detector)
        yield Msg("save")

make_run_engine(StationStub(), directory={runs!r})(endless())
"""


@pytest.mark.slow
def test_a_process_killed_in_a_run_leaves_every_finished_step(tmp_path):
    script = KILLED.format(here=str(Path(__file__).parent), runs=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        deadline = time.monotonic() + 60
        while not (finished := finished_steps(tmp_path)) > 20:
            assert time.monotonic() < deadline
            assert process.poll() is None
            os.sched_yield()
        running = Run(only_run(tmp_path))
        assert running.state == "running"
        assert running.read("learning").sizes["event"] >= finished
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    run = Run(only_run(tmp_path))
    assert run.state == "cut"
    learning = run.read("learning")
    steps = np.arange(1, learning.sizes["event"] + 1)
    assert run.steps == len(steps) > 20
    np.testing.assert_array_equal(learning["seq_num"], steps)
    np.testing.assert_array_equal(learning["level"], 0.5 * steps)
    np.testing.assert_array_equal(learning["image"], np.broadcast_to(steps[:, None, None], learning["image"].shape))


def finished_steps(directory: Path) -> int:
    return sum(path.read_bytes().count(b'"name":"event"') for path in directory.glob(f"*/{JOURNAL}"))


LIMITED = """
import resource, sys
sys.path.insert(0, {here!r})
from conftest import Detector, StationStub
import bluesky.plans as bp
from lab import make_run_engine
from lab.journal import JournalError

station = StationStub()
engine = make_run_engine(station, directory={runs!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
try:
    engine(bp.count([Detector(large=100_000)], num=20))
except JournalError as error:
    print(error)
    print(engine.state, station.made_safe)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_arrays_that_no_longer_fit_on_the_disk_fail_the_run(tmp_path):
    script = LIMITED.format(here=str(Path(__file__).parent), runs=str(tmp_path))
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    message, state = outcome.stdout.splitlines()
    assert "cannot be recorded" in message
    assert state == "idle 1"
    run = Run(only_run(tmp_path))
    assert run.state == "fail"
    image = run.read()["image"]
    assert 2 <= len(image) < 20
    np.testing.assert_array_equal(image[:, 0, 0], np.arange(1, len(image) + 1))


def test_json_lines_are_readable_by_anything(engine, detector, tmp_path):
    engine(bp.count([detector]))
    for line in (only_run(tmp_path / "runs") / JOURNAL).read_text().splitlines():
        assert set(json.loads(line)) == {"name", "doc"}


def test_numbers_of_numpy_are_written_without_a_second_spent_on_dask():
    script = """
import json, sys, numpy
from lab.journal import Encoder
print(json.dumps([numpy.arange(2), numpy.float32(0.5), numpy.bool_(True)], cls=Encoder))
sys.exit("dask.array" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[0, 1], 0.5, True]
