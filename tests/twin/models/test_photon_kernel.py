"""The photon path: events against the closed form of a click, and what a click costs."""

import math
from dataclasses import fields

import numpy as np
import pytest

from twin.models.photon_kernel import PhotonParameters, PhotonPath, photon_energy

ATTEMPTS, PERIOD = 100_000, 1e-5
TIMES = np.arange(ATTEMPTS) * PERIOD
KEY = (31, 32)


def path(**values):
    return PhotonPath(PhotonParameters(**{"jitter": 0.0, **values}))


@pytest.mark.parametrize("gate", [1e-6, PERIOD])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"dark_rate": 2e4, "dead_time": 0.0, "visibility": 0.9, "efficiency": 0.8},
        {"source": "coherent", "mean_photons": 1.5, "dark_rate": 2e4, "dead_time": 0.0},
        {"mean_photons": 0.6, "dark_rate": 100.0, "pulse_height": 0.045},
    ],
)
def test_clicks_come_with_the_probability_of_the_closed_form(values, overlap, gate):
    photons = path(**values)
    counts = photons.clicks(overlap, TIMES, 5e-7, TIMES, gate, 0.05, KEY)
    p = float(photons.click_probability(overlap, gate, 0.05))
    assert abs(np.mean(counts > 0) - p) < 5 * math.sqrt(max(p * (1 - p), 1 / ATTEMPTS) / ATTEMPTS)


def test_the_closed_form_is_linear_for_a_photon_and_exponential_for_a_coherent_pulse():
    f = np.linspace(0, 1, 5)
    values = {"efficiency": 0.8, "visibility": 0.9, "dark_rate": 1e4}
    dark = 1 - math.exp(-1e4 * 1e-6)
    single = path(**values).click_probability(f, 1e-6)
    np.testing.assert_allclose(single, 1 - (1 - 0.72 * f) * (1 - dark), rtol=1e-14)
    coherent = path(source="coherent", mean_photons=0.5, **values).click_probability(f, 1e-6)
    np.testing.assert_allclose(coherent, 1 - np.exp(-0.5 * 0.72 * f) * (1 - dark), rtol=1e-14)


def test_every_attempt_may_have_its_own_overlap():
    overlaps = np.where(np.arange(ATTEMPTS) % 2, 1.0, 0.0)
    photons = path(dark_rate=0.0)
    clicked = photons.clicks(overlaps, TIMES, 1e-7, TIMES, 1e-6, None, KEY) > 0
    assert not clicked[::2].any()
    p = 0.9 * 0.98
    assert abs(clicked[1::2].mean() - p) < 5 * math.sqrt(p * (1 - p) / (ATTEMPTS / 2))


def test_dead_time_reaches_across_attempts():
    attempts = np.arange(1000) * 3e-8
    photons = path(efficiency=1.0, visibility=1.0, dark_rate=0.0, dead_time=5e-8)
    counts = photons.clicks(1.0, attempts, 0.0, attempts - 1e-9, 3e-8, None, KEY)
    np.testing.assert_array_equal(counts, np.arange(1000) % 2 == 0)


@pytest.mark.parametrize("source", ["single", "coherent"])
def test_photons_arrive_as_the_intensity_of_the_read_pulse(source):
    photons = path(source=source, dark_rate=0.0, dead_time=0.0)
    intensity = np.array([3.0, 0.0, 1.0, 4.0])
    stamps = photons.stamps(1.0, TIMES, 4e-7, 0.0, 1.0, None, KEY, intensity)
    places = stamps - TIMES[np.searchsorted(TIMES, stamps, "right") - 1]
    parts = np.bincount(np.floor(places / 1e-7).astype(int), minlength=4) / stamps.size
    expected = intensity / intensity.sum()
    assert (np.abs(parts - expected) <= 5 * np.sqrt(expected * (1 - expected) / stamps.size)).all()


