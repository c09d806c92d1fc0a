import numpy as np
import pytest
from scipy.special import expit

from protocols.binomial_fit import fit_counts

Z = np.linspace(-1, 1, 17)
CURVES = {
    "straight": lambda z: expit(0.1 + 6 * z),
    "curved": lambda z: expit(0.1 + 5 * z + 0.4 * z**2 + 2 * z**3),
    "between floor and ceiling": lambda z: 0.05 + 0.85 * expit(8 * z),
}


def fits(curve, seeds, shots=2000, z=Z):
    generator = np.random.default_rng(1)
    return [fit_counts(z, generator.binomial(shots, curve(z)), np.full(len(z), shots)) for _ in range(seeds)]


@pytest.mark.parametrize(
    ("name", "degree", "lapses"), [("straight", 1, False), ("curved", 3, False), ("between floor and ceiling", 1, True)]
)
def test_the_simplest_curve_that_the_counts_do_not_refuse_is_chosen(name, degree, lapses):
    found = [(fit.degree, fit.floor > 0 and fit.loss > 0) for fit in fits(CURVES[name], 40)]
    assert found.count((degree, lapses)) >= 36


def test_coefficients_scatter_by_their_standard_errors():
    straight = [fit for fit in fits(CURVES["straight"], 150) if fit.degree == 1]
    for power, true in ((0, 0.1), (1, 6.0)):
        pulls = [(fit.coefficients[power] - true) / np.sqrt(fit.covariance[power, power]) for fit in straight]
        assert abs(np.mean(pulls)) < 5 / np.sqrt(len(pulls)) + 0.05
        assert np.std(pulls) == pytest.approx(1, abs=5 / np.sqrt(2 * len(pulls)))


def test_floor_and_loss_scatter_by_their_standard_errors():
    found = fits(CURVES["between floor and ceiling"], 100)
    for index, name, true in ((-2, "floor", 0.05), (-1, "loss", 0.10)):
        pulls = [(getattr(fit, name) - true) / np.sqrt(fit.covariance[index, index]) for fit in found]
        assert abs(np.mean(pulls)) < 5 / np.sqrt(len(pulls)) + 0.1
        assert np.std(pulls) == pytest.approx(1, abs=5 / np.sqrt(2 * len(pulls)) + 0.1)


def test_the_p_value_of_a_right_curve_is_spread_evenly():
    z = np.linspace(-0.4, 0.4, 17)
    p_values = [fit.p_value for fit in fits(CURVES["straight"], 100, z=z) if fit.degree == 1]
    assert abs(np.mean(p_values) - 0.5) < 5 * np.sqrt(1 / 12 / len(p_values))


def test_a_straight_curve_agrees_with_the_score_equations():
    counts = np.random.default_rng(3).binomial(500, CURVES["straight"](Z))
    fit = fit_counts(Z, counts, np.full(len(Z), 500))
    expected = 500 * expit(fit.coefficients[0] + fit.coefficients[1] * Z)
    assert counts.sum() == pytest.approx(expected.sum(), rel=1e-6)
    assert (counts * Z).sum() == pytest.approx((expected * Z).sum(), rel=1e-6)


@pytest.mark.parametrize("p", [np.zeros(17), np.ones(17), (Z > 0).astype(float), 1 - expit(6 * Z), np.full(17, 0.5)])
def test_counts_that_show_no_rise_determine_no_curve(p):
    assert fit_counts(Z, np.round(p * 1000), np.full(17, 1000)) is None


def test_one_position_determines_no_curve():
    assert fit_counts([0.0, 0.0], [40, 60], [100, 100]) is None


def test_a_curve_that_no_candidate_fits_is_fitted_as_well_as_can_be_and_says_so():
    wavy = expit(5 * Z + 1.5 * np.sin(12 * Z))
    fit = fit_counts(Z, np.round(20000 * wavy), np.full(17, 20000))
    assert fit is not None
    assert fit.p_value < 1e-6
