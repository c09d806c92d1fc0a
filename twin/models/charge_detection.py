"""What the noisy current of a charge detector tells about a dot: Bayes filter, and how well single shots are assigned.

The dot is a two-state switch, n = +1 occupied and n = -1 empty. A detector with current step dI and one-sided white
noise S gathers information at the rate Gamma = dI^2 / S, which is 2 chi^2 of Milburn and Basiri-Esfahani, eqs. 46 and
47. No coherence between charge states survives sequential tunnelling, so their conditional master equation is this
filter.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import erfc

from twin.kernels import charge_filter

Array = npt.NDArray[np.float64]

__all__ = ["ChargeDetector", "FilterAccuracy", "assignment_error", "best_integration_time", "filter_accuracy",
           "occupation_from_counts"]  # fmt: skip


@dataclass(frozen=True)
class ChargeDetector:
    """A detector as its analysis sees it: two current levels in white noise, and the rates of the dot.

    Parameters
    ----------
    level_empty, level_occupied
        Mean current in A in either state.
    noise_density
        One-sided density of the white noise, A^2/Hz.
    rate_in, rate_out
        Rates in 1/s at which an empty dot is filled and an occupied one emptied.
    bandwidth
        -3 dB frequency in Hz of the one pole that the samples have passed; infinite where each is an average over its
        interval.

    Raises
    ------
    ValueError
        If a value is not finite, the levels are equal, the noise or the bandwidth is not positive, a rate is negative,
        or both are 0.
    """

    level_empty: float = field(metadata={"unit": "A"})
    level_occupied: float = field(metadata={"unit": "A"})
    noise_density: float = field(metadata={"unit": "A^2/Hz"})
    rate_in: float = field(metadata={"unit": "1/s"})
    rate_out: float = field(metadata={"unit": "1/s"})
    bandwidth: float = field(default=math.inf, metadata={"unit": "Hz"})

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) and not (name == "bandwidth" and value == math.inf):
                raise ValueError(f"charge detector: {name} is {value}; it must be finite")
        if self.level_empty == self.level_occupied:
            raise ValueError(f"charge detector: both levels are {self.level_empty} A; they must differ")
        if self.noise_density <= 0 or self.bandwidth <= 0:
            raise ValueError("charge detector: noise_density and bandwidth must be positive")
        if min(self.rate_in, self.rate_out) < 0 or self.rate_in + self.rate_out == 0:
            raise ValueError(
                f"charge detector: rates of {self.rate_in} and {self.rate_out} 1/s; they must not be negative, "
                "nor both be 0"
            )

    @property
    def information_rate(self) -> float:
        """Gamma = dI^2 / S in 1/s."""
        return (self.level_occupied - self.level_empty) ** 2 / self.noise_density

    def occupation(self, trace: npt.ArrayLike, interval: float) -> Array:
        """Return the probability (n,) that the dot is occupied at each sample, given the samples up to it.

        Jumps are taken to lie anywhere between samples, which is of second order in their interval.

        Parameters
        ----------
        trace
            (n,) samples of the current, A.
        interval
            Time between samples, s.
        """
        evidence = self._evidence(trace, interval)
        probability = np.empty(len(evidence))
        charge_filter.filter_record(evidence, *self._arguments(interval), self._prior_odds, probability)
        return probability

    def smoothed_occupation(self, trace: npt.ArrayLike, interval: float) -> Array:
        """Return the probability (n,) that the dot is occupied at each sample, given all samples."""
        evidence = self._evidence(trace, interval)
        probability = np.empty(len(evidence))
        charge_filter.smooth_record(evidence, *self._arguments(interval), self._prior_odds, probability)
        return probability

    def first_state_evidence(self, trace: npt.ArrayLike, interval: float) -> float:
        """Return ln P(trace | occupied at its start) / P(trace | empty at its start).

        Its sign is the assignment of a single shot with the fewest errors, where both states are as likely before.
        """
        return float(charge_filter.first_state_ratio(self._evidence(trace, interval), *self._arguments(interval)))

    @property
    def _prior_odds(self) -> float:
        return min(self.rate_in / self.rate_out, 1e100) if self.rate_out > 0 else 1e100

    def _arguments(self, interval: float) -> tuple[float, float, float, float, float, float]:
        """Return gain and offset of the evidence, the rates, and the time before and after it in an interval."""
        return 1.0, 0.0, self.rate_in, self.rate_out, interval / 2, interval / 2

    def _evidence(self, trace: npt.ArrayLike, interval: float) -> Array:
        """Return the logarithm (n,) of the likelihood ratio of occupied to empty for each sample alone.

        The pole is undone first: what a sample adds to the one before is an average of the input over the interval in
        between, with noise of its own. The first sample counts as a reading of the settled output.
        """
        samples = np.asarray(trace, float)
        step = self.level_occupied - self.level_empty
        middle = (self.level_occupied + self.level_empty) / 2
        if self.bandwidth == math.inf:
            return step * (samples - middle) / (self.noise_density / (2 * interval))
        relaxation = 2 * math.pi * self.bandwidth
        left = math.exp(-relaxation * interval)
        settled = self.noise_density * relaxation / 4
        averages, variances = samples.copy(), np.full(len(samples), settled * (1 + left) / (1 - left))
        averages[1:] = (samples[1:] - left * samples[:-1]) / (1 - left)
        variances[:1] = settled
        return step * (averages - middle) / variances


def occupation_from_counts(
    counts: npt.ArrayLike,
    interval: float,
    *,
    count_rate_empty: float,
    count_rate_occupied: float,
    rate_in: float,
    rate_out: float,
) -> Array:
    """Return the probability (n,) that the dot is occupied after each interval, where single electrons are counted.

    Parameters
    ----------
    counts
        (n,) electrons that passed the point contact in each interval.
    interval
        Length of an interval, s.
    count_rate_empty, count_rate_occupied
        Rates of the counts in either state, 1/s.
    rate_in, rate_out
        Rates of the dot, 1/s.

    Raises
    ------
    ValueError
        If a rate is not positive.
    """
    if min(count_rate_empty, count_rate_occupied, rate_in, rate_out) <= 0:
        raise ValueError("counts: every rate must be positive")
    record = np.asarray(counts, float)
    probability = np.empty(len(record))
    gain = math.log(count_rate_occupied / count_rate_empty)
    offset = -(count_rate_occupied - count_rate_empty) * interval
    charge_filter.filter_record(
        record, gain, offset, rate_in, rate_out, interval / 2, interval / 2, rate_in / rate_out, probability
    )
    return probability


class FilterAccuracy(NamedTuple):
    """How well the filter knows the switch in the long run."""

    second_moment: float
    """Mean of nc^2, where nc is the conditional mean of n = +-1; it is also that of n nc."""
    error_probability: float
    """Probability that the sign of nc is not n."""
    mean: float
    """Mean of nc, which is that of n."""


def filter_accuracy(information_rate: float, up: float, down: float) -> FilterAccuracy:
    """Return the stationary accuracy of the filter, from its stationary density by quadrature.

    In L = ln (1 + nc) / (1 - nc) the density of eq. 37 (with the drift of `twin.kernels.charge_filter`) is

        cosh^2(L / 2) exp {[(up - down) (L + sinh L) - (up + down) (1 + cosh L)] / Gamma}.

    Parameters
    ----------
    information_rate
        Gamma, 1/s.
    up, down
        Rates of the switch, 1/s.

    Raises
    ------
    ValueError
        If a value is not positive and finite.
    """
    if not all(0 < value < math.inf for value in (information_rate, up, down)):
        raise ValueError("filter: information rate and both rates must be positive and finite")
    low, high = -math.log(1 + 800 * information_rate / up), math.log(1 + 800 * information_rate / down)
    nodes = np.linspace(low, high, 4001)
    peak = float(np.max(_log_density(nodes, information_rate, up, down)))

    def average(observable: str) -> float:
        def weighted(L: float) -> float:
            nc = math.tanh(L / 2)
            value = {"norm": 1.0, "mean": nc, "square": nc * nc, "error": (1 - abs(nc)) / 2}[observable]
            return value * math.exp(_log_density(L, information_rate, up, down) - peak)

        sides = ((low, 0.0), (0.0, high))
        return sum(quad(weighted, *side, limit=400, epsabs=1e-13, epsrel=1e-11)[0] for side in sides)

    norm = average("norm")
    return FilterAccuracy(average("square") / norm, average("error") / norm, average("mean") / norm)


def _log_density(L: float | Array, information_rate: float, up: float, down: float):  # type: ignore[no-untyped-def]
    tilt, total = (up - down) / information_rate, (up + down) / information_rate
    return 2 * np.log(np.cosh(L / 2)) + tilt * (L + np.sinh(L)) - total * (1 + np.cosh(L))


def assignment_error(information_rate: float, time: float, up: float = 0.0, down: float = 0.0) -> float:
    """Return the probability to assign the first state wrongly from the average of the record over a time.

    Both states are as likely before, and the threshold lies in the middle. Without transitions this is
    erfc(sqrt(Gamma T) / 2) / 2; with them it is found from the characteristic function of the average, whose inversion
    sum is exact to 1e-14.

    Parameters
    ----------
    information_rate
        Gamma, 1/s.
    time
        Integration time T, s.
    up, down
        Rates from -1 to +1 and back, 1/s.

    Raises
    ------
    ValueError
        If information rate or time is not positive, or a rate is negative.
    """
    if not (0 < information_rate < math.inf and 0 < time < math.inf and min(up, down) >= 0):
        raise ValueError("assignment: information rate and time must be positive, the rates not negative")
    if up == 0 and down == 0:
        return float(erfc(math.sqrt(information_rate * time) / 2)) / 2
    signal = math.sqrt(information_rate / 2)
    spread = 9 * math.sqrt(time)
    spacing = math.pi / (signal * time + spread)
    half_integers = np.arange(math.ceil(9 / math.sqrt(time) / spacing)) + 0.5
    u = np.asarray(half_integers * spacing, np.float64)
    from_up, from_down = _characteristic_functions(u, signal, time, up, down)
    return float(0.5 - np.sum((from_up - from_down).imag / half_integers) / (2 * math.pi))


def _characteristic_functions(u: Array, signal: float, time: float, up: float, down: float) -> tuple[Array, Array]:
    """Return that of the integral of signal * n and unit white noise, for a start at +1 and at -1."""
    total = up + down
    delta = (up - down) / 2 + 1j * u * signal
    q = np.sqrt(delta**2 + up * down)
    grow, shrink = np.exp((q - total / 2) * time), np.exp(-(q + total / 2) * time)
    cosh, sinh = (grow + shrink) / 2, (grow - shrink) / (2 * q)
    noise = np.exp(-(u**2) * time / 2)
    return noise * (cosh + (delta + down) * sinh), noise * (cosh + (up - delta) * sinh)


def best_integration_time(information_rate: float, up: float, down: float) -> tuple[float, float]:
    """Return the time in s over which to average so that the first state is assigned best, and the error there.

    Raises
    ------
    ValueError
        If both rates are 0: the longer the better; or as in `assignment_error`.
    """
    if up + down <= 0:
        raise ValueError("assignment: without transitions there is no best integration time")
    longest = math.log(10 / (up + down))
    shortest = math.log(1e-3 / (information_rate + up + down))
    found = minimize_scalar(
        lambda x: assignment_error(information_rate, math.exp(x), up, down),
        bounds=(shortest, longest), method="bounded", options={"xatol": 1e-5},
    )  # fmt: skip
    return math.exp(found.x), float(found.fun)
