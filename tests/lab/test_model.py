import math
import subprocess
import sys

import numpy as np
import pytest

from lab.model import filter_occupation

INTERVAL, RATES, LEVELS, NOISE = 1e-5, (800.0, 1200.0), (2e-8, 1.96e-8), 1.6e-25


@pytest.fixture(scope="module")
def telegraph():
    """A switch of these rates seen through white noise: what it is at the end of each interval, and its averages."""
    rng = np.random.default_rng(5)
    fine = 10
    chances = [-math.expm1(-rate * INTERVAL / fine) for rate in RATES]
    occupied, states = False, []
    for number in rng.random(100_000 * fine):
        occupied ^= bool(number < chances[occupied])
        states.append(occupied)
    states = np.reshape(states, (-1, fine))
    samples = LEVELS[0] + (LEVELS[1] - LEVELS[0]) * states.mean(axis=1)
    return states[:, -1], samples + rng.normal(0.0, math.sqrt(NOISE / (2 * INTERVAL)), len(samples))


def filtered(samples, **changes):
    options = {"levels": LEVELS, "noise_density": NOISE, "rates": RATES, **changes}
    return filter_occupation(samples, INTERVAL, **options)


def bayes(samples):
    """Bayes' rule sample by sample: the states turn for half an interval before each and for half after it."""
    settled, kept = RATES[0] / sum(RATES), math.exp(-sum(RATES) * INTERVAL / 2)
    p, found = settled, []
    for x in samples:
        p = settled + (p - settled) * kept
        empty, occupied = (math.exp(-((x - level) ** 2) * INTERVAL / NOISE) for level in LEVELS)
        p = p * occupied / (p * occupied + (1 - p) * empty)
        p = settled + (p - settled) * kept
        found.append(p)
    return np.array(found)


def test_the_filter_is_bayes_rule(telegraph):
    _, samples = telegraph
    np.testing.assert_allclose(filtered(samples[:5000]), bayes(samples[:5000]), atol=1e-9)


def test_what_it_says_is_as_often_true(telegraph):
    states, samples = telegraph
    probability = filtered(samples)
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.0)):
        here = (probability >= low) & (probability <= high)
        expected = probability[here].mean()
        # some ten samples in a row tell the same
        error = math.sqrt(expected * (1 - expected) / (here.sum() / 10))
        assert states[here].mean() == pytest.approx(expected, abs=5 * error)


def test_it_sees_no_future(telegraph):
    _, samples = telegraph
    np.testing.assert_array_equal(filtered(samples[:1000])[:500], filtered(samples[:500]))


def test_a_record_that_has_passed_a_pole_is_filtered_as_what_came_in(telegraph):
    states, samples = telegraph
    bandwidth = 2e4
    kept = math.exp(-2 * math.pi * bandwidth * INTERVAL)
    slow = [samples[0]]
    for x in samples[1:]:
        slow.append(kept * slow[-1] + (1 - kept) * x)
    probability = filtered(np.array(slow), bandwidth=bandwidth)
    assert np.mean((probability > 0.5) == states) > np.mean((filtered(np.array(slow)) > 0.5) == states)
    assert np.mean((probability > 0.5) == states) > 0.98


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"levels": (1e-9, 1e-9)}, "levels"),
        ({"noise_density": 0.0}, "noise"),
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"rates": (0.0, 0.0)}, "rates"),
        ({"rates": (-1.0, 1.0)}, "rates"),
    ],
)
def test_a_detector_that_cannot_be_is_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        filtered(np.zeros(3), **changes)


def test_the_physics_is_imported_only_when_it_is_asked_for():
    code = "import sys; import lab.model; sys.exit('twin' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
