"""What all pictures have in common: colours, sizes, and how quantities are written.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import math
import os
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

MU = "\N{GREEK SMALL LETTER MU}"
BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#7F7F7F"

CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, GREY, "#E69F00", "#000000")

CROWD = 50
"""Points that still have room for large markers."""

PRINTED = {
    "model unit": "model units",
    "model unit^2": "model units\N{SUPERSCRIPT TWO}",
    "A^2/Hz": "A\N{SUPERSCRIPT TWO}/Hz",
}
"""Units as they are printed, where that is not as they are recorded."""

PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "\N{MICRO SIGN}", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


class NothingToDrawError(ValueError):
    """A run holds no numbers that a picture could show."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | os.PathLike) -> Path:
    """Write a picture into a file whose suffix says the format, .png if it has none; return where it is."""
    target = Path(path)
    target = target if target.suffix else target.with_suffix(".png")
    figure.savefig(target, dpi=120)
    return target


def axis_label(data: xr.Dataset, key: str, units: str = "") -> str:
    """Name a quantity and its units, the given ones where the record has none."""
    units = data[key].attrs.get("units", units)
    return key.replace("_", " ") + (f" ({PRINTED.get(units, units)})" if units else "")


def prefix(values: ArrayLike, units: str) -> tuple[float, str]:
    """Return by how much to multiply values to have them in the unit with the prefix that suits them, and that unit.

    Parameters
    ----------
    values : array_like
        In the unit without a prefix.
    units : str
        For example "A"; pure numbers have no unit, and no prefix.
    """
    if not units:
        return 1.0, ""
    sizes = np.abs(np.asarray(values, dtype=float))
    largest = float(sizes[np.isfinite(sizes)].max(initial=0.0))
    power = 3 * math.floor(math.log10(largest) / 3 + 1e-9) if largest else 0
    power = min(max(power, min(PREFIXES)), max(PREFIXES))
    return 10.0**-power, f"{PREFIXES[power]}{units}"


def scaled(values: ArrayLike, units: str) -> tuple[NDArray[np.float64], str]:
    """Return values in the unit with the prefix that suits them, and that unit."""
    factor, printed = prefix(values, units)
    return factor * np.asarray(values, dtype=float), printed


def with_error(value: float, error: float) -> str:
    """Write a value to the second digit of its error."""
    digits = max(0, 1 - math.floor(math.log10(error))) if 0 < error < math.inf else 3
    return f"{value:.{digits}f} \N{PLUS-MINUS SIGN} {error:.{digits}f}"


def in_units(value: float, error: float, units: str) -> str:
    """Write a value to the second digit of its error, with the prefix that suits the value."""
    factor, printed = prefix(value, units)
    return f"{with_error(factor * value, factor * error)} {printed}".strip()


def in_units_short(value: float, units: str) -> str:
    """Write a value to three digits with the prefix that suits it."""
    factor, printed = prefix(value, units)
    return f"{factor * value:.3g} {printed}"


def points_with_errors(
    axes: Axes, x: ArrayLike, y: ArrayLike, error: ArrayLike | None, colour: str, *, line: bool = False, name: str = ""
) -> None:
    """Draw points with error bars, small ones where there are many."""
    many = np.size(x) > CROWD
    axes.errorbar(
        np.asarray(x),
        np.asarray(y),
        yerr=None if error is None else np.asarray(error),
        fmt="o-" if line else "o",
        color=colour,
        markersize=1.5 if many else 4,
        capsize=0 if many else 2,
        linewidth=0.6 if many else 1,
        label=name or None,
    )


def numbers_beside(axes: Axes, lines: list[str], *, place: str = "upper left") -> None:
    """Write lines of text into a corner of axes."""
    vertical, horizontal = place.split()
    x, y = {"left": 0.03, "right": 0.97}[horizontal], {"upper": 0.97, "lower": 0.03}[vertical]
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2}
    sides = {"ha": horizontal, "va": "top" if vertical == "upper" else "bottom"}
    axes.text(x, y, "\n".join(lines), transform=axes.transAxes, fontsize=8, bbox=box, **sides)  # type: ignore[arg-type]


def integers(values: xr.DataArray) -> NDArray[np.int64]:
    """Return values as integers."""
    return np.asarray(values).astype(np.int64)
