"""Single photons: the Gram matrix of a data set against the exact one, and dark counts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from bluesky.preprocessors import finalize_wrapper
from numpy.typing import NDArray

from protocols.acquisition import Plan, as_json, configure, measure, recorded, save
from protocols.arguments import LARGEST_SEED, ArgumentError, allowed_by, number, numbers, one_of, whole
from protocols.photon_analysis import (
    KernelFit,
    chi_square,
    chi_square_probability,
    click_probability,
    dispersion,
    fit_kernel,
    overlaps,
)
from protocols.ports import PhotonKernel
from protocols.randomness import stream
from protocols.record import Record

Array = NDArray[np.float64]

MOST_VECTORS = 100
MOST_MODES = 4096

MOST_ATTEMPTS = 1_000_000
"""Attempts, or gates, that a counter keeps apart."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "photon_kernel": {"vectors": 3, "shots": 200},
    "dark_counts": {"thresholds": (0.02, 0.05), "shots": 200},
}
"""Arguments of a short run of each plan."""

UNITS = {"rate": "1/s", "threshold": "V"}
"""Units of what these plans record; the others are pure numbers."""

DIMS = {
    **dict.fromkeys(("clicks", "overlap", "click_probability"), ("vector",)),
    **dict.fromkeys(("gram", "gram_standard_error", "exact"), ("read_vector", "vector")),
    "vectors": ("vector", "mode"),
}
"""Names of the axes of the arrays that these plans record."""


def photon_kernel(
    photon: PhotonKernel,
    *,
    task: Literal["random", "gaussian", "xor"] = "random",
    vectors: int = 8,
    dimension: int = 4,
    shots: int = 2000,
    seed: int = 0,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Measure the Gram matrix of a data set with single photons, and compare it with the exact overlaps.

    Every vector is written, and read with every vector. Attempts without light come first. Efficiency times
    visibility and the dark probability are the most probable ones given all counts; with them clicks become overlaps.

    Parameters
    ----------
    photon : PhotonKernel
        The single-photon kernel.
    task : str
        Data set: "random" has entries of -1 and 1, "gaussian" normal ones, "xor" the four inputs of exclusive or.
    vectors : int
        Vectors of a random data set, from 2 to 100.
    dimension : int
        Modes of a random data set, from 2 to 4096.
    shots : int
        Attempts of each pair, from 2 to 1000000.
    seed : int
        Seed of the data set, from 0 to 4294967295.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        Nested lists ``gram``, ``gram_standard_error`` and ``exact``; ``efficiency`` times visibility and
        ``dark_probability`` with standard errors; ``chi_square`` of the counts, ``chi_square_per_element``,
        ``degrees_of_freedom`` and the ``probability`` of a larger one; ``shots`` in all, ``dark_clicks`` and
        ``seconds``. Without a fit all but the counts are None.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    one_of("task", task, ("random", "gaussian", "xor"))
    whole("vectors", vectors, 2, MOST_VECTORS)
    whole("dimension", dimension, 2, MOST_MODES)
    whole("shots", shots, 2, MOST_ATTEMPTS)
    whole("seed", seed, 0, LARGEST_SEED)
    data = _data_set(task, vectors, dimension, seed)
    if data.shape[1] > photon.modes:
        raise ArgumentError(f"dimension: {data.shape[1]} is not allowed; {photon.name} has {photon.modes} modes")
    allowed_by(photon, shots=shots, inputs=data[0], weights=data[0])
    arguments = {"task": task, "vectors": len(data), "dimension": data.shape[1], "shots": shots, "seed": seed}
    return (yield from recorded(photon, "photon_kernel", as_json(arguments), _kernel(photon, data, shots), md))


def _data_set(task: str, vectors: int, dimension: int, seed: int) -> Array:
    if task == "xor":
        return np.array([(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)])
    generator = stream(seed, 0)
    if task == "gaussian":
        return generator.standard_normal((vectors, dimension))
    return generator.choice((-1.0, 1.0), (vectors, dimension))


def _kernel(photon: PhotonKernel, data: Array, shots: int) -> Plan[dict[str, Any]]:
    exact = overlaps(data, data)
    clicks = np.zeros(exact.shape, dtype=np.int64)
    record = Record("primary", units=UNITS, dims=DIMS)
    yield from configure(photon, shots=shots, inputs=data[0], weights=data[0], light=False)
    dark, seconds = yield from _count(photon)
    yield from save(Record("dark", units=UNITS), dark_clicks=dark, dark_click_probability=dark / shots)
    yield from configure(photon, light=True)
    for index, weights in enumerate(data):
        yield from configure(photon, weights=weights)
        for other, inputs in enumerate(data):
            clicks[index, other], spent = yield from _count(photon, inputs=inputs)
            seconds += spent
        row = {"clicks": clicks[index], "click_probability": clicks[index] / shots, "overlap": exact[index]}
        yield from save(record, read_vector=index, **row)
    fit = fit_kernel([dark, *clicks.ravel()], [0.0, *exact.ravel()], shots)
    result: dict[str, Any] = {"shots": shots * (1 + clicks.size), "dark_clicks": dark, "seconds": seconds}
    if fit is None:
        return {**dict.fromkeys(KERNEL_RESULTS), **result}
    gram, gram_error = fit.gram(clicks, shots)
    values = _judgement(fit, clicks, exact, dark, shots)
    arrays = {"gram": gram, "gram_standard_error": gram_error, "exact": exact}
    known = {name: value for name, value in values.items() if value is not None}
    yield from save(Record("fit", units=UNITS, dims=DIMS), **known, **arrays, vectors=data)
    return {**{name: array.tolist() for name, array in arrays.items()}, **values, **result}


KERNEL_RESULTS = (
    "gram",
    "gram_standard_error",
    "exact",
    "efficiency",
    "efficiency_standard_error",
    "dark_probability",
    "dark_probability_standard_error",
    "chi_square",
    "chi_square_per_element",
    "degrees_of_freedom",
    "probability",
)
"""What the plan returns where the counts determine a fit."""


def _judgement(fit: KernelFit, clicks: NDArray[np.int64], exact: Array, dark: int, shots: int) -> dict[str, Any]:
    """Return the fit with its errors, and how well it describes the counts."""
    errors = np.sqrt(np.diag(fit.covariance))
    all_clicks, all_overlaps = [dark, *clicks.ravel()], [0.0, *exact.ravel()]
    expected = click_probability(all_overlaps, fit.efficiency, max(fit.dark_probability, 0.0))
    value, terms = chi_square(all_clicks, expected, shots)
    degrees = terms - 2
    return {
        "efficiency": fit.efficiency,
        "efficiency_standard_error": float(errors[0]),
        "dark_probability": fit.dark_probability,
        "dark_probability_standard_error": float(errors[1]),
        "chi_square": value,
        "chi_square_per_element": value / terms,
        "degrees_of_freedom": degrees,
        "probability": chi_square_probability(value, degrees),
    }


def dark_counts(
    photon: PhotonKernel,
    *,
    thresholds: Sequence[float] = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1),
    shots: int = 2000,
    gate_time: float = 0.001,
    md: Mapping[str, Any] | None = None,
) -> Plan[dict[str, Any]]:
    """Count without light against the level of the discriminator.

    Below the noise of the amplifier the counts are those of the noise; above it lies the plateau of the dark counts of
    the detector, up to the height of its pulses. The level is put back afterwards.

    Parameters
    ----------
    photon : PhotonKernel
        The single-photon kernel.
    thresholds : sequence of float
        Levels of the discriminator, V.
    shots : int
        Gates at each level, from 2 to 1000000.
    gate_time : float
        Length of a gate, s.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    dict
        Lists ``threshold`` in V, ``counts``, ``rate`` in 1/s with Poisson errors, ``dispersion`` of the counts of the
        gates, 1 for a Poisson process, with its standard error, None where nothing was counted; ``seconds``.

    Raises
    ------
    ArgumentError
        An argument is not allowed; nothing has been sent then.
    """
    thresholds = numbers("thresholds", thresholds, -10.0, 10.0)
    whole("shots", shots, 2, MOST_ATTEMPTS)
    number("gate_time", gate_time, 0.0, 1000.0, unit="s", above=True)
    allowed_by(photon, shots=shots, gate_time=gate_time)
    for level in thresholds:
        allowed_by(photon, threshold=level)
    arguments = {"thresholds": thresholds, "shots": shots, "gate_time": gate_time}
    body = _dark(photon, thresholds, shots, gate_time)
    return (yield from recorded(photon, "dark_counts", as_json(arguments), body, md))


