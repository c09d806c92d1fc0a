"""The page itself: what a watcher's browser shows, in Dash components, which write every text as a text.

The browser asks once a second and gets the parts that have changed since; the server keeps nothing about it. That there
is one question at a time, and what the page says of a silence, is in `assets/asking.js`.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import flask
from dash import Dash, dcc, html

from lab.outcome import plain
from lab.watch.graphs import figure
from lab.watch.words import clock, duration, measured, written

ASKING = 1000  # ms between two questions of a browser
SILENCE = 6000  # ms without an answer from which the page says so
PARTS = ("head", "progress", "charts", "messages", "numbers", "about", "devices", "recent")
JUST = 2.0  # s
NEAR = 0.02  # of the span between two limits: a value so close to one of them is marked, but for a lower one of 0

View = Mapping[str, Any]

WORDS = {
    "running": "running",
    "paused": "paused",
    "success": "finished",
    "aborted": "aborted",
    "failed": "failed",
    "cut": "cut off: its process died",
}


def make_page(view: Callable[[], View]) -> Dash:
    """Make the application that serves the page.

    Parameters
    ----------
    view : callable
        Returns what `Watcher.view` holds.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Dash(
        "lab.watch",
        title="lab watch",
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        serve_locally=True,
        include_pages_meta=False,
        compress=False,
    )
    timing: dict[str, Any] = {"data-asking": ASKING, "data-silence": SILENCE}
    app.layout = html.Div(
        [
            html.Div(id="lost", className="lost"),
            html.Div(id="gap", className="gap"),
            *(html.Div(id=part, className=part) for part in PARTS[:2]),
            html.Div(
                [
                    html.Div([html.Div(id=part, className=part) for part in ("charts", "devices")]),
                    html.Div([html.Div(id=part, className=part) for part in ("messages", "numbers", "about")]),
                ],
                className="columns",
            ),
            html.Div(id="recent", className="recent"),
        ],
        className="page",
        **timing,
    )
    rendered = _Rendered()
    server: Any = app.server

    @server.get("/parts")
    def parts() -> flask.Response:
        return flask.Response(rendered(view(), flask.request.args), mimetype="application/json")

    return app


