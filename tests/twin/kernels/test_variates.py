import numpy as np
from numba import njit

from twin.kernels.philox import words_at
from twin.kernels.variates import logarithm, unit_interval, words_of


@njit
def logarithms(values):
    return np.array([logarithm(value) for value in values])


@njit
def units(first, second):
    return np.array([unit_interval(first[i], second[i]) for i in range(first.size)])


@njit
def words_of_number(number):
    return words_of(number, 5, 6, 7, 8)


def test_the_logarithm_is_that_of_the_library_to_two_units_in_the_last_place():
    rng = np.random.default_rng(1)
    values = np.concatenate(
        [rng.random(100_000), 2.0 ** rng.uniform(-1000, 1000, 100_000), 1 + rng.normal(0, 1e-9, 99)]
    )
    exact = np.log(values)
    assert (np.abs(logarithms(values) - exact) <= 2 * np.spacing(np.abs(exact))).all()


def test_the_unit_interval_is_open_at_both_ends():
    least, most = units(np.array([0, 2**32 - 1], np.uint32), np.array([0, 2**32 - 1], np.uint32))
    assert least == 2.0**-53
    assert most == 1 - 2.0**-53


def test_numbers_of_the_unit_interval_are_uniform_down_to_the_last_bits():
    rng = np.random.default_rng(2)
    values = units(*rng.integers(0, 2**32, (2, 400_000), np.uint32))
    for power in (1, 2, 3):
        sample = values**power
        assert abs(sample.mean() - 1 / (power + 1)) < 5 * sample.std() / np.sqrt(sample.size)
    low = (values * 2.0**40) % 1
    assert abs(low.mean() - 0.5) < 5 * np.sqrt(1 / 12 / low.size)


def test_a_number_of_64_bits_addresses_words():
    counter = np.array([[3, 2, 5, 6]], np.uint32)
    assert words_of_number(2 * 2**32 + 3) == tuple(words_at(counter, 7, 8)[0])
