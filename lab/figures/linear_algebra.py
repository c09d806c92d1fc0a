"""Pictures of a board that does linear algebra: a matrix beside its reference, and a determinant from work."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lab.catalogue import Run
from lab.figures.style import BLUE, GREEN, GREY, ORANGE, SKY, new_figure, points_with_errors, with_error

_PRINTED_SIZE = 8
"""Matrices up to this size have their entries written into the picture."""

_DEVIATIONS = 5.0
"""Deviation, in standard errors, at the ends of the colour scale."""


def draw_matrix(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Draw the estimated matrix, its deviation from the reference in standard errors, and how its error fell."""
    result, estimates = streams["result"].isel(event=-1), streams["estimates"]
    figure = new_figure(14.0, 4.6)
    matrix, deviation, error = figure.subplots(1, 3)
    estimate = np.asarray(result["estimate"], dtype=float)
    scale = np.abs(estimate).max()
    _entries(figure, matrix, estimate, "RdBu_r", scale, "measured", digits=2)
    difference, spread = estimate - result["reference"].values, result["estimate_standard_error"].values
    deviations = np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)
    _entries(figure, deviation, deviations, "PuOr_r", _DEVIATIONS, "deviation in standard errors", digits=1)
    _errors(error, estimates)
    relative = np.linalg.norm(difference) / np.linalg.norm(result["reference"].values)
    figure.suptitle(f"{_title(run)}: {relative:.2g} relative error, {int(estimates['shots'][-1]):,} samples")
    return figure


def draw_determinant(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Draw the logarithm of the determinant by all estimators against the samples, and the work of every switch."""
    estimates, result = streams["estimates"], streams["result"].isel(event=-1)
    figure = new_figure(11.0, 4.6)
    estimate, work = figure.subplots(1, 2)
    shots = estimates["shots"].values
    estimate.fill_between(
        shots, estimates["lower_bound"], estimates["upper_bound"], color=SKY, alpha=0.25, label="bounds by mean work"
    )
    for key, marker, colour in (("forward", "^", ORANGE), ("reverse", "v", GREEN)):
        values = estimates[f"jarzynski_{key}"]
        estimate.plot(shots, values, marker, color=colour, markersize=4, label=f"Jarzynski, {key}")
    error = estimates["log_determinant_standard_error"]
    points_with_errors(estimate, shots, estimates["log_determinant"], error, BLUE, line=True, name="acceptance ratio")
    estimate.axhline(float(estimates["exact"][-1]), color=GREY, linestyle="--", label="NumPy")
    estimate.set(xlabel="samples of all stages", ylabel="ln det A")
    estimate.legend(frameon=False, fontsize=8, loc="best")
    _works(work, result)
    last = {str(key): float(estimates[key][-1]) for key in estimates}
    written = with_error(last["log_determinant"], last["log_determinant_standard_error"])
    figure.suptitle(f"{_title(run)}: ln det A = {written}, NumPy {last['exact']:.4f}")
    return figure


def _works(axes: Axes, result: xr.Dataset) -> None:
    switch = np.arange(1, result["forward_work"].size + 1)
    axes.plot(switch, result["forward_work"], "^", color=ORANGE, label="mean work of the switch")
    axes.plot(switch, result["free_energy"], "o-", color=BLUE, label="free energy")
    axes.plot(switch, result["reverse_work"], "v", color=GREEN, label="mean work regained on the way back")
    axes.fill_between(switch, result["reverse_work"], result["forward_work"], color=GREY, alpha=0.2, label="dissipated")
    axes.set(xlabel="switch", ylabel=f"change over the switch ({result['free_energy'].attrs.get('units', 'kT')})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)


def _entries(
    figure: Figure, axes: Axes, values: NDArray[np.float64], colours: str, scale: float, title: str, *, digits: int
) -> None:
    image = axes.imshow(values, cmap=colours, vmin=-scale, vmax=scale)
    figure.colorbar(image, ax=axes, shrink=0.8)
    if len(values) <= _PRINTED_SIZE:
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.6 * scale else "black"
            text = f"{round(value, digits) + 0.0:.{digits}f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    axes.set(title=title, xlabel="column", ylabel="row")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _errors(axes: Axes, estimates: xr.Dataset) -> None:
    by_shots = "batch" in estimates
    key = "shots" if by_shots else "column"
    x, expected = estimates[key].values, estimates["expected_error"].values
    axes.plot(x, estimates["relative_error"], "o-", color=BLUE, markersize=4, label="measured against NumPy")
    axes.plot(x, expected, color=ORANGE, label="expected from the standard errors")
    if by_shots:
        axes.plot(x, expected[-1] * np.sqrt(x[-1] / x), color=GREY, linestyle=":", label="1/\N{SQUARE ROOT}samples")
        axes.set(xscale="log", yscale="log", xlabel="samples")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="columns measured", ylim=(0.0, None))
    axes.set_ylabel("relative error (Frobenius norm)")
    axes.legend(frameon=False, fontsize=8)


def _title(run: Run) -> str:
    arguments: Mapping[str, Any] = run.start.get("plan_args", {})
    matrix = arguments.get("matrix")
    size = len(matrix) if matrix else arguments.get("size", "?")
    return f"{run.plan.replace('_', ' ')}, {size} cells, {arguments.get('sampling', '')} sampling"