def _dark(photon: PhotonKernel, thresholds: Sequence[float], shots: int, gate_time: float) -> Plan[dict[str, Any]]:
    before = {"threshold": float(photon.threshold.get()), "gate_time": float(photon.gate_time.get())}
    yield from configure(photon, light=False, shots=shots, gate_time=gate_time)
    return (yield from finalize_wrapper(_levels(photon, thresholds, shots * gate_time), configure(photon, **before)))


def _levels(photon: PhotonKernel, thresholds: Sequence[float], exposure: float) -> Plan[dict[str, Any]]:
    record = Record("primary", units=UNITS)
    points: list[dict[str, Any]] = []
    seconds = 0.0
    for level in thresholds:
        _, spent = yield from _count(photon, threshold=level)
        gates = np.asarray(photon.counts.get())
        total = int(gates.sum())
        rates = {"rate": total / exposure, "rate_standard_error": float(np.sqrt(max(total, 1))) / exposure}
        yield from save(record, threshold=level, counts=total, **rates)
        spread = dispersion(gates) or (None, None)
        scatter = dict(zip(("dispersion", "dispersion_standard_error"), spread, strict=True))
        points.append({"threshold": level, "counts": total, **rates, **scatter})
        seconds += spent
    return {**{name: [point[name] for point in points] for name in points[0]}, "seconds": seconds}


def _count(photon: PhotonKernel, **settings: Any) -> Plan[tuple[int, float]]:
    """Make all attempts once with these settings, and return the clicks and the instrument time in seconds."""
    seconds = yield from measure(photon, **settings)
    return int(photon.clicks.get()), seconds
