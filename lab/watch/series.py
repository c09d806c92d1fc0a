"""Curves and maps that grow for as long as a run takes and never need more than so much memory."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 2000
MOST_ROWS = 200
MOST_COLUMNS = 400

Array = NDArray[np.float64]


@dataclass
class Point:
    """The mean of neighbouring points of a curve.

    Parameters
    ----------
    x, y : float
        Where it lies.
    variance : float
        Square of the standard error of y, NaN where it is not known.
    order : float
        Grows from point to point.
    weight : int
        How many points it stands for.
    """

    x: float
    y: float
    variance: float
    order: float
    weight: int = 1

    def merged(self, other: "Point") -> "Point":
        """Return the weighted mean of two points, whose errors are taken to be independent."""
        weight = self.weight + other.weight
        a, b = self.weight / weight, other.weight / weight
        variance = a * a * self.variance + b * b * other.variance
        return Point(a * self.x + b * other.x, a * self.y + b * other.y, variance, other.order, weight)


class Series:
    """A curve of at most so many points; when there are more, neighbours are averaged.

    Parameters
    ----------
    most : int
        Largest number of points kept.
    """

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most
        self._weight = 1
        self._points: list[Point] = []

    def __len__(self) -> int:
        return len(self._points)

    def add(self, x: float, y: float, error: float = math.nan, *, order: float | None = None) -> None:
        """Add a point; one that a rewound plan measured again takes the place of its first measurement.

        Parameters
        ----------
        x, y, error : float
            The point and the standard error of y, NaN where it is not known.
        order : float, optional
            Which point it is, by default x.
        """
        order = x if order is None else order
        while self._points and self._points[-1].order >= order:
            self._points.pop()
        point = Point(x, y, error * error, order)
        last = self._points[-1] if self._points else None
        if last is not None and last.weight < self._weight:
            self._points[-1] = last.merged(point)
        else:
            self._points.append(point)
        if len(self._points) > self._most:
            self._halve()

    def _halve(self) -> None:
        pairs = zip(self._points[::2], self._points[1::2], strict=False)
        odd = self._points[-1:] if len(self._points) % 2 else []
        self._points = [first.merged(second) for first, second in pairs] + odd
        self._weight *= 2

    @property
    def x(self) -> list[float]:
        """Positions of the points."""
        return [point.x for point in self._points]

    @property
    def y(self) -> list[float]:
        """Values at the points."""
        return [point.y for point in self._points]

    @property
    def error(self) -> list[float] | None:
        """Standard errors of the values, None where none is known."""
        errors = [math.sqrt(point.variance) for point in self._points]
        return None if all(map(math.isnan, errors)) else errors

    @property
    def averaged(self) -> int:
        """How many points one of those kept stands for."""
        return self._weight


class Sheet:
    """A map that grows by rows; when there are too many, every second one is left out from then on."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, Array]] = []
        self.x: Array = np.empty(0)
        self._every = 1
        self._taken = 0

    def add(self, place: float, x: Array, values: Array) -> None:
        """Add a row; other positions than before begin a new map."""
        step = max(1, -(-x.size // MOST_COLUMNS))
        x, values = x[::step], values[::step]
        if x.shape != self.x.shape or not np.array_equal(x, self.x):
            self.rows, self.x, self._every, self._taken = [], x, 1, 0
        self._taken += 1
        if (self._taken - 1) % self._every:
            return
        self.rows = [row for row in self.rows if row[0] != place]
        self.rows.append((place, values))
        if len(self.rows) > MOST_ROWS:
            self.rows = self.rows[::2]
            self._every *= 2

    def table(self) -> dict[str, Any]:
        """Return ``x``, ``y`` and ``z`` by rows, in the order of the places."""
        rows = sorted(self.rows, key=lambda row: row[0])
        return {"x": self.x.tolist(), "y": [place for place, _ in rows], "z": [values.tolist() for _, values in rows]}
