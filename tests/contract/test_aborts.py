"""A plan that is ended at any of its messages keeps what it measured, and leaves every output at its safe value."""

import os
import sys
from contextlib import suppress
from itertools import cycle

import numpy as np
import pytest
from bluesky.preprocessors import msg_mutator
from bluesky.utils import FailedStatus, Msg, RunEngineInterrupted, TransitionError

import protocols
from lab.catalogue import Catalogue

EVERY = os.environ.get("LAB_ABORTS") == "every"
"""Whether to end each plan at all of its messages, in every way (`make soak`), or at some of them, in one way each."""
SOME = 5
WAYS = ("abort", "stop", "halt", "throw")


class PulledPlugError(RuntimeError):
    """What a plan meets in the middle of its work."""


def met(plan, index, way):
    """The plan, met by an exception or a pause just before its message number `index` is obeyed."""
    sent, count = None, 0
    with suppress(StopIteration):
        while True:
            if count == index and way == "throw":
                msg = plan.throw(PulledPlugError(f"at message {index}"))
            else:
                msg = plan.send(sent)
            if count == index and way != "throw":
                yield Msg("pause")
            sent, count = (yield msg), count + 1


def end(engine, plan, index, way):
    with suppress(PulledPlugError, FailedStatus, RunEngineInterrupted):
        engine(met(plan, index, way))
    if engine.state == "paused":
        with suppress(TransitionError, RunEngineInterrupted):
            getattr(engine, way)()


@pytest.mark.slow
@pytest.mark.timeout(3600 if EVERY else 120)
@pytest.mark.parametrize("name", protocols.__all__)
def test_a_plan_ended_at_any_message_keeps_what_it_measured_and_leaves_every_output_at_its_safe_value(
    name, station, computes, run_engine, tmp_path, capsys, short_plan, stored
):
    own: list[Msg] = []
    run_engine(msg_mutator(short_plan(name, station, stored), lambda msg: own.append(msg) or msg))
    last = len(own) - 1
    indices = range(last + 1) if EVERY else np.linspace(0, last, SOME).astype(int).tolist()
    ways = cycle([WAYS] if EVERY else [[way] for way in WAYS])
    ended = 0
    for index in indices:
        for way in next(ways):
            end(run_engine, short_plan(name, station, stored), index, way)
            assert run_engine.state == "idle"
            moved = [device.name for device in station.values() if not device.at_rest]
            assert not moved, (way, index)
            ended += 1
    for run in Catalogue(tmp_path):
        assert run.stop is not None
        for stream in run.streams:
            assert run.read(stream).sizes["event"] >= 1
    if EVERY:
        with capsys.disabled():
            sys.stdout.write(f"{name}: {len(own)} messages, ended {ended} times: safe\n")
