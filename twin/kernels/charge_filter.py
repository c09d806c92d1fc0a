"""What a noisy record tells about a two-state switch: Bayes filter, smoother and estimate of the first state.

The switch n = +-1 goes up at rate ``up`` and down at ``down`` (1/s). In a bin of length dt its record is
y = kappa n dt + sqrt(gamma) dW; the evidence in it, the logarithm of the likelihood ratio of +1 to -1, is
2 kappa y / gamma. In continuous time the filter is Milburn and Basiri-Esfahani, eqs. 34 to 37, with a positive sign of
the innovation and the drift up (1 - nc) - down (1 + nc).

The state of knowledge is the odds p(+1) / p(-1), which stay exact at both ends; a prediction is a linear fractional map
of them and an update a factor. So nc stays within [-1, 1] by itself. A probability to switch within a bin counts as
1e-150 at least, which keeps odds finite and is never seen.
"""

import math

import numpy as np

from twin.kernels.jit import inlined, kernel, leaf
from twin.kernels.variates import exponential_function, fill_normals, unit_interval, words_of

LEAST_PROBABILITY = 1e-150
LARGEST_EVIDENCE = 300.0
LARGEST_SCALE = 1e20
"""Weights are divided by their sum when it is above this or below its inverse; so none overflows or vanishes."""
BATCH = 256
"""Steps whose likelihoods and noise are computed on vector units before the filter walks along them one by one."""
RECORD, OUTPUT, JUMP, START = 0, 1, 2, 3


@kernel
def _propagator(up, down, time):  # type: ignore[no-untyped-def]
    """Return the probabilities to go up and to go down within a time."""
    total = up + down
    reset = -math.expm1(-total * time) / total if total > 0 else 0.0
    return max(up * reset, LEAST_PROBABILITY), max(down * reset, LEAST_PROBABILITY)


@inlined
def _likelihood(evidence):  # type: ignore[no-untyped-def]
    """Return the likelihood ratio of +1 to -1."""
    return exponential_function(min(max(evidence, -LARGEST_EVIDENCE), LARGEST_EVIDENCE))


@inlined
def _retrodict(ratio, rise, fall):  # type: ignore[no-untyped-def]
    """Return the likelihood ratio of the states before a time, given that of the states after it."""
    return (ratio * (1 - fall) + fall) / (ratio * rise + (1 - rise))


@leaf
def _predict(weights, rise, fall):  # type: ignore[no-untyped-def]
    """Carry the weights (2,) of +1 and -1 over a time in which the switch rises and falls with these probabilities."""
    on, off = weights
    weights[0], weights[1] = on * (1 - fall) + off * rise, on * fall + off * (1 - rise)


@leaf
def _follow(likelihoods, rise, fall, weights, later_rise, later_fall, odds):  # type: ignore[no-untyped-def]
    """Fill in the odds (m,) of +1 after each likelihood ratio (m,) and a later time, from the weights before them.

    Between two of them the switch rises and falls with the first two probabilities; the weights are carried on.
    """
    on, off = weights
    for k in range(odds.shape[0]):
        seen = likelihoods[k] * on
        odds[k] = (seen * (1 - later_fall) + off * later_rise) / (seen * later_fall + off * (1 - later_rise))
        stays, falls = likelihoods[k] * (1 - fall), likelihoods[k] * fall
        on, off = stays * on + rise * off, falls * on + (1 - rise) * off
        scale = on + off
        if not 1 / LARGEST_SCALE < scale < LARGEST_SCALE:
            on, off = on / scale, off / scale
    weights[0], weights[1] = on, off


@inlined
def _filter_odds(record, gain, offset, up, down, before, after, odds, series, as_probability):  # type: ignore[no-untyped-def]
    """Fill in the odds (n,) at the end of each bin, or the probability."""
    rise, fall = _propagator(up, down, before + after)
    later_rise, later_fall = _propagator(up, down, after) if after > 0 else (0.0, 0.0)
    likelihoods, weights = np.empty(BATCH), np.array([odds, 1.0]) / (1 + odds)
    _predict(weights, *_propagator(up, down, before))
    for begin in range(0, record.shape[0], BATCH):
        seen, known = record[begin : begin + BATCH], series[begin : begin + BATCH]
        for k in range(seen.shape[0]):
            likelihoods[k] = _likelihood(gain * seen[k] + offset)
        _follow(likelihoods, rise, fall, weights, later_rise, later_fall, known)
        if as_probability:
            for k in range(known.shape[0]):
                known[k] = known[k] / (1 + known[k])


@kernel
def filter_record(record, gain, offset, up, down, before, after, odds, probability):  # type: ignore[no-untyped-def]
    """Fill in the probability (n,) of +1 at the end of each bin, given the record so far.

    Parameters
    ----------
    record
        (n,) one number a bin; its evidence is ``gain * record + offset``.
    before, after
        Times in s of a bin before and after the moment to which its evidence is ascribed. A switch that jumps only
        between bins has (dt, 0), which is exact; one that jumps at any time (dt / 2, dt / 2), of second order in dt.
    odds
        Odds at the start.
    """
    _filter_odds(record, gain, offset, up, down, before, after, odds, probability, True)


