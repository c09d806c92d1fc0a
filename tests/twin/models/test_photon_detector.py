"""A detector against the closed forms of its renewal process."""

from dataclasses import fields, replace

import numpy as np
import pytest

from twin.models import photon_detector
from twin.models.photon_detector import PhotonDetector, StampMemoryError

KEY = (21, 22)
BARE = PhotonDetector(efficiency=1.0, jitter=0.0)


def check_rate(stamps, expected):
    """Compare the mean interval between stamps, which are independent, with 5 standard errors."""
    intervals = np.diff(stamps)
    assert abs(intervals.mean() - 1 / expected) < 5 * intervals.std() / np.sqrt(intervals.size)


PUBLISHED = [
    # arrivals/s, dark counts/s, dead time, afterpulse probability, detections/s, afterpulse fraction
    (1e5, 100.0, 5e-8, 0.0, 99601, 0.0),
    (1e6, 100.0, 5e-8, 0.0, 952472, 0.0),
    (1e6, 100.0, 5e-8, 0.03, 977871, 0.02727),
    (1e7, 100.0, 5e-8, 0.03, 6.73405e6, 0.0150),
    (1e6, 10.0, 2e-8, 0.0, 980402, 0.0),
]


@pytest.mark.parametrize(("arrivals", "dark_rate", "dead_time", "probability", "rate", "fraction"), PUBLISHED)
def test_rates_in_steady_light_are_those_of_the_closed_form(
    arrivals, dark_rate, dead_time, probability, rate, fraction
):
    detector = replace(BARE, dark_rate=dark_rate, dead_time=dead_time, afterpulse_probability=probability)
    assert detector.detection_rate(arrivals) == pytest.approx(rate, rel=1e-5)
    assert detector.afterpulse_fraction(arrivals) == pytest.approx(fraction, abs=1e-5)
    check_rate(detector.stream(arrivals, 0.5, key=KEY), detector.detection_rate(arrivals))


@pytest.mark.parametrize("given", [False, True])
def test_intervals_have_the_law_of_dead_time_arrivals_and_afterpulses(given):
    arrivals, p = 2e6, 0.2
    detector = replace(BARE, afterpulse_probability=p, dark_rate=0.0)
    if given:
        photons = np.random.default_rng(1).uniform(0, 0.25, int(arrivals * 0.25))
        stamps = detector.stamps(photons, 0.0, 0.25, key=KEY)
    else:
        stamps = detector.stream(arrivals, 0.25, key=KEY)
    waits = np.sort(np.diff(stamps) - detector.dead_time)
    assert waits[0] > -1e-15
    for t in (2e-8, 1e-7, 3e-7, 1e-6):
        later = np.exp(-arrivals * t) * (1 - p + p * np.exp(-t / detector.afterpulse_time))
        measured = np.mean(waits > t)
        assert abs(measured - later) < 5 * np.sqrt(later * (1 - later) / waits.size)


def test_successive_intervals_are_independent():
    waits = np.diff(replace(BARE, afterpulse_probability=0.2).stream(2e6, 0.2, key=KEY))
    assert abs(np.corrcoef(waits[1:], waits[:-1])[0, 1]) < 5 / np.sqrt(waits.size)


def test_a_blind_detector_misses_photons_which_do_not_prolong_its_dead_time():
    detector = replace(BARE, dark_rate=0.0)
    photons = np.array([4e-8, 0.0, 6e-8, 2e-7, 2.49e-7, 2.51e-7])
    np.testing.assert_allclose(detector.stamps(photons, 0.0, 1e-6, key=KEY), [0.0, 6e-8, 2e-7, 2.51e-7])


def test_photons_are_detected_with_the_efficiency():
    detector = replace(BARE, efficiency=0.35, dark_rate=0.0)
    photons = np.arange(100_000) * 1e-6
    count = detector.stamps(photons, 0.0, 1.0, key=KEY).size
    assert abs(count / photons.size - 0.35) < 5 * np.sqrt(0.35 * 0.65 / photons.size)


def test_dark_counts_fall_into_gates_as_a_poisson_process():
    detector = replace(BARE, dark_rate=1e5, dead_time=0.0)
    counts = detector.counts([], np.arange(20_000) * 1e-4, 2e-5, key=KEY)
    assert abs(counts.mean() - 2.0) < 5 * np.sqrt(2.0 / counts.size)
    assert counts.var() == pytest.approx(2.0, abs=5 * np.sqrt((2 + 8) / counts.size))


def test_counts_are_the_stamps_within_the_gates():
    detector = replace(BARE, efficiency=0.8, dark_rate=1e4, afterpulse_probability=0.1)
    photons = np.random.default_rng(2).uniform(0, 0.01, 5000)
    stamps = detector.stamps(photons, 0.0, 0.01, key=KEY, threshold=0.1)
    starts, gate = np.arange(100)[::-1] * 1e-4, 7e-5
    expected = [np.sum((stamps >= start) & (stamps < start + gate)) for start in starts]
    quiet = replace(detector, noise=0.0)
    np.testing.assert_array_equal(quiet.counts(photons, starts, gate, key=KEY, start=0.0, threshold=0.1), expected)


