"""Pictures of single cells from several runs: activation functions, fluctuations, and motion in time."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lab.catalogue import Run
from lab.figures.style import BLUE, CYCLE, GREY, MU, new_figure, points_with_errors
from protocols.equilibrium import equilibrium_moments, potential

MEAN, VARIANCE = range(2)
LABELS = ("mean activity (model units)", "variance (model units\N{SUPERSCRIPT TWO})")
FINE = 201


def draw_activation_functions(runs: Sequence[Run]) -> Figure:
    """Mean activity against drive for cells of different stiffness, with the mean in equilibrium as lines."""
    figure = new_figure(6.8, 4.8)
    axes = figure.subplots()
    _curves(axes, runs, MEAN, stiffness_of)
    figure.suptitle(f"activation functions in equilibrium, kT = {_argument(runs[0], 'temperature'):g}; lines: exact")
    return figure


def draw_fluctuations(runs: Sequence[Run]) -> Figure:
    """Variance against drive by stiffness at one temperature; mean and variance of one stiffness by temperature."""
    first = runs[0].start["plan_args"]
    by_stiffness = [run for run in runs if _argument(run, "temperature") == first["temperature"]]
    last = runs[-1].start["plan_args"]
    by_temperature = [run for run in runs if run.start["plan_args"]["stiffness"] == last["stiffness"]]
    figure = new_figure(14.0, 4.4)
    left, middle, right = figure.subplots(1, 3)
    _curves(left, by_stiffness, VARIANCE, stiffness_of)
    left.set_title(f"kT = {first['temperature']:g}")
    for axes, moment in ((middle, MEAN), (right, VARIANCE)):
        _curves(axes, by_temperature, moment, lambda run: f"kT = {_argument(run, 'temperature'):g}")
        axes.set_title(stiffness_of(runs[-1]))
    right.legend().remove()  # it is that of the panel beside it
    right.set_yscale("log")
    figure.suptitle("fluctuations of a cell in equilibrium; lines: exact")
    return figure


def draw_finite_time_activation(runs: Sequence[Run]) -> Figure:
    """Mean activity against drive at several times after the reset, beside equilibrium."""
    figure = new_figure(6.8, 4.8)
    axes = figure.subplots()
    ordered = sorted(runs, key=lambda run: _argument(run, "observation_time"))
    for run, colour in zip(ordered, _shades(len(ordered)), strict=True):
        data = run.read().sortby("drive")
        name = f"t = {_argument(run, 'observation_time'):g}/{MU}"
        _points(axes, data, MEAN, colour, name, line=True)
    stiffness, temperature = runs[0].start["plan_args"]["stiffness"], _argument(runs[0], "temperature")
    fine = np.linspace(*axes.get_xlim(), FINE)
    axes.plot(fine, equilibrium_moments(fine, stiffness, temperature)[MEAN], "k--", linewidth=1, label="equilibrium")
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"activation at finite times, {stiffness_of(runs[0])}, kT = {temperature:g}")
    return figure


def draw_trajectories(runs: Sequence[Run]) -> Figure:
    """Activity against time from the reset, one panel a run and one line a drive."""
    figure = new_figure(1.6 + 4.2 * len(runs), 4.2)
    panels = figure.subplots(1, len(runs), squeeze=False, sharey=True)[0]
    for axes, run in zip(panels, runs, strict=True):
        data = run.read()
        for event, colour in zip(range(data.sizes["event"]), _shades(data.sizes["event"]), strict=True):
            axes.plot(data["moment"][event], data["activity"][event], color=colour, linewidth=0.8)
        axes.set(xlabel=f"time (1/{MU})", title=stiffness_of(run))
        axes.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)
    panels[0].set_ylabel("activity (model units)")
    drive = np.asarray(runs[0].read()["drive"])
    span = f"drive {drive.min():g} to {drive.max():g}" if len(drive) > 1 else f"drive {drive[0]:g}"
    figure.suptitle(f"a cell from its reset on, {span}, kT = {_argument(runs[0], 'temperature'):g}")
    return figure


def draw_bistable_trajectory(runs: Sequence[Run]) -> Figure:
    """Potential of a bistable cell, and its activity hopping between the two minima."""
    run = runs[0]
    data, stiffness = run.read().isel(event=0), run.start["plan_args"]["stiffness"]
    temperature, drive = _argument(run, "temperature"), float(data["drive"])
    activity, moment = np.asarray(data["activity"], dtype=float), np.asarray(data["moment"])
    figure = new_figure(11.0, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 2.6), sharey=True)
    reach = 1.15 * np.abs(activity).max()
    x = np.linspace(-reach, reach, FINE)
    left.plot(potential(x, stiffness, drive) / temperature, x, color=BLUE)
    left.set(xlabel="energy / kT", ylabel="activity (model units)", title=stiffness_of(run))
    right.plot(moment, activity, color=BLUE, linewidth=0.5)
    right.set(xlabel=f"time (1/{MU})", title=f"{hops(activity)} hops in {moment[-1]:g}/{MU}")
    for axes in (left, right):
        axes.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)
    figure.suptitle(f"a bistable cell, kT = {temperature:g}")
    return figure


def hops(activity: NDArray[np.float64]) -> int:
    """Count hops: from beyond half the root mean square on one side to beyond it on the other."""
    level = np.sqrt(np.mean(activity**2)) / 2
    beyond = np.sign(activity[np.abs(activity) > level])
    return int(np.count_nonzero(np.diff(beyond)))


def stiffness_of(run: Run) -> str:
    """Write the stiffness of the cell of a run."""
    return "J = ({})".format(", ".join(f"{value:g}" for value in run.start["plan_args"]["stiffness"]))


def _argument(run: Run, name: str) -> float:
    return float(run.start["plan_args"][name])


def _curves(axes: Axes, runs: Sequence[Run], moment: int, name: Callable[[Run], str]) -> None:
    """Draw one moment of each run against the drive, over its value in equilibrium."""
    for run, colour in zip(runs, CYCLE, strict=False):
        data, arguments = run.read().sortby("drive"), run.start["plan_args"]
        _points(axes, data, moment, colour, name(run))
        fine = np.linspace(float(data["drive"].min()), float(data["drive"].max()), FINE)
        exact = equilibrium_moments(fine, arguments["stiffness"], arguments["temperature"])[moment]
        axes.plot(fine, exact, color=colour, linewidth=0.9, zorder=0)
    axes.legend(frameon=False, fontsize=8)


def _points(axes: Axes, data: xr.Dataset, moment: int, colour: str, name: str, *, line: bool = False) -> None:
    key = ("mean", "variance")[moment]
    points_with_errors(axes, data["drive"], data[key], data[f"{key}_standard_error"], colour, line=line, name=name)
    axes.set(xlabel="drive (model units)", ylabel=LABELS[moment])


def _shades(count: int) -> list[str]:
    """Return colours from light to dark."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in colormaps["cividis_r"](np.linspace(0.1, 1.0, count))]
