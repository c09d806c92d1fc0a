"""A trained machine as a run recorded it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.arguments import ArgumentError
from protocols.ports import BoardProgram

PROGRAM = tuple(field.name for field in fields(BoardProgram))
"""Names under which a run records the arrays of a program."""


@dataclass(frozen=True, eq=False)
class StoredRun:
    """The program a training run ended with, how it was trained, and how well it did there.

    Attributes
    ----------
    uid : str
        Unique identifier of the run.
    plan_name : str
        Name of the plan that trained it.
    plan_args : mapping
        Its arguments.
    arrays : mapping of str to ndarray
        The last event of the stream "evaluation" of the run: the program's arrays, ``readout``, and what the machine
        gave.
    """

    uid: str
    plan_name: str
    plan_args: Mapping[str, Any]
    arrays: Mapping[str, Any]

    @classmethod
    def from_event(cls, start: Mapping[str, Any], data: Mapping[str, Any]) -> "StoredRun":
        """Take a run from its documents.

        Parameters
        ----------
        start : mapping
            The start document.
        data : mapping
            The data of the last event of the stream "evaluation"; arrays filled in.

        Raises
        ------
        ArgumentError
            The run holds no trained program.
        """
        missing = [name for name in (*PROGRAM, "readout") if name not in data]
        if missing:
            raise ArgumentError(
                f"run: {start.get('uid', '?')} ({start.get('plan_name', 'unknown plan')}) holds no trained program "
                f"({', '.join(missing)} missing); allowed: finished runs of plans that train a board"
            )
        return cls(str(start.get("uid", "")), str(start.get("plan_name", "")), dict(start.get("plan_args", {})), data)

    @property
    def program(self) -> BoardProgram:
        """The program."""
        return BoardProgram(**{name: np.asarray(self.arrays[name], dtype=float) for name in PROGRAM})

    @property
    def readout(self) -> NDArray[np.float64]:
        """Read-out weights, shape (outputs, cells of the last layer)."""
        return np.asarray(self.arrays["readout"], dtype=float)