@kernel
def first_state_ratio(record, gain, offset, up, down, before, after):  # type: ignore[no-untyped-def]
    """Return the logarithm of the likelihood ratio of starting at +1 to starting at -1, given a whole record.

    Parameters are those of `filter_record`.
    """
    rise, fall = _propagator(up, down, before)
    later_rise, later_fall = _propagator(up, down, after)
    ratio = 1.0
    for k in range(record.shape[0] - 1, -1, -1):
        ratio = _retrodict(ratio, later_rise, later_fall)
        ratio *= _likelihood(gain * record[k] + offset)
        ratio = _retrodict(ratio, rise, fall)
    return math.log(ratio)


@kernel
def smooth_record(record, gain, offset, up, down, before, after, odds, probability):  # type: ignore[no-untyped-def]
    """Fill in the probability (n,) of +1 at the end of each bin, given the whole record (forward and backward pass).

    Parameters are those of `filter_record`.
    """
    _filter_odds(record, gain, offset, up, down, before, after, odds, probability, False)
    rise, fall = _propagator(up, down, before)
    later_rise, later_fall = _propagator(up, down, after)
    ratio = 1.0
    for k in range(record.shape[0] - 1, -1, -1):
        probability[k] = 1 / (1 + 1 / (probability[k] * ratio))
        ratio = _retrodict(ratio, later_rise, later_fall)
        ratio *= _likelihood(gain * record[k] + offset)
        ratio = _retrodict(ratio, rise, fall)


@inlined
def _steps_before_jump(number, probability, key_0, key_1):  # type: ignore[no-untyped-def]
    """Return after how many steps a switch jumps that jumps in each with a probability (geometric law)."""
    a, b, _, _ = words_of(number, JUMP, 0, key_0, key_1)
    return 1 + math.floor(math.log(unit_interval(a, b)) / math.log1p(-probability))


@leaf
def _hold_and_jump(state, left, jumps, rise, fall, key_0, key_1, switch):  # type: ignore[no-untyped-def]
    """Fill in the states (m,) of a switch that stays ``left`` steps in its state; return all three carried on."""
    k = 0
    while k < switch.shape[0]:
        if left == 0:
            state, jumps = -state, jumps + 1
            left = _steps_before_jump(jumps, fall if state > 0 else rise, key_0, key_1)
        end = k + int(min(left, switch.shape[0] - k))
        switch[k:end] = state
        left -= end - k
        k = end
    return state, left, jumps


@kernel
def observe_switch(key_0, key_1, up, down, kappa, gamma, response, step, switch, record, output, conditional):  # type: ignore[no-untyped-def]
    """Simulate a switch, its record, an output filter and the Bayes filter of the record together.

    The switch is held over a step and started in its stationary law, so every step is exact at any length.

    Parameters
    ----------
    key_0, key_1
        Two 32-bit words that address the randomness.
    kappa, gamma
        Signal and noise intensity of the record: its mean and variance over a step are kappa n dt and gamma dt.
    response
        Rate r of the output filter dIo = -r Io dt + r y, 1/s; it starts in equilibrium with the first state, and with
        a rate of 0 stays there.
    step
        Length dt of a step, s.
    switch, record, output, conditional
        (n,) filled in: n (int8), y, Io, and nc after each step.
    """
    rise, fall = _propagator(up, down, step)
    weights = np.array([up, down]) / (up + down)
    decay = math.exp(-response * step)
    noise = math.sqrt(gamma * step)
    shared = gamma * (1 - decay) / noise
    alone = math.sqrt(max(0.0, response * gamma * (1 - decay * decay) / 2 - shared * shared))
    normals, others = np.empty((2, BATCH // 2)), np.zeros((2, BATCH // 2))
    likelihoods = np.empty(BATCH)
    fill_normals(normals, 0, START, key_0, key_1)
    _, _, a, b = words_of(0, JUMP, 0, key_0, key_1)
    state = 1.0 if unit_interval(a, b) < weights[0] else -1.0
    filtered = kappa * state + math.sqrt(gamma * response / 2) * normals[0, 0]
    left, jumps = _steps_before_jump(0, fall if state > 0 else rise, key_0, key_1) - 1, 0
    z, w = normals.reshape(BATCH), others.reshape(BATCH)
    for begin in range(0, switch.shape[0], BATCH):
        end = min(begin + BATCH, switch.shape[0])
        n, y, held, nc = switch[begin:end], record[begin:end], output[begin:end], conditional[begin:end]
        state, left, jumps = _hold_and_jump(state, left, jumps, rise, fall, key_0, key_1, n)
        fill_normals(normals, begin // BATCH, RECORD, key_0, key_1)
        if alone > 0:
            fill_normals(others, begin // BATCH, OUTPUT, key_0, key_1)
        for k in range(end - begin):
            y[k] = kappa * step * n[k] + noise * z[k]
            likelihoods[k] = _likelihood(2 * kappa / gamma * y[k])
            held[k] = kappa * (1 - decay) * n[k] + shared * z[k] + alone * w[k] if response > 0 else filtered
        if response > 0:
            for k in range(end - begin):
                filtered = filtered * decay + held[k]
                held[k] = filtered
        _follow(likelihoods, rise, fall, weights, 0.0, 0.0, nc)
        for k in range(end - begin):
            nc[k] = (nc[k] - 1) / (nc[k] + 1)
