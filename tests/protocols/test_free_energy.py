import numpy as np
import pytest

from protocols.free_energy import bennett, jarzynski, mean_work

DIFFERENCES, SPREAD = (0.7, -0.4, 0.2), 1.0


def gaussian_works(rng, shots, spread=SPREAD):
    """Work of switches between displaced harmonic wells: normal, with a mean half its variance from the difference."""
    ends = [(dF + sign * spread**2 / 2, spread) for dF in DIFFERENCES for sign in (1, -1)]
    works = np.array([rng.normal(mean, width, shots) for mean, width in ends])
    return works[::2], works[1::2]


def test_all_estimators_give_the_difference_and_the_mean_work_bounds_it():
    forward, reverse = gaussian_works(np.random.default_rng(1), 40_000)
    exact = sum(DIFFERENCES)
    for estimate in (bennett(forward, reverse, correlated=False), *jarzynski(forward, reverse, correlated=False)):
        assert abs(estimate.value - exact) < 5 * estimate.standard_error
        np.testing.assert_allclose(estimate.switches, DIFFERENCES, atol=0.05)
        assert estimate.switches.sum() == pytest.approx(estimate.value)
    upper, lower = mean_work(forward, reverse, correlated=False)
    assert upper.value == pytest.approx(exact + 1.5, abs=5 * upper.standard_error)
    assert lower.value == pytest.approx(exact - 1.5, abs=5 * lower.standard_error)


@pytest.mark.parametrize("estimator", ["bennett", "forward", "reverse", "upper", "lower"])
def test_reported_errors_are_the_scatter_over_many_runs(estimator):
    rng, exact = np.random.default_rng(3), sum(DIFFERENCES)
    deviations = []
    for _ in range(150):
        forward, reverse = gaussian_works(rng, 500, spread=0.6)
        estimate = {
            "bennett": lambda f, r: bennett(f, r, correlated=False),
            "forward": lambda f, r: jarzynski(f, r, correlated=False)[0],
            "reverse": lambda f, r: jarzynski(f, r, correlated=False)[1],
            "upper": lambda f, r: mean_work(f, r, correlated=False)[0],
            "lower": lambda f, r: mean_work(f, r, correlated=False)[1],
        }[estimator](forward, reverse)
        bound = {"upper": 3 * 0.18, "lower": -3 * 0.18}.get(estimator, 0.0)
        deviations.append((estimate.value - exact - bound) / estimate.standard_error)
    assert np.mean(np.square(deviations)) == pytest.approx(1.0, abs=5 * np.sqrt(2 / 150))


def test_the_error_of_a_ladder_counts_states_that_two_switches_share():
    """States of wells in a row: each stage is the end of one switch and the beginning of the next."""
    rng, deviations, places = np.random.default_rng(5), [], np.array([0.0, 0.5, 1.0, 1.5])
    for _ in range(150):
        states = places[:, np.newaxis] + rng.standard_normal((4, 400))
        works = [((x - place - 0.5) ** 2 - (x - place) ** 2) / 2 for x, place in zip(states, places, strict=True)]
        back = [((x - place) ** 2 - (x - place + 0.5) ** 2) / 2 for x, place in zip(states, places, strict=True)]
        estimate = bennett(np.array(works[:-1]), np.array(back[1:]), correlated=False)
        deviations.append(estimate.value / estimate.standard_error)
    assert np.mean(np.square(deviations)) == pytest.approx(1.0, abs=5 * np.sqrt(2 / 150))


def test_the_ratio_of_both_directions_is_more_precise_than_either():
    forward, reverse = gaussian_works(np.random.default_rng(7), 20_000, spread=2.0)
    both = bennett(forward, reverse, correlated=False)
    for one in jarzynski(forward, reverse, correlated=False):
        assert both.standard_error < one.standard_error


def test_shots_that_remember_each_other_widen_the_error():
    forward, reverse = (np.repeat(work, 10, axis=1) for work in gaussian_works(np.random.default_rng(9), 2000))
    naive, honest = (bennett(forward, reverse, correlated=correlated).standard_error for correlated in (False, True))
    assert honest == pytest.approx(np.sqrt(10) * naive, rel=0.1)


def test_a_switch_that_changes_nothing_costs_nothing():
    still = np.zeros((2, 50))
    assert bennett(still, still, correlated=False)[:2] == (0.0, 0.0)
