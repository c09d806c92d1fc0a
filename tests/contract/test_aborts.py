"""A plan that is ended at any of its messages leaves every output at its safe value."""

import inspect
import os
import sys
from contextlib import suppress
from itertools import cycle

import numpy as np
import pytest
from bluesky.preprocessors import msg_mutator
from bluesky.utils import FailedStatus, Msg, RunEngineInterrupted, TransitionError

import protocols
from lab import make_run_engine
from protocols.stored_run import StoredRun

EVERY = os.environ.get("LAB_ABORTS") == "every"
"""Whether to end every plan, at each chosen message in all ways (`make soak`), or a few plans, in one way each."""
INDICES = 16 if EVERY else 10
WAYS = ("abort", "stop", "halt", "throw")
KINDS = ("activation_curve", "switch_curve", "coulomb_diamonds", "photon_kernel")
"""Cheap plans, one for each kind of device."""
PLANS = tuple(
    name for name in protocols.__all__ if StoredRun not in inspect.get_annotations(getattr(protocols, name)).values()
)


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
@pytest.mark.parametrize("name", PLANS if EVERY else KINDS)
def test_ending_a_plan_at_any_message_leaves_every_output_at_its_safe_value(
    name, station, computes, tmp_path, capsys, short_plan
):
    engine = make_run_engine(station, directory=tmp_path)
    own: list[Msg] = []
    engine(msg_mutator(short_plan(name, station), lambda msg: own.append(msg) or msg))
    indices = np.unique(np.linspace(0, len(own) - 1, INDICES).astype(int))
    ways = cycle([WAYS] if EVERY else [[way] for way in WAYS])
    ended = 0
    for index in indices.tolist():
        for way in next(ways):
            end(engine, short_plan(name, station), index, way)
            assert engine.state == "idle"
            moved = [device.name for device in station.values() if not device.at_rest]
            assert not moved, (way, index)
            ended += 1
    if EVERY:
        with capsys.disabled():
            sys.stdout.write(f"{name}: {len(own)} messages, ended at {len(indices)}, {ended} times: safe\n")
