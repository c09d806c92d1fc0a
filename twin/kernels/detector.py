"""Events of a counting photon detector: dead time that does not extend itself, dark counts, afterpulses, jitter.

After a detection the detector is blind for its dead time. Once live again, the next event is the earliest of the next
arrival and, with the afterpulse probability, an afterpulse of exponential delay. Between two detections nothing else
happens, so events are drawn one by one without time steps: what is computed is exact.

Every draw is addressed by the counter (number, number >> 32, purpose, 0).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import float64, int64

from twin.kernels.jit import LANES, kernel, leaf
from twin.kernels.philox import normal_pair
from twin.kernels.variates import logarithm, unit_interval, words_of

EVENT, PHOTON, JITTER = 0, 1, 2


class Detector(NamedTuple):
    """A detector as the kernels see it; rates in 1/s, times in s."""

    efficiency: float  # probability that a photon is detected
    rate: float  # of the Poisson process that is detected besides given photons: dark counts, steady light
    dead_time: float
    afterpulse_probability: float
    afterpulse_time: float  # mean delay, from the end of the dead time on
    passed: float  # fraction of the pulses that cross the threshold


@leaf
def _afterpulse_delay(word, detector):  # type: ignore[no-untyped-def]
    """Return the delay of an afterpulse from the end of the dead time on, given a word that announced one.

    The word is below 2^32 times the probability of an afterpulse, and uniform below it.
    """
    u = (float64(word) + 0.5) / (2.0**32 * detector.afterpulse_probability)
    return -detector.afterpulse_time * math.log(min(u, 1.0))


@kernel
def steady_events(start, stop, detector, key_0, key_1, state, stamps):  # type: ignore[no-untyped-def]
    """Write the events of a detector in steady light, live at ``start``, as far as they fit; return how many.

    The intervals between events are independent (a renewal process) and drawn LANES at a time.

    Parameters
    ----------
    start, stop
        Events from ``start`` to ``stop`` are wanted, s.
    detector
        Its ``rate`` is that of the light detected plus that of the dark counts, above 0.
    state
        (2,) float64: number of intervals drawn and time of the last event, carried on; (0, 0) at first.
    stamps
        (m,) float64: filled in. All is written if LANES places stay free.
    """
    intervals, words = np.empty(LANES), np.empty((2, LANES), np.uint32)
    scale, passed = 1.0 / detector.rate, detector.passed * 2.0**32
    likely = detector.afterpulse_probability * 2.0**32
    drawn, filled = int64(state[0]), 0
    time = state[1] if drawn > 0 else start - detector.dead_time
    while filled + LANES <= stamps.shape[0] and time < stop:
        for lane in range(LANES):
            a, b, c, d = words_of(drawn + lane, EVENT, 0, key_0, key_1)
            intervals[lane] = -scale * logarithm(unit_interval(a, b))
            words[0, lane], words[1, lane] = c, d
        if detector.afterpulse_probability > 0:
            for lane in range(0 if drawn > 0 else 1, LANES):
                if float64(words[0, lane]) < likely:
                    intervals[lane] = min(intervals[lane], _afterpulse_delay(words[0, lane], detector))
        for lane in range(LANES):
            time += detector.dead_time + intervals[lane]
            if time >= stop:
                break
            stamps[filled] = time
            filled += 1 if float64(words[1, lane]) < passed else 0
        drawn += LANES
    state[0], state[1] = drawn, time
    return filled


@kernel
def photon_events(photons, start, stop, detector, key_0, key_1, state, stamps):  # type: ignore[no-untyped-def]
    """Write the events of a detector, live at ``start``, that photons of known arrival hit; return how many.

    Parameters
    ----------
    photons
        (n,) ascending arrival times, s; each is detected with the efficiency unless the detector is blind.
    start, stop
        Events from ``start`` to ``stop`` are wanted, s.
    detector
        Its ``rate`` is that of the dark counts.
    state
        (3,) float64: events so far, photons so far and the end of the dead time, carried on; zeros at first.
    stamps
        (m,) float64: filled in. All is written if a place stays free.
    """
    events, photon, filled = int64(state[0]), int64(state[1]), 0
    live = state[2] if events > 0 else start
    efficiency, passed = detector.efficiency * 2.0**32, detector.passed * 2.0**32
    likely = detector.afterpulse_probability * 2.0**32
    while filled < stamps.shape[0]:
        a, b, c, d = words_of(events, EVENT, 0, key_0, key_1)
        event = live - math.log(unit_interval(a, b)) / detector.rate
        if events > 0 and float64(c) < likely:
            event = min(event, live + _afterpulse_delay(c, detector))
        while photon < photons.shape[0] and photons[photon] < event:
            luck = words_of(photon, PHOTON, 0, key_0, key_1)
            if photons[photon] >= live and float64(luck[0]) < efficiency:
                event = photons[photon]
            photon += 1
        if event >= stop:
            break
        stamps[filled] = event
        filled += 1 if float64(d) < passed else 0
        events += 1
        live = event + detector.dead_time
    state[0], state[1], state[2] = events, photon, live
    return filled


@kernel
def smear(stamps, jitter, key_0, key_1):  # type: ignore[no-untyped-def]
    """Add normal deviations of a standard deviation ``jitter`` to ascending (m,) stamps and put them in order again."""
    deviations = np.empty(4 * LANES, np.float32)
    for first in range(0, stamps.shape[0], 4 * LANES):
        for lane in range(LANES):
            a, b, c, d = words_of(first // 4 + lane, JITTER, 0, key_0, key_1)
            one, two = normal_pair(a, b)
            three, four = normal_pair(c, d)
            deviations[lane], deviations[LANES + lane] = one, two
            deviations[2 * LANES + lane], deviations[3 * LANES + lane] = three, four
        for k in range(first, min(first + 4 * LANES, stamps.shape[0])):
            stamp, place = stamps[k] + jitter * deviations[k - first], k
            while place > 0 and stamps[place - 1] > stamp:
                stamps[place] = stamps[place - 1]
                place -= 1
            stamps[place] = stamp
