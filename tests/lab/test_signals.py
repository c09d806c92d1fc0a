import threading

import numpy as np
import pytest
from bluesky.protocols import Checkable, Movable, Readable
from event_model import DocumentNames, schema_validators
from ophyd.utils import LimitError, ReadOnlyError

from lab.devices.driver_device import AcquisitionStoppedError, DriverDevice
from lab.signals import (
    AcquisitionStatus,
    ChoiceError,
    ValueTypeError,
    driver_signal,
    result_signal,
)


class Thermostat:
    """A driver: keeps what it is told on a coarse grid, and counts what it is asked."""

    def __init__(self):
        self.asked = 0
        self.threads = set()
        self.calls = []
        self.mode = "fast"
        self.points = 3
        self.kelvin = 300.0
        self.gate = threading.Event()

    @property
    def temperature(self):
        self.asked += 1
        return self.kelvin

    @temperature.setter
    def temperature(self, value):
        self.threads.add(threading.current_thread().name)
        if value == 13:
            raise RuntimeError("unlucky")
        self.kelvin = round(value)

    def call(self, name):
        self.calls.append(name)
        if name == "fail":
            raise OSError("stuck")


class Oven(DriverDevice):
    """A device of few signals."""

    temperature = driver_signal("temperature", units="K", limits=(0, 500))
    points = driver_signal("points", dtype="integer", limits=(1, 10))
    mode = driver_signal("mode", dtype="string", choices=("fast", "slow"))
    trace = result_signal(dims=("time",), units="K")
    count = result_signal(numpy_type=np.int64)

    steps = ("abort", "heater off")

    def length(self, dim):
        return {"time": 4}[dim]

    def prepare_acquisition(self):
        self.driver.call("prepare")

    def acquire(self, status):
        status.report(1, 4)
        if not self.driver.gate.wait(5):
            raise TimeoutError
        if self.stopped.is_set():
            raise AcquisitionStoppedError("stopped")
        self.trace.store([1, 2, 3, 4])
        self.count.store(4)

    def safety_steps(self):
        return [(step, lambda step=step: self.driver.call(step)) for step in self.steps]


@pytest.fixture
def driver():
    return Thermostat()


@pytest.fixture
def oven(driver):
    device = Oven(driver, name="oven")
    yield device
    driver.gate.set()
    device.close()


def test_a_limit_is_said_in_full(oven):
    oven.points.limits = (1, 16777216)
    with pytest.raises(LimitError, match="outside 1 to 16777216"):
        oven.points.set(10**12)


def test_a_status_of_a_signal_names_it_without_its_value(oven):
    oven.trace.store(np.zeros(10))
    assert repr(oven.trace) == "ResultSignal('oven_trace')"
    assert "obj=DriverSignal('oven_temperature')" in repr(oven.temperature.set(300))


def test_constructing_a_device_writes_nothing(oven, driver):
    assert driver.calls == []
    assert driver.kelvin == 300


def test_a_set_is_done_when_the_driver_has_taken_it_even_if_it_rounds(oven, driver):
    oven.temperature.set(19.7).wait(2)
    assert oven.temperature.last == 20
    assert driver.threads == {"oven-worker_0"}


def test_a_refused_set_fails_its_status_with_the_cause(oven):
    status = oven.temperature.set(13)
    with pytest.raises(RuntimeError, match="unlucky"):
        status.wait(2)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("temperature", 500.1, LimitError),
        ("temperature", -1, LimitError),
        ("temperature", float("nan"), LimitError),
        ("temperature", float("inf"), LimitError),
        ("temperature", "20", ValueTypeError),
        ("temperature", True, ValueTypeError),
        ("temperature", None, ValueTypeError),
        ("temperature", [20.0], ValueTypeError),
        ("temperature", 1j, ValueTypeError),
        ("points", 10**12, LimitError),
        ("points", 2.5, ValueTypeError),
        ("mode", "slower", ChoiceError),
        ("mode", 1, ChoiceError),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_before_anything_is_sent(oven, driver, name, value, error):
    signal = getattr(oven, name)
    for refuse in (signal.check_value, signal.set, signal.put):
        with pytest.raises(error, match=rf"oven_{name}: .*"):
            refuse(value)
    assert driver.threads == set()
    assert isinstance(signal, Checkable)
    assert isinstance(signal, Movable)


