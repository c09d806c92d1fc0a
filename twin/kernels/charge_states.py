"""Charge states of two capacitively coupled dots: ground state, thermal law and sequential tunnelling.

Constant interaction: adding the N-th electron to dot i while the other dot holds M costs

    m_i(N) = (N - 1/2) E_i + s_i floor((N - 1) / g_i) + E_m M - phi_i,

with the charging energy E_i, the level spacing s_i at every g_i-th electron (g_i = 2 with spin, else 1), the mutual
charging energy E_m and phi_i, which all voltages together exert on the dot. N counts from a neutral dot and has no
bounds. Energies are in eV, rates in 1/s.

Electrons tunnel one at a time through four junctions: dot 1 to source and drain, dot 2 to the drain (its reservoir),
and dot to dot; their rates obey detailed balance (Milburn and Basiri-Esfahani, eqs. 39 to 41, for several charges). The
states are a rectangle in (N_1, N_2), numbered with N_2 first, that holds every state which any path visits with more
than exp(-TAIL) of the weight. Their stationary law is found by elimination without subtractions (Grassmann, Taksar and
Heyman 1985), so every probability, however small, has full relative accuracy.
"""

import math
from typing import NamedTuple

import numpy as np

from twin.kernels.jit import inlined, kernel
from twin.kernels.variates import exponential_function

SOURCE, DRAIN, RESERVOIR, INTERDOT = range(4)
TAIL = 40.0
"""States whose weight is below exp(-TAIL) may be left out."""
LARGEST_EXPONENT = 300.0
"""Fermi functions and barriers do not fall below exp(-300), so that every state can be left."""


class Dots(NamedTuple):
    """Two dots, g gates and four junctions."""

    charging: np.ndarray  # (2,) eV
    mutual: float  # eV
    spacing: np.ndarray  # (2,) eV
    degeneracy: np.ndarray  # (2,) int64: 2 with spin, else 1
    offsets: np.ndarray  # (2,) eV
    gate_arms: np.ndarray  # (2, g)
    source_arms: np.ndarray  # (2,)
    drain_arms: np.ndarray  # (2,)
    temperature: float  # kT in eV
    rates: np.ndarray  # (4,) 1/s: of open junctions
    slopes: np.ndarray  # (4, g) 1/V
    closures: np.ndarray  # (4,) c in 2 (b V + c)


@inlined
def fermi(x):  # type: ignore[no-untyped-def]
    """Return 1 / (1 + exp(x)), the occupation at an energy of x kT."""
    return 1 / (1 + math.exp(min(max(x, -LARGEST_EXPONENT), LARGEST_EXPONENT)))


@inlined
def _potentials(dots, gates, k, source, drain, phi):  # type: ignore[no-untyped-def]
    """Fill in what the voltages of point k exert on each dot (2,)."""
    first = dots.offsets[0] + dots.source_arms[0] * source + dots.drain_arms[0] * drain
    second = dots.offsets[1] + dots.source_arms[1] * source + dots.drain_arms[1] * drain
    for g in range(gates.shape[1]):
        first += dots.gate_arms[0, g] * gates[k, g]
        second += dots.gate_arms[1, g] * gates[k, g]
    phi[0], phi[1] = first, second


@inlined
def _junctions(dots, gates, k, open_rates):  # type: ignore[no-untyped-def]
    """Fill in the tunnelling rate (4,) of each junction at the gate voltages of point k (eq. 42, full swing)."""
    for j in range(4):
        z = dots.closures[j]
        for g in range(gates.shape[1]):
            z += dots.slopes[j, g] * gates[k, g]
        open_rates[j] = dots.rates[j] * fermi(-2 * z)


