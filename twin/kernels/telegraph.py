"""Random telegraph signals: exact jumps between two states or several, and what an amplifier makes of them.

Two states are 0 and 1, with rates ``up`` (0 to 1) and ``down`` (1 to 0) in 1/s. A chain of several has the rates
``rates[i, j]`` from i to j in 1/s; its diagonal is not read. An amplifier with one pole relaxes towards the level of
the state at its ``relaxation`` rate 2 pi f in 1/s.
"""

import math

import numpy as np

from twin.kernels.jit import inlined, kernel

FIRST_EVENTS = 64
"""Room for events that is reserved at first; it doubles when it is full."""


@kernel
def switch_on_grid(rng, up, down, interval, start, states):  # type: ignore[no-untyped-def]
    """Fill in the states (n,) of a switch at the ends of equal intervals (exact propagator)."""
    total = up + down
    decay = math.exp(-total * interval)
    to_one = (up / total if total > 0 else 0.0) * (1 - decay)
    state = start
    for k in range(states.shape[0]):
        state = 1 if rng.random() < to_one + decay * state else 0
        states[k] = state


@kernel
def switch_events(rng, up, down, start, duration):  # type: ignore[no-untyped-def]
    """Return the times of the jumps of a switch within a duration: alternating exponential waiting times."""
    times = np.empty(FIRST_EVENTS)
    count, state, time = 0, start, 0.0
    while True:
        rate = down if state == 1 else up
        time = time + rng.exponential() / rate if rate > 0 else math.inf
        if time >= duration:
            return times[:count].copy()
        if count == times.shape[0]:
            times = np.concatenate((times, np.empty(count)))
        times[count] = time
        count += 1
        state = 1 - state


@kernel
def driven_switch_events(rng, nodes, up, total, start):  # type: ignore[no-untyped-def]
    """Return the times of the jumps of a switch whose rates change with time while their sum stays constant.

    The switch is reset at random epochs of rate ``total``, each time to 1 with probability up(t) / total: exact, with
    no majorant and nothing rejected. A reset that leaves the state as it was is no jump.

    Parameters
    ----------
    nodes, up
        (m,) times, ascending, and rates from 0 to 1 there, linear between; the duration is that of the nodes.
    total
        Sum of the two rates.
    """
    times = np.empty(FIRST_EVENTS)
    count, state, time, segment = 0, start, nodes[0], 0
    while True:
        time += rng.exponential() / total
        if time >= nodes[-1]:
            return times[:count].copy()
        while time >= nodes[segment + 1]:
            segment += 1
        fraction = (time - nodes[segment]) / (nodes[segment + 1] - nodes[segment])
        rate = up[segment] + fraction * (up[segment + 1] - up[segment])
        new = 1 if rng.random() * total < rate else 0
        if new != state:
            if count == times.shape[0]:
                times = np.concatenate((times, np.empty(count)))
            times[count] = time
            count += 1
            state = new


@kernel
def exit_rates(rates):  # type: ignore[no-untyped-def]
    """Return the rate (s,) at which each state of a chain is left."""
    leave = np.zeros(rates.shape[0])
    for i in range(rates.shape[0]):
        for j in range(rates.shape[0]):
            if j != i:
                leave[i] += rates[i, j]
    return leave


@inlined
def _wait(rng, rate):  # type: ignore[no-untyped-def]
    return rng.exponential() / rate if rate > 0 else math.inf


@inlined
def _next_state(rng, rates, leave, state):  # type: ignore[no-untyped-def]
    """Draw where a chain jumps to; rounding in the sum of the rates never makes it stay."""
    left = rng.random() * leave[state]
    chosen = state
    for j in range(rates.shape[0]):
        if j != state and rates[state, j] > 0 and left >= 0:
            chosen = j
            left -= rates[state, j]
    return chosen


@kernel
def chain_events(rng, rates, start, duration):  # type: ignore[no-untyped-def]
    """Return the times of the jumps of a chain within a duration and the states that it jumps to (Gillespie 1977)."""
    leave = exit_rates(rates)
    times, states = np.empty(FIRST_EVENTS), np.empty(FIRST_EVENTS, np.int64)
    count, state, time = 0, start, 0.0
    while True:
        time += _wait(rng, leave[state])
        if time >= duration:
            return times[:count].copy(), states[:count].copy()
        if count == times.shape[0]:
            times = np.concatenate((times, np.empty(count)))
            states = np.concatenate((states, np.empty(count, np.int64)))
        state = _next_state(rng, rates, leave, state)
        times[count], states[count] = time, state
        count += 1


@kernel
def filtered_chain(rng, rates, levels, relaxation, interval, run_in, start, trace):  # type: ignore[no-untyped-def]
    """Fill in a trace: the levels of a jumping chain through an amplifier with one pole, at equal intervals.

    Between two jumps the output relaxes exponentially, so the samples are exact whatever happens between them.

    Parameters
    ----------
    levels
        (s,) input of the amplifier in each state.
    run_in
        Time from the start of the chain, with the output at its level, to the first sample.
    start
        First state.
    trace
        (n,) samples, filled in.
    """
    leave = exit_rates(rates)
    state, output = start, levels[start]
    wait = _wait(rng, leave[state])
    whole = math.exp(-relaxation * interval)
    for k in range(trace.shape[0]):
        left = run_in if k == 0 else interval
        decay = math.exp(-relaxation * run_in) if k == 0 else whole
        if wait < left:
            while wait < left:
                output = levels[state] + (output - levels[state]) * math.exp(-relaxation * wait)
                left -= wait
                state = _next_state(rng, rates, leave, state)
                wait = _wait(rng, leave[state])
            decay = math.exp(-relaxation * left)
        output = levels[state] + (output - levels[state]) * decay
        wait -= left
        trace[k] = output


@kernel
def filtered_steps(rng, cumulative, mean, deviation, decay, start, trace):  # type: ignore[no-untyped-def]
    """Fill in a trace of a chain that jumps many times between two samples.

    Its state at the samples is exact; what the amplifier gathers between two of them, given the states there, has its
    exact mean and variance and is taken as normal, which many jumps make it.

    Parameters
    ----------
    cumulative
        (s, s) running sums over the end states of the probabilities of going there within one interval.
    mean, deviation
        (s, s) mean and standard deviation of what the interval adds to the output, given both ends.
    decay
        What is left of the output after an interval.
    start
        First state; the output starts at 0.
    trace
        (n,) samples, filled in.
    """
    state, output = start, 0.0
    last = cumulative.shape[0] - 1
    for k in range(trace.shape[0]):
        choice = rng.random() * cumulative[state, last]
        end = 0
        while end < last and cumulative[state, end] <= choice:
            end += 1
        output = decay * output + mean[state, end] + deviation[state, end] * rng.standard_normal()
        state = end
        trace[k] = output
