import json
import math
from types import SimpleNamespace

import pytest
from ophyd import Device

from lab.device_states import DEVICE_STATES, DeviceStates, known_states, read_states
from lab.signals import driver_signal, result_signal


class Oven(Device):
    heat = driver_signal("heat", units="K", limits=(0, 300))
    never_seen = driver_signal("never_seen")
    program = driver_signal("program")
    profile = driver_signal("profile", dims=("point",))
    level = result_signal(units="V")
    trace = result_signal(dims=("sample",))

    @property
    def driver(self):
        raise AssertionError("the instrument was asked")


@pytest.fixture
def oven():
    oven = Oven(name="oven")
    oven.heat.store(77.0)
    oven.program.store(object())
    oven.profile.store(range(1000))
    return oven


@pytest.fixture
def states(oven, tmp_path):
    return DeviceStates({"oven": oven}, SimpleNamespace(run_directory=lambda uid: tmp_path / uid))


def test_only_what_was_seen_and_can_be_shown_is_known_with_its_units_and_limits(oven):
    (heat,) = known_states({"oven": oven})["oven"]
    assert heat.pop("time") > 0
    assert heat == {"signal": "heat", "value": 77.0, "units": "K", "limits": [0, 300], "kind": "setting"}


def test_a_result_that_is_no_number_is_none(oven):
    oven.level.store(math.nan)
    level = known_states({"oven": oven})["oven"][-1]
    assert (level["signal"], level["value"], level["kind"]) == ("level", None, "result")


def test_a_pause_is_written_at_once(states, tmp_path):
    (tmp_path / "a").mkdir()
    states("start", {"uid": "a"})
    states.engine_state("paused", "running")
    assert read_states(tmp_path / "a")["engine"] == "paused"


def test_a_disk_that_takes_nothing_fails_no_run(states):
    states("start", {"uid": "missing"})
    states("event", {})
    states("stop", {})


def test_what_cannot_be_read_is_none(tmp_path):
    assert read_states(tmp_path) is None
    for text in ("{", "[]", json.dumps({"devices": 3})):
        (tmp_path / DEVICE_STATES).write_text(text)
        assert read_states(tmp_path) is None
