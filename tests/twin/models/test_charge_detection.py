"""Assignment of single shots and the filter of a current trace, against published figures, theory and simulation."""

import math

import numpy as np
import pytest

from twin.kernels.telegraph import filtered_chain, switch_events
from twin.models.charge_detection import (
    ChargeDetector,
    assignment_error,
    best_integration_time,
    filter_accuracy,
    occupation_from_counts,
)
from twin.models.current_amplifier import CurrentAmplifier


def batch_error(series, batches=100):
    """Standard error of the mean of a correlated series."""
    return np.std([part.mean() for part in np.array_split(series, batches)], ddof=1) / math.sqrt(batches)


STATIONARY = [  # information rate, E[nc^2], P_err for rates 0.5, 0.5
    (0.1, 0.02385, 0.43769), (1, 0.17683, 0.32018), (2, 0.28363, 0.26499), (5, 0.46308, 0.18649),
    (10, 0.60474, 0.13161), (20, 0.72948, 0.08685), (50, 0.85075, 0.04606), (100, 0.90981, 0.02718),
    (200, 0.94728, 0.01557), (500, 0.97499, 0.00723), (1000, 0.98605, 0.00398), (1e4, 0.99814, 0.00052),
]  # fmt: skip


@pytest.mark.parametrize(("information", "square", "error"), STATIONARY)
def test_the_stationary_filter_of_a_symmetric_switch_is_as_published(information, square, error):
    accuracy = filter_accuracy(information, 0.5, 0.5)
    assert accuracy == pytest.approx((square, error, 0.0), abs=6e-6)


@pytest.mark.parametrize(
    ("information", "square", "error"), [(5, 0.68395, 0.09083), (50, 0.78948, 0.06648), (500, 0.94070, 0.01788)]
)
def test_the_stationary_filter_of_a_lopsided_switch_is_as_published(information, square, error):
    assert filter_accuracy(information, 1.0, 10.0) == pytest.approx((square, error, -9 / 11), abs=6e-6)
    assert filter_accuracy(information, 10.0, 1.0) == pytest.approx((square, error, 9 / 11), abs=6e-6)


def test_filter_accuracy_depends_on_ratios_of_rates_only():
    assert filter_accuracy(2e6, 3e5, 4e4) == pytest.approx(filter_accuracy(20.0, 3.0, 0.4), rel=1e-9)


BOXCAR = [  # information rate, rates down and up, error at T = .05, .1, .2, .5, best T and error there
    (40, 1, 0, (0.16705, 0.09907, 0.06775, 0.11001), (0.211, 0.06759)),
    (40, 0.5, 0.5, (0.16705, 0.09901, 0.06730, 0.10571), (0.213, 0.06705)),
    (200, 1, 0, (0.02468, 0.02507, 0.04747, 0.11036), (0.0686, 0.02108)),
    (200, 0.5, 0.5, (0.02464, 0.02486, 0.04651, 0.10461), (0.0688, 0.02100)),
]


@pytest.mark.parametrize(("information", "down", "up", "errors", "best"), BOXCAR)
def test_averaging_assigns_with_the_published_errors_and_has_an_optimum(information, down, up, errors, best):
    found = [assignment_error(information, time, up, down) for time in (0.05, 0.1, 0.2, 0.5)]
    assert found == pytest.approx(errors, abs=6e-6)
    time, error = best_integration_time(information, up, down)
    assert time == pytest.approx(best[0], abs=6e-4)
    assert error == pytest.approx(best[1], abs=6e-6)
    assert assignment_error(information, time * 1.05, up, down) > error
    assert assignment_error(information, time / 1.05, up, down) > error


@pytest.mark.parametrize(("product", "error"), [(5.411, 0.05), (10.824, 0.01), (19.099, 1e-3), (27.662, 1e-4)])
def test_without_transitions_the_error_is_a_complementary_error_function(product, error):
    assert assignment_error(2e5, product / 2e5) == pytest.approx(error, rel=2e-4)
    assert assignment_error(product, 1.0, 1e-12, 1e-12) == pytest.approx(assignment_error(product, 1.0), rel=1e-8)


def test_without_transitions_there_is_no_best_time():
    with pytest.raises(ValueError, match="no best"):
        best_integration_time(40.0, 0.0, 0.0)


def shots(rng, count, time, bins, up, down):
    """First states and means of n in the bins of each shot, with jumps at any time."""
    first = rng.choice([-1, 1], count)
    means = np.empty((count, bins))
    edges = np.linspace(0, time, bins + 1)
    for k in range(count):
        jumps = switch_events(rng, up, down, int(first[k] > 0), time)
        signs = first[k] * (-1.0) ** np.arange(len(jumps) + 1)
        starts = np.concatenate(([0.0], jumps))
        gathered = np.concatenate(([0.0], np.cumsum(signs[:-1] * np.diff(starts))))
        index = np.searchsorted(starts, edges, side="right") - 1
        means[k] = np.diff(gathered[index] + signs[index] * (edges - starts[index])) * bins / time
    return first, means


