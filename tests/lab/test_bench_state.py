import json
import weakref

import numpy as np
import pytest
from bluesky.utils import Msg

from lab.bench_state import BENCH_STATE, noting
from protocols.continuation import LEARNING


class Bench:
    name = "bench"

    def state(self):
        return {"time": 1.5, "acquisitions": {}}


@pytest.fixture
def noted():
    return noting(Bench())


def step():
    answer = yield Msg("create", name=LEARNING)
    yield Msg("create", name="other")
    yield Msg("save")
    return answer


def test_the_state_is_read_into_learning_events_only(noted):
    plan = noted(step())
    messages = [next(plan), *(plan.send(None) for _ in range(3))]
    assert [msg.command for msg in messages] == ["create", "read", "create", "save"]
    assert json.loads(messages[1].obj.read()[BENCH_STATE]["value"]) == Bench().state()


def test_a_plan_gets_the_answer_to_its_own_message_and_its_value_is_returned(noted):
    plan = noted(step())
    next(plan)
    plan.send("mine")
    for _ in range(2):
        plan.send("not mine")
    with pytest.raises(StopIteration) as end:
        plan.send(None)
    assert end.value.value == "mine"


def test_a_failure_of_any_message_comes_to_the_plan(noted):
    def careful():
        try:
            yield Msg("create", name=LEARNING)
        except RuntimeError:
            yield Msg("drop")

    plan = noted(careful())
    next(plan)
    assert plan.send(None).command == "read"
    assert plan.throw(RuntimeError("the state cannot be read")).command == "drop"


def test_a_plan_that_is_closed_cleans_up(noted):
    closed = []

    def tidy():
        try:
            yield Msg("null")
        finally:
            closed.append(True)

    plan = noted(tidy())
    next(plan)
    plan.close()
    assert closed


def test_messages_are_let_go_of_with_their_arrays(noted):
    def plan():
        for _ in range(3):
            array = np.zeros(1000)
            held.append(weakref.ref(array))
            message = Msg("set", None, array)
            del array
            yield message
            del message

    held = []
    for _ in noted(plan()):
        pass
    running = noted(plan())
    for _ in range(3):
        next(running)
    assert held[-2]() is None
    assert held[-1]() is not None
