import math

import numpy as np
import pytest
from numba import njit
from scipy.stats import kstest

from twin.kernels.philox import words_at
from twin.kernels.variates import (
    cosine_and_sine,
    exponential_function,
    fill_normals,
    logarithm,
    unit_interval,
    words_of,
)


@njit
def logarithms(values):
    return np.array([logarithm(value) for value in values])


@njit
def units(first, second):
    return np.array([unit_interval(first[i], second[i]) for i in range(first.size)])


@njit
def exponentials(values):
    return np.array([exponential_function(value) for value in values])


@njit
def circle(values):
    points = np.empty((values.size, 2))
    for i in range(values.size):
        points[i, 0], points[i, 1] = cosine_and_sine(values[i])
    return points


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


def test_the_exponential_function_is_that_of_the_library_to_two_units_in_the_last_place():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.uniform(-699, 699, 100_000), rng.normal(0, 1, 100_000), [0.0, 1e-300, -1e-17]])
    exact = np.exp(values)
    assert (np.abs(exponentials(values) - exact) <= 2 * np.spacing(exact)).all()


def test_cosine_and_sine_go_once_round_the_circle():
    values = np.linspace(-math.pi / 4, math.pi / 4, 100_001)
    exact = np.stack((np.cos(4 * values), np.sin(4 * values)), axis=1)
    np.testing.assert_allclose(circle(values), exact, rtol=0, atol=2e-15)


def normals(batches, purpose, size=64):
    drawn = np.empty((batches, 2, size))
    for batch, filled in enumerate(drawn):
        fill_normals(filled, batch, purpose, 7, 8)
    return drawn


def test_normals_are_those_of_box_and_muller_at_their_counters():
    drawn = normals(3, 5, size=7)[2]
    a, b, c, d = (words_at(np.array([[i, 2, 5, 0] for i in range(7)], np.uint32), 7, 8)).T
    radius, angle = np.sqrt(-2 * np.log(units(a, b))), 2 * math.pi * (units(c, d) - 0.5)
    np.testing.assert_allclose(drawn, [radius * np.cos(angle), radius * np.sin(angle)], atol=1e-14)


def test_normals_are_normal_and_independent_of_each_other():
    first, second = normals(2000, 1).ravel(), normals(2000, 2).ravel()
    assert kstest(first, "norm").pvalue > 1e-4
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(first**power) - moment) < 5 * math.sqrt(variance / first.size)
    pairs = normals(2000, 1)
    for x, y in ((first, second), (pairs[:, 0], pairs[:, 1]), (pairs[1:], pairs[:-1])):
        assert abs(np.mean(x * y)) < 5 / math.sqrt(x.size)
        assert abs(np.mean((x**2 - 1) * (y**2 - 1))) < 5 * 2 / math.sqrt(x.size)


@pytest.mark.parametrize("size", [1, 3, 128])
def test_a_batch_of_any_size_is_filled_to_its_end(size):
    drawn = np.full((2, size), math.nan)
    fill_normals(drawn, 0, 0, 1, 2)
    assert np.isfinite(drawn).all()
