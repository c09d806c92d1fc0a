"""Pictures of trained boards: how they learnt, and what their outputs owe to shots and to the moment of reading.

A loss curve is a run of `loss_curve`: a trained program judged at a series of shots or of observation times.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lab.catalogue import Run
from lab.figures.style import BLUE, CYCLE, GREY, MU, ORANGE, new_figure

Array = NDArray[np.float64]

SMOOTHED = 25
"""Generations over which a loss is averaged."""
PANELS = 4
"""Outputs that a loss curve shows beside it."""


def draw_training_loss(runs: Sequence[Run]) -> Figure:
    """Loss of the best individual against the generation, one line a run."""
    figure = new_figure(6.8, 4.4)
    axes = figure.subplots()
    for run, colour in zip(runs, CYCLE, strict=False):
        data = run.read("learning")
        loss, generation = np.asarray(data["loss"], dtype=float), np.asarray(data["generation"])
        window = min(SMOOTHED, len(loss))
        smooth = np.convolve(loss, np.full(window, 1.0 / window), mode="valid")
        axes.plot(generation, loss, color=colour, linewidth=0.4, alpha=0.4)
        axes.plot(generation[window - 1 :], smooth, color=colour, label=_neuron(run))
    axes.set(xlabel="generation", ylabel="loss", yscale="log")
    axes.legend(frameon=False)
    figure.suptitle(f"training by genetic algorithm, {_argument(runs[0], 'task')}")
    return figure


def draw_learnt_function(runs: Sequence[Run]) -> Figure:
    """Output of trained machines against the input, beside the function they were to learn."""
    figure = new_figure(6.8, 4.4)
    axes = figure.subplots()
    for run, colour in zip(runs, CYCLE, strict=False):
        data = run.read("evaluation").isel(event=-1)
        label = f"{_neuron(run)}, loss {float(data['final_loss']):.2g}"
        axes.plot(np.asarray(data["inputs"])[:, 0], _output(data), color=colour, linewidth=1, label=label)
    _target(axes, data)
    axes.legend(frameon=False, fontsize=9)
    figure.suptitle(f"functions learnt, {_argument(runs[0], 'sampling')} sampling")
    return figure


def draw_loss_against_shots(runs: Sequence[Run]) -> Figure:
    """Loss against shots, with bias and noise fitted to it, and outputs at a few numbers of shots."""
    data = runs[0].read().sortby("shots")
    figure, axes, panels = _layout()
    shots, loss = np.asarray(data["shots"], dtype=float), np.asarray(data["loss"], dtype=float)
    noise, floor = noise_and_floor(shots, loss)
    fine = np.geomspace(shots.min(), shots.max(), 200)
    axes.loglog(shots, loss, "o", color=BLUE, label="measured")
    axes.loglog(fine, noise / fine + floor, color=GREY, zorder=0, label=f"{noise:.2g}/M + {floor:.2g}")
    axes.set(xlabel="shots M", ylabel="loss")
    axes.legend(frameon=False)
    _outputs(panels, data, "shots", lambda value: f"M = {value:g}")
    figure.suptitle(f"loss against shots, {_trained(runs[0])}")
    return figure


def noise_and_floor(shots: Array, loss: Array) -> tuple[float, float]:
    """Fit a loss ``noise/M + floor`` to relative errors; neither is negative.

    Parameters
    ----------
    shots, loss : ndarray, shape (points,)
        ``M`` and the loss there.
    """
    from scipy.optimize import nnls

    design = np.column_stack([1.0 / shots, np.ones(len(shots))]) / loss[:, np.newaxis]
    (noise, floor), _ = nnls(design, np.ones(len(loss)))
    return float(noise), float(floor)


def draw_loss_against_observation_time(runs: Sequence[Run]) -> Figure:
    """Loss against the observation time, with the one of the training marked, and outputs at a few times."""
    data = runs[0].read().sortby("observation_time")
    figure, axes, panels = _layout()
    axes.semilogy(data["observation_time"], data["loss"], "o-", color=BLUE, markersize=4)
    trained = float(_argument(runs[0], "trained_observation_time"))
    axes.axvline(trained, color=ORANGE, linestyle="--", label=f"trained at {trained:g}/{MU}")
    axes.set(xlabel=f"observation time (1/{MU})", ylabel="loss")
    axes.legend(frameon=False)
    _outputs(panels, data, "observation_time", lambda value: f"t = {value:g}/{MU}")
    figure.suptitle(f"loss against observation time, {_trained(runs[0])}")
    return figure


def draw_serial_loss_against_observations(runs: Sequence[Run]) -> Figure:
    """Output against input and number of observations, its distance from the target, and the loss."""
    data = runs[0].read().sortby("shots")
    shots = np.asarray(data["shots"], dtype=float)
    z = np.asarray(data["inputs"][0])[:, 0]
    outputs, target = np.asarray(data["outputs"])[..., 0], np.asarray(data["target"])[0]
    figure = new_figure(14.0, 4.2)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1.0))
    for axes, values, name in ((left, outputs, "output y"), (middle, outputs - target, "output \N{MINUS SIGN} target")):
        image = axes.pcolormesh(z, shots, values, cmap="RdBu_r", vmin=-1.2, vmax=1.2, shading="nearest")
        axes.set(xlabel="input z", ylabel="observations", yscale="log", title=name)
    figure.colorbar(image, ax=[left, middle], shrink=0.85)
    right.loglog(shots, data["loss"], "o-", color=BLUE, markersize=4)
    right.set(xlabel="observations", ylabel="loss")
    figure.suptitle(
        f"serial sampling every {float(data['observation_time'][0]):g}/{MU}, from the start on, {_trained(runs[0])}"
    )
    return figure


def draw_accuracy_against_shots(runs: Sequence[Run]) -> Figure:
    """Accuracy and loss of a classifier against shots."""
    data = runs[0].read().sortby("shots")
    figure = new_figure(9.6, 4.2)
    left, right = figure.subplots(1, 2)
    left.semilogx(data["shots"], data["accuracy"], "o-", color=BLUE)
    left.set(xlabel="shots M", ylabel="accuracy on test examples")
    right.loglog(data["shots"], data["loss"], "o-", color=BLUE)
    right.set(xlabel="shots M", ylabel="loss")
    figure.suptitle(f"{_argument(runs[0], 'task')} read with M shots, {_trained(runs[0])}")
    return figure


def draw_loss_curve(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Draw a loss curve by what it is a series of."""
    data = streams["primary"]
    if "accuracy" in data:
        return draw_accuracy_against_shots([run])
    if len(np.unique(data["observation_time"])) > 1:
        return draw_loss_against_observation_time([run])
    serial = _argument(run, "sampling") == "serial"
    return (draw_serial_loss_against_observations if serial else draw_loss_against_shots)([run])


