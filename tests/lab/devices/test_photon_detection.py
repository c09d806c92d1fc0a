import numpy as np
import pytest
from bluesky.protocols import Readable, Stageable, Stoppable, Triggerable
from ophyd.utils import LimitError
from scipy.stats import binom

from drivers.errors import MissingReadingsError
from lab import open_station
from lab.devices import photon_detection
from lab.devices.driver_device import AcquisitionStoppedError
from lab.devices.photon_detection import PhotonSwitch
from protocols.ports import ActivationSwitch
from twin.models.photon_kernel import PhotonPath

TABLE = {"pulses": 10, "least_clicks": 2, "efficiency": 0.88}
GATE, THRESHOLD, PERIOD = 1e-6, 0.05, 1e-5


@pytest.fixture
def photon():
    with open_station("twin", seed=3, devices=["photon"]) as station:
        yield station["photon"]


@pytest.fixture
def switch(photon):
    device = PhotonSwitch(photon, name="switch", **TABLE)
    device.stage()
    yield device
    device.unstage()
    device.close()


def ask(switch, drive, shots):
    switch.drive.set(drive).wait(20)
    switch.shots.set(shots).wait(20)
    switch.trigger().wait(60)
    return switch.probability.get(), switch.probability_standard_error.get()


def expected(switch, drive):
    """Probability of enough clicks of a train, each pulse clicking as the overlap says."""
    click = PhotonPath().click_probability(switch.overlap(drive), GATE, THRESHOLD)
    return binom.sf(switch.least_clicks - 1, switch.pulses, click)


def test_a_detector_is_an_activation_switch(switch):
    for protocol in (ActivationSwitch, Readable, Triggerable, Stageable, Stoppable):
        assert isinstance(switch, protocol)
    assert switch.drive.units == ""


@pytest.mark.parametrize("drive", [-3.0, -1.0, 0.0, 2.0])
def test_the_fraction_on_follows_the_drive_as_the_clicks_say(switch, drive):
    probability, error = ask(switch, drive, 4000)
    assert abs(probability - expected(switch, drive)) < 5 * error


@pytest.mark.parametrize("drive", [-6.0, -2.0, 0.0, 3.0, 7.0])
def test_the_drive_is_the_activation_of_a_detector_of_the_stated_efficiency(switch, drive):
    click = TABLE["efficiency"] * switch.overlap(drive)
    assert binom.sf(1, 10, click) == pytest.approx(1 / (1 + np.exp(-drive)), rel=1e-9)


def test_the_drive_ends_where_the_overlap_is_full(photon):
    switch = PhotonSwitch(photon, name="switch", pulses=3, least_clicks=2, efficiency=0.6)
    high = switch.drive.limits[1]
    assert switch.overlap(high) == pytest.approx(1.0)
    assert switch.span[1] == high
    with pytest.raises(LimitError):
        switch.drive.set(high + 0.01)
    switch.close()


def test_a_train_that_hardly_ever_clicks_is_no_switch(photon):
    with pytest.raises(ValueError, match="10 clicks of 10 pulses hardly ever come"):
        PhotonSwitch(photon, name="switch", pulses=10, least_clicks=10, efficiency=0.3)


def test_many_shots_are_counted_in_several_parts(switch, monkeypatch):
    monkeypatch.setattr(photon_detection, "MOST_ATTEMPTS", 1000)
    probability, error = ask(switch, 0.5, 2050)
    assert abs(probability - expected(switch, 0.5)) < 5 * error
    times = switch.shot_times.get()
    assert switch.outcomes.get().shape == times.shape == (2050,)
    np.testing.assert_allclose(np.diff(times), 10 * PERIOD)
    assert switch.run_time.get() == pytest.approx(2050 * 10 * PERIOD)


def test_a_count_leaves_no_gate_of_dark_counts_behind(photon, switch):
    photon.light.set(False).wait(20)
    photon.gate_time.set(1e-3).wait(20)
    probability, error = ask(switch, 0.5, 2000)
    assert abs(probability - expected(switch, 0.5)) < 5 * error


def test_the_pulses_are_off_when_it_is_unstaged(photon):
    switch = PhotonSwitch(photon, name="switch", **TABLE)
    switch.stage()
    ask(switch, 0.0, 10)
    assert photon.driver.outputs_enabled
    switch.unstage()
    assert not photon.driver.outputs_enabled
    switch.close()


def test_stop_ends_a_count_and_the_next_one_works(switch, monkeypatch):
    monkeypatch.setattr(photon_detection, "MOST_ATTEMPTS", 100)
    switch.shots.set(100_000).wait(20)
    stopped = []
    status = switch.trigger()
    status.watch(lambda **progress: stopped or stopped.append(switch.stop()))
    with pytest.raises((AcquisitionStoppedError, MissingReadingsError)):
        status.wait(60)
    monkeypatch.undo()
    assert 0 <= ask(switch, 0.0, 10)[0] <= 1
