"""Charts as figures for Plotly: plain mappings, drawn in the browser."""

import math
from collections.abc import Mapping
from typing import Any

from lab.figures.style import CYCLE, GREY

DIGITS = 6
LINES_FROM = 80
"""Points from which a curve is a line without markers."""

FEW_DECADES = 2.5

Figure = dict[str, Any]


def figure(chart: Mapping[str, Any], revision: str) -> Figure:
    """Return the figure of a chart.

    Parameters
    ----------
    chart : mapping
        One of `lab.watch.charts.Charts.view`.
    revision : str
        As long as it is the same, what a watcher has zoomed into stays.
    """
    drawn = [_map(chart)] if "map" in chart else _curves(chart)
    y_axis = {
        "title": {"text": chart["y"]["label"]},
        **_AXIS,
        **(_log_axis(chart) if chart["y"]["log"] else {}),
    }
    return {
        "data": drawn,
        "layout": {
            "xaxis": {"title": {"text": chart["x"]["label"]}, **_AXIS},
            "yaxis": y_axis,
            "margin": {"l": 70, "r": 16, "t": 10, "b": 48},
            "legend": {"orientation": "h", "x": 0.0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}},
            "showlegend": any(trace.get("showlegend") for trace in drawn),
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#222"},
            "uirevision": f"{revision}-{chart['title']}",
            "hovermode": "closest",
        },
    }


def _log_axis(chart: Mapping[str, Any]) -> dict[str, Any]:
    """Return an axis with a label at 1, 2 and 5 of each decade where there are few, else at whole decades."""
    values = [value for trace in chart["traces"] for value in trace["y"] if value > 0]
    few = not values or max(values) < 10.0**FEW_DECADES * min(values)
    return {"type": "log", **({"dtick": "D2"} if few else {"dtick": 1, "exponentformat": "power"})}


_AXIS = {
    "gridcolor": "#e6e6e6",
    "linecolor": "#999",
    "showline": True,
    "ticks": "outside",
    "tickcolor": "#999",
    "zeroline": False,
    "automargin": True,
    "exponentformat": "SI",
}


def _curves(chart: Mapping[str, Any]) -> list[dict[str, Any]]:
    traces = []
    colour = -1
    for number, trace in enumerate(chart["traces"]):
        smooths = number and chart["traces"][number - 1]["faint"]
        colour += 0 if smooths else 1
        many = len(trace["x"]) > LINES_FROM
        shown: dict[str, Any] = {
            "type": "scatter",
            "name": trace["name"],
            "x": _rounded(trace["x"]),
            "y": _rounded(trace["y"]),
            "mode": "markers" if trace["faint"] else "lines" if many else "lines+markers",
            "line": {"color": CYCLE[colour % len(CYCLE)], "width": 2},
            "marker": {"color": CYCLE[colour % len(CYCLE)], "size": 4 if trace["faint"] else 6},
            "opacity": 0.35 if trace["faint"] else 1.0,
            "showlegend": not trace["faint"] and (len(chart["traces"]) > 1 or trace["name"] not in chart["y"]["label"]),
        }
        if trace["error"] is not None:
            shown["error_y"] = {"array": _rounded(trace["error"]), "thickness": 1, "width": 0 if many else 3}
        traces.append(shown)
    return traces


def _map(chart: Mapping[str, Any]) -> dict[str, Any]:
    table = chart["map"]
    return {
        "type": "heatmap",
        "x": _rounded(table["x"]),
        "y": _rounded(table["y"]),
        "z": [_rounded(row) for row in table["z"]],
        "colorscale": "Viridis",
        "colorbar": {
            "title": {"text": table["label"], "side": "right", "font": {"size": 11}},
            "thickness": 12,
            "exponentformat": "SI",
            "outlinecolor": GREY,
        },
    }


def _rounded(values: list[float]) -> list[float | None]:
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values]
