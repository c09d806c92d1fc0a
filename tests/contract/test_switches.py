"""What every activation switch of a station promises, whatever body it is made of; none of them is named here."""

import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import chi2, norm

from lab import make_run_engine, open_station
from lab.station_file import read_station
from protocols.acquisition import recorded
from protocols.ports import ActivationSwitch
from protocols.statistics import autocorrelation_time
from protocols.transition import calibrate, calibration_record

SHOTS = 1000
TAIL = norm.sf(5.0)
"""Probability beyond five standard deviations."""


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        devices = read_station(metafunc.config.getoption("--station") or "twin").tables.devices
        switches = [name for name, table in devices.items() if table.port == "ActivationSwitch"]
        metafunc.parametrize("name", switches, scope="module")


@pytest.fixture(scope="module")
def station(station_name, served, name):
    with open_station(station_name, seed=1, devices=[name]) as opened:
        if opened.mode == "sim":
            pytest.skip("datasheets answer registers only")
        yield opened
        opened.safe()


@pytest.fixture(scope="module")
def calibration(station, name, tmp_path_factory):
    """Find and measure the transition of the switch, as a learning plan does."""
    switch, found = station[name], []

    def plan():
        found.append((yield from calibrate(switch, calibration_record(), shots=SHOTS)))

    make_run_engine(station, directory=tmp_path_factory.mktemp("runs"))(recorded(switch, "calibrate", {}, plan()))
    return found[0]


@pytest.fixture
def switch(station, name):
    device = station[name]
    device.stage()
    yield device
    device.unstage()


def ask(switch, drive, shots):
    """Ask a switch; return the fraction of +1 and its standard error, the memory from shot to shot counted in."""
    switch.drive.set(drive).wait(60)
    switch.shots.set(shots).wait(60)
    switch.trigger().wait(120)
    remembered = autocorrelation_time(switch.outcomes.get()) if switch.memory > 0 else 1.0
    return switch.probability.get(), switch.probability_standard_error.get() * math.sqrt(remembered)


def test_a_switch_keeps_its_port(switch):
    assert isinstance(switch, ActivationSwitch)
    low, high = switch.drive.limits
    assert low <= switch.span[0] < switch.span[1] <= high
    assert 0 <= switch.memory <= 1


@pytest.mark.slow
def test_the_probability_rises_with_the_drive_from_never_to_always(switch):
    drives = np.linspace(*switch.span, 9)
    probabilities, errors = map(np.array, zip(*(ask(switch, drive, 400) for drive in drives), strict=True))
    falls = -np.diff(probabilities) / np.hypot(errors[1:], errors[:-1])
    assert falls.max() < 5
    assert probabilities[0] < 0.05
    assert probabilities[-1] > 0.95


@pytest.mark.slow
def test_a_calibrated_switch_is_on_with_the_sigmoid_of_its_activation(switch, calibration):
    assert calibration.floor < 0.05
    assert calibration.loss < 0.05
    assert calibration.p_value > TAIL
    floor_variance, loss_variance = np.diag(calibration.covariance)[-2:]
    for activation in range(-3, 4):
        drive = calibration.drive(activation)
        measured, error = ask(switch, drive, SHOTS)
        expected, sigma = calibration.probability(activation), expit(activation)
        uncertain = sigma * (1 - sigma) * calibration.activation(drive)[1]
        variance = error**2 + uncertain**2 + (1 - sigma) ** 2 * floor_variance + sigma**2 * loss_variance
        assert abs(measured - expected) < 5 * math.sqrt(variance), activation


@pytest.mark.slow
def test_repeated_counts_scatter_as_coins_and_do_not_care_how_shots_are_split(switch, calibration):
    triggers, shots = 60, 40
    drive = calibration.drive(0.0)
    together, error = ask(switch, drive, triggers * shots)
    counts = []
    for _ in range(triggers):
        ask(switch, drive, shots)
        counts.append(switch.on_count.get())
    split = np.sum(counts) / (triggers * shots)
    assert abs(split - together) < 5 * math.sqrt(2) * error
    dispersion = np.sum((np.array(counts) - shots * split) ** 2) / (shots * split * (1 - split))
    stretched = (1 + switch.memory) / (1 - switch.memory)
    assert chi2.ppf(TAIL, triggers - 1) < dispersion < stretched * chi2.isf(TAIL, triggers - 1)


@pytest.mark.slow
def test_a_shot_remembers_those_before_no_more_than_the_datasheet_says(switch, calibration):
    ask(switch, calibration.drive(0.0), 4000)
    deviations = switch.outcomes.get() - switch.outcomes.get().mean()
    for lag in range(1, 6):
        correlation = (deviations[lag:] @ deviations[:-lag]) / (deviations @ deviations)
        assert abs(correlation) < switch.memory**lag + 5 / math.sqrt(len(deviations)), lag


@pytest.mark.parametrize("shots", [1, 7, 1000])
def test_counts_outcomes_and_times_belong_together(switch, shots):
    ask(switch, sum(switch.span) / 2, shots)
    outcomes, times = switch.outcomes.get(), switch.shot_times.get()
    assert outcomes.shape == times.shape == (shots,)
    assert set(np.unique(outcomes)) <= {-1, 1}
    assert switch.on_count.get() == np.sum(outcomes == 1)
    assert switch.off_count.get() == np.sum(outcomes == -1)
    assert switch.probability.get() == switch.on_count.get() / shots
    assert 0 < switch.probability_standard_error.get() <= 0.5 / math.sqrt(shots)
    assert times[0] >= 0
    assert (np.diff(times) > 0).all()
    assert switch.run_time.get() >= times[-1]
    readings = switch.read()
    assert readings[f"{switch.name}_drive"]["value"] == pytest.approx(sum(switch.span) / 2)
    assert readings.keys() == switch.describe().keys()


def test_drives_beyond_the_limits_are_refused_and_the_drive_stays(switch):
    before = switch.drive.get()
    low, high = switch.drive.limits
    for drive in (low - 0.1 * (high - low), high + 0.1 * (high - low), math.nan):
        with pytest.raises(ValueError, match=switch.drive.name):
            switch.drive.set(drive)
    for shots in (0, -1, 10**12):
        with pytest.raises(ValueError, match=switch.shots.name):
            switch.shots.set(shots)
    assert switch.drive.get() == before


def test_safe_leaves_the_outputs_off_at_any_time_and_again(switch):
    ask(switch, sum(switch.span) / 2, 10)
    assert switch.driver.outputs_enabled
    assert switch.safe() == switch.safe() != []
    assert not switch.driver.outputs_enabled
