"""Pictures of programs that were fitted on a model: how they learnt, what they do on the board, how they recovered."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from lab.catalogue import Run
from lab.figures.board import draw_confusion
from lab.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, integers, new_figure

Array = NDArray[np.float64]

STAGES: Mapping[str, tuple[str, str]] = {
    "ideal": ("on the ideal model", GREY),
    "deployed": ("put on the board", ORANGE),
    "genetic": ("after the genetic algorithm", BLUE),
    "feedback": ("after feedback", GREEN),
}
"""How the stages of a transfer are named, and their colours."""


def draw_train_model_based(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Learning curve on the model, and on the board the function with its error, or confusion and accuracy by shots."""
    evaluation, arguments = streams["evaluation"].isel(event=-1), run.start.get("plan_args", {})
    classes = "predictions" in evaluation
    figure = new_figure(13.0 if classes else 10.5, 4.6)
    grid = figure.add_gridspec(1, 3 if classes else 2, width_ratios=(1.0, 1.1, 1.0) if classes else (1.0, 1.3))
    _learning_curve(figure.add_subplot(grid[0]), streams["epochs"])
    if classes:
        confusion, accuracy = figure.add_subplot(grid[1]), figure.add_subplot(grid[2])
        draw_confusion(confusion, integers(evaluation["labels"]), integers(evaluation["predictions"]))
        _accuracy_by_shots(accuracy, arguments.get("shots", ()), evaluation, streams.get("baselines"))
        said = f"{float(evaluation['test_accuracy']):.1%} of {evaluation['labels'].size} test examples right"
    else:
        outputs = {"output on the board": (_output(evaluation["outputs"]), BLUE)}
        _function_with_error(figure, grid[1], _inputs(evaluation), np.asarray(evaluation["target"]), outputs)
        said = f"loss on the board {float(evaluation['final_loss']):.3g}"
    shots = arguments.get("shots") or ["?"]
    sampling = f"{arguments.get('sampling', '')} sampling, {shots[-1]} shots"
    figure.suptitle(f"fitted on a model, {arguments.get('task', '')}, {sampling}: {said}")
    return figure