def test_numpy_numbers_are_numbers(oven):
    oven.temperature.set(np.float32(4)).wait(2)
    oven.points.set(np.int64(4)).wait(2)
    assert oven.points.get() == 4


def test_limits_of_a_station_replace_the_default_ones(driver):
    oven = Oven(driver, name="oven", limits={"temperature": (0, 10)})
    with pytest.raises(LimitError, match="outside 0 to 10 K"):
        oven.temperature.set(11)
    oven.close()


@pytest.mark.parametrize(
    ("limits", "match"), [({"pressure": (0, 1)}, "temperature, points"), ({"mode": (0, 1)}, "mode")]
)
def test_limits_of_what_has_none_are_refused(driver, limits, match):
    with pytest.raises(ValueError, match=match):
        Oven(driver, name="oven", limits=limits)


def test_limits_that_allow_nothing_are_refused(driver):
    with pytest.raises(LimitError, match="allow nothing"):
        Oven(driver, name="oven", limits={"temperature": (1, 0)})


def test_describe_asks_nothing_and_says_units_limits_choices_and_dims(oven, driver):
    before = driver.asked
    keys = oven.describe() | oven.describe_configuration()
    assert driver.asked == before
    assert keys["oven_temperature"] == {
        "source": "driver:oven.temperature",
        "dtype": "number",
        "shape": [],
        "dtype_numpy": "<f8",
        "units": "K",
        "limits": {"control": {"low": 0, "high": 500}},
    }
    assert keys["oven_mode"]["choices"] == ["fast", "slow"]
    assert keys["oven_trace"]["dims"] == ["time"]
    assert keys["oven_trace"]["shape"] == [4]
    descriptor = {"data_keys": keys, "uid": "u", "run_start": "s", "time": 0.0, "hints": {}, "object_keys": {}}
    schema_validators[DocumentNames.descriptor].validate(descriptor)


def test_a_result_reads_without_the_driver_and_is_not_settable(oven, driver):
    driver.gate.set()
    assert np.isnan(oven.read()["oven_trace"]["value"]).all()
    oven.trigger().wait(2)
    before = driver.asked
    reading = oven.read()
    assert driver.asked == before
    assert reading["oven_trace"]["value"].tolist() == [1, 2, 3, 4]
    assert reading["oven_count"]["value"] == 4
    for refuse in (oven.trace.set, oven.trace.check_value):
        with pytest.raises(ReadOnlyError):
            refuse([1])
    assert isinstance(oven.trace, Readable)


def test_watchers_are_told_how_far_an_acquisition_is(oven):
    told = []
    status = AcquisitionStatus(oven)
    status.watch(lambda **progress: told.append(progress))
    status.report(1, 4)
    assert told[0]["name"] == "oven"
    assert (told[0]["current"], told[0]["target"], told[0]["unit"]) == (1, 4, "shots")
    assert told[0]["fraction"] == pytest.approx(0.75)
    assert told[0]["time_remaining"] == pytest.approx(3 * told[0]["time_elapsed"])


def test_stop_aborts_and_the_acquisition_fails(oven, driver):
    status = oven.trigger()
    oven.stop()
    driver.gate.set()
    with pytest.raises(AcquisitionStoppedError):
        status.wait(2)
    assert driver.calls == ["abort"]


def test_staging_prepares_and_unstaging_leaves_the_device_safe_once(oven, driver):
    oven.stage()
    oven.unstage()
    oven.unstage()
    assert driver.calls == ["prepare", "abort", "heater off"]


def test_a_failing_stage_leaves_the_device_safe(oven, driver, monkeypatch):
    def fail():
        raise OSError("no rails")

    monkeypatch.setattr(oven, "prepare_acquisition", fail)
    with pytest.raises(OSError, match="no rails"):
        oven.stage()
    assert driver.calls == ["abort", "heater off"]
    assert not oven.staged


def test_safe_tries_every_step_and_reports_the_failures_together(oven, driver):
    oven.steps = ("abort", "fail", "heater off")
    with pytest.raises(ExceptionGroup, match="could not be made safe") as raised:
        oven.safe()
    assert driver.calls == ["abort", "fail", "heater off"]
    assert raised.value.exceptions[0].__notes__ == ["oven: fail"]
    oven.steps = ("abort",)
    assert oven.safe() == oven.safe() == ["abort"]
