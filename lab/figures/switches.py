"""Pictures of activation switches: the switching curve, and how long a switch remembers."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab.catalogue import Run
from lab.figures.style import BLUE, GREY, ORANGE, axis_label, new_figure, numbers_beside, points_with_errors, with_error

SPREAD = 5.0
"""Correlations beyond so many standard errors of none are correlations."""


def draw_switch_curve(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Probability of +1 against the drive with binomial errors, the fitted curve, and what the fit leaves."""
    data = streams["primary"].sortby("drive")
    drive, probability = np.asarray(data["drive"]), np.asarray(data["probability"])
    error = np.asarray(data["probability_standard_error"])
    figure = new_figure(6.8, 5.4)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.0, 1.0))
    points_with_errors(axes, drive, probability, error, BLUE)
    axes.set(ylabel="probability of +1", ylim=(-0.03, 1.03))
    below.axhline(0.0, color=GREY, linewidth=0.8)
    below.set(xlabel=axis_label(data, "drive"), ylabel="residual / error")
    if "calibration" in streams:
        from protocols.switch_calibration import SwitchCalibration

        stored = streams["calibration"].isel(event=-1)
        fit = SwitchCalibration.from_event(run.start, {str(key): stored[key].values for key in stored})
        curve = [fit.probability(fit.activation(float(value))[0]) for value in drive]
        fine = np.linspace(drive.min(), drive.max(), 300)
        axes.plot(fine, [fit.probability(fit.activation(float(x))[0]) for x in fine], color=ORANGE, zorder=0)
        below.plot(drive, (probability - curve) / error, "o", color=BLUE, markersize=4)
        units = data["drive"].attrs.get("units", "")
        lines = [
            f"slope {with_error(fit.beta, fit.beta_standard_error)} /{units or '1'}",
            f"offset {with_error(fit.offset, fit.offset_standard_error)} {units}",
            f"degree {fit.degree}, p = {float(stored['p_value']):.2g}",
        ]
        numbers_beside(axes, lines)
    figure.suptitle(f"switching curve, {run.start.get('plan_args', {}).get('shots', '?')} shots a drive")
    return figure


def draw_switching_times(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Correlation of a shot with those after it, against their distance, beside what independent shots would have."""
    data = streams["primary"].isel(event=-1)
    correlation, error = np.asarray(data["autocorrelation"]), float(data["autocorrelation_standard_error"])
    lags = np.arange(1, len(correlation) + 1)
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    axes.axhspan(-SPREAD * error, SPREAD * error, color=GREY, alpha=0.2, label="independent shots (5 standard errors)")
    axes.axhline(float(data["datasheet_memory"]), color=ORANGE, linestyle="--", linewidth=0.9, label="datasheet")
    points_with_errors(axes, lags, correlation, np.full(len(lags), error), BLUE)
    axes.set(xlabel="distance (shots)", ylabel="correlation of the outcomes")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    shots = run.start.get("plan_args", {}).get("shots", "?")
    memory = with_error(float(data["memory"]), error)
    figure.suptitle(f"memory of a switch: {memory} from shot to shot, {shots} shots")
    return figure
