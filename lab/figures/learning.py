"""Pictures of learning runs on activation switches and single photons."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lab.catalogue import Run
from lab.figures.style import BLUE, CROWD, CYCLE, GREY, ORANGE, SKY, new_figure, with_error

Array = NDArray[np.float64]

SMOOTHED = 10
"""Epochs over which the error of the rows presented is averaged."""


def draw_learning(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Error by epoch with its band, the weights, and the measured truth table beside the wanted one."""
    learning, evaluation = streams["learning"], streams["evaluation"].isel(event=-1)
    arguments = run.start.get("plan_args", {})
    figure = new_figure(13.0, 4.3)
    error, weights, table = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1.0))
    _error(error, learning)
    _weights(weights, learning)
    _truth_table(table, evaluation)
    for axes in (error, weights):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    final = with_error(float(evaluation["final_error"]), float(evaluation["final_error_standard_error"]))
    rule = arguments.get("rule") or arguments.get("method") or ""
    figure.suptitle(
        f"{run.plan.replace('_', ' ')}, {arguments.get('gate', '')}, {str(rule).replace('_', ' ')}, "
        f"{arguments.get('shots', '?')} shots: final error {final}"
    )
    return figure


def _error(axes: Axes, data: xr.Dataset) -> None:
    epoch, error, spread = (np.asarray(data[key], dtype=float) for key in ("epoch", "error", "error_standard_error"))
    axes.plot(epoch, error, "." if len(epoch) > CROWD else "o", color=SKY, markersize=3, label="row presented")
    window = min(SMOOTHED, len(epoch))
    mean, band = _moving(error, window), np.sqrt(_moving(spread**2, window) / window)
    place = _moving(epoch, window)
    axes.fill_between(place, mean - band, mean + band, color=BLUE, alpha=0.3, linewidth=0)
    axes.plot(place, mean, color=BLUE, label=f"mean of {window} epochs")
    axes.set(xlabel="epoch", ylabel="error probability")
    axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False, fontsize=8)


def _moving(values: Array, window: int) -> Array:
    return np.convolve(values, np.full(window, 1.0 / window), mode="valid")


def _weights(axes: Axes, data: xr.Dataset) -> None:
    axes.set_prop_cycle(color=CYCLE)
    for key, style in (("weights", "-"), ("bias", "--")):
        if key in data:
            series = np.asarray(data[key], dtype=float).reshape(data.sizes["event"], -1)
            for number, values in enumerate(series.T, start=1):
                name = f"{'w' if key == 'weights' else 'b'}{number if series.shape[1] > 1 else ''}"
                axes.plot(data["epoch"], values, style, linewidth=1.0, label=name)
    axes.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)
    axes.set(xlabel="epoch", ylabel="weights and biases" if "bias" in data else "weights")
    axes.legend(frameon=False, fontsize=8, ncols=2)


def _truth_table(axes: Axes, data: xr.Dataset) -> None:
    inputs = np.atleast_2d(np.asarray(data["inputs"], dtype=float))
    wanted, probability = np.asarray(data["wanted"]), np.asarray(data["probability"])
    rows = np.arange(len(inputs))
    axes.bar(rows, (wanted > 0).astype(float), width=0.7, color=GREY, alpha=0.3, label="wanted")
    axes.errorbar(
        rows, probability, yerr=data["probability_standard_error"], fmt="o", color=ORANGE, capsize=2, label="measured"
    )
    names = ["\n".join("+1" if value > 0 else "\N{MINUS SIGN}1" for value in row) for row in inputs]
    axes.set(xlabel="inputs", ylabel="probability of +1", xticks=rows, xticklabels=names, ylim=(-0.03, 1.03))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8, ncols=2)