def test_stamps_and_clicks_of_an_acquisition_are_the_same_events():
    photons = path(dark_rate=1e5, noise=0.0)
    stamps = photons.stamps(0.4, TIMES[:2000], 1e-6, 0.0, 0.02, 0.1, KEY)
    counts = photons.clicks(0.4, TIMES[:2000], 1e-6, TIMES[:2000], 4e-6, 0.1, KEY)
    early = stamps[stamps % PERIOD < 4e-6]
    assert 500 < early.size == counts.sum()


def test_equal_keys_give_equal_clicks_and_every_acquisition_has_its_own():
    photons = path()
    keys = [photons.key(0), photons.key(0), photons.key(1), PhotonPath(seed=1).key(0), PhotonPath(name="other").key(0)]
    first, again, *others = [photons.clicks(0.5, TIMES[:200], 1e-7, TIMES[:200], 1e-6, None, key) for key in keys]
    np.testing.assert_array_equal(first, again)
    assert all(not np.array_equal(first, other) for other in others)


def test_clicks_of_early_attempts_do_not_depend_on_later_ones():
    photons = path(dark_rate=1e5)
    whole = photons.clicks(0.5, TIMES[:1000], 1e-7, TIMES[:1000], 1e-6, None, KEY)
    part = photons.clicks(0.5, TIMES[:100], 1e-7, TIMES[:100], 1e-6, None, KEY)
    np.testing.assert_array_equal(whole[:100], part)


def test_waveforms_that_overlap_click_more():
    photons = path()
    f = photons.overlap([1, 1, 0], [1, 0, 0], 1e-9)
    assert f == pytest.approx(0.5)
    assert photons.overlap([1, 1, 0], [1, 0, 0], 1e-9, delay=1e-9) == pytest.approx(0.5)
    assert photons.click_probability(f, 0.0) == pytest.approx(0.9 * 0.98 / 2)


@pytest.mark.parametrize(("wavelength", "energy"), [(795e-9, 2.4987e-19), (1550e-9, 1.2816e-19)])
def test_the_energy_of_a_photon(wavelength, energy):
    assert photon_energy(wavelength) == pytest.approx(energy, rel=5e-5)


def test_two_hundred_shots_cost_a_twentieth_of_a_femtojoule_and_resolve_the_overlap_to_four_percent():
    assert 200 * photon_energy(PhotonParameters().wavelength) == pytest.approx(5.00e-17, rel=1e-3)
    ideal = path(efficiency=1.0, visibility=1.0, dark_rate=0.0, dead_time=0.0)
    counts = ideal.clicks(0.5, TIMES, 1e-7, TIMES, 1e-6, None, KEY).reshape(-1, 200).mean(axis=1)
    assert counts.std() == pytest.approx(math.sqrt(0.25 / 200), rel=5 * math.sqrt(0.5 / counts.size))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"visibility": 1.2}, "visibility is 1.2"),
        ({"source": "thermal"}, "allowed are single, coherent"),
        ({"mean_photons": 1.5}, "a single photon allows 0 to 1"),
        ({"wavelength": 0.0}, "wavelength is 0 m"),
        ({"efficiency": 2.0}, "efficiency is 2.0"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PhotonParameters(**values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.5, [0.0], 1e-7, KEY), "overlaps reach from 1.5"),
        ((0.5, [0.0], -1e-7, KEY), "width is -1e-07"),
        ((0.5, [0.0], 1e-7, KEY, [0.0, 0.0]), "all 0"),
        ((0.5, [0.0], 1e-7, KEY, [2.0, -1.0]), "not be negative"),
    ],
)
def test_pulses_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        path().photons(*arguments)


def test_every_number_says_its_unit_and_every_kernel_can_be_compiled_beforehand():
    units = {each.name: each.metadata.get("unit") for each in fields(PhotonParameters)}
    assert units.pop("source") is None
    assert all(units.values())
    PhotonPath().warm_up()
