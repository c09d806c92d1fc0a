import json
import os
import shutil
import threading

import numpy as np
import pytest
from bluesky.utils import FailedStatus

from lab import make_run_engine, open_station
from lab.device_states import DEVICE_STATES
from lab.follow import Follower
from lab.journal import JOURNAL
from lab.watch.state import RunState
from lab.watch.watcher import MOST_RUNS, Watcher
from protocols import coulomb_diamonds


def test_before_the_first_run_there_is_none_and_no_trouble(watched):
    view = watched.look()
    assert (view["run"], view["recent"], view["trouble"]) == (None, [], "")


def test_a_run_is_shown_while_it_grows(begin, watched):
    run = begin(plan_args={"epochs": 4})
    assert watched.look()["run"]["charts"] == []
    for epoch in (1, 2, 3):
        run.event("learning", epoch=epoch, loss=1.0 / epoch)
        view = watched.look()["run"]
        assert view["state"] == "running"
        assert view["charts"][0]["traces"][0]["y"] == pytest.approx([1.0 / e for e in range(1, epoch + 1)])
    assert view["progress"]["text"] == "epoch 3 of 4"
    assert view["mode"] == "hardware"


def test_the_end_of_a_run_and_its_reason_are_shown(begin, watched):
    run = begin()
    run.event("learning", epoch=1, loss=1.0)
    run.stop("fail", "the board is too hot")
    view = watched.look()
    assert view["run"]["state"] == "failed"
    assert view["run"]["messages"] == ["the board is too hot"]
    assert view["failures"][0]["reason"] == "the board is too hot"


def test_a_run_whose_process_died_is_called_cut(begin, watched):
    run = begin()
    run.event("learning", epoch=1, loss=1.0)
    run.journal.close()
    view = watched.look()["run"]
    assert view["state"] == "cut"
    assert view["progress"]["ends"] is None


def test_the_next_run_is_shown_when_it_begins_and_the_one_under_way_before_one_that_ended(begin, watched):
    first = begin("first")
    assert watched.look()["run"]["plan"] == "first"
    second = begin("second")
    second.stop()
    assert watched.look()["run"]["plan"] == "first"
    first.stop()
    third = begin("third")
    assert watched.look()["run"]["plan"] == "third"
    assert third.uid == watched.look()["recent"][0]["run"]


def test_a_watcher_of_one_run_stays_with_it(begin, tmp_path):
    from lab import open_catalogue

    first = begin("first")
    begin("second")
    watcher = Watcher(tmp_path / "runs", open_catalogue(tmp_path / "runs").find(first.uid))
    assert watcher.look()["run"]["plan"] == "first"


def test_a_last_line_that_is_not_whole_is_waited_for(begin, watched):
    run = begin()
    run.event("learning", epoch=1, loss=1.0)
    journal = run.directory / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    assert watched.look()["run"]["events"] == 0
    journal.write_bytes(whole)
    assert watched.look()["run"]["events"] == 1


def test_a_damaged_line_is_told_and_the_rest_is_shown(begin, watched):
    run = begin()
    run.event("learning", epoch=1, loss=1.0)
    with (run.directory / JOURNAL).open("ab") as journal:
        journal.write(b"\x00\x00\n")
    view = watched.look()["run"]
    assert view["events"] == 1
    assert "is damaged" in view["messages"][0]


def test_arrays_are_read_while_they_are_written(begin, watched):
    run = begin()
    gate = np.linspace(0.0, 1.0, 500)
    for bias in (1.0, 2.0, 3.0):
        run.event("primary", bias=bias, gate=gate, current=bias * gate**2)
        line = watched.look()["run"]["charts"][-1]
        assert line["traces"][0]["y"][-1] == pytest.approx(bias)
    assert watched.view["run"]["charts"][0]["map"]["y"] == [1.0, 2.0, 3.0]


def test_an_array_that_comes_while_others_are_read_is_read_too(begin, watched, monkeypatch):
    run = begin()
    to_come = [1.0, 2.0, 3.0]
    documents = Follower.documents

    def one_more(follower):
        if to_come:
            bias = to_come.pop(0)
            run.event("primary", bias=bias, gate=np.arange(500.0), current=bias * np.arange(500.0))
        return documents(follower)

    monkeypatch.setattr(Follower, "documents", one_more)
    view = watched.look()["run"]
    assert view["messages"] == []
    assert view["charts"][0]["map"]["y"] == [1.0, 2.0, 3.0]


@pytest.mark.slow
def test_an_error_of_an_instrument_is_shown(watched):
    with open_station("sim") as station:
        engine = make_run_engine(station, directory=watched.directory)
        with pytest.raises(FailedStatus):
            engine(coulomb_diamonds(station["dot"]))
    view = watched.look()
    (message,) = view["run"]["messages"]
    assert any(reason in message for reason in ("gave error -200", "is at 0 V and not at 0.9 V")), message
    assert view["failures"][0]["reason"] == message


