"""Temporal modes of light pulses: sampled waveforms, their overlap, and bases of modes.

A waveform is the amplitude of the field as a modulator makes it of the samples of a generator: constant during each
interval. How much a photon written in one waveform is found in another is |<r|w>|^2 / (<r|r> <w|w>) (Milburn and
Basiri-Esfahani, "The physics of learning machines", eqs. 120 to 123).
"""

import math

import numpy as np
import numpy.typing as npt

__all__ = [
    "gaussian_bin", "gaussian_overlap", "hermite_gauss", "mode_overlap", "overlap", "rectangular_bins", "superposition",
]  # fmt: skip

Array = npt.NDArray[np.float64]


def overlap(
    write: npt.ArrayLike,
    read: npt.ArrayLike,
    write_interval: float = 1.0,
    read_interval: float | None = None,
    delay: float = 0.0,
) -> float:
    """Return the normalised overlap |<read|write>|^2 / (|read|^2 |write|^2) of two waveforms, exactly.

    Parameters
    ----------
    write, read
        (n,) and (m,) samples, real or complex, of any scale.
    write_interval, read_interval
        Sample intervals, s; those of the read waveform are equal to those of the write waveform by default.
    delay
        How much later the read waveform begins, s.

    Returns
    -------
    float
        Between 0 and 1; 0 where a waveform is dark.

    Raises
    ------
    ValueError
        If a waveform is no list of finite samples, or an interval is not positive.
    """
    step = write_interval if read_interval is None else read_interval
    if not (0 < write_interval < math.inf and 0 < step < math.inf and math.isfinite(delay)):
        raise ValueError(f"overlap: intervals {write_interval} and {step} s, delay {delay} s; intervals are positive")
    w, r = _waveform("write", write), _waveform("read", read)
    energy = _energy(w) * write_interval * _energy(r) * step
    if energy == 0:
        return 0.0
    if step == write_interval and delay == 0:
        common = min(w.size, r.size)
        inner = np.vdot(r[:common], w[:common]) * step
    else:
        edges = delay + step * np.arange(r.size + 1)
        integral = np.concatenate([[0], np.cumsum(r.conj())]) * step
        inner = w @ np.diff(np.interp(write_interval * np.arange(w.size + 1), edges, integral))
    return min(1.0, float(abs(inner) ** 2 / energy))


def mode_overlap(inputs: npt.ArrayLike, weights: npt.ArrayLike) -> float:
    """Return F = (w . xi)^2 / (|xi|^2 |w|^2) of two superpositions of orthonormal modes, of any scale; (n,) each.

    Raises
    ------
    ValueError
        If the vectors are no finite lists of equal length.
    """
    xi, w = _waveform("inputs", inputs), _waveform("weights", weights)
    if xi.shape != w.shape:
        raise ValueError(f"overlap: {xi.size} inputs and {w.size} weights; they must be as many")
    return overlap(xi, w)


def rectangular_bins(modes: int, samples: int) -> Array:
    """Return (modes, modes * samples): disjoint time bins of so many samples each, orthonormal."""
    return np.kron(np.eye(modes), np.full(samples, 1 / math.sqrt(samples)))


def superposition(amplitudes: npt.ArrayLike, modes: Array) -> Array:
    """Return the normalised waveform sum_j a_j u_j of (n,) amplitudes in (n, samples) modes.

    Raises
    ------
    ValueError
        If all amplitudes are 0, one is not finite, or their number is not that of the modes.
    """
    a = np.asarray(amplitudes, np.float64)
    if a.ndim != 1 or a.size != len(modes) or not a.any() or not np.isfinite(a).all():
        raise ValueError(
            f"superposition: {a.size} amplitudes of {len(modes)} modes, which must be finite and not all 0"
        )
    waveform: Array = a @ modes
    return waveform / np.linalg.norm(waveform)


def gaussian_bin(times: npt.ArrayLike, centre: float, width: float) -> Array:
    """Return the amplitude, with unit integral of its square, of a bin whose intensity has a standard deviation width.

    The prefactor is that of a normal density (Milburn and Basiri-Esfahani, eq. 118, lacks its 1/sqrt(2 pi)).
    """
    t = (np.asarray(times, np.float64) - centre) / width
    return np.exp(-(t**2) / 4) / math.sqrt(width * math.sqrt(2 * math.pi))


def gaussian_overlap(distance: float, width: float) -> float:
    """Return the inner product exp(-d^2 / 8 s^2) of two Gaussian bins at a distance, intensity deviation width."""
    return math.exp(-(distance**2) / (8 * width**2))


def hermite_gauss(count: int, times: npt.ArrayLike) -> Array:
    """Return the first ``count`` Hermite-Gauss functions, orthonormal in t, at (m,) dimensionless times; (count, m)."""
    t = np.asarray(times, np.float64)
    modes = np.zeros((count, t.size))
    modes[0] = np.exp(-(t**2) / 2) / math.pi**0.25
    if count > 1:
        modes[1] = math.sqrt(2) * t * modes[0]
    for n in range(2, count):
        modes[n] = math.sqrt(2 / n) * t * modes[n - 1] - math.sqrt((n - 1) / n) * modes[n - 2]
    return modes


def _waveform(name: str, samples: npt.ArrayLike) -> npt.NDArray[np.inexact]:
    values = np.asarray(samples)
    values = values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"overlap: {name} has the shape {values.shape}; a list of finite values is needed")
    return values


def _energy(values: npt.NDArray[np.inexact]) -> float:
    return float(np.vdot(values, values).real)
