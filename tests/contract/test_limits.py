"""A plan refuses what its devices do not take, before its first message and before anything is sent."""

import inspect

import numpy as np
import pytest

import protocols
from lab.devices.dot_signals import GateSignal
from lab.signals import DriverSignal
from protocols.arguments import ArgumentError
from protocols.stored_run import StoredRun

PLANS = tuple(
    name for name in protocols.__all__ if StoredRun not in inspect.get_annotations(getattr(protocols, name)).values()
)
CHOSEN_ON_THE_WAY = {
    "learn_gate": ("switch_drive",),
    "qpc_trace": tuple(
        f"dot_{key}" for key in ("level_empty", "level_occupied", "noise_density", "rate_in", "rate_out", "bandwidth")
    ),
    "switch_curve": ("switch_drive",),
    "switching_times": ("switch_drive",),
    "transfer": ("board_shots",),
}
"""Settings that a plan works out while it runs, as every noise seed; they meet their limits when they are set."""


def settings_of(name, station, run_engine, short_plan):
    """The numbers with limits that a short run of a plan sets: the signal, and the largest value."""
    largest = {}

    def note(msg):
        signal = msg.obj
        settable = isinstance(signal, DriverSignal) and not isinstance(signal, GateSignal) and signal.limits is not None
        if msg.command == "set" and settable:
            value = msg.args[0]
            if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
                largest[signal] = max(largest.get(signal, -np.inf), float(value))

    run_engine.msg_hook = note
    run_engine(short_plan(name, station))
    run_engine.msg_hook = None
    return largest


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_a_setting_beyond_its_limit_is_refused_before_the_first_message(
    name, station, run_engine, computes, short_plan
):
    for signal, value in settings_of(name, station, run_engine, short_plan).items():
        low, high = signal.limits
        if value <= low or signal.name.endswith("_seed") or signal.name in CHOSEN_ON_THE_WAY.get(name, ()):
            continue
        signal.limits = (low, (low + value) / 2)
        with pytest.raises(ArgumentError, match=signal.name):
            next(short_plan(name, station))
        signal.limits = (low, high)


def test_a_gate_beyond_its_limits_is_refused_before_the_first_message(station, computes):
    beyond = 1.01 * station["dot"].gate("plunger").limits[1]
    for plan in (
        protocols.pinch_off(station["dot"], gate="plunger", start=0.0, stop=beyond),
        protocols.qpc_trace(station["dot"], fixed_gates=[f"plunger={beyond}"]),
    ):
        with pytest.raises(ArgumentError, match="plunger"):
            next(plan)
