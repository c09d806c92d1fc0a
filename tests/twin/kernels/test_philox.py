import numpy as np
import pytest
from scipy import stats

from twin.kernels.philox import COMMON_SYMBOL, RARE_SYMBOL, words_at
from twin.models.network import sample_network

ALL_ONES = 0xFFFFFFFF
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ALL_ONES,) * 4, (ALL_ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_words_are_those_that_random123_publishes(counter, key, words):
    np.testing.assert_array_equal(words_at(np.array([counter], np.uint32), *key)[0], np.array(words, np.uint32))


def test_symbols_have_the_moments_of_a_normal_variate():
    for power, moment in ((2, 1.0), (4, 3.0)):
        assert 2 / 16 * RARE_SYMBOL**power + 14 / 16 * COMMON_SYMBOL**power == pytest.approx(moment, rel=1e-12)
    assert pytest.approx((2.1775347, 0.6822591)) == (RARE_SYMBOL, COMMON_SYMBOL)


def increments(noise, count=200_000, steps=1):
    """Free diffusion from 0 with kT = 1/2 over one or more unit steps: the noise variates themselves."""
    return sample_network(
        np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1, 3)), 0.5,
        trajectories=count, key=(1, 2), first=1.0, observations=steps, step=1.0, noise=noise, rail=1e6,
    )[0, 0, :, :, 0]  # fmt: skip


def test_the_kernel_draws_the_four_symbols_with_their_probabilities():
    symbols, counts = np.unique(increments("matched"), return_counts=True)
    np.testing.assert_allclose(symbols, [-RARE_SYMBOL, -COMMON_SYMBOL, COMMON_SYMBOL, RARE_SYMBOL], rtol=1e-6)
    expected = np.array([1, 7, 7, 1]) / 16 * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-6


def test_the_kernel_draws_both_signs_equally_often():
    signs, counts = np.unique(increments("rademacher"), return_counts=True)
    assert signs.tolist() == [-1, 1]
    assert stats.binomtest(int(counts[0]), int(counts.sum())).pvalue > 1e-6


def test_the_kernel_counts_the_bits_of_words():
    variates, counts = np.unique(increments("popcount"), return_counts=True)
    law = stats.binom(32, 0.5)
    bits = np.rint(variates * np.sqrt(8) + 16)
    np.testing.assert_allclose(variates, (bits - 16) / np.sqrt(8), atol=1e-6)
    usual = np.abs(bits - 16) <= 9
    expected = law.pmf(bits[usual])
    observed = counts[usual]
    assert stats.chisquare(observed, expected / expected.sum() * observed.sum()).pvalue > 1e-6


@pytest.mark.parametrize(
    ("noise", "fourth"), [("rademacher", 1.0), ("matched", 3.0), ("popcount", 3 - 2 / 32), ("gaussian", 3.0)]
)
def test_noise_has_unit_variance_and_its_fourth_moment(noise, fourth):
    draws = increments(noise).ravel().astype(float)
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, fourth)):
        values = draws**power
        assert abs(values.mean() - moment) <= 5 * values.std() / np.sqrt(values.size) + 1e-6


def test_gaussian_noise_is_normal():
    assert stats.kstest(increments("gaussian").ravel(), "norm").pvalue > 1e-6


@pytest.mark.parametrize("noise", ["matched", "rademacher", "popcount", "gaussian"])
def test_successive_draws_of_a_trajectory_are_uncorrelated(noise):
    draws = np.diff(increments(noise, 4000, 300), axis=1, prepend=0.0)
    draws -= draws.mean()
    for lag in (1, 2, 4, 8, 32, 128):
        correlation = np.mean(draws[:, lag:] * draws[:, :-lag]) / draws.var()
        assert abs(correlation) < 5 / np.sqrt(draws[:, lag:].size)
