"""The datasheets of all instruments as one VISA library, played by pyvisa-sim: settings are taken and given back."""

import copy
import itertools
import json
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pyvisa.constants import StatusCode
from pyvisa.typing import VISASession
from pyvisa_sim import parser
from pyvisa_sim.devices import Devices
from pyvisa_sim.highlevel import SimVisaLibrary

__all__ = ["open_datasheets"]

BEYOND = '-200,"Execution error;not in the datasheet, which has settings but neither arrays nor physics"'
"""What an instrument with an error queue says to everything else."""

_path_numbers = itertools.count(1)


class DatasheetLibrary(SimVisaLibrary):
    """Every definition of the package as one VISA library. Made by `open_datasheets`."""

    def _init(self) -> None:
        self.sessions: dict[VISASession, Any] = {}
        self.devices = copy.deepcopy(_devices())

    def write(self, session: VISASession, data: bytes) -> tuple[int, StatusCode]:
        """Write a message; of one with a binary block only the header, for pyvisa-sim takes nothing but text."""
        _, status = super().write(session, data if data.isascii() else data.partition(b"#")[0] + b"#\n")
        return len(data), status


def open_datasheets() -> DatasheetLibrary:
    """Return a library with instruments of its own, all as they are when switched on."""
    return DatasheetLibrary(f"datasheets {next(_path_numbers)}")


@cache
def _devices() -> Devices:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "datasheets.yaml"
        path.write_text(json.dumps(_definitions()), encoding="utf-8")  # JSON is YAML
        return parser.get_devices(path, False)


def _definitions() -> dict[str, Any]:
    """Return all definitions as one, refusing in plain words."""
    merged: dict[str, Any] = {"spec": parser.SPEC_VERSION, "devices": {}, "resources": {}}
    for entry in (resources.files("sim_devices") / "definitions").iterdir():
        if entry.name.endswith(".yaml"):
            with resources.as_file(entry) as path:
                content = parser.parse_file(path)
            merged["devices"] |= content["devices"]
            merged["resources"] |= content["resources"]
    for device in merged["devices"].values():
        for queue in device["error"].get("error_queue", ()):
            queue["command_error"] = BEYOND
    return merged
