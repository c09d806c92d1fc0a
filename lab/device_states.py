"""What the devices of a run are set to now, in a small file beside its journal, for those who watch.

Documents say what was measured and, when a stream is declared, how devices were set; they do not say that a run is
paused, nor what is set between two of them. This file does. It is no record: a run goes on without it.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lab.journal import Journal
from lab.outcome import plain
from lab.signals import DriverSignal, ResultSignal

DEVICE_STATES = "devices.json"
INTERVAL = 0.5  # s between two writes, unless the state of the run engine changes
LONGEST = 8  # elements of an array that are worth a look


class DeviceStates:
    """Writes what is known of the devices of a station; asks no instrument and never fails.

    A subscriber of documents; `engine_state` is a state hook of the run engine.

    Parameters
    ----------
    devices : mapping
        Devices by name.
    journal : Journal
        Says where the run is recorded.
    """

    def __init__(self, devices: Mapping[str, Any], journal: Journal) -> None:
        self._devices = devices
        self._journal = journal
        self._directory: Path | None = None
        self._engine = "running"
        self._due = 0.0

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Write what is known now, if the last time is long enough ago."""
        if name == "start":
            self._directory = self._journal.run_directory(document["uid"])
        if name in ("start", "descriptor", "stop") or time.monotonic() >= self._due:
            self._write()
        if name == "stop":
            self._directory = None

    def engine_state(self, state: str, _former: str) -> None:
        """Write the state that the run engine has changed to."""
        self._engine = str(state)
        self._write()

    def _write(self) -> None:
        if self._directory is None:
            return
        self._due = time.monotonic() + INTERVAL
        states = {"time": time.time(), "engine": self._engine, "devices": known_states(self._devices)}
        unfinished = self._directory / f".{DEVICE_STATES}"
        with suppress(OSError):
            unfinished.write_text(json.dumps(states, allow_nan=False), encoding="utf-8")
            unfinished.replace(self._directory / DEVICE_STATES)


def known_states(devices: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return what was last seen of each signal of each device; the instruments are not asked.

    Returns
    -------
    dict
        Device name to a list of ``signal``, ``value``, ``units``, ``limits`` (low, high, or None), ``kind``
        ("setting" or "result") and ``time`` (s, POSIX). NaN and infinities are None.
    """
    return {name: list(_states(device)) for name, device in devices.items()}


def read_states(directory: Path) -> dict[str, Any] | None:
    """Return what was last written of the devices of a run; None if there is nothing that can be read."""
    try:
        states = json.loads((directory / DEVICE_STATES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return states if isinstance(states, dict) and isinstance(states.get("devices"), dict) else None


def _states(device: Any) -> Iterator[dict[str, Any]]:
    for key in getattr(device, "component_names", ()):
        signal = getattr(device, key)
        if not isinstance(signal, (DriverSignal, ResultSignal)) or not _is_showable(signal.last) or not signal.seen:
            continue
        setting = isinstance(signal, DriverSignal)
        yield {
            "signal": key,
            "value": plain(signal.last),
            "units": signal.units,
            "limits": plain(signal.limits) if setting else None,
            "kind": "setting" if setting else "result",
            "time": signal.timestamp,
        }


def _is_showable(value: Any) -> bool:
    if isinstance(value, (str, bool, int, float, np.generic)):
        return True
    if not isinstance(value, (list, tuple, np.ndarray)) or not 0 < len(value) <= LONGEST:
        return False
    return all(isinstance(element, (str, bool, int, float, np.generic)) for element in value)