def _layout() -> tuple[Figure, Axes, list[Axes]]:
    figure = new_figure(12.0, 4.8)
    grid = figure.add_gridspec(2, 4)
    panels = [figure.add_subplot(grid[row, column]) for row in range(2) for column in range(2)]
    return figure, figure.add_subplot(grid[:, 2:]), panels


def _outputs(panels: Sequence[Axes], data: xr.Dataset, key: str, title: Callable[[float], str]) -> None:
    """Draw outputs at a few points of a series, spread over it."""
    events = np.unique(np.linspace(0, data.sizes["event"] - 1, PANELS).round().astype(int))
    for axes, event in zip(panels, events, strict=False):
        shown = data.isel(event=event)
        axes.plot(np.asarray(shown["inputs"])[:, 0], _output(shown), color=BLUE, linewidth=0.8)
        _target(axes, shown)
        axes.set_title(title(float(shown[key])), fontsize=9)
    for axes in panels[len(events) :]:
        axes.set_visible(False)


def _output(data: xr.Dataset) -> Array:
    return np.asarray(data["outputs"], dtype=float)[:, 0]


def _target(axes: Axes, data: xr.Dataset) -> None:
    axes.plot(np.asarray(data["inputs"])[:, 0], data["target"], color="black", linewidth=1.2, label="target")
    axes.set(xlabel="input z", ylabel="output y", ylim=(-1.9, 1.9))


def _argument(run: Run, name: str) -> Any:
    return run.start["plan_args"][name]


def _neuron(run: Run) -> str:
    return str(run.start["plan_args"].get("neuron", "quadratic-quartic")) + " neurons"


def _trained(run: Run) -> str:
    return f"program of run {str(_argument(run, 'run'))[:8]}"
