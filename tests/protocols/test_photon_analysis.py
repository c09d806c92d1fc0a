import numpy as np
import pytest
from scipy.stats import chi2

from protocols.photon_analysis import (
    chi_square,
    chi_square_probability,
    click_probability,
    dispersion,
    fit_kernel,
    overlaps,
)

VECTORS = np.random.default_rng(1).choice((-1.0, 1.0), (12, 4))


def test_overlaps_are_squared_cosines():
    found = overlaps([(3.0, 4.0), (1.0, 0.0)], [(0.0, 2.0), (5.0, 0.0), (-3.0, -4.0)])
    assert found == pytest.approx(np.array([(0.64, 0.36, 1.0), (0.0, 1.0, 0.36)]))


def test_random_signs_overlap_by_one_over_the_dimension():
    many = np.random.default_rng(2).choice((-1.0, 1.0), (400, 8))
    found = overlaps(many[:200], many[200:])
    assert found.mean() == pytest.approx(1 / 8, abs=5 * found.std() / 200)


def test_exclusive_or_needs_one_reading_vector_only():
    inputs = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    assert overlaps(inputs, [(1, -1)]).ravel() == pytest.approx([0, 1, 1, 0])


def test_a_click_comes_from_the_photon_or_the_dark():
    assert click_probability([0.0, 1.0], 0.9, 0.0) == pytest.approx([0.0, 0.9])
    assert click_probability(0.5, 0.8, 0.1) == pytest.approx(1 - 0.6 * 0.9)


@pytest.mark.parametrize(("efficiency", "dark"), [(0.8, 1e-2), (0.5, 1e-4), (1.0, 0.0)])
def test_efficiency_and_darkness_are_found_with_honest_errors(efficiency, dark):
    shots, f = 4000, overlaps(VECTORS, VECTORS)
    clicks = np.random.default_rng(3).binomial(shots, click_probability(f, efficiency, dark))
    fit = fit_kernel(clicks, f, shots)
    errors = np.sqrt(np.diag(fit.covariance))
    assert abs(fit.efficiency - efficiency) < 5 * errors[0] + 1e-6
    assert abs(fit.dark_probability - dark) < 5 * errors[1] + 1e-6
    assert errors[0] < 0.01
    gram, error = fit.gram(clicks, shots)
    assert np.abs((gram - f) / error).max() < 5
    value, terms = chi_square(clicks, click_probability(f, fit.efficiency, max(fit.dark_probability, 0)), shots)
    assert chi_square_probability(value, terms - 2) > 1e-6


def test_a_kernel_that_is_none_has_a_large_chi_square():
    shots, f = 4000, overlaps(VECTORS, VECTORS)
    clicks = np.random.default_rng(4).binomial(shots, click_probability(f**2, 0.8, 1e-2))
    fit = fit_kernel(clicks, f, shots)
    value, terms = chi_square(clicks, click_probability(f, fit.efficiency, max(fit.dark_probability, 0.0)), shots)
    assert value > 5 * terms


def test_one_overlap_or_fewer_clicks_with_more_of_it_give_no_fit():
    assert fit_kernel([10, 12], [0.5, 0.5], 100) is None
    assert fit_kernel([50, 10], [0.0, 1.0], 100) is None


def test_rare_clicks_are_taken_together():
    value, terms = chi_square([1, 0, 2, 50, 99], [0.01, 0.01, 0.01, 0.5, 0.99], 100)
    assert terms == 3
    assert value == pytest.approx(0.0)
    single, terms = chi_square([60], [0.5], 100)
    assert (single, terms) == (4.0, 1)
    assert chi_square_probability(4.0, 1) == pytest.approx(chi2.sf(4.0, 1))
    assert chi_square_probability(4.0, 0) is None


def test_poisson_counts_have_a_dispersion_of_one_and_bunched_ones_more():
    generator = np.random.default_rng(5)
    value, error = dispersion(generator.poisson(0.3, 20000))
    assert abs(value - 1) < 5 * error
    bunched, error = dispersion(2 * generator.poisson(0.15, 20000))
    assert abs(bunched - 2) < 5 * 2 * error * np.sqrt(1 + 1 / (2 * 0.15))
    assert dispersion(np.zeros(10)) is None
    assert dispersion([3]) is None
