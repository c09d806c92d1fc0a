import numpy as np
import pytest
from scipy.signal import lfilter

from protocols.block_means import BLOCKS, HOST_VALUES, LONG, Batches, BlockCovariance, BlockMean, BlockPropagator


def test_blocks_added_in_parts_are_those_added_at_once():
    blocks = np.random.default_rng(1).normal(3.0, 2.0, (30, 2, 2))
    parts = BlockMean()
    for part in (blocks[:1], blocks[1:7], blocks[7:]):
        parts.add(part)
    np.testing.assert_allclose(parts.mean, blocks.mean(axis=0))
    np.testing.assert_allclose(parts.standard_error, blocks.std(axis=0, ddof=1) / np.sqrt(30))


def test_one_block_has_no_error():
    single = BlockMean()
    single.add(np.ones((1, 3)))
    assert single.mean.tolist() == [1, 1, 1]
    assert np.isnan(single.standard_error).all()


@pytest.mark.parametrize(
    ("shots", "count", "relaxation", "expected"),
    [
        (100_000, 20, 0.0, (20, BLOCKS, 313)),
        (100_000, 20, 0.5, (20, BLOCKS, 313)),
        (2000, 20, 1.0, (20, 5, 20)),
        (2000, 20, 1000.0, (20, 1, 100)),
        (2, 20, 0.0, (20, 2, 1)),
    ],
)
def test_shots_are_divided_into_blocks_longer_than_the_memory(shots, count, relaxation, expected):
    batches = Batches.of(shots, count, values=8, relaxation=relaxation)
    assert (batches.count, batches.blocks, batches.length) == expected
    assert shots <= batches.total
    assert batches.blocks == 1 or batches.length >= LONG * relaxation


def test_more_batches_are_taken_where_the_host_could_not_hold_them():
    batches = Batches.of(2**24, 2, values=64, relaxation=0.0)
    assert batches.shots * 64 <= HOST_VALUES + 64 * BLOCKS
    assert batches.count == 64


def series(rng, memory, offset, shots):
    """Two independent stationary series of variance 2 with the given memory from shot to shot."""
    kicks = rng.standard_normal((shots + 600, 2)) * np.sqrt(2 * (1 - memory**2))
    return offset + lfilter([1.0], [1.0, -memory], kicks, axis=0)[600:]


def test_a_covariance_has_the_value_and_the_error_of_its_process():
    rng, deviations = np.random.default_rng(2), []
    for _ in range(60):
        covariance = BlockCovariance(8)
        for _ in range(4):
            covariance.add(series(rng, 0.6, 0.4, 1600))
        estimate, error = covariance.estimate
        deviations.append((estimate - 2 * np.eye(2)) / error)
    squares = np.square(deviations)
    # the offset widens the errors of the products, which the mean of all samples takes away again
    assert 0.6 < squares.mean() < 1 + 5 * np.sqrt(2 / squares.size)
    assert np.abs(np.mean(deviations, axis=0)).max() < 5 / np.sqrt(60)


@pytest.mark.parametrize("memory", [0.1, 0.9])
def test_a_propagator_has_the_value_and_the_error_of_a_regression(memory):
    rng, deviations = np.random.default_rng(3), []
    for _ in range(60):
        propagator = BlockPropagator(8, np.eye(2) / 2)
        for _ in range(4):
            propagator.add(series(rng, memory, 0.4, 1601))
        estimate, error = propagator.estimate
        deviations.append(((estimate - memory * np.eye(2)) / error)[np.triu_indices(2)])
    assert np.mean(np.square(deviations)) == pytest.approx(1.0, abs=5 * np.sqrt(2 / 180))
    # Bartlett: the error of a regression on the shot before
    assert np.mean(error[[0, 1], [0, 1]]) == pytest.approx(np.sqrt((1 - memory**2) / 6400), rel=0.4)
