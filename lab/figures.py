"""Pictures of stored runs: one for each family of plans, and one for everything else.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lab.catalogue import Run

BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#7F7F7F"

_CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, GREY, "#E69F00", "#000000")

_MODEL_UNITS = "model unit"
_PRINTED = {"model unit": "model units", "model unit^2": "model units\N{SUPERSCRIPT TWO}"}
_MOST_LINES = 16
_CROWD = 50  # points that still have room for large markers
_MOST_PANELS = 9


class NothingToDrawError(ValueError):
    """A run holds no numbers that a picture could show."""


def draw(run: Run) -> Figure:
    """Draw a run by the plan it is of.

    Parameters
    ----------
    run : Run
        A stored run, finished or not.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    NothingToDrawError
        If the run holds no numbers.
    """
    streams = {name: data for name in run.streams if (data := run.read(name)).sizes["event"]}
    if not streams:
        raise NothingToDrawError(f"run {run.uid[:8]} holds no events to draw")
    family = FAMILIES.get(run.plan)
    drawable = family is not None and all(stream in streams for stream in _NEEDED[run.plan])
    figure = family(run, streams) if family and drawable else draw_series(run, streams)
    seed = run.start.get("plan_args", {}).get("seed", run.start.get("station_seed"))
    origin = f"run {run.uid[:8]}, station {run.station}" + ("" if seed is None else f", seed {seed}")
    figure.supxlabel(f"{origin}, {run.started:%Y-%m-%d %H:%M} UTC", fontsize=8, color=GREY, x=0.99, ha="right")
    return figure


def save(run: Run, path: str | os.PathLike) -> Path:
    """Draw a run into a file whose suffix says the format.

    Raises
    ------
    NothingToDrawError
        If the run holds no numbers.
    ValueError
        If the format is unknown.
    OSError
        If the file cannot be written.
    """
    target = Path(path)
    draw(run).savefig(target, dpi=120)
    return target


def draw_activation_curve(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Mean and variance of a cell against its drive, and for a bistable cell the switching probability with its fit."""
    data = streams["primary"].sortby("drive")
    bistable = "probability" in data
    figure = _figure(5.0 * (3 if bistable else 2), 4.2)
    axes = figure.subplots(1, 3 if bistable else 2, squeeze=False)[0]
    _points(axes[0], data, "mean", BLUE)
    axes[0].axhline(0.0, color=GREY, linewidth=0.8, zorder=0)
    _points(axes[1], data, "variance", ORANGE)
    axes[1].set_ylim(bottom=0.0)
    if bistable:
        _points(axes[2], data, "probability", GREEN, line=False)
        axes[2].set(ylabel="probability of +1", ylim=(-0.03, 1.03))
        _sigmoid(axes[2], data)
    arguments = run.start.get("plan_args", {})
    stiffness = ", ".join(f"{value:g}" for value in arguments.get("stiffness", ()))
    temperature = arguments.get("temperature", float("nan"))
    figure.suptitle(f"activation of a cell, J = ({stiffness}), kT = {temperature:g}, {_sampled(arguments)}")
    return figure


