"""Which curves and maps a watcher sees, worked out from the events of a run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.goal import LEARNING_STREAMS
from lab.watch.series import MOST_COLUMNS, Series, Sheet

CONCLUDING = ("fit", "evaluation", "result", "calibration", "baselines", "stages")
"""Streams that say what came out or how it began; they have numbers, not curves."""

COUNTERS = ("step", "epoch", "generation", "seq_num")
MOST_CHARTS = 4
DECADES_FOR_LOG = 30.0
"""Largest over smallest value from which an axis is logarithmic."""

Chart = dict[str, Any]
Array = NDArray[Any]
ERROR = "_standard_error"


@dataclass
class Curve:
    """A quantity that grows with the run.

    Parameters
    ----------
    key, stream : str
        Where its values come from.
    units : str
        Of the values.
    """

    key: str
    stream: str
    units: str
    series: Series = field(default_factory=Series)


class Charts:
    """The charts of one run; events go in, plain data comes out."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        dimensions = start.get("hints", {}).get("dimensions", ())
        self._varied = [name for fields, _ in dimensions for name in fields]
        self._keys: dict[str, dict[str, Any]] = {}
        self._hinted: dict[str, list[str]] = {}
        self._curves: dict[tuple[str, str], Curve] = {}
        self._counter = ""
        self._count = 0.0
        self._sheets: dict[str, tuple[Sheet, Chart]] = {}
        self._lines: dict[str, Chart] = {}

    def declare(self, stream: str, descriptor: Mapping[str, Any]) -> None:
        """Take what a descriptor says of the keys of a stream."""
        self._keys.setdefault(stream, {}).update(descriptor["data_keys"])
        self._hinted[stream] = [key for hint in descriptor.get("hints", {}).values() for key in hint.get("fields", ())]

    def add(self, stream: str, event: Mapping[str, Any]) -> None:
        """Take one event, arrays in place."""
        data = event["data"]
        if stream in LEARNING_STREAMS:
            self._learn(stream, event["seq_num"], data)
        elif stream not in CONCLUDING:
            self._measure(stream, event["seq_num"], data)

    def view(self) -> list[Chart]:
        """Return the charts, the most telling first.

        Returns
        -------
        list of dict
            ``title``, ``x`` and ``y`` (``label`` with units; ``log`` for y), and either ``traces`` (``name``, ``x``,
            ``y``, ``error`` or None, ``faint``) or ``map`` (``x``, ``y``, ``z``, ``label``).
        """
        return [*self._learning_charts(), *self._measured_charts()][:MOST_CHARTS]

    def _learn(self, stream: str, seq_num: int, data: Mapping[str, Any]) -> None:
        counter = next((key for key in COUNTERS if key in data), "seq_num")
        if stream == "learning" or not self._count:
            self._counter = counter if stream == "learning" else self._counter or counter
        place = float(data.get(counter, seq_num))
        if stream == "learning":
            self._count = place
        elif self._count:
            place = self._count
        for key in self._hinted.get(stream, ()):
            if _quality(key) and _is_number(data.get(key)):
                self._curve(stream, key).series.add(place, float(data[key]), _error(data, key))

    def _measure(self, stream: str, seq_num: int, data: Mapping[str, Any]) -> None:
        arrays = {key: np.asarray(value, dtype=float) for key, value in data.items() if _is_row(value)}
        numbers = {key: float(value) for key, value in data.items() if _is_number(value)}
        if arrays:
            self._line(stream, arrays, numbers)
            return
        place = next((key for key in (*self._varied, *COUNTERS, "drive") if key in numbers), "")
        chosen = [key for key in self._hinted.get(stream, ()) if key in numbers] or list(numbers)
        for key in chosen:
            if key != place and not key.endswith(ERROR) and key not in COUNTERS:
                curve = self._curve(stream, key)
                x = numbers.get(place, float(seq_num))
                curve.series.add(x, numbers[key], _error(data, key), order=seq_num)
        self._counter = place or "seq_num"

    def _line(self, stream: str, arrays: Mapping[str, Array], numbers: Mapping[str, float]) -> None:
        x_key, y_key = _axes(arrays)
        y = arrays[y_key]
        x = arrays[x_key] if x_key else np.arange(1.0, y.size + 1.0)
        row = next((key for key in self._hinted.get(stream, ()) if key in numbers and not key.endswith(ERROR)), "")
        x_axis = {"label": self._label(stream, x_key) if x_key else "number"}
        step = max(1, -(-x.size // (4 * MOST_COLUMNS)))
        error = arrays.get(f"{y_key}{ERROR}")
        self._lines[stream] = {
            "title": self._title(stream, y_key) + (", latest line" if row else ""),
            "x": x_axis,
            "y": {"label": self._label(stream, y_key), "log": False},
            "traces": [
                {
                    "name": f"{self._label(stream, row)} = {numbers[row]:.4g}" if row else _words(y_key),
                    "x": x[::step].tolist(),
                    "y": y[::step].tolist(),
                    "error": None if error is None else error[::step].tolist(),
                    "faint": False,
                }
            ],
        }
        if row and x_key:
            about = {
                "title": self._title(stream, y_key),
                "x": x_axis,
                "y": {"label": self._label(stream, row), "log": False},
            }
            sheet, _ = self._sheets.setdefault(stream, (Sheet(), {}))
            sheet.add(numbers[row], x, y)
            self._sheets[stream] = (sheet, {**about, "map": {"label": self._label(stream, y_key)}})

    def _curve(self, stream: str, key: str) -> "Curve":
        units = self._keys.get(stream, {}).get(key, {}).get("units") or ""
        return self._curves.setdefault((stream, key), Curve(key, stream, units))

    def _learning_charts(self) -> Iterator[Chart]:
        for quality, title in (("loss", "Loss"), ("error", "Error"), ("accuracy", "Accuracy")):
            chosen = [c for c in self._curves.values() if c.stream in LEARNING_STREAMS and _quality(c.key) == quality]
            if chosen:
                yield self._chart(title, _without_repeats(chosen), log=quality != "accuracy")

    def _measured_charts(self) -> Iterator[Chart]:
        for stream in reversed(self._lines):
            sheet, about = self._sheets.get(stream, (None, {}))
            if sheet is not None and len(sheet.rows) > 2:
                table = sheet.table()
                yield {**about, "map": {**table, "label": about["map"]["label"]}}
            yield self._lines[stream]
        for curve in self._curves.values():
            if curve.stream not in LEARNING_STREAMS:
                yield self._chart(_words(curve.key).capitalize(), [curve], log=False)

    def _chart(self, title: str, curves: list[Curve], *, log: bool) -> Chart:
        values = [value for curve in curves for value in curve.series.y if math.isfinite(value)]
        log = log and bool(values) and min(values) > 0 and max(values) > DECADES_FOR_LOG * min(values)
        traces = [trace for curve in curves for trace in _traces(curve, alone=len(curves) == 1)]
        label = _words(curves[0].key) if len(curves) == 1 else title.lower()
        units = f" ({curves[0].units})" if curves[0].units else ""
        place = self._label(curves[0].stream, self._counter or "seq_num")
        return {"title": title, "x": {"label": place}, "y": {"label": label + units, "log": log}, "traces": traces}

    @staticmethod
    def _title(stream: str, key: str) -> str:
        return _words(key).capitalize() + ("" if stream == "primary" else f" ({_words(stream)})")

    def _label(self, stream: str, key: str) -> str:
        units = self._keys.get(stream, {}).get(key, {}).get("units")
        return ("event" if key == "seq_num" else _words(key)) + (f" ({units})" if units else "")


MOST_BARS = 300
"""Points up to which each is shown with its standard error."""

SMOOTHED_FROM = 60
"""Points from which a learning curve is shown with its moving mean."""


def _without_repeats(curves: list[Curve]) -> list[Curve]:
    """Leave out what an epoch of one step says again, which would lie on top of the same quantity by step."""
    by_step = {curve.key: curve.series for curve in curves if curve.stream == "learning"}
    return [c for c in curves if c.stream == "learning" or not _repeats(c.series, by_step.get(c.key))]


def _repeats(series: Series, other: Series | None) -> bool:
    if other is None or abs(len(series) - len(other)) > 1:
        return False
    both = min(len(series), len(other)) - 1  # the last point of one may still be to come
    return both > 0 and series.x[:both] == other.x[:both] and series.y[:both] == other.y[:both]


def _traces(curve: Curve, *, alone: bool) -> Iterator[dict[str, Any]]:
    x, y, error = curve.series.x, curve.series.y, curve.series.error
    name = _words(curve.key) if alone or curve.stream == "learning" else f"{_words(curve.key)} by epoch"
    smoothed = curve.stream in LEARNING_STREAMS and len(x) >= SMOOTHED_FROM
    yield {"name": name, "x": x, "y": y, "error": error if len(x) <= MOST_BARS else None, "faint": smoothed}
    if smoothed:
        window = max(10, len(x) // 40)
        mean = np.convolve(y, np.full(window, 1.0 / window), mode="valid").tolist()
        middle = np.convolve(x, np.full(window, 1.0 / window), mode="valid").tolist()
        many = window * curve.series.averaged
        yield {"name": f"{name}, mean of {many}", "x": middle, "y": mean, "error": None, "faint": False}


def _axes(arrays: Mapping[str, Array]) -> tuple[str, str]:
    """Return the key to plot against, empty where there is none, and the key to plot."""
    measured = [key for key in arrays if not key.endswith(ERROR)]
    steady = [key for key in measured if len(measured) > 1 and _is_monotonic(arrays[key])]
    x_key = steady[0] if steady else ""
    y_key = next((key for key in measured if key != x_key and _fits(arrays, key, x_key)), "")
    return (x_key, y_key) if y_key else ("", measured[0])


def _fits(arrays: Mapping[str, Array], key: str, x_key: str) -> bool:
    return not x_key or arrays[key].size == arrays[x_key].size


def _is_monotonic(values: Array) -> bool:
    steps = np.diff(values)
    return bool(np.all(steps > 0) or np.all(steps < 0))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_row(value: object) -> bool:
    if not isinstance(value, (list, np.ndarray)):
        return False
    array = np.asarray(value)
    return array.ndim == 1 and array.size > 1 and array.dtype.kind in "iuf"


def _error(data: Mapping[str, Any], key: str) -> float:
    error = data.get(f"{key}{ERROR}")
    return float(error) if _is_number(error) else math.nan  # type: ignore[arg-type]


def _quality(key: str) -> str:
    """Return which of loss, error and accuracy a key is, empty if none of them."""
    if key.endswith(ERROR):
        return ""
    return next((kind for kind in ("loss", "error", "accuracy") if kind in key), "")


def _words(key: str) -> str:
    return key.replace("_", " ")
