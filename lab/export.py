"""Datasets of a run written for other programs: netCDF, Zarr, CSV."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

FORMATS = {"netcdf": ".nc", "zarr": ".zarr", "csv": ".csv"}
WIDEST_TABLE = 10_000  # columns of a CSV file


class ExportError(ValueError):
    """A run cannot be written in a format or to a path."""


def write(datasets: Mapping[str, xr.Dataset], target: Path, named: str | None = None) -> list[Path]:
    """Write the streams of a run in a format, by default the one that the suffix of the path says.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    ExportError
        If the format is unknown, or the path exists or cannot be written.
    """
    kind = _format(target, named)
    try:
        return {"netcdf": _to_netcdf, "zarr": _to_zarr, "csv": _to_csv}[kind](datasets, target)
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error.strerror or error}") from error


def _format(target: Path, named: str | None) -> str:
    kind = named.lower() if named else next((key for key, end in FORMATS.items() if target.suffix == end), "")
    if kind not in FORMATS:
        problem = f"there is no export format {named!r}" if named else f"the name {target.name!r} does not say a format"
        choices = ", ".join(f"{key} ({end})" for key, end in FORMATS.items())
        raise ExportError(f"{problem}; allowed: {choices}")
    if target.exists():
        raise ExportError(f"{target} exists already; choose another name")
    if not target.absolute().parent.is_dir():
        raise ExportError(f"cannot write {target}: there is no directory {target.absolute().parent}")
    return kind


def _to_netcdf(datasets: Mapping[str, xr.Dataset], target: Path) -> list[Path]:
    alone = len(datasets) == 1
    for name, dataset in datasets.items():
        dataset.to_netcdf(
            target, mode="a" if target.exists() else "w", group=None if alone else name, engine="h5netcdf"
        )
    return [target]


def _to_zarr(datasets: Mapping[str, xr.Dataset], target: Path) -> list[Path]:
    alone = len(datasets) == 1
    for name, dataset in datasets.items():
        dataset.to_zarr(target, mode="a", group=None if alone else name, consolidated=True, zarr_format=2)
    return [target]


def _to_csv(datasets: Mapping[str, xr.Dataset], target: Path) -> list[Path]:
    written = []
    for name, dataset in datasets.items():
        path = target if len(datasets) == 1 else target.with_name(f"{target.stem}-{name}{target.suffix}")
        columns = _columns(dataset)
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
        written.append(path)
    return written


def _columns(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Return a table of one row an event: array elements become columns ``key[i,j]``, units ``key (V)``."""
    width = sum(int(np.prod(variable.shape[1:])) for variable in dataset.data_vars.values())
    if width > WIDEST_TABLE:
        raise ExportError(f"{width} columns are too many for CSV, at most {WIDEST_TABLE}; use netcdf or zarr")
    columns: dict[str, np.ndarray] = {"seq_num": dataset["seq_num"].values, "time (s)": dataset["time"].values}
    for key, variable in dataset.data_vars.items():
        units = f" ({variable.attrs['units']})" if "units" in variable.attrs else ""
        for index in np.ndindex(variable.shape[1:]):
            place = f"[{','.join(map(str, index))}]" if index else ""
            columns[f"{key}{place}{units}"] = variable.values[(slice(None), *index)]
    return columns
