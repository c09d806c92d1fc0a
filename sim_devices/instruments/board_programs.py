"""The program slots of the thermodynamic board: a shadow copy to write to, a live image on the switches."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim_devices.instruments.board_units import ROUNDING
from sim_devices.scpi import ScpiError
from twin.models.thermodynamic_board import FULL_SCALE, Program

SLOTS = 64

QUANTITIES = ("coupling", "bias", "weight", "quadratic", "cubic", "quartic")
"""What a program consists of; also the names of their units and full scales in the twin."""
RESET_VALUES: Mapping[str, float] = dict.fromkeys(QUANTITIES, 0.0) | {"quadratic": 0.5}
"""What an empty slot holds, in model units."""

Values = Mapping[str, np.ndarray]
"""Flat read-only float64 arrays by quantity, in model units; couplings as the upper triangle, row by row."""


def within(values: np.ndarray, low: float, high: float, what: str) -> np.ndarray:
    """Return `values` as finite float64 numbers between `low` and `high`.

    Raises
    ------
    ScpiError
        -224 for NaN or infinity, -222 for a value out of range.
    """
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        return values
    smallest, largest = float(values.min()), float(values.max())
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        raise ScpiError(-224, f"{what} must be finite numbers")
    slack = ROUNDING * max(abs(low), abs(high))
    if smallest < low - slack or largest > high + slack:
        raise ScpiError(-222, f"{what} must lie in {low:g}..{high:g} model units")
    return np.clip(values, low, high)


@dataclass
class Slot:
    """One program slot; `live` is the image on the switches, `program` the same image as the twin takes it."""

    name: str = ""
    shadow: Values | None = None
    live: Values | None = None
    program: Program | None = None

    @property
    def state(self) -> str:
        """EMPT, SHAD (written, never committed), LIVE or DIRT (written since the last commit)."""
        if self.shadow is None:
            return "EMPT"
        if self.live is None:
            return "SHAD"
        return "LIVE" if self.live is self.shadow else "DIRT"

    @property
    def crc(self) -> int:
        """CRC-32 of the live image, quantity by quantity as little-endian float64; 0 when nothing is live."""
        if self.live is None:
            return 0
        return zlib.crc32(b"".join(self.live[name].astype("<f8").tobytes() for name in QUANTITIES))


class ProgramStore:
    """Program slots of equal size, and the topology that their couplings must respect.

    Every write is checked completely before anything is assigned, so a refused write changes nothing.

    Parameters
    ----------
    cells, inputs : int
        Cells and input columns in use.
    """

    def __init__(self, cells: int, inputs: int) -> None:
        self.selected = 0
        self.topology = "ALL"
        self.resize(cells, inputs)

    def resize(self, cells: int, inputs: int) -> None:
        """Take `cells` and `inputs` into use; every slot becomes empty and all cells one layer."""
        self.cells = cells
        self.inputs = inputs
        self.layers: tuple[int, ...] = (cells,)
        self.slots = [Slot() for _ in range(SLOTS)]
        self.upper = np.triu_indices(cells, 1)
        self._blank = {name: _frozen(np.full(self.size(name), value)) for name, value in RESET_VALUES.items()}

    @property
    def slot(self) -> Slot:
        """The selected slot."""
        return self.slots[self.selected]

    def size(self, name: str) -> int:
        """Return how many values quantity `name` has."""
        if name == "coupling":
            return self.cells * (self.cells - 1) // 2
        return self.cells * self.inputs if name == "weight" else self.cells

    def read(self, name: str) -> np.ndarray:
        """Return quantity `name` of the selected slot's shadow, flat, in model units."""
        return (self.slot.shadow or self._blank)[name]

    def write(self, name: str, values: np.ndarray) -> None:
        """Replace quantity `name` of the selected slot's shadow.

        Raises
        ------
        ScpiError
            201 or -222/-223/-109 for a wrong number of values, -224, -222, 204 for a coupling outside the layers.
        """
        values = np.ravel(values)
        expected = self.size(name)
        if values.size != expected:
            if name == "coupling":
                raise ScpiError(201, f"expected {expected} got {values.size}")
            raise ScpiError(-223 if values.size > expected else -109, f"{name}: expected {expected} got {values.size}")
        values = within(values, *FULL_SCALE[name], name)
        if name == "coupling":
            self._check_edges(values, self.topology, self.layers)
        self.slot.shadow = {**(self.slot.shadow or self._blank), name: _frozen(values)}

    def write_element(self, name: str, index: int, value: float) -> None:
        """Replace one value of quantity `name` in the selected slot's shadow."""
        values = self.read(name).copy()
        values[index] = value
        self.write(name, values)

    def pair(self, i: int, j: int) -> int:
        """Return where the coupling of cells `i` and `j` (counted from 0) stands in the upper triangle."""
        low, high = min(i, j), max(i, j)
        return low * self.cells - low * (low + 1) // 2 + high - low - 1

    def write_records(self, first: np.ndarray, second: np.ndarray, values: np.ndarray) -> None:
        """Replace all couplings by the listed ones; cells are counted from 1 and `first` < `second`."""
        if first.size and not ((first >= 1) & (first < second) & (second <= self.cells)).all():
            raise ScpiError(-222, f"coupling records need 1 <= i < j <= {self.cells}")
        couplings = np.zeros((self.cells, self.cells))
        couplings[first - 1, second - 1] = 1.0
        if int(couplings.sum()) != first.size:
            raise ScpiError(-224, "a pair of cells is listed twice")
        couplings[first - 1, second - 1] = values
        self.write("coupling", couplings[self.upper])

    def set_topology(self, topology: str) -> None:
        """Change the topology; 204 when a slot holds a coupling that it forbids."""
        self._check_slots(topology, self.layers)
        self.topology = topology

    def set_layers(self, layers: Sequence[int]) -> None:
        """Divide the cells into consecutive layers; only neighbouring layers may be coupled in LAYer."""
        if any(size < 1 for size in layers) or sum(layers) != self.cells:
            raise ScpiError(-222, f"layer sizes must be positive and sum to {self.cells}")
        self._check_slots(self.topology, tuple(layers))
        self.layers = tuple(layers)

    def copy(self, source: int, target: int) -> None:
        """Copy the shadow of slot `source` into the shadow of slot `target`; 205 when `source` is empty."""
        shadow = self.slots[source].shadow
        if shadow is None:
            raise ScpiError(205, f"slot {source}")
        self.slots[target].shadow = dict(shadow)

    def clear(self, *, everything: bool = False) -> None:
        """Empty the selected slot, or every slot."""
        for index in range(SLOTS) if everything else (self.selected,):
            self.slots[index] = Slot()

    def commit(self, indices: Sequence[int]) -> None:
        """Make the shadows of some slots live, all or none; an empty slot takes the reset program.

        Raises
        ------
        ScpiError
            202 when the energy of a cell is unbounded below: a cubic term without a quartic one.
        """
        shadows = {index: self.slots[index].shadow or self._blank for index in indices}
        programs = {index: self.as_program(shadow) for index, shadow in shadows.items()}
        for index, program in programs.items():
            if program.unbounded.size:
                cell = program.unbounded[0] + 1
                raise ScpiError(202, f"cell {cell} of slot {index} has a cubic term and no quartic one")
        for index, program in programs.items():
            slot = self.slots[index]
            slot.program = program
            slot.shadow = slot.live = shadows[index]

    def as_program(self, values: Values) -> Program:
        """Return flat values as the arrays that the twin takes."""
        couplings = np.zeros((self.cells, self.cells))
        couplings[self.upper] = values["coupling"]
        return Program(
            couplings=couplings + couplings.T,
            bias=values["bias"],
            weights=values["weight"].reshape(self.cells, self.inputs),
            quadratic=values["quadratic"],
            cubic=values["cubic"],
            quartic=values["quartic"],
        )

    def as_values(self, program: Program) -> Values:
        """Return a program as flat values: the inverse of `as_program`."""
        return {
            "coupling": program.couplings[self.upper],
            "bias": program.bias,
            "weight": np.ravel(program.weights),
            "quadratic": program.quadratic,
            "cubic": program.cubic,
            "quartic": program.quartic,
        }

    def catalogue(self) -> list[str]:
        """Return "slot,state,crc" of every slot that is not empty."""
        return [f"{i},{s.state},#H{s.crc:08X}" for i, s in enumerate(self.slots) if s.state != "EMPT"]

    def _check_slots(self, topology: str, layers: tuple[int, ...]) -> None:
        for index, slot in enumerate(self.slots):
            for image in (slot.shadow, slot.live):
                if image is not None:
                    self._check_edges(image["coupling"], topology, layers, f" in slot {index}")

    def _check_edges(self, couplings: np.ndarray, topology: str, layers: tuple[int, ...], where: str = "") -> None:
        if topology != "LAY":
            return
        layer = np.repeat(np.arange(len(layers)), layers)
        first, second = self.upper
        (outside,) = np.nonzero((couplings != 0.0) & (np.abs(layer[first] - layer[second]) != 1))
        if outside.size:
            i, j = first[outside[0]] + 1, second[outside[0]] + 1
            raise ScpiError(204, f"edge {i},{j}{where} does not join neighbouring layers")


def _frozen(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values
