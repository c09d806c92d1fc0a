"""What a run of a thermodynamic board gives: samples and their moments."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin import compute
from twin.kernels.moments import add_batches, add_moments, add_projections, add_variances, count_clipped
from twin.models.program import RAIL, Array, Schedule

MAXIMUM_SAMPLES = 2**26
"""Raw samples, and entries of covariance matrices, of one run."""
MAXIMUM_BATCHES = 64
"""Batches into which a series is cut for its standard error."""
WINDOW = 2.0
"""The autocorrelation of batches is summed over so many correlation times (Sokal 1997)."""


class SampleMemoryError(MemoryError):
    """A run would leave more numbers than the board's sample memory holds."""


@dataclass(frozen=True, eq=False)
class Record:
    """What one run gives, for P programs, K rows of input and c cells read, in model units.

    Parameters
    ----------
    samples
        (P, K, shots, c) float32, or None where only moments were kept.
    count
        Shots.
    mean, variance, standard_error
        (P, K, c); the variance is the unbiased estimate (0 for a single shot), the standard error that of the mean:
        from the variance, or for serial sampling from the means of consecutive batches and their autocorrelation. NaN
        for a single shot.
    covariance
        (P, K, c, c), or None where it was not asked for.
    projection_mean, projection_covariance
        (P, K, p) means of p linear combinations of the cells and (P, K, p, c) covariances of each cell with them; or
        None.
    saturated_fraction
        Fraction of samples for which the cell was at a rail, whatever the converter made of it.
    """

    samples: npt.NDArray[np.float32] | None
    count: int
    mean: Array
    variance: Array
    standard_error: Array
    covariance: Array | None
    projection_mean: Array | None
    projection_covariance: Array | None
    saturated_fraction: float


def _autocorrelation_times(series: Array) -> Array:
    """Return the integrated autocorrelation times (groups, c), at least 1, of (groups, b, c) series in their intervals.

    They are corrected for the mean being that of the series itself (Wolff 2004, eq. 49).
    """
    size = series.shape[1]
    spectrum = np.fft.rfft(series - series.mean(axis=1, keepdims=True), 2 * size, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :size]
    scale = np.where(covariance[:, :1] > 0, covariance[:, :1], 1.0)
    times = 2 * np.cumsum(covariance / scale, axis=1) - 1
    window = np.argmax(np.arange(size)[:, None] >= WINDOW * times / 2, axis=1)
    summed = np.take_along_axis(times, window[:, None], axis=1)[:, 0]
    return np.maximum(1.0, summed * (1 + (2 * window + 1) / size))


class Moments:
    """Moments of samples that come in chunks."""

    def __init__(
        self, groups: tuple[int, int], cells: int, schedule: Schedule, full: bool, projections: Array | None = None
    ) -> None:
        self._groups, self._total = groups, schedule.shots
        count = groups[0] * groups[1]
        self._linear = projections
        self._projected = None if projections is None else np.zeros((count, projections.shape[1], cells))
        self._mean = np.zeros((count, cells))
        self._comoment = np.zeros((count, cells, cells) if full else (count, cells))
        batches = min(math.isqrt(schedule.shots), MAXIMUM_BATCHES) if schedule.serial and schedule.shots > 1 else 0
        self._batches = np.zeros((count, max(batches, 2), cells)) if batches else None
        self._clipped = np.zeros(count, np.int64)

    def add(self, first: int, done: int, samples: npt.NDArray[np.float32]) -> None:
        """Add (groups, shots, cells) samples of groups ``first`` onwards, to which ``done`` shots were added before."""
        count = len(samples)
        here = slice(first, first + count)
        mean, comoment = self._mean[here], self._comoment[here]
        if self._projected is not None:
            linear, projected = self._linear, self._projected[here]
            compute.run_sliced(
                lambda begin, end: add_projections(begin, end, samples, first, linear, done, mean, projected), count
            )
        add = add_moments if comoment.ndim == 3 else add_variances
        compute.run_sliced(lambda begin, end: add(begin, end, samples, done, mean, comoment), count)
        if self._batches is not None:
            sums = self._batches[here]
            compute.run_sliced(lambda begin, end: add_batches(begin, end, samples, done, self._total, sums), count)

    def count_clipped(self, first: int, states: npt.NDArray[np.float32]) -> None:
        """Count (groups, shots, cells) states at the rails, as they are before a converter reads them."""
        clipped = self._clipped[first : first + len(states)]
        compute.run_sliced(lambda begin, end: count_clipped(begin, end, states, RAIL, clipped), len(states))

    def _standard_error(self, variance: Array) -> Array:
        if self._total == 1:
            return np.full_like(variance, np.nan)
        if self._batches is None:
            return np.sqrt(variance / self._total)
        count = self._batches.shape[1]
        edges = -(-np.arange(count + 1) * self._total // count)
        means = self._batches / np.diff(edges)[:, None]
        times = _autocorrelation_times(means)
        return np.sqrt(times * means.var(axis=1, ddof=1) / count).reshape(variance.shape)

    def record(self, samples: npt.NDArray[np.float32] | None) -> Record:
        """Return the moments of everything added."""
        full = self._comoment.ndim == 3
        cells = self._mean.shape[1]
        scale = 1 / max(self._total - 1, 1)
        mean = self._mean.reshape(*self._groups, cells)
        covariance = None
        if full:
            upper = self._comoment * scale
            covariance = (upper + np.triu(upper, 1).swapaxes(1, 2)).reshape(*self._groups, cells, cells)
        diagonal = np.diagonal(self._comoment, axis1=1, axis2=2) if full else self._comoment
        variance = (diagonal * scale).reshape(mean.shape)
        projection_mean = projection_covariance = None
        if self._linear is not None and self._projected is not None:
            projection_mean = (self._linear @ mean[..., None])[..., 0]
            projection_covariance = (self._projected * scale).reshape(*self._groups, -1, cells)
        return Record(
            samples=samples,
            count=self._total,
            mean=mean,
            variance=variance,
            standard_error=self._standard_error(variance),
            covariance=covariance,
            projection_mean=projection_mean,
            projection_covariance=projection_covariance,
            saturated_fraction=float(self._clipped.sum() / (self._total * self._mean.size)),
        )
