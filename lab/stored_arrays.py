"""Arrays of a run: read from its HDF5 files, and put together event by event."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from lab.journal import JournalError


class StoredArrays:
    """The HDF5 files of a run, opened when first referred to, also while they are written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, h5py.File] = {}

    def __enter__(self) -> "StoredArrays":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def value(self, value: Any) -> Any:
        """Return what a reference stands for, and any other value as it is."""
        if not _is_reference(value):
            return value
        path = self._path(value)
        try:
            return self._open(path)[value["dataset"]][value["row"]]
        except (OSError, LookupError, ValueError) as error:
            message = f"{path}: row {value['row']} of {value['dataset']} cannot be read: {error}"
            raise JournalError(None, message) from error

    def holds(self, doc: Mapping[str, Any]) -> bool:
        """Say whether the files go as far as a document does; after a power cut they may end before the journal.

        Raises
        ------
        JournalError
            If a file is damaged.
        """
        values = [doc.get("data", {}), *(entry["data"] for entry in doc.get("configuration", {}).values())]
        return all(self._reaches(value) for data in values for value in data.values() if _is_reference(value))

    def _reaches(self, reference: Mapping[str, Any]) -> bool:
        path = self._path(reference)
        if not path.is_file() or not path.stat().st_size:
            return False
        try:
            return reference["row"] < len(self._open(path)[reference["dataset"]])
        except (OSError, LookupError, ValueError) as error:
            raise JournalError(None, f"{path} cannot be read: {error}") from error

    def _path(self, reference: Mapping[str, Any]) -> Path:
        return self._directory / Path(reference["file"]).name

    def _open(self, path: Path) -> h5py.File:
        if path.name not in self._files:
            self._files[path.name] = h5py.File(path, "r", libver="latest", swmr=True)
        return self._files[path.name]

    def restored(self, name: str, doc: dict[str, Any]) -> dict[str, Any]:
        """Return a document with its arrays in place."""
        if name == "event":
            data = {key: self.value(value) for key, value in doc["data"].items()}
            moved = {key for key in data if data[key] is not doc["data"][key]}
            return {**doc, "data": data, "filled": {k: v for k, v in doc["filled"].items() if k not in moved}}
        if name == "descriptor":
            configuration = {
                device: {**entry, "data": {key: self.value(value) for key, value in entry["data"].items()}}
                for device, entry in doc.get("configuration", {}).items()
            }
            return {**doc, "configuration": configuration}
        return doc


def _is_reference(value: Any) -> bool:
    return isinstance(value, Mapping) and {"file", "dataset", "row"} == set(value)


def variable(
    key: str, values: list[Any], data_key: Mapping[str, Any], sizes: dict[str, int], taken: set[str]
) -> xr.Variable:
    """Return one key of the events of a run as a variable whose first dim is ``event``.

    Parameters
    ----------
    key : str
        The key.
    values : list
        Its value in each event.
    data_key : mapping
        What the descriptor says of it: dims, units, source.
    sizes : dict
        Sizes of the dims that the dataset has so far; those of this variable are added.
    taken : set of str
        Names that no dim may have.
    """
    array = stacked(values)
    names = [str(name) for name in data_key.get("dims") or ()]
    if len(names) != array.ndim - 1 or len(set(names)) != len(names) or taken.intersection(names):
        names = [f"{key}_dim_{axis}" for axis in range(array.ndim - 1)]
    dims = ["event"]
    for axis, (name, size) in enumerate(zip(names, array.shape[1:], strict=True)):
        dim = name if sizes.setdefault(name, size) == size else f"{key}_dim_{axis}"
        sizes[dim] = size
        dims.append(dim)
    attrs = {name: data_key[name] for name in ("units", "source") if data_key.get(name)}
    return xr.Variable(dims, array, attrs)


def stacked(values: list[Any]) -> np.ndarray:
    """Return values of events as one array; floats of different shapes are padded with NaN."""
    if not values:
        return np.empty(0)
    if any(value is None or isinstance(value, (str, Mapping)) for value in values):
        texts = ["" if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
        return np.array(texts)
    arrays = [np.asarray(value) for value in values]
    shapes = {array.shape for array in arrays}
    if len(shapes) == 1:
        return np.stack(arrays)
    largest = np.zeros(max(len(shape) for shape in shapes), dtype=int)
    for shape in shapes:
        largest[: len(shape)] = np.maximum(largest[: len(shape)], shape)
    padded = np.full((len(arrays), *largest), np.nan)
    for row, array in zip(padded, arrays, strict=True):
        row[tuple(slice(size) for size in array.shape) + (0,) * (row.ndim - array.ndim)] = array
    return padded
