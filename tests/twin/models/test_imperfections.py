import numpy as np
import pytest

from twin.models.imperfections import Deviations, Imperfections, quantise

N, K = 40, 60


def deviations(seed=1, name="board", **size):
    return Deviations(Imperfections(**size), N, K, seed, name)


def test_a_perfect_board_changes_nothing():
    perfect = deviations()
    ones = np.ones((N, N))
    np.testing.assert_array_equal(perfect.couplings(ones), ones)
    np.testing.assert_array_equal(perfect.weights(ones[:, :7]), ones[:, :7])
    np.testing.assert_array_equal(perfect.stiffness(ones[:, :3]), ones[:, :3])
    np.testing.assert_array_equal(perfect.force(N, 1e6), 0.0)


def test_coupling_mismatch_is_symmetric_relative_and_of_its_size():
    ratio = deviations(coupling_mismatch=0.05).couplings(2 * np.ones((N, N))) / 2 - 1
    np.testing.assert_array_equal(ratio, ratio.T)
    spread = ratio[np.triu_indices(N, 1)]
    assert spread.std() == pytest.approx(0.05, rel=5 / np.sqrt(2 * spread.size))
    assert deviations(coupling_mismatch=0.05).weights(np.ones((N, K))).std() == pytest.approx(0.05, rel=0.15)


def test_reciprocity_error_makes_the_two_directions_of_a_coupling_differ():
    ratio = deviations(reciprocity_error=0.1).couplings(np.ones((N, N))) - 1
    np.testing.assert_allclose(ratio, -ratio.T, atol=1e-15)
    assert ratio[np.triu_indices(N, 1)].std() == pytest.approx(0.1, rel=0.15)


def test_couplings_that_are_zero_stay_zero():
    assert not deviations(coupling_mismatch=0.5, reciprocity_error=0.5).couplings(np.zeros((N, N))).any()


def test_stiffness_mismatch_is_relative_and_independent():
    ratio = deviations(stiffness_mismatch=0.1).stiffness(np.full((N, 3), -2.0)) / -2 - 1
    assert ratio.std() == pytest.approx(0.1, rel=5 / np.sqrt(2 * ratio.size))
    assert len(np.unique(ratio)) == ratio.size


def test_an_offset_stays_and_a_drift_walks_with_time():
    static = deviations(offset=0.2)
    np.testing.assert_array_equal(static.force(N, 0.0), static.force(N, 1e9))
    assert static.force(N, 0.0).std() == pytest.approx(0.2, rel=0.6)
    drifting = deviations(drift=1e-3)
    assert not drifting.force(N, 0.0).any()
    assert drifting.force(N, 1e4).std() == pytest.approx(0.1, rel=0.6)


def test_a_board_keeps_its_deviations_whatever_is_programmed():
    board = deviations(coupling_mismatch=0.1, offset=0.1)
    np.testing.assert_array_equal(board.couplings(np.ones((5, 5))), board.couplings(np.ones((N, N)))[:5, :5])
    np.testing.assert_array_equal(board.force(5, 0.0), board.force(N, 0.0)[:5])


def test_boards_of_other_seeds_or_names_deviate_otherwise():
    forces = [deviations(offset=1.0).force(N, 0.0), deviations(seed=2, offset=1.0).force(N, 0.0)]
    forces.append(deviations(name="other", offset=1.0).force(N, 0.0))
    assert len(np.unique(forces)) == 3 * N


def test_a_converter_keeps_zero_and_reaches_full_scale_below():
    values = np.array([-9.0, -8.0, -0.3, 0.0, 0.3, 8.0])
    np.testing.assert_allclose(quantise(values, 8.0, 4), [-8, -8, 0, 0, 0, 7])
    np.testing.assert_allclose(quantise(np.array([0.6]), 8.0, 4), [1.0])
    np.testing.assert_array_equal(quantise(values, 8.0, 0), values)


def test_a_finer_converter_is_closer():
    values = np.random.default_rng(0).uniform(-7, 7, 1000)
    errors = [np.abs(quantise(values, 8.0, bits) - values).max() for bits in (6, 8, 10, 24)]
    assert all(error <= 8.0 / 2**bits for error, bits in zip(errors, (6, 8, 10, 24), strict=True))


@pytest.mark.parametrize(
    "wrong",
    [{"coupling_mismatch": -0.1}, {"read_noise": float("nan")}, {"adc_bits": 2.5}, {"bias_bits": 33}, {"adc_range": 0}],
)
def test_an_impossible_imperfection_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Imperfections(**wrong)
