"""Layered networks on a thermodynamic board: what is trained, and how parameters become a board program."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.arguments import ArgumentError
from protocols.learning_rules import Gradient
from protocols.ports import BoardProgram

Array = NDArray[np.float64]

NEURONS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {"quadratic": (1.0, 0.0, 0.0), "quadratic-quartic": (1.0, 0.0, 1.0)}
)
"""Stiffness (J2, J3, J4) of the neurons by name (Whitelam and Casert)."""

FULL_SCALE: Mapping[str, float] = MappingProxyType(
    {"bias": 16.0, "couplings": 8.0, "weights": 8.0, "readout": float("inf")}
)
"""Largest magnitude a board takes of each kind of parameter, in model units."""


@dataclass(frozen=True)
class Network:
    """Layers of cells, each coupled to its neighbour layers; the inputs act on the first layer, the last is read.

    The parameters are one vector: the biases of all cells, the input weights of the first layer (cell by cell), the
    couplings from layer to layer, and the read-out weights (output by output).

    Attributes
    ----------
    inputs : int
        Number of inputs, each on every cell of the first layer.
    layers : tuple of int
        Number of cells of each layer.
    outputs : int
        Number of outputs ``y_c = sum_i f_ci <x_i>`` with trained read-out weights; 0 where the cells of the last
        layer are the outputs themselves.
    stiffness : tuple of float
        (J2, J3, J4) of every cell.

    Raises
    ------
    ArgumentError
        A layer without cells, or no layer.
    """

    inputs: int
    layers: tuple[int, ...]
    outputs: int = 0
    stiffness: tuple[float, float, float] = NEURONS["quadratic-quartic"]

    def __post_init__(self) -> None:
        if not self.layers or min(self.layers) < 1:
            raise ArgumentError(f"layers: {self.layers} is not allowed; every layer needs at least one cell")

    @property
    def cells(self) -> int:
        """Number of cells."""
        return sum(self.layers)

    @property
    def read(self) -> slice:
        """The cells of the last layer."""
        return slice(self.cells - self.layers[-1], self.cells)

    @cached_property
    def edges(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The cells at the two ends of every coupling, lower layer first."""
        starts = np.cumsum((0, *self.layers))
        lower, upper = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
        for (first, middle), end in zip(pairwise(starts), starts[2:], strict=False):
            below, above = np.meshgrid(np.arange(first, middle), np.arange(middle, end), indexing="ij")
            lower.append(below.ravel())
            upper.append(above.ravel())
        return np.concatenate(lower), np.concatenate(upper)

    @cached_property
    def parts(self) -> Mapping[str, slice]:
        """Where each kind of parameter lies in the vector."""
        sizes = (self.cells, self.layers[0] * self.inputs, len(self.edges[0]), self.outputs * self.layers[-1])
        ends = np.cumsum((0, *sizes)).tolist()
        return dict(
            zip(("bias", "weights", "couplings", "readout"), (slice(a, b) for a, b in pairwise(ends)), strict=True)
        )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.parts["readout"].stop

    @cached_property
    def fan_in(self) -> Array:
        """Fan-in of each parameter: 1 for biases and read-out, ``N_j`` for weights, ``(N_i + N_j)/2`` for couplings."""
        below = (self.inputs, *self.layers[:-1])
        above = (*self.layers[1:], 0)
        entering = np.repeat(np.add(below, above).astype(float), self.layers)
        lower, upper = self.edges
        return np.concatenate(
            [
                np.ones(self.cells),
                np.repeat(entering[: self.layers[0]], self.inputs),
                (entering[lower] + entering[upper]) / 2,
                np.ones(self.outputs * self.layers[-1]),
            ]
        )

    def clipped(self, parameters: ArrayLike, limits: Mapping[str, float] = FULL_SCALE) -> Array:
        """Return the parameters with the magnitude of each kind held within its limit, by default the full scale."""
        limit = np.concatenate([np.full(part.stop - part.start, limits[kind]) for kind, part in self.parts.items()])
        return np.clip(np.asarray(parameters, dtype=float), -limit, limit)

    def readout(self, parameters: ArrayLike) -> Array:
        """Return the read-out weights, shape (..., outputs, cells of the last layer)."""
        parameters = np.asarray(parameters, dtype=float)
        return parameters[..., self.parts["readout"]].reshape(*parameters.shape[:-1], self.outputs, self.layers[-1])

    def program(self, parameters: ArrayLike) -> BoardProgram:
        """Return the board program of one vector of parameters, shape (size,)."""
        parameters = np.asarray(parameters, dtype=float)
        couplings = np.zeros((self.cells, self.cells))
        lower, upper = self.edges
        couplings[lower, upper] = couplings[upper, lower] = parameters[self.parts["couplings"]]
        weights = np.zeros((self.cells, self.inputs))
        weights[: self.layers[0]] = parameters[self.parts["weights"]].reshape(self.layers[0], self.inputs)
        quadratic, cubic, quartic = (np.full(self.cells, value) for value in self.stiffness)
        return BoardProgram(
            couplings=couplings,
            bias=parameters[self.parts["bias"]],
            weights=weights,
            quadratic=quadratic,
            cubic=cubic,
            quartic=quartic,
        )

    def flatten(self, gradient: Gradient, readout: ArrayLike = ()) -> Array:
        """Return the gradient by the vector of parameters, from the gradient of the energy and of the read-out."""
        return np.concatenate(
            [
                gradient.bias,
                gradient.weights[: self.layers[0]].ravel(),
                gradient.couplings[self.edges],
                np.ravel(np.asarray(readout, dtype=float)),
            ]
        )


def program_arrays(program: BoardProgram) -> dict[str, Array]:
    """Return the arrays of a program by name, as a run records them."""
    return {field.name: getattr(program, field.name) for field in fields(program)}
