import numpy as np
import pytest

from protocols.charge_analysis import (
    Dwells,
    Levels,
    TraceError,
    analyse,
    averaged,
    averaging,
    bandwidth_corrected,
    dead_time,
    dwell_histogram,
    dwell_time,
    find_dwells,
    find_levels,
    occupied,
    telegraph_values,
)
from protocols.statistics import noise
from protocols.telegraph_fit import whitened

BANDWIDTH = 4e4
MODEL = {"levels": (5e-9, 4.6e-9), "density": 4e-26, "bandwidth": BANDWIDTH}


@pytest.mark.parametrize("fraction", [0.5, 0.05])
def test_the_levels_of_a_mixture_are_found(fraction):
    generator = np.random.default_rng(1)
    high = generator.random(50000) < fraction
    trace = np.where(high, 5e-9, 4.6e-9) + 6e-11 * generator.standard_normal(50000)
    levels = find_levels(trace)
    assert levels.high == pytest.approx(5e-9, abs=5 * 6e-11 / np.sqrt(high.sum()))
    assert levels.low == pytest.approx(4.6e-9, abs=5 * 6e-11 / np.sqrt((~high).sum()))
    assert levels.deviation == pytest.approx(6e-11, rel=0.03)
    assert levels.high_fraction == pytest.approx(high.mean(), abs=2e-3)


@pytest.mark.parametrize("trace", [np.zeros(1000), 5e-9 + 1e-11 * np.random.default_rng(2).standard_normal(10000)])
def test_one_level_is_not_taken_for_two(trace):
    with pytest.raises(TraceError, match="no two levels"):
        find_levels(trace)


def test_the_charge_changes_only_beyond_the_hysteresis():
    levels = Levels(0.0, 1.0, 0.1, 0.5)
    trace = np.array([0.6, 0.4, 0.9, 0.3, 0.6, 0.2, 0.7, 0.3, 0.8, 0.8])
    assert occupied(trace, levels).tolist() == [False] * 5 + [True] * 3 + [False] * 2
    assert occupied(np.array([0.45, 0.6]), levels).tolist() == [True, False]


def test_whole_dwells_are_those_between_two_changes():
    states = np.array([1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    dwells = find_dwells([states, states], 0.1)
    assert sorted(dwells.empty) == pytest.approx([0.2, 0.2, 0.3, 0.3])
    assert sorted(dwells.occupied) == pytest.approx([0.1, 0.1, 0.3, 0.3])
    assert (dwells.time_empty, dwells.time_occupied) == pytest.approx((1.2, 1.2))
    assert dwells.rate_in == pytest.approx(4 / 1.2)
    edges, empty, filled = dwell_histogram(dwells, 3)
    assert edges == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert empty.sum() == filled.sum() == 4


def test_hardly_any_change_of_the_charge_gives_no_rates():
    with pytest.raises(TraceError, match="the charge changed 0 times; allowed: at least 4 times"):
        find_dwells([np.array([True, True, False, False])], 0.1)


def test_the_correction_undoes_a_detector_of_finite_speed():
    rates, speed = np.array([3e3, 7e3]), 5e4
    apparent = rates * speed / (rates.sum() + speed)
    assert bandwidth_corrected(*apparent, speed) == pytest.approx(tuple(rates))
    with pytest.raises(TraceError, match=r"together less than the 1e\+03 1/s of the detector"):
        bandwidth_corrected(600.0, 400.0, 1000.0)


def test_a_dwell_time_is_found_above_the_shortest():
    dwells = np.random.default_rng(3).exponential(2e-3, 4000)
    time, error = dwell_time(dwells, 1e-3)
    assert abs(time - 2e-3) < 5 * error
    assert error == pytest.approx(2e-3 / np.sqrt((dwells > 1e-3).sum()), rel=0.1)
    with pytest.raises(TraceError, match="no dwell is longer"):
        dwell_time(dwells, 1.0)


@pytest.mark.slow
def test_a_trace_gives_rates_levels_and_noise_with_honest_errors(telegraph_trace):
    interval, rates = 4e-6, (2000.0, 3000.0)
    generator = np.random.default_rng(4)
    traces = [telegraph_trace(generator, rates=rates, interval=interval, points=20000, **MODEL)[0] for _ in range(2)]
    levels, dwells, fit = analyse(traces, interval, BANDWIDTH)
    values = telegraph_values(fit, interval, BANDWIDTH)
    truth = {
        "rate_in": rates[0],
        "rate_out": rates[1],
        "level_empty": 5e-9,
        "level_occupied": 4.6e-9,
        "current_step": 4e-10,
        "noise_density": 4e-26,
        "information_rate": 4e6,
        "occupied_fraction": 0.4,
    }
    for name, value in truth.items():
        assert abs(values[name] - value) < 5 * values[f"{name}_standard_error"], name
        assert values[f"{name}_standard_error"] < 0.15 * value
    assert levels.threshold == pytest.approx(4.8e-9, rel=2e-3)
    assert dwells.transitions > 100


def test_means_over_an_interval_show_the_dwells_that_the_dead_time_says():
    interval = 64
    levels = Levels(0.0, 1.0, 0.1, 0.5)
    missed = np.zeros(2 * interval)
    for length in range(len(missed)):
        for phase in range(interval):
            record = np.zeros(5 * interval)
            record[interval + phase : interval + phase + length] = 1.0
            missed[length] += occupied(averaged(record, interval), levels).all()
    assert missed[interval // 2] == interval
    assert missed[-1] == 0
    assert missed.sum() / interval == pytest.approx(dead_time(interval), rel=0.03)


@pytest.mark.slow
def test_the_threshold_misses_short_dwells_and_the_correction_finds_them_again(telegraph_trace):
    interval, rates = 2e-6, (4e3, 4e3)
    trace, _ = telegraph_trace(np.random.default_rng(5), rates=rates, interval=interval, points=1000000, **MODEL)
    levels, record = find_levels(trace), whitened(trace, interval, BANDWIDTH)
    points = averaging(noise(record), levels)
    assert points > 1
    dwells = find_dwells([occupied(averaged(record, points), levels)], points * interval)
    error = 4e3 / np.sqrt(len(dwells.empty))
    assert 4e3 - dwells.rate_in > 4 * error
    blind = dead_time(points * interval)
    corrected = bandwidth_corrected(dwells.rate_in, dwells.rate_out, 1 / blind)
    assert corrected == pytest.approx(rates, abs=5 * error + 4e3 * (8e3 * blind) ** 2)


def test_dwells_of_a_slow_dot_have_the_apparent_rates_of_the_dot():
    dwells = Dwells(0.01, np.full(10, 0.1), np.full(10, 0.3), 1.0, 3.0)
    assert (dwells.rate_in, dwells.rate_out, dwells.transitions) == pytest.approx((10.0, 10 / 3, 20))