def test_counts_do_not_depend_on_how_many_events_are_in_memory_at_a_time(monkeypatch):
    photons, starts = np.arange(3000) * 1e-6, np.arange(30) * 1e-4
    whole = BARE.counts(photons, starts, 9e-5, key=KEY)
    for chunk in (1, 100, 3000):
        monkeypatch.setattr(photon_detector, "CHUNK", chunk)
        np.testing.assert_array_equal(BARE.counts(photons, starts, 9e-5, key=KEY), whole)


def test_a_stream_longer_than_expected_finds_room(monkeypatch):
    whole = BARE.stream(1e6, 1e-3, key=KEY)
    monkeypatch.setattr(photon_detector, "_capacity", lambda expected: 1)
    np.testing.assert_array_equal(BARE.stream(1e6, 1e-3, key=KEY), whole)


def test_jitter_moves_stamps_and_makes_or_loses_none():
    exact = BARE.stream(1e5, 0.5, key=KEY)
    stamps = replace(BARE, jitter=1e-10).stream(1e5, 0.5, key=KEY)
    deviations = stamps - exact
    assert deviations.std() == pytest.approx(1e-10, rel=5 * np.sqrt(0.5 / exact.size))


def test_the_threshold_selects_pulses_by_their_height():
    detector = replace(BARE, dark_rate=0.0)
    photons = np.arange(100_000) * 1e-6
    for threshold, passed in ((0.05, 1.0), (0.1, 0.5), (0.11, 0.158655), (0.2, 0.0)):
        assert detector.passed(threshold) == pytest.approx(passed, abs=1e-6)
        count = detector.stamps(photons, 0.0, 0.1, key=KEY, threshold=threshold).size
        assert abs(count / photons.size - passed) <= 5 * np.sqrt(passed * (1 - passed) / photons.size) + 1e-5


def test_below_the_noise_floor_noise_is_counted_at_the_rate_of_its_crossings():
    detector = replace(BARE, dark_rate=0.0)
    for threshold, per_second in ((0.0, 1e7), (0.005, 1e7 * np.exp(-0.5)), (0.02, 1e7 * np.exp(-8))):
        assert detector.noise_counts(threshold) == pytest.approx(per_second)
        counts = detector.counts([], np.arange(2000) * 1e-3, 1e-4, key=KEY, threshold=threshold)
        assert abs(counts.mean() - per_second * 1e-4) < 5 * np.sqrt(per_second * 1e-4 / counts.size)
        stamps = detector.stamps([], 2.0, 0.01, key=KEY, threshold=threshold)
        assert abs(stamps.size - per_second * 0.01) < 5 * np.sqrt(per_second * 0.01)
        assert (np.diff(stamps) >= 0).all()


def test_a_threshold_far_below_the_baseline_is_never_crossed():
    stamps = BARE.stream(1e6, 1e-3, key=KEY, threshold=-0.05)
    assert stamps.size == 0


def test_a_detector_without_light_and_dark_counts_gives_nothing():
    silent = replace(BARE, dark_rate=0.0)
    assert silent.detection_rate(0.0) == 0.0
    assert silent.stream(0.0, 10.0, key=KEY).size == 0
    assert silent.stamps([], 0.0, 10.0, key=KEY).size == 0
    assert silent.counts([], [0.0, 1.0], 0.5, key=KEY).tolist() == [0, 0]
    assert silent.counts([], [], 0.5, key=KEY).size == 0


def test_equal_keys_give_equal_counts_and_other_keys_others():
    first, again, other = (BARE.stream(1e6, 1e-3, key=key, start=5.0) for key in (KEY, KEY, (21, 23)))
    np.testing.assert_array_equal(first, again)
    assert first[0] >= 5.0
    assert not np.array_equal(first[:50], other[:50])


@pytest.mark.parametrize("ask", ["stream", "stamps"])
def test_more_stamps_than_memory_are_refused(ask):
    noisy = replace(BARE, dark_rate=1e6)
    with pytest.raises(StampMemoryError, match="134217728 fit"):
        noisy.stream(1e6, 1e3, key=KEY) if ask == "stream" else noisy.stamps([], 0.0, 1e3, key=KEY)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dark_rate": -1.0}, "dark_rate is -1.0"),
        ({"dead_time": float("inf")}, "dead_time is inf"),
        ({"efficiency": 1.1}, "efficiency is 1.1"),
        ({"afterpulse_probability": 1.0}, "below 1"),
        ({"afterpulse_time": 0.0}, "must be positive"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PhotonDetector(**values)


def test_typical_detectors_differ_in_what_they_are_bought_for():
    silicon, nanowire = PhotonDetector.silicon_avalanche_diode(), PhotonDetector.superconducting_nanowire()
    assert nanowire.efficiency > silicon.efficiency
    assert nanowire.dead_time < silicon.dead_time
    assert nanowire.jitter < silicon.jitter
    assert nanowire.afterpulse_fraction(1e5) == 0 < silicon.afterpulse_fraction(1e5)


def test_every_value_says_its_unit():
    assert {each.metadata["unit"] for each in fields(PhotonDetector)} == {"1", "1/s", "s", "V"}
