import numpy as np
import pytest

from twin.kernels.photon_pulses import coherent_photons, moment, single_photons

KEY = (7, 8)
PROFILE = np.array([0.0, 0.25, 0.25, 1.0])


@pytest.mark.parametrize(("position", "expected"), [(0.125, 0.375), (0.25, 0.75), (0.625, 0.875), (1e-300, 0.25)])
def test_a_photon_comes_where_the_energy_of_the_pulse_has_arrived(position, expected):
    assert moment(position, PROFILE) == pytest.approx(expected)


def test_a_single_photon_comes_with_its_probability_and_once():
    starts = np.arange(200_000) * 10.0
    chances = np.where(np.arange(starts.size) % 2, 0.3, 0.0)
    photons = np.empty(starts.size)
    photons = photons[: single_photons(starts, chances, 1.0, np.ones(1), *KEY, photons)]
    pulse = np.floor(photons / 10).astype(int)
    assert (pulse % 2 == 1).all()
    assert len(np.unique(pulse)) == len(pulse)
    assert abs(len(pulse) / 100_000 - 0.3) < 5 * np.sqrt(0.21 / 100_000)


def test_photons_of_coherent_pulses_are_poissonian():
    starts = np.arange(100_000) * 10.0
    photons = np.empty(400_000)
    photons = photons[: coherent_photons(starts, np.full(starts.size, 1.7), 1.0, PROFILE, *KEY, photons)]
    numbers = np.bincount(np.floor(photons / 10).astype(int), minlength=starts.size)
    assert abs(numbers.mean() - 1.7) < 5 * np.sqrt(1.7 / numbers.size)
    assert numbers.var() == pytest.approx(1.7, abs=5 * np.sqrt((1.7 + 2 * 1.7**2) / numbers.size))
    late = photons % 10 >= 0.75
    assert abs(late.mean() - 0.75) < 5 * np.sqrt(0.1875 / late.size)


def test_photons_that_do_not_fit_are_counted_and_not_written():
    starts = np.zeros(1000)
    room = np.full(10, -1.0)
    count = coherent_photons(starts, np.ones(1000), 1.0, np.ones(1), *KEY, room[:9])
    assert count > 900
    assert (room[:9] >= 0).all()
    assert room[9] == -1.0
