import pytest

from lab.watch.progress import Pace, Progress


def event(time, **data):
    return {"time": time, "seq_num": data.get("step", 1), "data": data}


def test_the_pace_of_the_latest_steps_says_when_the_run_ends():
    progress = Progress({"plan_args": {"epochs": 10}})
    for epoch in range(1, 5):
        progress.note("learning", event(100.0 + 2 * epoch, epoch=epoch, step=epoch))
    view = progress.view("running", now=110.0)
    assert view["fraction"] == pytest.approx(0.4)
    assert view["text"] == "epoch 4 of 10"
    assert view["seconds_left"] == pytest.approx(12.0)
    assert view["ends"] == pytest.approx(122.0)


def test_steps_within_an_epoch_count_once_the_length_of_an_epoch_is_known():
    progress = Progress({"plan_args": {"epochs": 4}})
    for step in range(1, 11):
        progress.note("learning", event(float(step), epoch=1, step=step))
    progress.note("epochs", event(10.5, epoch=1))
    for step in range(11, 16):
        progress.note("learning", event(float(step), epoch=2, step=step))
    view = progress.view("running", now=15.0)
    assert view["fraction"] == pytest.approx(1.5 / 4)
    assert view["text"] == "epoch 2 of 4, step 15"


def test_without_a_goal_nothing_is_promised():
    progress = Progress({})
    progress.note("primary", event(1.0, level=3.0))
    view = progress.view("running", now=2.0)
    assert view["fraction"] is None
    assert view["ends"] is None
    assert view["text"] == "event 1"


def test_a_paused_run_has_no_estimated_end():
    progress = Progress({"plan_args": {"epochs": 10}})
    for epoch in (1, 2):
        progress.note("learning", event(float(epoch), epoch=epoch, step=epoch))
    assert progress.view("paused", now=3.0)["ends"] is None


def test_a_target_may_end_a_run_sooner():
    assert Progress({"plan_args": {"generations": 9, "target_loss": 0.1}}).view("running", 0.0)["may_end_sooner"]


def test_a_pace_needs_two_steps():
    pace = Pace()
    pace.note(1.0, 0.1)
    assert pace.seconds_left is None
