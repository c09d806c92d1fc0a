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

from twin.kernels.jit import inlined, kernel

LEAST_PROBABILITY = 1e-150
LARGEST_EVIDENCE = 300.0


@kernel
def _propagator(up, down, time):  # type: ignore[no-untyped-def]
    """Return the probabilities to go up and to go down within a time."""
    total = up + down
    reset = -math.expm1(-total * time) / total if total > 0 else 0.0
    return max(up * reset, LEAST_PROBABILITY), max(down * reset, LEAST_PROBABILITY)


@inlined
def _predict(odds, rise, fall):  # type: ignore[no-untyped-def]
    """Return the odds after a time in which the switch rises and falls with these probabilities."""
    return (odds * (1 - fall) + rise) / (odds * fall + (1 - rise))


@inlined
def _update(odds, evidence):  # type: ignore[no-untyped-def]
    """Return the odds given one more piece of evidence."""
    return odds * math.exp(min(max(evidence, -LARGEST_EVIDENCE), LARGEST_EVIDENCE))


@inlined
def _retrodict(ratio, rise, fall):  # type: ignore[no-untyped-def]
    """Return the likelihood ratio of the states before a time, given that of the states after it."""
    return (ratio * (1 - fall) + fall) / (ratio * rise + (1 - rise))


@inlined
def _filter_odds(record, gain, offset, up, down, before, after, odds, series):  # type: ignore[no-untyped-def]
    """Fill in the odds (n,) at the end of each bin."""
    rise, fall = _propagator(up, down, before)
    later_rise, later_fall = _propagator(up, down, after)
    for k in range(record.shape[0]):
        odds = _predict(odds, rise, fall)
        odds = _update(odds, gain * record[k] + offset)
        if after > 0:
            odds = _predict(odds, later_rise, later_fall)
        series[k] = odds


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
    _filter_odds(record, gain, offset, up, down, before, after, odds, probability)
    for k in range(record.shape[0]):
        probability[k] = 1 / (1 + 1 / probability[k])


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
        ratio = _update(ratio, gain * record[k] + offset)
        ratio = _retrodict(ratio, rise, fall)
    return math.log(ratio)


@kernel
def smooth_record(record, gain, offset, up, down, before, after, odds, probability):  # type: ignore[no-untyped-def]
    """Fill in the probability (n,) of +1 at the end of each bin, given the whole record (forward and backward pass).

    Parameters are those of `filter_record`.
    """
    _filter_odds(record, gain, offset, up, down, before, after, odds, probability)
    rise, fall = _propagator(up, down, before)
    later_rise, later_fall = _propagator(up, down, after)
    ratio = 1.0
    for k in range(record.shape[0] - 1, -1, -1):
        probability[k] = 1 / (1 + 1 / (probability[k] * ratio))
        ratio = _retrodict(ratio, later_rise, later_fall)
        ratio = _update(ratio, gain * record[k] + offset)
        ratio = _retrodict(ratio, rise, fall)


@kernel
def observe_switch(rng, up, down, kappa, gamma, response, step, switch, record, output, conditional):  # type: ignore[no-untyped-def]
    """Simulate a switch, its record, an output filter and the Bayes filter of the record together.

    The switch is held over a step and started in its stationary law, so every step is exact at any length.

    Parameters
    ----------
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
    total = up + down
    decay = math.exp(-response * step)
    noise = math.sqrt(gamma * step)
    shared = gamma * (1 - decay) / noise
    alone = math.sqrt(max(0.0, response * gamma * (1 - decay * decay) / 2 - shared * shared))
    gain = 2 * kappa / gamma
    state = 1 if rng.random() * total < up else -1
    odds = up / down
    filtered = kappa * state + math.sqrt(gamma * response / 2) * rng.standard_normal()
    for k in range(switch.shape[0]):
        change = fall if state == 1 else rise
        if rng.random() < change:
            state = -state
        first = rng.standard_normal()
        second = rng.standard_normal() if alone > 0 else 0.0
        y = kappa * state * step + noise * first
        filtered = filtered * decay + kappa * state * (1 - decay) + shared * first + alone * second
        odds = _update(_predict(odds, rise, fall), gain * y)
        switch[k] = state
        record[k] = y
        output[k] = filtered
        conditional[k] = (odds - 1) / (odds + 1)
