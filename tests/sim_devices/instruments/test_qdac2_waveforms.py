import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sim_devices.instruments.qdac2_waveforms import (
    Cycles,
    Signal,
    Sine,
    Targets,
    Track,
    UnsettledError,
    cycles,
    follow,
    ramp,
    sine,
    steps,
)

RANDOM = np.random.default_rng(7)


def stepped(level, targets, slew, times):
    """Follow the targets in small steps of time."""
    starts = np.concatenate([[0.0], np.cumsum(targets.durations)])
    values, dt = [level], times[1] - times[0]
    for time in times[:-1]:
        segment = min(np.searchsorted(starts, time + dt / 2, side="right") - 1, len(targets.values) - 1)
        target = targets.values[segment] + targets.rates[segment] * (time + dt - starts[segment])
        values.append(values[-1] + np.clip(target - values[-1], -slew * dt, slew * dt))
    return np.array(values)


@pytest.mark.parametrize("slew", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("rates", [0.0, 1.0])
def test_an_output_follows_its_targets_no_faster_than_its_slew(slew, rates):
    targets = Targets(RANDOM.uniform(-1, 1, 12), RANDOM.uniform(0.2, 1, 12).round(2), rates * RANDOM.uniform(-3, 3, 12))
    times = np.arange(0, targets.period, 1e-3)
    line = follow(0.3, 10.0, targets, slew)
    expected = stepped(0.3, targets, slew, times)
    np.testing.assert_allclose(line.voltage(10.0 + times), expected, atol=4e-3 * max(slew, 3 * rates))
    assert np.abs(np.diff(line.values)).max() > 0.1
    assert np.all(np.abs(np.diff(line.values)) <= slew * np.diff(line.times) * (1 + 1e-9) + 1e-12)


def test_fast_steps_and_slow_steps_are_the_same_curve():
    targets = steps([0.1, -0.2, 0.4], 1.0)
    fast = follow(0.0, 2.0, targets, 0.6)
    slow = follow(0.0, 2.0, Targets(targets.values, targets.durations, np.array([0.0, 0.0, 1e-300])), 0.6)
    times = np.linspace(1, 6, 301)
    np.testing.assert_allclose(fast.voltage(times), slow.voltage(times), atol=1e-12)


def test_a_step_is_reached_exactly_after_its_distance_over_the_slew():
    line = ramp(0.1, 5.0, 0.7, 0.3)
    assert line.end == pytest.approx(7.0)
    assert line.voltage(np.array([4.0, 5.0, 6.0, 7.0, 9.0])) == pytest.approx([0.1, 0.1, 0.4, 0.7, 0.7])


@pytest.mark.parametrize("count", [3, math.inf])
def test_cycles_are_the_pattern_repeated(count):
    targets = steps([0.5, -0.5, 0.2], 1.0)
    piece = cycles(0.0, 4.0, targets, 2.0, count)
    assert isinstance(piece, Cycles)
    times = 4.0 + np.linspace(0, 9, 901)
    np.testing.assert_allclose(
        piece.voltage(times), follow(0.0, 4.0, targets.repeated(3), 2.0).voltage(times), atol=1e-12
    )
    assert piece.end == 4.0 + 3 * count


def test_a_pattern_that_drifts_is_followed_where_it_ends_and_refused_where_it_does_not():
    targets = steps([1.0, 1.0, -1.0], 1.0)
    assert cycles(0.0, 0.0, targets, 0.1, 4).end == pytest.approx(12.0)
    with pytest.raises(UnsettledError, match=r"0\.1 V/s"):
        cycles(0.0, 0.0, targets, 0.1, math.inf)


def test_an_output_joins_a_sine_at_its_slew_and_stays_on_it():
    wave = Sine(0.0, 0.0, 1.0, 0.5, 0.4, math.inf)
    approach, joined = sine(0.0, 0.0, wave, 4.0)
    assert approach.end == pytest.approx(joined.start, rel=1e-11)
    assert approach.values[-1] == pytest.approx(4.0 * joined.start)
    assert approach.values[-1] == pytest.approx(0.4 + 0.5 * math.sin(2 * math.pi * joined.start))
    track = Track.resting(0.0).then(approach, joined)
    times = np.linspace(0, 2, 20001)
    assert np.abs(np.diff(track.voltage(times))).max() <= 4.0 * 1e-4 * (1 + 1e-6)


def test_a_track_remembers_what_it_has_put_out_and_forgets_what_it_would_have():
    track = Track.resting(0.0).then(ramp(0.0, 1.0, 1.0, 0.1))
    track = track.then(ramp(track.at(3.0), 3.0, 0.0, 1.0))
    times = np.array([[0.0, 2.0], [3.0, 3.1], [4.0, 99.0]])
    assert track.voltage(times) == pytest.approx(np.array([[0.0, 0.1], [0.2, 0.1], [0.0, 0.0]]))


def test_a_filter_answers_as_its_differential_equation():
    track = Track.resting(0.0).then(cycles(0.0, 0.1, steps([0.5, -0.2, 0.3], 0.05), 20.0, math.inf))
    signal = Signal((track,), 10.0, 0.016)
    times = np.linspace(0.0, 1.0, 200)
    solved = solve_ivp(
        lambda t, y: (track.voltage(np.array([t])) - y) / 0.016, (0, 1), [0.0], t_eval=times, max_step=1e-3, rtol=1e-6
    )
    np.testing.assert_allclose(signal.voltage(times), solved.y[0], atol=2e-4)
    assert np.abs(signal.voltage(times) - track.voltage(times)).max() > 0.1


def test_a_filtered_sine_has_the_amplitude_and_phase_of_a_single_pole():
    tau, frequency = 0.016, 10.0
    track = Track.resting(0.0).then(Sine(0.0, 0.0, frequency, 1.0, 0.0, math.inf))
    times = 3.0 + np.linspace(0, 0.1, 50)
    response = 1 / (1 + 2j * np.pi * frequency * tau)
    expected = (response * np.exp(2j * np.pi * frequency * times)).imag
    np.testing.assert_allclose(Signal((track,), 10.0, tau).voltage(times), expected, atol=2e-3)


def test_a_sum_is_cut_at_the_range():
    tracks = (Track.resting(1.5), Track.resting(1.0))
    assert Signal(tracks, 2.0, 0.0).voltage(np.zeros(2)).tolist() == [2.0, 2.0]
    assert Signal(tracks, 10.0, 0.0).voltage(np.zeros(0)).size == 0


def test_a_track_of_many_pieces_is_at_every_time_where_the_piece_of_that_time_is():
    starts = np.arange(1.0, 400.0)
    track = Track.resting(0.0).then(*(ramp(0.0, start, start, 2 * start) for start in starts))
    times = np.concatenate([[-5.0, 0.999, 1.0, 500.0], np.random.default_rng(0).uniform(0, 400, 3000)])
    begun = np.clip(np.floor(times), 0, starts[-1])
    exact = np.where(times < 1, 0.0, begun * np.minimum(1, 2 * (times - begun)))
    np.testing.assert_allclose(track.voltage(times), exact, atol=1e-9)
    assert [track.at(time) for time in times[:50]] == pytest.approx(exact[:50], abs=1e-9)
    np.testing.assert_allclose(np.unique(track.breaks(41.2, 43.2)), [41.5, 42.0, 42.5, 43.0])
    assert track.voltage(np.zeros(0)).shape == (0,)
