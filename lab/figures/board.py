"""Pictures of plans on a thermodynamic board: activation curves, trainings, evaluations."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lab.catalogue import Run
from lab.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    axis_label,
    integers,
    new_figure,
    points_with_errors,
    with_error,
)

_MODEL_UNITS = "model unit"


def draw_activation_curve(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Mean and variance of a cell against its drive, and for a bistable cell the switching probability with its fit."""
    data = streams["primary"].sortby("drive")
    bistable = "probability" in data
    figure = new_figure(5.0 * (3 if bistable else 2), 4.2)
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
    figure = new_figure(12.0, 7.6 if images else 4.6)
    grid = figure.add_gridspec(2 if images else 1, 1)
    accuracy, loss, confusion = figure.add_subfigure(grid[0]).subplots(1, 3)
    _learning_curves(accuracy, loss, streams)
    draw_confusion(confusion, integers(evaluation["labels"]), integers(evaluation["predictions"]))
    if images:
        _readings(figure.add_subfigure(grid[1]), evaluation)
    read = np.mean(integers(evaluation["labels"]) == integers(evaluation["predictions"]))
    figure.suptitle(f"{_training_title(run)}: {read:.1%} of {evaluation['labels'].size} test examples right")
    return figure


def draw_train_genetic(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Loss by generation, and what the best individual computes beside what it was to compute."""
    learning, evaluation = streams["learning"], streams["evaluation"].isel(event=-1)
    figure = new_figure(10.0, 4.4)
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
    figure = new_figure(6.0 + 2.6 * len(measures), 4.4)
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


def _sampled(arguments: Mapping[str, Any]) -> str:
    """Say how samples were taken."""
    moment = "every" if arguments.get("sampling") == "serial" else "at"
    time = f"{arguments.get('observation_time', float('nan')):g}/\N{GREEK SMALL LETTER MU}"
    return f"{arguments.get('sampling', '')} sampling {moment} {time}, {arguments.get('shots', '?')} shots"


def _points(axes: Axes, data: xr.Dataset, key: str, colour: str, *, line: bool = True) -> None:
    points_with_errors(axes, data["drive"], data[key], data.get(f"{key}_standard_error"), colour, line=line)
    squared = "^2" if key == "variance" else ""
    axes.set(xlabel=axis_label(data, "drive", _MODEL_UNITS), ylabel=axis_label(data, key, _MODEL_UNITS + squared))


def _sigmoid(axes: Axes, data: xr.Dataset) -> None:
    from scipy.special import expit

    from protocols.statistics import fit_switching

    drive = np.asarray(data["drive"])
    fit = fit_switching(drive.tolist(), *(data[f"probability{end}"].values.tolist() for end in ("", "_standard_error")))
    if fit is None:
        return
    fine = np.linspace(drive.min(), drive.max(), 400)
    label = "\n".join(f"{name} {with_error(fit[name], fit[f'{name}_standard_error'])}" for name in ("offset", "width"))
    axes.plot(fine, expit((fine - fit["offset"]) / fit["width"]), color=GREY, zorder=0, label=label)
    axes.legend(loc="center left", fontsize=8, frameon=False)


def _computed(axes: Axes, evaluation: xr.Dataset) -> None:
    if "predictions" in evaluation:
        draw_confusion(axes, integers(evaluation["labels"]), integers(evaluation["predictions"]))
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


def draw_confusion(axes: Axes, labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> None:
    """Draw how often each class was read as each, as a matrix with counts."""
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
    labels, predictions = integers(evaluation["labels"]), integers(evaluation["predictions"])
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