def draw_train_in_situ(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Learning curves, the confusion matrix, and where the task is one of images some read right and some wrong."""
    evaluation = streams["evaluation"].isel(event=-1)
    images = run.start.get("plan_args", {}).get("task") == "digits"
    figure = _figure(12.0, 7.6 if images else 4.6)
    grid = figure.add_gridspec(2 if images else 1, 1)
    accuracy, loss, confusion = figure.add_subfigure(grid[0]).subplots(1, 3)
    _learning_curves(accuracy, loss, streams)
    _confusion(confusion, _integers(evaluation["labels"]), _integers(evaluation["predictions"]))
    if images:
        _readings(figure.add_subfigure(grid[1]), evaluation)
    read = np.mean(_integers(evaluation["labels"]) == _integers(evaluation["predictions"]))
    figure.suptitle(f"{_training_title(run)}: {read:.1%} of {evaluation['labels'].size} test examples right")
    return figure


def draw_train_genetic(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Loss by generation, and what the best individual computes beside what it was to compute."""
    learning, evaluation = streams["learning"], streams["evaluation"].isel(event=-1)
    figure = _figure(10.0, 4.4)
    loss, output = figure.subplots(1, 2)
    final = float(evaluation["final_loss"])
    median = np.median(np.asarray(learning["losses"]), axis=1)
    loss.plot(learning["generation"], median, color=SKY, linewidth=0.8, label="median of the population")
    loss.plot(learning["generation"], learning["loss"], color=BLUE, linewidth=1.0, label="best of the population")
    loss.axhline(final, color=ORANGE, linestyle="--", label=f"final judgement {final:.3g}")
    loss.set(xlabel="generation", ylabel="loss", yscale="log")
    loss.legend(frameon=False, fontsize=9, loc="best")
    _computed(output, evaluation)
    arguments = run.start.get("plan_args", {})
    figure.suptitle(
        f"genetic algorithm, {arguments.get('task', '')}, {arguments.get('neuron', '')}, {_sampled(arguments)}: "
        f"final loss {final:.3g}"
    )
    return figure


def draw_evaluate(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Output of a stored program here, and how well it does beside where it was trained."""
    evaluation = streams["evaluation"].isel(event=-1)
    measures = [key for key in ("loss", "accuracy") if key in evaluation]
    figure = _figure(6.0 + 2.6 * len(measures), 4.4)
    computed, *bars = figure.subplots(1, 1 + len(measures), width_ratios=[2.0, *[1.0] * len(measures)])
    _computed(computed, evaluation)
    for axes, key in zip(bars, measures, strict=True):
        values = [float(evaluation[f"trained_{key}"]), float(evaluation[key])]
        axes.bar_label(axes.bar(["where trained", "here"], values, color=[GREY, BLUE]), fmt="%.3g")
        axes.set(ylabel=key)
        axes.margins(y=0.1)
    trained = str(run.start.get("plan_args", {}).get("run", ""))[:8]
    agreement = f": {float(evaluation['agreement']):.1%} read as where trained" if "agreement" in evaluation else ""
    figure.suptitle(f"program of run {trained}, {run.start.get('plan_args', {}).get('shots', '?')} shots{agreement}")
    return figure


def draw_series(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Every series of numbers of a run against what was varied, or against the number of the event."""
    panels = [
        (stream if len(streams) > 1 else "", data, key, _independent(run, stream, data))
        for stream, data in streams.items()
        for key in map(str, data)
        if _is_series(data[key]) and key != _independent(run, stream, data)
    ][:_MOST_PANELS]
    if not panels:
        raise NothingToDrawError(f"run {run.uid[:8]} holds no series of numbers to draw")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(4.4 * columns, 3.2 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, data, key, independent) in zip(axes, panels, strict=False):
        axis.set_prop_cycle(color=_CYCLE)
        _series(axis, run, data, key, independent)
        axis.set_title(title)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    named = max((axis.get_legend_handles_labels() for axis in axes), key=lambda legend: len(legend[0]))
    if named[0]:
        figure.legend(*named, loc="outside right upper", frameon=False, fontsize=9)
    figure.suptitle(run.plan or "run")
    return figure


def _series(axes: Axes, run: Run, data: xr.Dataset, key: str, independent: str) -> None:
    values = np.asarray(data[key], dtype=float).reshape(data.sizes["event"], -1)
    position, label = np.asarray(data[independent]), _label(data, independent)
    if independent == "time":
        position, label = position - run.start["time"], "time since the start of the run (s)"
    lines = axes.plot(position, values, marker="o" if len(values) <= _CROWD else "", markersize=4)
    axes.set(xlabel=label, ylabel=_label(data, key))
    if len(lines) > 1:
        for line, name in zip(lines, _element_names(data[key]), strict=True):
            line.set_label(name)


def _element_names(variable: xr.DataArray) -> list[str]:
    """Name the elements of one event by their place, counted from 1, along the dims that have several."""
    varied = [axis for axis in range(1, variable.ndim) if variable.shape[axis] > 1]
    names = [str(variable.dims[axis]).replace("_", " ") for axis in varied]
    return [
        ", ".join(f"{name} = {index + 1}" for name, index in zip(names, place, strict=True))
        for place in np.ndindex(*(variable.shape[axis] for axis in varied))
    ]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _label(data: xr.Dataset, key: str, units: str = "") -> str:
    """Name a quantity and its units, the given ones where the record has none."""
    units = data[key].attrs.get("units", units)
    return key.replace("_", " ") + (f" ({_PRINTED.get(units, units)})" if units else "")


def _sampled(arguments: Mapping[str, Any]) -> str:
    """Say how samples were taken."""
    moment = "every" if arguments.get("sampling") == "serial" else "at"
    time = f"{arguments.get('observation_time', float('nan')):g}/\N{GREEK SMALL LETTER MU}"
    return f"{arguments.get('sampling', '')} sampling {moment} {time}, {arguments.get('shots', '?')} shots"


def _with_error(value: float, error: float) -> str:
    """Write a value to the second digit of its error."""
    digits = max(0, 1 - math.floor(math.log10(error))) if 0 < error < math.inf else 3
    return f"{value:.{digits}f} \N{PLUS-MINUS SIGN} {error:.{digits}f}"


def _points(axes: Axes, data: xr.Dataset, key: str, colour: str, *, line: bool = True) -> None:
    error = data.get(f"{key}_standard_error")
    many = data.sizes["event"] > _CROWD
    axes.errorbar(
        data["drive"],
        data[key],
        yerr=error,
        fmt="o-" if line else "o",
        color=colour,
        markersize=1.5 if many else 4,
        capsize=0 if many else 2,
        linewidth=0.6 if many else 1,
    )
    squared = "^2" if key == "variance" else ""
    axes.set(xlabel=_label(data, "drive", _MODEL_UNITS), ylabel=_label(data, key, _MODEL_UNITS + squared))


def _sigmoid(axes: Axes, data: xr.Dataset) -> None:
    from scipy.special import expit

    from protocols.statistics import fit_switching

    drive = np.asarray(data["drive"])
    fit = fit_switching(drive.tolist(), *(data[f"probability{end}"].values.tolist() for end in ("", "_standard_error")))
    if fit is None:
        return
    fine = np.linspace(drive.min(), drive.max(), 400)
    label = "\n".join(f"{name} {_with_error(fit[name], fit[f'{name}_standard_error'])}" for name in ("offset", "width"))
    axes.plot(fine, expit((fine - fit["offset"]) / fit["width"]), color=GREY, zorder=0, label=label)
    axes.legend(loc="center left", fontsize=8, frameon=False)


def _computed(axes: Axes, evaluation: xr.Dataset) -> None:
    if "predictions" in evaluation:
        _confusion(axes, _integers(evaluation["labels"]), _integers(evaluation["predictions"]))
        return
    z = np.asarray(evaluation["inputs"])[:, 0]
    axes.plot(z, evaluation["target"], color=GREY, linewidth=3, alpha=0.6, label="target")
    axes.plot(z, np.asarray(evaluation["outputs"])[:, 0], color=ORANGE, label="output y")
    axes.set(xlabel="input z", ylabel="output y")
    axes.legend(frameon=False)


def _training_title(run: Run) -> str:
    arguments = run.start.get("plan_args", {})
    parts = [
        str(arguments.get("task", "")),
        str(arguments.get("estimator", "")),
        f"{arguments.get('shots', '?')} shots",
    ]
    return f"{run.plan.replace('_', ' ')}, " + ", ".join(part for part in parts if part)


def _learning_curves(accuracy: Axes, loss: Axes, streams: Mapping[str, xr.Dataset]) -> None:
    epochs, steps = streams["epochs"], streams["learning"]
    accuracy.plot(epochs["epoch"], epochs["train_accuracy"], "o-", color=BLUE, markersize=4, label="training")
    accuracy.plot(epochs["epoch"], epochs["test_accuracy"], "s-", color=ORANGE, markersize=4, label="test")
    accuracy.set(xlabel="epoch", ylabel="accuracy")
    accuracy.set_ylim(top=1.01)
    accuracy.legend(loc="lower right", frameon=False)
    position = (
        np.asarray(steps["epoch"][0])
        - 1
        + np.arange(1, steps.sizes["event"] + 1) * (epochs.sizes["event"] / steps.sizes["event"])
    )
    loss.plot(position, steps["loss"], color=SKY, linewidth=0.7, label="minibatch")
    loss.plot(epochs["epoch"], epochs["loss"], "o-", color=BLUE, markersize=4, label="epoch")
    loss.set(xlabel="epoch", ylabel="training loss")
    if float(epochs["loss"].min()) > 0:
        loss.set_yscale("log")
    loss.legend(loc="upper right", frameon=False)
    for axes in (accuracy, loss):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _confusion(axes: Axes, labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> None:
    classes = int(max(labels.max(), predictions.max())) + 1
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (labels, predictions), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    ticks = range(classes)
    axes.set(xlabel="read as", ylabel="class", title="confusion of the test examples", xticks=ticks, yticks=ticks)


def _readings(figure: SubFigure, evaluation: xr.Dataset, *, columns: int = 10) -> None:
    labels, predictions = _integers(evaluation["labels"]), _integers(evaluation["predictions"])
    probabilities = np.asarray(evaluation["probabilities"])
    ink = np.asarray(evaluation["inputs"])
    images = (ink - ink.min(axis=0)).reshape(len(ink), 8, 8)
    right = [
        int(np.flatnonzero((labels == digit) & (predictions == digit))[0])
        for digit in np.unique(labels[labels == predictions])
    ]
    wrong = np.flatnonzero(labels != predictions).tolist()
    axes = figure.subplots(2, columns)
    for row, chosen, colour in zip(axes, (right, wrong), (BLUE, ORANGE), strict=True):
        for axis in row:
            axis.set_axis_off()
        for axis, index in zip(row, chosen, strict=False):
            share = probabilities[index, predictions[index]]
            axis.imshow(images[index], cmap="gray_r", interpolation="nearest")
            said = f"{predictions[index]} ({share:.0%})"
            title = said if labels[index] == predictions[index] else f"{labels[index]} read as\n{said}"
            axis.set_title(title, fontsize=9, color=colour)
    figure.suptitle(f"read right (first row) and wrong ({len(wrong)} in all)", fontsize=10)


def _integers(values: xr.DataArray) -> NDArray[np.int64]:
    return np.asarray(values).astype(np.int64)


def _independent(run: Run, stream: str, data: xr.Dataset) -> str:
    dimensions: Iterable = run.start.get("hints", {}).get("dimensions", ())
    varied = [field for fields, name in dimensions if name == stream for field in fields]
    candidates = [*varied, "step", "epoch", "generation", "drive"]
    return next((key for key in candidates if key in data and data[key].dims == ("event",)), "seq_num")


def _is_series(variable: xr.DataArray) -> bool:
    per_event = variable.size // max(variable.sizes["event"], 1)
    return variable.dtype.kind in "iufb" and 0 < per_event <= _MOST_LINES


FAMILIES: Mapping[str, Callable[[Run, Mapping[str, xr.Dataset]], Figure]] = MappingProxyType(
    {
        "activation_curve": draw_activation_curve,
        "train_in_situ": draw_train_in_situ,
        "train_genetic": draw_train_genetic,
        "evaluate": draw_evaluate,
    }
)
"""The picture of each family of plans."""

_NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "activation_curve": ("primary",),
        "train_in_situ": ("learning", "epochs", "evaluation"),
        "train_genetic": ("learning", "evaluation"),
        "evaluate": ("evaluation",),
    }
)
