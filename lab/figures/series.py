"""The picture of any run: every series of numbers against what was varied."""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.catalogue import Run
from lab.figures.style import CROWD, CYCLE, NothingToDrawError, axis_label, new_figure

_MOST_LINES = 16
_MOST_PANELS = 9


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
    figure = new_figure(4.4 * columns, 3.2 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, data, key, independent) in zip(axes, panels, strict=False):
        axis.set_prop_cycle(color=CYCLE)
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
    position, label = np.asarray(data[independent]), axis_label(data, independent)
    if independent == "time":
        position, label = position - run.start["time"], "time since the start of the run (s)"
    lines = axes.plot(position, values, marker="o" if len(values) <= CROWD else "", markersize=4)
    axes.set(xlabel=label, ylabel=axis_label(data, key))
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


def _independent(run: Run, stream: str, data: xr.Dataset) -> str:
    dimensions: Iterable = run.start.get("hints", {}).get("dimensions", ())
    varied = [field for fields, name in dimensions if name == stream for field in fields]
    candidates = [*varied, "step", "epoch", "generation", "drive"]
    return next((key for key in candidates if key in data and data[key].dims == ("event",)), "seq_num")


def _is_series(variable: xr.DataArray) -> bool:
    per_event = variable.size // max(variable.sizes["event"], 1)
    return variable.dtype.kind in "iufb" and 0 < per_event <= _MOST_LINES
