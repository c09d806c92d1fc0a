"""Values a plan has computed, recorded like the readings of a device."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

DIMS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "couplings": ("cell", "neighbour"),
        "bias": ("cell",),
        "weights": ("cell", "input"),
        "quadratic": ("cell",),
        "cubic": ("cell",),
        "quartic": ("cell",),
        "readout": ("output", "read_cell"),
        "inputs": ("row", "input"),
        "labels": ("row",),
        "predictions": ("row",),
        "probabilities": ("row", "class"),
        "target": ("row",),
        "outputs": ("row", "output"),
        "parents": ("parent", "parameter"),
        "losses": ("individual",),
    }
)
"""Names of the axes of the arrays that plans record."""
UNITS: Mapping[str, str] = MappingProxyType(
    {
        "board_seconds": "s",
        "seconds": "s",
        **dict.fromkeys(
            (
                "drive",
                "mean",
                "mean_standard_error",
                "couplings",
                "bias",
                "weights",
                "quadratic",
                "cubic",
                "quartic",
            ),
            "model unit",
        ),
        **dict.fromkeys(("variance", "variance_standard_error"), "model unit^2"),
    }
)
"""Units of the quantities that plans record, and of their standard errors; the others are pure numbers."""


class Record:
    """A readable for numbers, words and arrays that a plan computes on the host.

    Parameters
    ----------
    name : str
        Name of the stream it is saved to, and of the object in the documents.
    units, dims : mapping, optional
        Units of quantities, and names of the axes of arrays, that differ from `UNITS` and `DIMS`; "" for no unit.
    """

    parent = None

    def __init__(
        self, name: str, *, units: Mapping[str, str] | None = None, dims: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.name = name
        self._units = {**UNITS, **(units or {})}
        self._dims = {**DIMS, **(dims or {})}
        self._readings: dict[str, dict[str, Any]] = {}

    def put(self, **values: Any) -> None:
        """Replace everything it holds: the same quantities each time, arrays of the same shape."""
        now = time.time()
        self._readings = {key: {"value": value, "timestamp": now} for key, value in values.items()}

    def read(self) -> dict[str, dict[str, Any]]:
        """Return what was put last."""
        return dict(self._readings)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the schema of what was put last."""
        return {key: self._describe(key, reading["value"]) for key, reading in self._readings.items()}

    def read_configuration(self) -> dict[str, dict[str, Any]]:
        """Return nothing: there is nothing to configure."""
        return {}

    def describe_configuration(self) -> dict[str, dict[str, Any]]:
        """Return nothing: there is nothing to configure."""
        return {}

    @property
    def hints(self) -> dict[str, list[str]]:
        """The single numbers, for tables and plots."""
        return {"fields": [key for key, schema in self.describe().items() if schema["dtype"] in ("number", "integer")]}

    def _describe(self, key: str, value: Any) -> dict[str, Any]:
        array = np.asarray(value)
        kinds = {"i": "integer", "u": "integer", "b": "boolean", "U": "string"}
        schema: dict[str, Any] = {
            "source": f"plan:{self.name}",
            "dtype": "array" if array.ndim else kinds.get(array.dtype.kind, "number"),
            "shape": list(array.shape),
            "dtype_numpy": array.dtype.str,
        }
        units = self._units.get(key, self._units.get(key.removesuffix("_standard_error"), ""))
        if units:
            schema["units"] = units
        if array.ndim:
            schema["dims"] = list(self._dims.get(key, (f"{key}_{axis}" for axis in range(array.ndim))))
        return schema