class _Rendered:
    """The parts of the page, made once for all who ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._view: View | None = None
        self._parts: dict[str, str] = {}
        self._seen: dict[str, str] = {}

    def __call__(self, view: View, seen: Mapping[str, str]) -> str:
        """Return, as JSON, the parts whose fingerprints are not among those seen, all fingerprints, and the title."""
        with self._lock:
            if view is not self._view:
                self._parts = {part: json.dumps(_PARTS[part](view), cls=_Plain, allow_nan=False) for part in PARTS}
                self._seen = {part: _fingerprint(text) for part, text in self._parts.items()}
                self._view = view
            parts, now = self._parts, self._seen
        changed = ", ".join(f'"{part}": {parts[part]}' for part in PARTS if seen.get(part) != now[part])
        return f'{{"parts": {{{changed}}}, "seen": {json.dumps(now)}, "title": {json.dumps(_title(view))}}}'


def _fingerprint(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


class _Plain(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return o.to_plotly_json() if hasattr(o, "to_plotly_json") else plain(o)


def _title(view: View) -> str:
    run = view["run"]
    if run is None:
        return "no run yet - lab watch"
    fraction = run["progress"]["fraction"]
    done = f"{fraction:.0%} " if fraction is not None and run["state"] == "running" else ""
    return f"{done}{WORDS[run['state']]} - {run['plan']}"


def _head(view: View) -> list[Any]:
    run = view["run"]
    trouble = [html.Div(f"The runs cannot be read: {view['trouble']}", className="trouble")] if view["trouble"] else []
    if run is None:
        waiting = "No run yet. The page shows the first one as soon as it begins."
        return [*trouble, html.Div([html.H1("lab watch"), html.Span(waiting, className="waiting")], className="title")]
    twin = run["mode"] in ("twin", "sim")
    mode = {"twin": "DIGITAL TWIN", "sim": "SIMULATED"}.get(run["mode"], "HARDWARE" if run["mode"] else "")
    return [
        *trouble,
        html.Div(
            [
                html.Span(WORDS[run["state"]], className=f"state {run['state']}"),
                html.H1(run["plan"].replace("_", " ")),
                html.Span(mode, className=f"mode {'twin' if twin else 'hardware'}") if mode else None,
                html.Span(f"station {run['station']}" if run["station"] else "", className="station"),
                html.Span(f"run {run['run'][:8]}", className="uid"),
            ],
            className="title",
        ),
    ]


def _progress(view: View) -> list[Any]:
    run = view["run"]
    if run is None:
        return []
    progress = run["progress"]
    fraction = progress["fraction"]
    bar = [] if fraction is None else [html.Div(style={"width": f"{fraction:.2%}"}, className=f"done {run['state']}")]
    return [
        html.Div(bar, className="bar" if bar else "bar unknown"),
        html.Div(
            [
                _tile("progress", progress["text"], "" if fraction is None else f"{fraction:.0%}"),
                _tile("elapsed", duration(run["elapsed"]), f"since {clock(run['started'])}"),
                _end_tile(run),
                _last_tile(view),
            ],
            className="tiles",
        ),
    ]


def _end_tile(run: View) -> html.Div:
    progress = run["progress"]
    if run["ended"] is not None:
        return _tile("ended", clock(run["ended"]), "")
    if run["state"] == "cut":
        return _tile("ended", "without an end", "lab resume may continue it")
    if progress["ends"] is None:
        return _tile("estimated end", "not known yet" if run["state"] == "running" else "once it goes on", "")
    sooner = ", may end sooner" if progress["may_end_sooner"] else ""
    left = duration(progress["seconds_left"])
    return _tile("estimated end", f"in {left}", f"{clock(progress['ends'])}{sooner}")


def _last_tile(view: View) -> html.Div:
    run = view["run"]
    if run["quiet"] is not None:
        return _tile("latest data", f"{duration(run['quiet'])} ago", "longer ago than usual", warning=True)
    if run["last_event"] is None:
        return _tile("latest data", "none yet", "")
    if run["state"] in ("running", "paused"):
        ago = max(0.0, view["time"] - run["last_event"])
        return _tile("latest data", "just now" if ago < JUST else f"{duration(ago)} ago", f"{run['events']} events")
    return _tile("latest data", f"{run['events']} events", clock(run["last_event"]))


def _tile(name: str, text: str, beneath: str, *, warning: bool = False) -> html.Div:
    return html.Div(
        [html.Div(name, className="name"), html.Div(text, className="text"), html.Div(beneath, className="beneath")],
        className="tile warning" if warning else "tile",
    )


def _charts(view: View) -> list[Any]:
    run = view["run"]
    if run is None:
        return []
    if not run["charts"]:
        return [html.Div("No curve yet.", className="nothing")]
    return [
        html.Div(
            [
                html.H2(chart["title"]),
                dcc.Graph(
                    id=f"chart-{number}",
                    figure=figure(chart, run["run"]),
                    config={"displayModeBar": False, "responsive": True},
                    style={"height": "320px"},
                ),
            ],
            className="chart",
        )
        for number, chart in enumerate(run["charts"])
    ]


def _messages(view: View) -> list[Any]:
    lines = [html.Li(written(line)) for line in (view["run"] or {}).get("messages", ())]
    shown = (view["run"] or {}).get("run")
    failed = [
        html.Li([html.B(f"{row['plan']} {row['run'][:8]} {row['state']}"), f", {clock(row['started'])}", _reason(row)])
        for row in view["failures"]
        if row["run"] != shown
    ]
    return [
        html.H2("Errors"),
        html.Ul(lines, className="errors") if lines else html.Div("none in this run", className="fine"),
        *([html.H3("earlier runs"), html.Ul(failed, className="earlier")] if failed else []),
    ]


def _reason(row: View) -> str:
    return f": {written(row['reason'])}" if row["reason"] else ""


def _numbers(view: View) -> list[Any]:
    run = view["run"]
    if run is None:
        return []
    tables = (("Results", run["results"]), ("Now" if run["ended"] is None else "Last step", run["numbers"]))
    return [
        part
        for title, rows in tables
        if rows
        for part in (
            html.H2(title),
            _pairs((row["name"], measured(row["value"], row["error"], row["units"])) for row in rows),
        )
    ]


def _about(view: View) -> list[Any]:
    run = view["run"]
    return [] if run is None else [html.H2("Run"), _pairs((key, written(value)) for key, value in run["about"].items())]


def _pairs(rows: Iterable[tuple[str, str]]) -> html.Table:
    return html.Table(
        html.Tbody([html.Tr([html.Th(str(name).replace("_", " ")), html.Td(text)]) for name, text in rows]),
        className="pairs",
    )


def _devices(view: View) -> list[Any]:
    run = view["run"]
    if run is None or not any(run["devices"]["devices"].values()):
        return []
    heads = ("device", "signal", "value", "limits", "")
    rows = [
        html.Tr(
            [
                html.Td(device if number == 0 else ""),
                html.Td(signal["signal"].replace("_", " ")),
                html.Td(measured(signal["value"], None, signal["units"]), className="value"),
                html.Td(_limits(signal), className="limits"),
                html.Td(_gauge(signal)),
            ],
            className="first" if number == 0 else "",
        )
        for device, signals in run["devices"]["devices"].items()
        for number, signal in enumerate(signals)
    ]
    return [
        html.H2(["Devices", html.Span(_when_seen(run), className="beneath")]),
        html.Div(
            html.Table([html.Thead(html.Tr([html.Th(head) for head in heads])), html.Tbody(rows)]), className="scroll"
        ),
    ]


def _when_seen(run: View) -> str:
    seen = run["devices"]["time"]
    if not seen:
        return ""
    since = "" if run["state"] in ("running", "paused") else "; what was set after its end is not shown"
    return f" as last seen by the run, {clock(seen)}{since}"


def _limits(signal: View) -> str:
    if not signal["limits"]:
        return ""
    low, high = (f"{edge:.10g}" if float(edge).is_integer() else f"{edge:.4g}" for edge in signal["limits"])
    return f"{low} to {high}" + (f" {signal['units']}" if signal["units"] else "")


def _gauge(signal: View) -> Any:
    """Return where a value lies between its limits."""
    value = signal["value"]
    if not signal["limits"] or isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    low, high = (float(edge) for edge in signal["limits"])
    if not low < high:
        return ""
    place = (value - low) / (high - low)
    wide_apart = low >= 0 and high > 1000 * max(abs(value), 1e-300)
    outside = not 0.0 <= place <= 1.0
    near = not outside and (place > 1.0 - NEAR or (low < 0.0 and place < NEAR))
    state = "outside" if outside else "near" if near else "inside"
    mark = html.Div(style={"left": f"{100 * min(max(place, 0.0), 1.0):.1f}%"}, className="mark")
    words = {"outside": "outside its limits", "near": "close to a limit"}.get(state, "")
    gauge = html.Div(mark, className=f"gauge {state}")
    return "within" if wide_apart and not words else html.Div([gauge, html.Span(words, className=f"warned {state}")])


def _recent(view: View) -> list[Any]:
    if not view["recent"]:
        return []
    shown = (view["run"] or {}).get("run")
    heads = ("run", "plan", "station", "started", "took", "state", "reason")
    rows = [
        html.Tr(
            [
                html.Td(row["run"][:8], className="uid"),
                html.Td(row["plan"]),
                html.Td(row["station"]),
                html.Td(clock(row["started"])),
                html.Td(duration(row["seconds"])),
                html.Td(html.Span(row["state"], className=f"state small {row['state']}")),
                html.Td(written(row["reason"]) if row["reason"] else ""),
            ],
            className="shown" if row["run"] == shown else "",
        )
        for row in view["recent"]
    ]
    table = html.Table([html.Thead(html.Tr([html.Th(head) for head in heads])), html.Tbody(rows)])
    return [html.H2("Recent runs"), html.Div(table, className="scroll")]


_PARTS: Mapping[str, Callable[[View], list[Any]]] = {
    "head": _head,
    "progress": _progress,
    "charts": _charts,
    "messages": _messages,
    "numbers": _numbers,
    "about": _about,
    "devices": _devices,
    "recent": _recent,
}
