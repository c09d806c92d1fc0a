import numpy as np
import pytest

from twin.kernels.moments import add_batches, add_moments, add_projections, add_variances, convert, count_clipped


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    return (3 + rng.normal(size=(4, 1000, 5)) @ mixing).astype(np.float32)


def test_moments_added_in_chunks_are_those_of_all_samples(samples):
    mean, comoment = np.zeros((4, 5)), np.zeros((4, 5, 5))
    for begin, end in ((0, 1), (1, 300), (300, 1000)):
        add_moments(0, 4, samples[:, begin:end], begin, mean, comoment)
    np.testing.assert_allclose(mean, samples.mean(axis=1, dtype=float), rtol=1e-12)
    for g in range(4):
        expected = np.triu(np.cov(samples[g].T.astype(float)) * 999)
        np.testing.assert_allclose(comoment[g], expected, rtol=1e-10, atol=1e-9)


def test_variances_are_the_diagonal_of_the_covariances(samples):
    mean, comoment = np.zeros((4, 5)), np.zeros((4, 5))
    for begin, end in ((0, 700), (700, 1000)):
        add_variances(0, 4, samples[:, begin:end], begin, mean, comoment)
    np.testing.assert_allclose(comoment / 999, samples.var(axis=1, ddof=1, dtype=float), rtol=1e-10)


@pytest.mark.parametrize("rows", [1, 2])
def test_projections_added_in_chunks_are_those_of_the_covariances(samples, rows):
    linear = np.random.default_rng(2).normal(size=(rows, 3, 5))
    mean, variance, projected = np.zeros((4, 5)), np.zeros((4, 5)), np.zeros((4, 3, 5))
    for begin, end in ((0, 1), (1, 300), (300, 1000)):
        chunk = samples[:, begin:end]
        add_projections(0, 4, chunk, 6, linear, begin, mean, projected)
        add_variances(0, 4, chunk, begin, mean, variance)
    for g in range(4):
        expected = linear[g % rows] @ np.cov(samples[g].T.astype(float))
        np.testing.assert_allclose(projected[g] / 999, expected, rtol=1e-9, atol=1e-11)


def test_small_fluctuations_on_a_large_mean_keep_their_variance():
    series = (1000 + np.random.default_rng(1).normal(size=(1, 5000, 1)) * 0.01).astype(np.float32)
    mean, comoment = np.zeros((1, 1)), np.zeros((1, 1, 1))
    add_moments(0, 1, series, 0, mean, comoment)
    assert comoment[0, 0, 0] / 4999 == pytest.approx(series.var(ddof=1, dtype=float), rel=1e-9)


def test_batches_cut_a_series_evenly_however_it_comes_in(samples):
    sums = np.zeros((4, 7, 5))
    for begin, end in ((0, 13), (13, 1000)):
        add_batches(0, 4, samples[:, begin:end], begin, 1000, sums)
    np.testing.assert_allclose(sums.sum(axis=1), samples.sum(axis=1, dtype=float), rtol=1e-9)
    np.testing.assert_allclose(sums[:, 0], samples[:, :143].sum(axis=1, dtype=float), rtol=1e-9)


def test_samples_at_the_rails_are_counted():
    samples = np.array([[[16.0, 0.0], [-16.0, 15.9]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    clipped = np.zeros(2, np.int64)
    count_clipped(0, 2, samples, 16.0, clipped)
    assert clipped.tolist() == [2, 0]


def converted(samples, noise=0.0, bits=0, full_scale=1.0):
    codes = 2.0 ** (bits - 1) if bits else 0.0
    names = np.arange(samples.shape[0]), np.zeros(1, np.int64), np.arange(samples.shape[3])
    code = full_scale / codes if codes else 0.0
    convert(0, len(samples), samples, *names, 0, 0, noise, code, codes, 1, 2)
    return samples


def test_a_converter_rounds_to_its_codes_and_clips_at_full_scale():
    values = np.array([-2.0, -0.3, 0.0, 0.1, 0.13, 0.8, 2.0], np.float32)
    rounded = converted(values.reshape(1, 1, 1, -1).copy(), bits=3)
    np.testing.assert_allclose(rounded.ravel(), [-1.0, -0.25, 0.0, 0.0, 0.25, 0.75, 0.75])


def test_read_noise_has_its_standard_deviation_and_is_new_for_every_sample():
    noisy = converted(np.zeros((2, 300, 20, 10), np.float32), noise=0.3)
    assert noisy.std() == pytest.approx(0.3, rel=5 / np.sqrt(2 * noisy.size))
    assert len(np.unique(noisy)) > 0.98 * noisy.size
