"""Pictures of stored runs: one for each plan, and one for everything else."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import xarray as xr
from matplotlib.figure import Figure

from lab.catalogue import Run
from lab.figures.board import draw_activation_curve, draw_evaluate, draw_train_genetic, draw_train_in_situ
from lab.figures.cells import draw_trajectories
from lab.figures.computing import draw_loss_curve
from lab.figures.dots import draw_charge_stability, draw_coulomb_diamonds, draw_pinch_off, draw_qpc_trace
from lab.figures.learning import draw_learning
from lab.figures.linear_algebra import draw_determinant, draw_matrix
from lab.figures.models import draw_train_model_based, draw_transfer
from lab.figures.photons import draw_dark_counts, draw_photon_kernel
from lab.figures.series import draw_series
from lab.figures.style import GREY, NothingToDrawError, save_figure
from lab.figures.switches import draw_switch_curve, draw_switching_times

__all__ = ["FAMILIES", "NothingToDrawError", "draw", "save"]


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
    drawable = family is not None and all(stream in streams for stream in _NEEDED.get(run.plan, ("primary",)))
    figure = family(run, streams) if family and drawable else draw_series(run, streams)
    seed = run.start.get("plan_args", {}).get("seed", run.start.get("station_seed"))
    origin = f"run {run.uid[:8]}, station {run.station}" + ("" if seed is None else f", seed {seed}")
    figure.supxlabel(f"{origin}, {run.started:%Y-%m-%d %H:%M} UTC", fontsize=8, color=GREY, x=0.99, ha="right")
    return figure


def save(run: Run, path: str | os.PathLike) -> Path:
    """Draw a run into a file whose suffix says the format, .png if it has none.

    Raises
    ------
    NothingToDrawError
        If the run holds no numbers.
    ValueError
        If the format is unknown.
    OSError
        If the file cannot be written.
    """
    return save_figure(draw(run), path)


FAMILIES: Mapping[str, Callable[[Run, Mapping[str, xr.Dataset]], Figure]] = MappingProxyType(
    {
        "activation_curve": draw_activation_curve,
        "charge_stability": draw_charge_stability,
        "coulomb_diamonds": draw_coulomb_diamonds,
        "dark_counts": draw_dark_counts,
        "determinant": draw_determinant,
        "evaluate": draw_evaluate,
        "invert_matrix": draw_matrix,
        "learn_gate": draw_learning,
        "learn_kernel": draw_learning,
        "loss_curve": draw_loss_curve,
        "matrix_exponential": draw_matrix,
        "photon_kernel": draw_photon_kernel,
        "pinch_off": draw_pinch_off,
        "qpc_trace": draw_qpc_trace,
        "switch_curve": draw_switch_curve,
        "switching_times": draw_switching_times,
        "train_genetic": draw_train_genetic,
        "train_in_situ": draw_train_in_situ,
        "train_model_based": draw_train_model_based,
        "trajectory": lambda run, _: draw_trajectories([run]),
        "transfer": draw_transfer,
    }
)
"""The picture of each plan."""

_NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "determinant": ("estimates", "result"),
        "evaluate": ("evaluation",),
        "invert_matrix": ("estimates", "result"),
        "learn_gate": ("learning", "evaluation"),
        "learn_kernel": ("learning", "evaluation"),
        "matrix_exponential": ("estimates", "result"),
        "photon_kernel": ("fit",),
        "qpc_trace": ("fit", "dwells", "filtered"),
        "train_genetic": ("learning", "evaluation"),
        "train_in_situ": ("learning", "epochs", "evaluation"),
        "train_model_based": ("epochs", "evaluation"),
        "transfer": ("epochs", "learning", "stages", "evaluation"),
    }
)
"""The streams without which a run is drawn as any other; by default the stream "primary"."""
