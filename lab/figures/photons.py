"""Pictures of single photons: the Gram matrix beside the exact one, and dark counts."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lab.catalogue import Run
from lab.figures.style import BLUE, GREY, in_units_short, new_figure, points_with_errors, scaled, with_error


def draw_photon_kernel(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Measured and exact overlaps as matrices, and one against the other with binomial errors."""
    data, arguments = streams["fit"].isel(event=-1), run.start.get("plan_args", {})
    measured, exact = np.asarray(data["gram"]), np.asarray(data["exact"])
    figure = new_figure(12.0, 4.2)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.0, 1.0, 1.15))
    for axes, matrix, title in ((left, measured, "measured"), (middle, exact, "exact")):
        image = axes.imshow(matrix, cmap="cividis", vmin=0.0, vmax=1.0)
        axes.set(xlabel="written vector", title=title, xticks=range(len(matrix)), yticks=range(len(matrix)))
        axes.set(xticklabels=range(1, 1 + len(matrix)), yticklabels=range(1, 1 + len(matrix)))
    left.set(ylabel="read vector")
    figure.colorbar(image, ax=[left, middle], label="overlap F", shrink=0.85)
    points_with_errors(right, exact.ravel(), measured.ravel(), np.asarray(data["gram_standard_error"]).ravel(), BLUE)
    right.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=0)
    right.set(xlabel="exact overlap", ylabel="measured overlap")
    efficiency = with_error(float(data["efficiency"]), float(data["efficiency_standard_error"]))
    square, degrees = float(data["chi_square"]), int(data["degrees_of_freedom"])
    figure.suptitle(
        f"photon kernel, {arguments.get('task', '')} data, {arguments.get('shots', '?')} attempts a pair: efficiency "
        f"\N{MULTIPLICATION SIGN} visibility {efficiency}, \N{GREEK SMALL LETTER CHI}\N{SUPERSCRIPT TWO} = "
        f"{square:.1f} for {degrees} degrees of freedom"
    )
    return figure


def draw_dark_counts(run: Run, streams: Mapping[str, xr.Dataset]) -> Figure:
    """Rate of counts in the dark against the level of the discriminator."""
    data, arguments = streams["primary"].sortby("threshold"), run.start.get("plan_args", {})
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    threshold, units = scaled(data["threshold"], "V")
    points_with_errors(axes, threshold, data["rate"], data["rate_standard_error"], BLUE)
    axes.set(xlabel=f"discriminator level ({units})", ylabel="dark counts (1/s)")
    if float(data["rate"].max()) > 0:
        axes.set_yscale("log", nonpositive="clip")
    exposure = float(arguments.get("shots", 0)) * float(arguments.get("gate_time", 0.0))
    figure.suptitle(f"dark counts, {in_units_short(exposure, 's')} at each level")
    return figure