def draw_transfer(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Output or accuracy on the model, on the board and after each way of recovering, and the steps between."""
    stages, steps, arguments = streams["stages"], streams["learning"], run.start.get("plan_args", {})
    by_stage = {str(name): stages.isel(event=event) for event, name in enumerate(np.asarray(stages["stage"]))}
    measure = "accuracy" if "accuracy" in stages else "loss"
    figure = new_figure(11.0, 4.8)
    grid = figure.add_gridspec(1, 2, width_ratios=(1.3, 1.0))
    if measure == "accuracy":
        accuracies = {name: float(stage[measure]) for name, stage in by_stage.items()}
        _bars(figure.add_subplot(grid[0]), accuracies, stages["outputs"].shape[1])
    else:
        evaluation = streams["evaluation"].isel(event=-1)
        outputs = {STAGES[name][0]: (_output(stage["outputs"]), STAGES[name][1]) for name, stage in by_stage.items()}
        _function_with_error(figure, grid[0], _inputs(evaluation), np.asarray(evaluation["target"]), outputs)
    levels = {name: float(by_stage[name][measure]) for name in ("ideal", "deployed")}
    _recovery(figure.add_subplot(grid[1]), steps, measure, levels)
    finals = ", ".join(f"{name} {float(stage[measure]):.3g}" for name, stage in by_stage.items())
    figure.suptitle(f"transfer, {arguments.get('task', '')}, {arguments.get('shots', '?')} shots, {measure}: {finals}")
    return figure


def _learning_curve(axes: Axes, epochs: xr.Dataset) -> None:
    loss = np.asarray(epochs["loss"], dtype=float)
    axes.plot(epochs["epoch"], np.where(loss > 0, loss, np.nan), color=BLUE, label="loss on the model")
    axes.set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)


def _inputs(data: xr.Dataset) -> Array:
    return np.asarray(data["inputs"], dtype=float)[:, 0]


def _output(values: xr.DataArray) -> Array:
    return np.asarray(values, dtype=float)[:, 0]


def _function_with_error(
    figure: Figure, place: SubplotSpec, inputs: Array, target: Array, outputs: Mapping[str, tuple[Array, str]]
) -> None:
    """Draw a function and what was learnt of it, and below how far it is off."""
    halves = place.subgridspec(2, 1, height_ratios=(2.0, 1.0))
    function = figure.add_subplot(halves[0])
    error = figure.add_subplot(halves[1], sharex=function)
    function.tick_params(labelbottom=False)
    function.plot(inputs, target, color=GREY, linewidth=4, alpha=0.4, label="target")
    for name, (values, colour) in outputs.items():
        function.plot(inputs, values, color=colour, linewidth=1.0, label=name)
        error.plot(inputs, values - target, color=colour, linewidth=0.8)
    error.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)
    function.set(ylabel="output y")
    error.set(xlabel="input z", ylabel="error of y")
    function.legend(frameon=False, fontsize=8, loc="upper center")


def _accuracy_by_shots(axes: Axes, shots: Sequence[int], evaluation: xr.Dataset, baselines: xr.Dataset | None) -> None:
    """Draw the accuracy on the board against shots, with its error, and the baselines as lines."""
    accuracy = np.asarray(evaluation["accuracy_by_shots"], dtype=float)
    axes.errorbar(
        shots,
        accuracy,
        yerr=_error(accuracy, evaluation["labels"].size),
        fmt="o-",
        color=BLUE,
        capsize=2,
        label="board",
    )
    if baselines is not None:
        names = np.asarray(baselines["baseline"])
        for name, value, colour in zip(
            names, np.asarray(baselines["test_accuracy"]), (ORANGE, PURPLE, GREEN), strict=False
        ):
            axes.axhline(value, color=colour, linestyle="--", linewidth=1, label=str(name).replace("_", " "))
    axes.set(xlabel="shots", ylabel="accuracy on test examples", xscale="log")
    axes.set_xticks(shots, [str(count) for count in shots])
    axes.minorticks_off()
    axes.margins(x=0.1, y=0.2)
    axes.legend(frameon=False, fontsize=8)


def _bars(axes: Axes, values: Mapping[str, float], examples: int) -> None:
    """Draw an accuracy for each stage, with its standard error; the axis does not begin at zero."""
    names = [STAGES[name][0].replace(" the ", " the\n", 1) for name in values]
    errors = [_error(value, examples) for value in values.values()]
    colours = [STAGES[name][1] for name in values]
    bars = axes.bar(names, list(values.values()), yerr=errors, color=colours, capsize=4)
    axes.bar_label(bars, fmt=lambda value: f"{value:.1%}", padding=2)
    room = 4 * max(errors)
    axes.set(ylabel="accuracy on test examples")
    axes.set_ylim(max(0.0, min(values.values()) - room), max(values.values()) + room)


def _error(accuracy: ArrayLike, examples: int) -> Any:
    """Return the standard error of an accuracy that so many examples tell."""
    share = np.asarray(accuracy, dtype=float)
    return np.sqrt(share * (1 - share) / examples)


def _recovery(axes: Axes, steps: xr.Dataset, measure: str, levels: Mapping[str, float]) -> None:
    """Draw how loss or accuracy went with the steps of both ways, between what was deployed and the ideal."""
    method = np.asarray(steps["method"]).astype(str)
    for name in ("genetic", "feedback"):
        chosen = method == name
        values = np.asarray(steps[measure], dtype=float)[chosen]
        label = f"{name}, {float(np.asarray(steps['samples'])[chosen][-1]):.2g} samples"
        course = [levels["deployed"], *values]
        axes.plot(range(len(course)), course, "o-", markersize=3, color=STAGES[name][1], label=label)
    axes.axhline(levels["ideal"], color=GREY, linestyle="--", linewidth=1, label="ideal")
    if measure == "loss":
        axes.axhline(2 * levels["ideal"], color=SKY, linestyle=":", linewidth=1, label="twice the ideal")
        axes.set_yscale("log")
    axes.set(xlabel="step on the board", ylabel=measure)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
