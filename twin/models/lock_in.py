"""The output filter of a lock-in amplifier: a chain of equal RC low passes behind each of its two mixers."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin.kernels.low_pass import follow

DEPTH = 4
"""Stages of the chain; the output is taken behind the first, second, third or fourth of them."""
RESOLUTION = 8
"""Windows per time constant into which the input is cut; the noise of the output is low by 1/(24 * 8^2) then."""
MEMORY = 24.0
"""Time constants after which four stages have forgotten their input: Q(4, 24) is 1e-7."""


@dataclass(frozen=True)
class OutputFilter:
    """One to four RC low passes in a row.

    Parameters
    ----------
    time_constant
        RC of every stage in s.
    order
        Number of stages: 1 for 6 dB per octave, 4 for 24 dB per octave.

    Raises
    ------
    ValueError
        If the time constant is not positive and finite, or the order not 1 to 4.
    """

    time_constant: float
    order: int

    def __post_init__(self) -> None:
        if not 0 < self.time_constant < math.inf:
            raise ValueError(f"output filter: the time constant is {self.time_constant} s; it must be positive, finite")
        if self.order not in range(1, DEPTH + 1):
            raise ValueError(f"output filter: the order is {self.order}; 1 to {DEPTH} are allowed")

    @property
    def noise_bandwidth(self) -> float:
        """Equivalent noise bandwidth in Hz: the integral of 1 / (1 + (2 pi f tau)^2)^order over f > 0."""
        return math.comb(2 * self.order - 2, self.order - 1) / 4**self.order / self.time_constant

    def windows(self, begin: float, interval: float, count: int) -> tuple[npt.NDArray[np.float64], float]:
        """Cut `count` intervals of equal length in s, one after the other, into windows of constant input.

        Of an interval that is longer than the memory of the filter only the end is looked at.

        Returns
        -------
        starts : ndarray, shape (count, windows)
            Beginnings of the windows, s.
        aperture : float
            Length of every window, s.
        """
        seen = min(interval, MEMORY * self.time_constant)
        number = max(1, math.ceil(seen / self.time_constant * RESOLUTION))
        aperture = seen / number
        ends = begin + interval * np.arange(1, count + 1)
        return ends[:, None] - aperture * np.arange(number, 0, -1), aperture

    def follow(
        self, stages: npt.NDArray[np.float64], inputs: npt.NDArray[np.float64], interval: float
    ) -> npt.NDArray[np.float64]:
        """Propagate the stages over intervals whose windows have these inputs.

        Parameters
        ----------
        stages
            Outputs of the four stages, shape (4, c); updated.
        inputs
            Inputs of the windows of `windows`, shape (count, windows, c).
        interval
            Length of the intervals in s.

        Returns
        -------
        ndarray, shape (count, windows, c)
            Output of the filter at the end of every window.
        """
        count, number, chains = inputs.shape
        seen = min(interval, MEMORY * self.time_constant)
        steps = np.full((count, number), seen / number)
        steps[:, 0] += interval - seen
        outputs = follow(stages, inputs.reshape(-1, chains), steps.ravel() / self.time_constant)
        return outputs[:, self.order - 1].reshape(inputs.shape)
