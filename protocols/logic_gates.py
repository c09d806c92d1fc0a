"""Logic gates as learning tasks: truth tables of -1 and +1, the machine each one needs, and where learning starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from protocols.arguments import one_of

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gate:
    """A logic gate and the machine that learns it.

    Attributes
    ----------
    name : str
        Name of the gate.
    inputs : ndarray, shape (rows, inputs)
        Every combination of inputs, -1 for false and +1 for true; the last input changes fastest.
    wanted : ndarray, shape (rows,)
        Wanted outcome of each row, -1 or +1.
    hidden : int
        Switches of the hidden layer: 0 for a single switch that is driven by the inputs themselves.
    start : tuple of float
        Weights and then biases before the first update, in the order of `protocols.sampled_feedback.SwitchNetwork`.
    """

    name: str
    inputs: Array
    wanted: Array
    hidden: int
    start: tuple[float, ...]

    @property
    def units(self) -> int:
        """Number of switches."""
        return self.hidden + 1

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return len(self.start)


XOR_START = (-5.0, 8.0, -2.0, 3.0, -2.0, -3.0, -1.0, -3.0, -1.0)
"""Start from which the network of two hidden switches learns XOR: from random starts it seldom does.

Hidden weights row by row (one row an input), output weights, hidden biases, output bias.
"""


def _single(name: str, outputs: Mapping[tuple[int, ...], int]) -> Gate:
    inputs, wanted = _table(outputs)
    start = (*[0.01] * inputs.shape[1], 1.0)
    return Gate(name, inputs, wanted, 0, start)


def _table(outputs: Mapping[tuple[int, ...], int]) -> tuple[Array, Array]:
    return np.array(list(outputs), dtype=float), np.array(list(outputs.values()), dtype=float)


_PAIRS = tuple(product((-1, 1), repeat=2))

GATES: Mapping[str, Gate] = MappingProxyType(
    {
        "NOT": _single("NOT", {(-1,): 1, (1,): -1}),
        "AND": _single("AND", {(a, b): min(a, b) for a, b in _PAIRS}),
        "OR": _single("OR", {(a, b): max(a, b) for a, b in _PAIRS}),
        "NAND": _single("NAND", {(a, b): -min(a, b) for a, b in _PAIRS}),
        "XOR": Gate("XOR", *_table({(a, b): -a * b for a, b in _PAIRS}), 2, XOR_START),
    }
)
"""Gates by name."""


def logic_gate(name: str) -> Gate:
    """Return a gate by name.

    Raises
    ------
    ArgumentError
        The name is not known.
    """
    return GATES[one_of("gate", name, GATES)]