@pytest.mark.slow
def test_what_gates_are_set_to_and_their_limits_are_shown_while_a_dot_is_measured(watched):
    seen = []

    def look(name, _):
        if name == "event":
            devices = watched.look()["run"]["devices"]["devices"]
            seen.append({signal["signal"]: (signal["value"], signal["limits"]) for signal in devices["dot"]})

    with open_station("twin") as station:
        engine = make_run_engine(station, directory=watched.directory)
        engine.subscribe(look)
        engine(coulomb_diamonds(station["dot"], gate_points=5, bias_points=2, peak_points=0))
    assert seen[-1]["barrier_left"] == (0.9, pytest.approx([-0.2, 1.2]))
    assert seen[-1]["plunger_2"] == (0.0, pytest.approx([-0.3, 0.3]))
    assert seen[-1]["bias"][1] == [-0.01, 0.01]


def test_a_run_that_continues_another_begins_with_its_curve(begin, watched):
    cut = begin(plan_args={"epochs": 6})
    for epoch in (1, 2, 3, 4):
        cut.event("learning", step=epoch, epoch=epoch, loss=1.0 / epoch)
    cut.journal.close()
    rest = begin(plan_args={"epochs": 6}, continues={"run": cut.uid, "events": {"learning": 3}})
    rest.event("learning", step=4, epoch=4, loss=0.4)
    view = watched.look()["run"]
    assert view["charts"][0]["traces"][0]["x"] == [1, 2, 3, 4]
    assert view["charts"][0]["traces"][0]["y"][-2:] == [pytest.approx(1 / 3), 0.4]
    assert view["about"]["continues"] == f"run {cut.uid[:8]} after step 3"
    assert view["events"] == 4


def test_a_run_whose_first_part_is_not_there_says_so(begin, watched):
    begin(continues={"run": "0123456789abcdef", "events": {"learning": 3}}).event("learning", step=4, loss=0.4)
    view = watched.look()["run"]
    assert "put it there" in view["messages"][0]
    assert view["charts"][0]["traces"][0]["y"] == [0.4]


def test_a_pause_is_shown(begin, watched):
    run = begin()
    states = {"time": 1.0, "engine": "paused", "devices": {"oven": []}}
    (run.directory / DEVICE_STATES).write_text(json.dumps(states))
    assert watched.look()["run"]["state"] == "paused"


def test_what_the_watchdog_did_is_shown(begin, watched):
    run = begin()
    (run.directory / "watchdog.log").write_text("board: noise off\n")
    assert watched.look()["run"]["messages"] == ["board: noise off"]


def test_a_long_silence_is_remarked_on(begin, watched):
    run = begin()
    run.event("learning", epoch=1, loss=1.0)
    now = watched.look()["time"]
    assert watched.look(now + 5.0)["run"]["quiet"] is None
    assert watched.look(now + 600.0)["run"]["quiet"] == pytest.approx(600.0, abs=5.0)


def test_a_run_that_is_taken_away_is_trouble_for_nobody(begin, watched):
    run = begin()
    watched.look()
    run.journal.close()
    shutil.rmtree(run.directory)
    view = watched.look()
    assert (view["run"], view["trouble"]) == (None, "")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_directory_that_cannot_be_read_is_told(begin, watched):
    begin()
    watched.directory.chmod(0)
    try:
        assert "Permission" in watched.look()["trouble"]
    finally:
        watched.directory.chmod(0o700)


def test_files_that_are_no_runs_are_passed_over(begin, watched):
    begin()
    (watched.directory / "notes.txt").write_text("x")
    (watched.directory / "2999-01-01T00-00-00_empty_00000000").mkdir()
    damaged = watched.directory / "2999-01-01T00-00-00_damaged_00000001"
    damaged.mkdir()
    (damaged / JOURNAL).write_text("{")
    view = watched.look()
    assert len(view["recent"]) == 1
    assert view["run"]["plan"] == "train_by_hand"


def test_of_many_runs_the_latest_are_listed(begin, watched):
    for _ in range(MOST_RUNS + 3):
        begin().stop()
    assert len(watched.look()["recent"]) == MOST_RUNS


def test_following_a_run_holds_no_file_and_no_lock_of_it(begin):
    run = begin()
    run.event("primary", gate=np.arange(500.0), current=np.arange(500.0))
    state = RunState(run.directory)
    state.follow()
    state.view()
    if os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - a check, not a path of ours
        mine = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _exists(fd)]  # noqa: PTH115, PTH208
        assert mine.count(str(run.directory / JOURNAL)) == 1
    run.event("primary", gate=np.arange(500.0), current=np.arange(500.0))
    run.stop()


def _exists(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_the_thread_ends_with_the_watcher(begin, tmp_path):
    begin()
    with Watcher(tmp_path / "runs") as watcher:
        assert watcher.view["run"]["plan"] == "train_by_hand"
    assert "watcher" not in [thread.name for thread in threading.enumerate()]
