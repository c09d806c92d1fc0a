"""The kernels themselves; their laws are tested on the model of the detector."""

import numpy as np
import pytest

from twin.kernels.detector import Detector, photon_events, smear, steady_events
from twin.kernels.jit import LANES

KEY = (5, 6)
DETECTOR = Detector(0.7, 2e6, 5e-8, 0.1, 2e-7, 0.8)


def in_pieces(events, size, state, least_free):
    """Let a kernel fill buffers of a size until one stays free enough; return all it wrote."""
    pieces = []
    while True:
        buffer = np.empty(size)
        filled = events(state, buffer)
        pieces.append(buffer[:filled])
        if filled + least_free <= size:
            return np.concatenate(pieces)


def steady(state, buffer):
    return steady_events(1.0, 1.001, DETECTOR, *KEY, state, buffer)


PHOTONS = np.sort(np.random.default_rng(3).uniform(1.0, 1.001, 2000))


def lit(state, buffer):
    return photon_events(PHOTONS, 1.0, 1.001, DETECTOR, *KEY, state, buffer)


@pytest.mark.parametrize(("events", "numbers", "least_free"), [(steady, 2, LANES), (lit, 3, 1)])
def test_a_stream_cut_into_buffers_is_the_stream_in_one(events, numbers, least_free):
    whole = in_pieces(events, 100_000, np.zeros(numbers), least_free)
    assert len(whole) > 1000
    assert ((whole >= 1.0) & (whole < 1.001)).all()
    for size in (LANES, 97, 500):
        np.testing.assert_array_equal(in_pieces(events, size, np.zeros(numbers), least_free), whole)


def test_jitter_is_normal_and_leaves_the_stamps_in_order():
    exact = np.arange(200_001) * 1.0
    stamps = exact.copy()
    smear(stamps, 0.05, *KEY)
    deviations = stamps - exact
    assert abs(deviations.mean()) < 5 * 0.05 / np.sqrt(deviations.size)
    assert deviations.std() == pytest.approx(0.05, rel=5 * np.sqrt(0.5 / deviations.size))
    assert np.mean((deviations / 0.05) ** 4) == pytest.approx(3, abs=5 * np.sqrt(96 / deviations.size))
    crowded = exact * 0.001
    smear(crowded, 0.05, *KEY)
    assert (np.diff(crowded) >= 0).all()
    assert not np.array_equal(crowded, exact * 0.001)


@pytest.mark.parametrize("given", [False, True])
def test_every_detection_but_the_first_may_be_an_afterpulse(given):
    certain = DETECTOR._replace(rate=10.0, afterpulse_probability=1.0, afterpulse_time=1e-12, passed=1.0)
    stamps = np.empty(5 * LANES)
    if given:
        photon_events(np.empty(0), 0.0, 1e9, certain, *KEY, np.zeros(3), stamps)
    else:
        steady_events(0.0, 1e9, certain, *KEY, np.zeros(2), stamps)
    assert stamps[0] > 1e-3
    np.testing.assert_allclose(np.diff(stamps), certain.dead_time, rtol=1e-3)
