"""What a real board does to a program and to its samples."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from twin.noise import generator, random_walk

Array = npt.NDArray[np.float64]

LARGEST_BITS = 32
COUNTED = ("coupling_bits", "bias_bits", "weight_bits", "adc_bits")


@dataclass(frozen=True)
class Imperfections:
    """Deviations of a board from its equation of motion; all off by default.

    Parameters
    ----------
    coupling_mismatch
        Relative standard deviation of each coupling and input weight, the same in both directions of a coupling.
    stiffness_mismatch
        Relative standard deviation of each J2, J3 and J4.
    reciprocity_error
        Relative standard deviation of half the difference between the two directions of a coupling.
    coupling_bits, bias_bits, weight_bits
        Resolution of the converters over the full scale of the board; 0 is ideal.
    adc_bits
        Resolution of the converter of samples over +-adc_range; 0 is ideal.
    adc_range
        Full scale of the converter of samples, model units.
    read_noise
        Standard deviation added to each sample, model units.
    offset
        Standard deviation of a static force on each cell, model units.
    drift
        Force on each cell that walks at random with board time: standard deviation, model units, after one unit of
        time; it grows as the square root. Within one acquisition the force stays what it was at its start.
    settling_time
        Model units of time. After the release of the cells all applied fields rise as 1 - exp(-t / settling_time).
    stuck_cells
        Share of the cells that stay at +1 or -1, whatever the program; up to 1.

    Raises
    ------
    ValueError
        If a value is negative, not finite, a share is above 1, or a resolution is not a whole number of bits up to 32.
    """

    coupling_mismatch: float = 0.0
    stiffness_mismatch: float = 0.0
    reciprocity_error: float = 0.0
    coupling_bits: int = 0
    bias_bits: int = 0
    weight_bits: int = 0
    adc_bits: int = 0
    adc_range: float = 16.0
    read_noise: float = 0.0
    offset: float = 0.0
    drift: float = 0.0
    settling_time: float = 0.0
    stuck_cells: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"imperfections: {name} is {value}; it must be finite and not negative")
            if name in COUNTED and (value != int(value) or value > LARGEST_BITS):
                raise ValueError(f"imperfections: {name} is {value}; it must be a whole number up to {LARGEST_BITS}")
        if self.adc_range == 0:
            raise ValueError("imperfections: adc_range is 0; it must be positive")
        if self.stuck_cells > 1:
            raise ValueError(f"imperfections: stuck_cells is {self.stuck_cells}; it must be a share from 0 to 1")


def quantise(values: Array, full_scale: float, bits: int) -> Array:
    """Return values as a converter of so many bits over +-full_scale gives them out; zero stays zero.

    The codes are -2^(bits-1) to 2^(bits-1) - 1. With 0 bits nothing is changed.
    """
    if bits == 0:
        return values
    half = 2.0 ** (bits - 1)
    step = full_scale / half
    return np.clip(np.rint(values / step), -half, half - 1) * step


class Deviations:
    """The deviations of one board, drawn once from its seed.

    Parameters
    ----------
    imperfections
        Their size.
    cells, inputs
        Size of the board.
    seed, name
        Which board it is.
    """

    def __init__(self, imperfections: Imperfections, cells: int, inputs: int, seed: int, name: str) -> None:
        self._size = imperfections
        self._cells, self._inputs = cells, inputs
        self._seed, self._name = seed, name

    def _draw(self, purpose: str, *shape: int) -> Array:
        return generator(self._seed, self._name, 0, purpose).standard_normal(shape)

    @cached_property
    def _coupling_factors(self) -> Array:
        mismatch = np.triu(self._draw("coupling mismatch", self._cells, self._cells), 1)
        error = np.triu(self._draw("reciprocity error", self._cells, self._cells), 1)
        return (
            1
            + self._size.coupling_mismatch * (mismatch + mismatch.T)
            + self._size.reciprocity_error * (error - error.T)
        )

    @cached_property
    def _weight_factors(self) -> Array:
        return 1 + self._size.coupling_mismatch * self._draw("weight mismatch", self._cells, self._inputs)

    @cached_property
    def _stiffness_factors(self) -> Array:
        return 1 + self._size.stiffness_mismatch * self._draw("stiffness mismatch", self._cells, 3)

    def couplings(self, couplings: Array) -> Array:
        """Return the couplings (n, n) in force; ``J[i, j]`` weighs x_j in the force on cell i."""
        couplings = self._mismatched(couplings)
        stuck = self.stuck[: len(couplings)] != 0
        return np.where(stuck | stuck[:, np.newaxis], 0.0, couplings) if stuck.any() else couplings

    def _mismatched(self, couplings: Array) -> Array:
        if not (self._size.coupling_mismatch or self._size.reciprocity_error):
            return couplings
        n = len(couplings)
        return couplings * self._coupling_factors[:n, :n]

    @cached_property
    def stuck(self) -> Array:
        """Where stuck cells stay, (cells,); 0 for those that are not."""
        if not self._size.stuck_cells:
            return np.zeros(self._cells)
        chances = generator(self._seed, self._name, 0, "stuck cells").random((self._cells, 2))
        return np.where(chances[:, 0] < self._size.stuck_cells, np.where(chances[:, 1] < 0.5, -1.0, 1.0), 0.0)

    def stuck_force(self, couplings: Array) -> Array | float:
        """Return the force of stuck cells on all others (n,), through the couplings (n, n) of a program."""
        stuck = self.stuck[: len(couplings)]
        return -self._mismatched(couplings) @ stuck if stuck.any() else 0.0

    def weights(self, weights: Array) -> Array:
        """Return the input weights (n, k) in force."""
        if not self._size.coupling_mismatch:
            return weights
        n, k = weights.shape
        return weights * self._weight_factors[:n, :k]

    def stiffness(self, stiffness: Array) -> Array:
        """Return J2, J3, J4 (n, 3) in force."""
        if not self._size.stiffness_mismatch:
            return stiffness
        return stiffness * self._stiffness_factors[: len(stiffness)]

    def force(self, cells: int, time: float) -> Array:
        """Return the force (cells,) that nobody programmed, at a board time in model units."""
        force = np.zeros(cells)
        if self._size.offset:
            force += self._size.offset * self._draw("offset", self._cells)[:cells]
        if self._size.drift:
            force += self._size.drift * random_walk(time, self._cells, self._seed, self._name)[:cells]
        return force
