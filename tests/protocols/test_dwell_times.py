import math

import numpy as np
import pytest

from protocols.dwell_times import autocorrelation, dwell_times, outcome_memory


def telegraph(generator, rate_on, rate_off, interval, shots):
    """Sample a two-state process at equal intervals."""
    total = rate_on + rate_off
    decay, p_on = math.exp(-total * interval), rate_on / total
    draws = generator.random(shots)
    states = np.empty(shots)
    state = 1.0
    for index, draw in enumerate(draws):
        state = 1.0 if draw < p_on + ((state > 0) - p_on) * decay else -1.0
        states[index] = state
    return states


@pytest.fixture(scope="module")
def series():
    return telegraph(np.random.default_rng(0), 30.0, 10.0, 0.01, 100_000)


def test_the_correlation_of_a_two_state_process_decays_with_both_rates(series):
    correlations = autocorrelation(series, 10)
    expected = np.exp(-40.0 * 0.01 * np.arange(1, 11))
    error = math.sqrt((1 + expected[0] ** 2) / (1 - expected[0] ** 2) / len(series))
    assert np.all(np.abs(correlations - expected) < 5 * error)


def test_memory_and_correlation_time_are_those_of_the_process(series):
    memory = outcome_memory(series, 0.01, 5)
    assert not memory["independent"]
    assert memory["memory"] == pytest.approx(math.exp(-0.4), abs=0.02)
    assert memory["correlation_time"] == pytest.approx(1 / 40, rel=0.05)
    widened = math.sqrt((1 + memory["memory"]) / (1 - memory["memory"]))
    plain = math.sqrt(0.75 * 0.25 / len(series))
    assert memory["probability_standard_error"] == pytest.approx(plain * widened, rel=0.1)
    assert abs(memory["probability"] - 0.75) < 5 * memory["probability_standard_error"]


def test_independent_outcomes_are_called_so():
    generator = np.random.default_rng(1)
    outcomes = np.where(generator.random((200, 1000)) < 0.3, 1.0, -1.0)
    found = [outcome_memory(row, 0.01, 5) for row in outcomes]
    assert all(memory["independent"] and memory["correlation_time"] is None for memory in found)
    mean = np.mean([memory["autocorrelation"] for memory in found], axis=0)
    assert np.all(np.abs(mean) < 5 / math.sqrt(200 * 1000))


def test_outcomes_that_avoid_each_other_are_not_independent_but_have_no_correlation_time():
    memory = outcome_memory(np.tile([1.0, -1.0], 500), 0.01, 3)
    assert memory["memory"] == pytest.approx(-1, abs=0.01)
    assert not memory["independent"]
    assert memory["correlation_time"] is None


def test_dwells_are_those_of_the_sampled_process(series):
    dwell = dwell_times(series, 0.01)
    decay = math.exp(-0.4)
    for name, leave in (("on", 0.25 * (1 - decay)), ("off", 0.75 * (1 - decay))):
        mean, error = dwell[f"dwell_shots_{name}"], dwell[f"dwell_shots_{name}_standard_error"]
        assert abs(mean - 1 / leave) < 5 * error
        assert dwell[f"dwell_seconds_{name}"] == pytest.approx(0.01 * mean)
        assert dwell[f"dwell_seconds_{name}_standard_error"] == pytest.approx(0.01 * error)


def test_the_standard_error_of_a_dwell_is_its_scatter():
    generator = np.random.default_rng(2)
    dwells = [dwell_times(telegraph(generator, 30.0, 10.0, 0.01, 1000), 0.01) for _ in range(200)]
    means = np.array([dwell["dwell_shots_on"] for dwell in dwells])
    errors = np.array([dwell["dwell_shots_on_standard_error"] for dwell in dwells])
    assert errors.mean() == pytest.approx(means.std(), rel=0.25)


def test_a_switch_that_never_turned_has_no_dwells():
    assert all(value is None for value in dwell_times(np.ones(100), 0.01).values())
    memory = outcome_memory(np.ones(100), 0.01, 3)
    assert memory["autocorrelation"] == [0.0, 0.0, 0.0]
    assert memory["independent"]