@pytest.mark.parametrize(("up", "down"), [(0.5, 0.5), (0.0, 1.0)])
def test_simulated_shots_are_assigned_as_computed_and_better_by_the_first_state_evidence(up, down):
    information, time, bins, count = 40.0, 0.5, 40, 12_000
    rng = np.random.Generator(np.random.Philox(key=11))
    first, means = shots(rng, count, time, bins, up, down)
    detector = ChargeDetector(-1.0, 1.0, 4 / information, up, down)
    assert detector.information_rate == pytest.approx(information)
    traces = means + math.sqrt(detector.noise_density * bins / (2 * time)) * rng.standard_normal(means.shape)
    by_average = np.sign(traces.mean(axis=1)) != first
    exact = assignment_error(information, time, up, down)
    assert abs(by_average.mean() - exact) < 5 * math.sqrt(exact * (1 - exact) / count)
    evidence = np.array([detector.first_state_evidence(trace, time / bins) for trace in traces])
    by_evidence = np.sign(evidence) != first
    published = 0.0550 if up else 0.0497
    assert abs(by_evidence.mean() - published) < 5 * math.sqrt(published / count) + 1e-3


def recorded(detector, interval, points, seed=12):
    """A trace of the detector behind its pole, with white noise, and the occupation at the samples."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    rates = np.array([[0, detector.rate_in], [detector.rate_out, 0]])
    r = 2 * math.pi * detector.bandwidth
    clean, slow = np.empty((2, points))
    levels = np.array([detector.level_empty, detector.level_occupied])
    filtered_chain(np.random.Generator(np.random.Philox(key=seed)), rates, levels, r, interval, 1e-3, 0, clean)
    fast = 1e6 * r
    filtered_chain(np.random.Generator(np.random.Philox(key=seed)), rates, levels, fast, interval, 1e-3, 0, slow)
    occupied = np.abs(slow - levels[1]) < np.abs(slow - levels[0])
    CurrentAmplifier(detector.noise_density, 0.0).add_noise(clean, interval, detector.bandwidth, rng)
    return clean, occupied


@pytest.mark.parametrize("bandwidth", [4e4, 5e3])
def test_the_filter_undoes_the_pole_and_is_as_good_as_theory_allows(bandwidth):
    detector = ChargeDetector(2.6e-8, 2.56e-8, 1.6e-25 * 200, 300.0, 700.0, bandwidth)
    assert detector.information_rate == pytest.approx(5000)
    interval, points = 4e-6, 2_000_000
    trace, occupied = recorded(detector, interval, points)
    probability = detector.occupation(trace, interval)
    theory = filter_accuracy(5000.0, 300.0, 700.0)
    square = (2 * probability - 1) ** 2
    wrong = (probability > 0.5) != occupied
    assert abs(square.mean() - theory.second_moment) < 5 * batch_error(square) + 0.005
    assert abs(wrong.mean() - theory.error_probability) < 5 * batch_error(wrong) + 0.002
    smoothed = (detector.smoothed_occupation(trace, interval) > 0.5) != occupied
    assert smoothed.mean() < 0.7 * wrong.mean()


def test_probabilities_are_calibrated():
    detector = ChargeDetector(0.0, 1e-10, 1e-23, 400.0, 400.0, 2e4)
    trace, occupied = recorded(detector, 1e-5, 1_000_000, seed=13)
    for probability in (detector.occupation(trace, 1e-5), detector.smoothed_occupation(trace, 1e-5)):
        for low in (0.1, 0.3, 0.5, 0.7):
            chosen = (probability > low) & (probability < low + 0.2)
            excess = (occupied - probability)[chosen]
            assert abs(excess.mean()) < 5 * batch_error(excess) + 0.02


COUNTED = [(40, 20, 0.1593, 0.1604), (40, 0.4, 0.0380, 0.0380), (20, 8, 0.1778, 0.1800)]


@pytest.mark.parametrize(("high", "low", "error", "matched"), COUNTED)
def test_counted_electrons_are_filtered_with_the_published_errors(high, low, error, matched):
    step, bins = 0.004, 1_500_000
    rng = np.random.Generator(np.random.Philox(key=14))
    jumps = switch_events(rng, 0.5, 0.5, 1, step * bins)
    state = (np.searchsorted(jumps, step * np.arange(1, bins + 1)) % 2) == 0
    counts = rng.poisson(np.where(state, low, high) * step)
    probability = occupation_from_counts(
        counts, step, count_rate_empty=high, count_rate_occupied=low, rate_in=0.5, rate_out=0.5
    )
    wrong = (probability > 0.5) != state
    assert abs(wrong.mean() - error) < 5 * batch_error(wrong) + 5 * 0.001
    matched_rate = 2 * (math.sqrt(high) - math.sqrt(low)) ** 2
    assert filter_accuracy(matched_rate, 0.5, 0.5).error_probability == pytest.approx(matched, abs=1e-4)


GOOD = {"level_empty": 1.0, "level_occupied": 2.0, "noise_density": 1.0, "rate_in": 1.0, "rate_out": 1.0}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"level_occupied": 1.0}, "differ"), ({"noise_density": 0.0}, "positive"), ({"bandwidth": -1.0}, "positive"),
        ({"rate_in": -1.0}, "negative"), ({"rate_in": 0.0, "rate_out": 0.0}, "both"),
        ({"level_empty": math.nan}, "level_empty"), ({"noise_density": math.inf}, "noise_density"),
    ],
)  # fmt: skip
def test_an_impossible_detector_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ChargeDetector(**GOOD | wrong)


def test_impossible_questions_are_refused():
    with pytest.raises(ValueError, match="positive"):
        filter_accuracy(1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="positive"):
        assignment_error(0.0, 1.0)
    with pytest.raises(ValueError, match="positive"):
        occupation_from_counts([1], 1.0, count_rate_empty=1.0, count_rate_occupied=0.0, rate_in=1.0, rate_out=1.0)