@inlined
def _addition(dots, dot, electron, other, phi):  # type: ignore[no-untyped-def]
    """Return the energy of adding an electron to a dot while the other dot holds so many."""
    level = dots.spacing[dot] * ((electron - 1) // dots.degeneracy[dot])
    return (electron - 0.5) * dots.charging[dot] + level + dots.mutual * other - phi[dot]


@inlined
def _energy(dots, first, second, phi):  # type: ignore[no-untyped-def]
    """Return the energy of a charge state, counted from the neutral one."""
    energy = dots.mutual * first * second
    for i in range(2):
        n = first if i == 0 else second
        energy += (0.5 * dots.charging[i] * n - phi[i]) * n
        if dots.spacing[i] > 0:
            energy += dots.spacing[i] * ((n - 1) * (n - 1) // 4 if dots.degeneracy[i] == 2 else n * (n - 1) // 2)
    return energy


@inlined
def _ways(dots, dot, charge):  # type: ignore[no-untyped-def]
    """Return how many ways there are for one more electron to enter a dot, and for one of its electrons to leave."""
    if dots.degeneracy[dot] == 1:
        return 1.0, 1.0
    return (2.0, 1.0) if charge % 2 == 0 else (1.0, 2.0)


class Reach(NamedTuple):
    """What decides which charges matter, the same at every voltage."""

    softness_1: float  # 1/eV: electrons per energy, without the other dot
    softness_2: float
    slack_1: float  # eV: how far pairs of electrons deviate from even steps
    slack_2: float
    margin_1: float  # eV: so far beyond the leads an electron is rare
    margin_2: float
    coupled: float  # by how much charges that follow each other spread wider


@inlined
def _margin(charging, temperature):  # type: ignore[no-untyped-def]
    """Return how far above or below the leads an addition energy must lie for the electron to be rare beyond TAIL.

    One step so far is as rare; and where kT is large, so are the many steps on the way, each dearer by the charging
    energy.
    """
    tail = TAIL + math.log(2.0)
    return min(tail * temperature, charging * (0.5 + math.sqrt(0.25 + 2 * tail * temperature / charging)))


@kernel
def reach_of(dots, temperature):  # type: ignore[no-untyped-def]
    """Return the `Reach` of dots at a temperature kT in eV."""
    soft_1 = 1 / (dots.charging[0] + dots.spacing[0] / dots.degeneracy[0])
    soft_2 = 1 / (dots.charging[1] + dots.spacing[1] / dots.degeneracy[1])
    slack_1 = 0.25 * dots.spacing[0] if dots.degeneracy[0] == 2 else 0.0
    slack_2 = 0.25 * dots.spacing[1] if dots.degeneracy[1] == 2 else 0.0
    margin_1, margin_2 = _margin(dots.charging[0], temperature), _margin(dots.charging[1], temperature)
    coupled = 1 / (1 - dots.mutual**2 * soft_1 * soft_2)
    return Reach(soft_1, soft_2, slack_1, slack_2, margin_1, margin_2, coupled)


@inlined
def _charges_between(low, high, fewest, most, mutual, softness):  # type: ignore[no-untyped-def]
    """Return the charges of a dot reached between two energies, for any charge of the other dot in a range."""
    first = np.floor((low - mutual * most) * softness + 0.5)
    last = np.ceil((high - mutual * fewest) * softness - 0.5)
    return min(first, last), max(first, last)


@inlined
def _window(dots, reach, source, drain, phi):  # type: ignore[no-untyped-def]
    """Return the least and the greatest charge of dot 1 and of dot 2 that matter."""
    mutual, soft_1, soft_2 = dots.mutual, reach.softness_1, reach.softness_2
    shift_1, shift_2 = phi[0] + 0.5 * dots.spacing[0], phi[1] + 0.5 * dots.spacing[1]
    low_1, high_1, low_2, high_2 = min(-source, -drain), max(-source, -drain), -drain, -drain
    if dots.rates[INTERDOT] > 0:
        low_2, high_2 = low_1, high_1
    beyond_1, beyond_2 = reach.margin_1 + reach.slack_1, reach.margin_2 + reach.slack_2
    low_1, high_1 = low_1 + shift_1 - beyond_1, high_1 + shift_1 + beyond_1
    low_2, high_2 = low_2 + shift_2 - beyond_2, high_2 + shift_2 + beyond_2
    x_1, x_2 = 0.5 * (low_1 + high_1) * soft_1, 0.5 * (low_2 + high_2) * soft_2
    half_1, half_2 = 0.5 + 0.5 * (high_1 - low_1) * soft_1, 0.5 + 0.5 * (high_2 - low_2) * soft_2
    centre = (x_2 - mutual * soft_2 * x_1) * reach.coupled
    half = (half_2 + mutual * soft_2 * half_1) * reach.coupled
    first_2, last_2 = np.floor(centre - half), np.ceil(centre + half)
    first_1, last_1 = _charges_between(low_1, high_1, first_2, last_2, mutual, soft_1)
    first_2, last_2 = _charges_between(low_2, high_2, first_1, last_1, mutual, soft_2)
    if first_1 < last_1:
        first_1, last_1 = _charges_between(low_1, high_1, first_2, last_2, mutual, soft_1)
    return int(first_1), int(last_1), int(first_2), int(last_2)


@inlined
def _ground_state(dots, window, phi):  # type: ignore[no-untyped-def]
    """Return the charges of least energy within a window, and that energy."""
    first_1, last_1, first_2, last_2 = window
    charge_1, charge_2, least = first_1, first_2, math.inf
    for a in range(first_1, last_1 + 1):
        for b in range(first_2, last_2 + 1):
            energy = _energy(dots, a, b, phi)
            if energy < least:
                charge_1, charge_2, least = a, b, energy
    return charge_1, charge_2, least


@kernel
def ground_states(begin, end, dots, gates, charges):  # type: ignore[no-untyped-def]
    """Fill in the charges (n, 2) of least energy at the gate voltages (n, g), with source and drain at 0 V."""
    phi, reach = np.empty(2), reach_of(dots, 0.0)
    for k in range(begin, end):
        _potentials(dots, gates, k, 0.0, 0.0, phi)
        window = _window(dots, reach, 0.0, 0.0, phi)
        if window[0] == window[1] and window[2] == window[3]:
            charges[k, 0], charges[k, 1] = window[0], window[2]
            continue
        charges[k, 0], charges[k, 1], _ = _ground_state(dots, window, phi)


@kernel
def thermal_charges(begin, end, dots, gates, charges):  # type: ignore[no-untyped-def]
    """Fill in the mean charges (n, 2) in equilibrium at the gate voltages (n, g), with source and drain at 0 V."""
    phi, reach, beta = np.empty(2), reach_of(dots, dots.temperature), 1 / dots.temperature
    for k in range(begin, end):
        _potentials(dots, gates, k, 0.0, 0.0, phi)
        window = _window(dots, reach, 0.0, 0.0, phi)
        first_1, last_1, first_2, last_2 = window
        if first_1 == last_1 and first_2 == last_2:
            charges[k, 0], charges[k, 1] = first_1, first_2
            continue
        _, _, least = _ground_state(dots, window, phi)
        total, sum_1, sum_2 = 0.0, 0.0, 0.0
        for a in range(first_1, last_1 + 1):
            for b in range(first_2, last_2 + 1):
                exponent = beta * (least - _energy(dots, a, b, phi))
                if exponent > -TAIL:
                    weight = exponential_function(exponent) * _multiplicity(dots, 0, a) * _multiplicity(dots, 1, b)
                    total += weight
                    sum_1 += weight * a
                    sum_2 += weight * b
        charges[k, 0], charges[k, 1] = sum_1 / total, sum_2 / total


@inlined
def _multiplicity(dots, dot, charge):  # type: ignore[no-untyped-def]
    return 2.0 if dots.degeneracy[dot] == 2 and charge % 2 == 1 else 1.0


@inlined
def _lead(x, junction, ways_in, ways_out):  # type: ignore[no-untyped-def]
    """Return the rates into and out of a dot through one junction, for an addition energy of x kT above its lead."""
    inside = fermi(x)
    return junction * inside * ways_in, junction * fermi(-x) * ways_out


@kernel
def fill_rates(dots, open_rates, phi, source, drain, window, rates):  # type: ignore[no-untyped-def]
    """Fill in the rates[i, j] from state i to state j of a window; what lies within its band is overwritten.

    Returns
    -------
    int
        Half-width of the band outside of which there are no rates.
    """
    first_1, last_1, first_2, last_2 = window
    width, kT = last_2 - first_2 + 1, dots.temperature
    size = (last_1 - first_1 + 1) * width
    for i in range(size):
        rates[i, max(0, i - width) : min(size, i + width + 1)] = 0
    for a in range(first_1, last_1 + 1):
        for b in range(first_2, last_2 + 1):
            here = (a - first_1) * width + b - first_2
            in_1, _ = _ways(dots, 0, a)
            in_2, _ = _ways(dots, 1, b)
            if a < last_1:
                cost = _addition(dots, 0, a + 1, b, phi)
                _, out = _ways(dots, 0, a + 1)
                enter, leave = _lead((cost + source) / kT, open_rates[SOURCE], in_1, out)
                enter_2, leave_2 = _lead((cost + drain) / kT, open_rates[DRAIN], in_1, out)
                rates[here, here + width] = enter + enter_2
                rates[here + width, here] = leave + leave_2
            if b < last_2:
                cost = _addition(dots, 1, b + 1, a, phi)
                _, out = _ways(dots, 1, b + 1)
                enter, leave = _lead((cost + drain) / kT, open_rates[RESERVOIR], in_2, out)
                rates[here, here + 1] += enter
                rates[here + 1, here] += leave
            if open_rates[INTERDOT] > 0 and a > first_1 and b < last_2:
                cost = _addition(dots, 1, b + 1, a - 1, phi) - _addition(dots, 0, a, b, phi)
                there = here - width + 1
                back_in, _ = _ways(dots, 0, a - 1)
                _, out_1 = _ways(dots, 0, a)
                _, back_out = _ways(dots, 1, b + 1)
                onward, back = _lead(cost / kT, open_rates[INTERDOT], in_2 * out_1, back_in * back_out)
                rates[here, there] += onward
                rates[there, here] += back
    return width


@kernel
def stationary_law(rates, size, band, law):  # type: ignore[no-untyped-def]
    """Fill in the stationary law (size,) of a chain by elimination without subtractions; the rates are used up.

    Parameters
    ----------
    rates
        rates[i, j] from i to j, none where abs(i - j) > band. From every state there must be a way to one before it.
    """
    for k in range(size - 1, 0, -1):
        first = max(0, k - band)
        total = 0.0
        for j in range(first, k):
            total += rates[k, j]
        for i in range(first, k):
            rates[i, k] /= total
            for j in range(first, k):
                rates[i, j] += rates[i, k] * rates[k, j]
    law[0] = 1.0
    for k in range(1, size):
        law[k] = 0.0
        for i in range(max(0, k - band), k):
            law[k] += law[i] * rates[i, k]
        if law[k] > 1e150:
            for i in range(k + 1):
                law[i] *= 1e-150
    law[:size] /= law[:size].sum()


@kernel
def charge_chain(dots, gates, source, drain):  # type: ignore[no-untyped-def]
    """Return the charges (s, 2) of the states that matter at the gate voltages (g,), and the rates (s, s) between."""
    phi, open_rates = np.empty(2), np.empty(4)
    volts = gates.reshape(1, -1)
    _potentials(dots, volts, 0, source, drain, phi)
    _junctions(dots, volts, 0, open_rates)
    first_1, last_1, first_2, last_2 = _window(dots, reach_of(dots, dots.temperature), source, drain, phi)
    width = last_2 - first_2 + 1
    size = (last_1 - first_1 + 1) * width
    charges, rates = np.empty((size, 2), np.int64), np.zeros((size, size))
    for k in range(size):
        charges[k, 0], charges[k, 1] = first_1 + k // width, first_2 + k % width
    fill_rates(dots, open_rates, phi, source, drain, (first_1, last_1, first_2, last_2), rates)
    return charges, rates


@inlined
def _source_flow(dots, open_rates, phi, source, window, law):  # type: ignore[no-untyped-def]
    """Return the net rate of electrons from the source to dot 1."""
    first_1, last_1, first_2, last_2 = window
    width, flow = last_2 - first_2 + 1, 0.0
    for a in range(first_1, last_1):
        for b in range(first_2, last_2 + 1):
            here = (a - first_1) * width + b - first_2
            into, _ = _ways(dots, 0, a)
            _, out = _ways(dots, 0, a + 1)
            x = (_addition(dots, 0, a + 1, b, phi) + source) / dots.temperature
            enter, leave = _lead(x, open_rates[SOURCE], into, out)
            flow += law[here] * enter - law[here + width] * leave
    return flow


@kernel
def solve_transport(begin, end, dots, gates, source, drain, contact, flow, charges, transmission):  # type: ignore[no-untyped-def]
    """Solve the rate equation at points ``begin`` to ``end``.

    Parameters
    ----------
    gates, source, drain
        (n, g), (n,) and (n,) voltages in V.
    contact
        A charge sensor per point: (n,) argument x of its transmission 1 / (1 + exp(-x)) with both dots neutral, and
        (2,) what an electron on each dot adds to x.
    flow
        (n,) net electrons a second from source to dot 1, filled in.
    charges
        (n, 2) mean charges, filled in.
    transmission
        (n,) mean transmission of the sensor, filled in.
    """
    phi, open_rates = np.empty(2), np.empty(4)
    room = 16
    rates, law = np.empty((room, room)), np.empty(room)
    neutral, per_electron = contact
    reach = reach_of(dots, dots.temperature)
    for k in range(begin, end):
        _potentials(dots, gates, k, source[k], drain[k], phi)
        _junctions(dots, gates, k, open_rates)
        window = _window(dots, reach, source[k], drain[k], phi)
        first_1, last_1, first_2, last_2 = window
        size = (last_1 - first_1 + 1) * (last_2 - first_2 + 1)
        if size > room:
            room = 2 * size
            rates, law = np.empty((room, room)), np.empty(room)
        band = fill_rates(dots, open_rates, phi, source[k], drain[k], window, rates)
        stationary_law(rates, size, band, law)
        flow[k] = _source_flow(dots, open_rates, phi, source[k], window, law)
        sum_1, sum_2, passed = 0.0, 0.0, 0.0
        for i in range(size):
            a, b = first_1 + i // band, first_2 + i % band
            sum_1 += law[i] * a
            sum_2 += law[i] * b
            passed += law[i] * fermi(-(neutral[k] + per_electron[0] * a + per_electron[1] * b))
        charges[k, 0], charges[k, 1], transmission[k] = sum_1, sum_2, passed
