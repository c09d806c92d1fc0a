"""`MODel`: the program slots over the wire."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sim_devices.instruments.board_programs import QUANTITIES, SLOTS, ProgramStore
from sim_devices.instruments.board_rails import COMMITTING, MODEL_LIVE, SETTLING, BoardRails
from sim_devices.instruments.board_units import suffix
from sim_devices.scpi import (
    Block,
    ChannelList,
    Choice,
    Integer,
    Numbers,
    Operation,
    Quoted,
    Real,
    ScpiError,
    Session,
    String,
    command,
    query,
    setting,
)
from twin.models.thermodynamic_board import FULL_SCALE

RECORD = np.dtype([("i", "u2"), ("j", "u2"), ("value", "f4")])
"""A coupling in the topology SPARse: cells i < j, counted from 1."""
SWITCH_SETTLING = 5e-5
"""Least time from writing the analog switches until they are stable, s."""

HEADERS = {name: f"MODel:{name[:4].upper()}{name[4:]}" for name in QUANTITIES} | {"cubic": "MODel:CUBic"}
_CELL = Integer(1, lambda board: board.cells)
_SLOT = Integer(0, SLOTS - 1)


def _quantity_commands(name: str) -> Mapping[str, Any]:
    """Return the declarations that all quantities of a program have: full scale and quantised values."""
    header = HEADERS[name]
    low, high = FULL_SCALE[name]

    @query(f"{header}:LIMit?", Choice("MINimum", "MAXimum", optional=True))
    def limit(board: "BoardModel", _: Session, which: str | None) -> float:
        return (low if which == "MIN" else high) * board.factor(name)

    @query(f"{header}:ACTual?")
    def actual(board: "BoardModel", session: Session) -> Any:
        return board.coded(name, board.actual(name), session)

    return {f"ask_{name}_limit": limit, f"ask_{name}_actual": actual}


def _array_commands(name: str) -> Mapping[str, Any]:
    """Return the declarations that write and read a quantity as plain numbers."""

    @command(f"{HEADERS[name]}[:DATA]", Numbers(unit=suffix(name)), guards=("idle",))
    def write(board: "BoardModel", _: Session, values: np.ndarray) -> None:
        board.programs.write(name, values / board.factor(name))
        board.update_live()

    @query(f"{HEADERS[name]}[:DATA]?")
    def read(board: "BoardModel", _: Session) -> np.ndarray:
        return board.programs.read(name) * board.factor(name)

    return {f"write_{name}": write, f"read_{name}": read}


def _element_commands(name: str, place: Callable[..., int], cells: tuple[Integer, ...]) -> Mapping[str, Any]:
    """Return the declarations that write and read one value of a quantity; `place` gives its index."""
    header = f"{HEADERS[name]}:ELEMent"

    @command(header, *cells, Real(unit=suffix(name)), guards=("idle",))
    def write(board: "BoardModel", _: Session, *arguments: Any) -> None:
        *indices, value = arguments
        board.programs.write_element(name, place(board, *indices), value / board.factor(name))
        board.update_live()

    @query(f"{header}?", *cells)
    def read(board: "BoardModel", _: Session, *indices: int) -> float:
        return float(board.programs.read(name)[place(board, *indices)]) * board.factor(name)

    return {f"write_{name}_element": write, f"read_{name}_element": read}


def _pair(board: "BoardModel", first: int, second: int) -> int:
    if first == second:
        raise ScpiError(-224, f"cell {first} is not coupled to itself")
    return board.programs.pair(first - 1, second - 1)


class BoardModel(BoardRails):
    """Program slots: written to a shadow copy, put on the switches by MODel:COMMit."""

    cells = setting(
        "MODel:CELLs",
        Integer(1, lambda board: board.model.cells),
        reset=lambda board: min(8, board.model.cells),
        guards=("idle",),
    )
    inputs = setting(
        "MODel:INPuts",
        Integer(0, lambda board: board.model.inputs),
        reset=lambda board: min(1, board.model.inputs),
        guards=("idle",),
    )
    unit = setting("MODel:UNIT", Choice("MODel", "PHYSical"), reset="MOD", guards=("idle",))
    programs: ProgramStore

    def factor(self, kind: str) -> float:
        """Return what a number in model units is multiplied by to be in the units in force."""
        return 1.0 if self.unit == "MOD" else self.model.circuit.factor(kind)

    @cells.changed
    def _cells_changed(self, _: int) -> None:
        self._take_size()

    @inputs.changed
    def _inputs_changed(self, _: int) -> None:
        self._take_size()

    def _take_size(self) -> None:
        if (self.cells, self.inputs) != (self.programs.cells, self.programs.inputs):
            self.programs.resize(self.cells, self.inputs)
            self.resized()
            self.update_live()

    def resized(self) -> None:
        """Give everything that counts cells or inputs its reset value."""

    def reset(self) -> None:
        """Switch off, and empty all slots."""
        super().reset()
        self.programs = ProgramStore(self.cells, self.inputs)
        self.update_live()

    def update_live(self) -> None:
        """Show in OPERation whether the selected slot is live."""
        self.set_condition("operation", MODEL_LIVE, self.programs.slot.state == "LIVE")

    # ---- slots -----------------------------------------------------------------------------------------------------

    slot = setting("MODel:SELect", _SLOT, reset=0, guards=("idle",))

    @slot.changed
    def _slot_changed(self, slot: int) -> None:
        self.programs.selected = slot
        self.update_live()

    @query("MODel:CATalog?")
    def _ask_catalogue(self, _: Session) -> tuple[Quoted, ...]:
        return tuple(Quoted(entry) for entry in self.programs.catalogue()) or (Quoted(""),)

    @command("MODel:NAME", String(0, 32))
    def _set_name(self, _: Session, name: str) -> None:
        self.programs.slot.name = name

    @query("MODel:NAME?")
    def _ask_name(self, _: Session) -> Quoted:
        return Quoted(self.programs.slot.name)

    @command("MODel:CLEar", Choice("ALL", optional=True), guards=("idle",))
    def _clear_program(self, _: Session, which: str | None) -> None:
        self.programs.clear(everything=which == "ALL")
        self.update_live()

    @command("MODel:COPY", _SLOT, _SLOT, guards=("idle",))
    def _copy_program(self, _: Session, source: int, target: int) -> None:
        self.programs.copy(source, target)
        self.update_live()

    @query("MODel:STATe?")
    def _ask_state(self, _: Session) -> str:
        return self.programs.slot.state

    # ---- topology --------------------------------------------------------------------------------------------------

    topology = setting("MODel:TOPology", Choice("ALL", "LAYer", "SPARse"), reset="ALL", guards=("idle",))

    @topology.check
    def _check_topology(self, topology: str) -> str:
        self.programs.set_topology(topology)
        return topology

    @command("MODel:LAYer", Numbers(integer=True), guards=("idle",))
    def _set_layers(self, _: Session, sizes: np.ndarray) -> None:
        self.programs.set_layers(tuple(int(size) for size in sizes))

    @query("MODel:LAYer?")
    def _ask_layers(self, _: Session) -> tuple[int, ...]:
        return self.programs.layers

    # ---- data ------------------------------------------------------------------------------------------------------

    @command(
        "MODel:COUPling[:DATA]",
        Numbers(record=lambda board: RECORD if board.topology == "SPAR" else None),
        guards=("idle",),
    )
    def _write_couplings(self, _: Session, values: np.ndarray) -> None:
        factor = self.factor("coupling")
        if values.dtype.names:
            cells = values["i"].astype(int), values["j"].astype(int)
            self.programs.write_records(*cells, values["value"].astype(float) / factor)
        else:
            self.programs.write("coupling", values / factor)
        self.update_live()

    @query("MODel:COUPling[:DATA]?")
    def _read_couplings(self, session: Session) -> Any:
        return self.coded("coupling", self.programs.read("coupling"), session)

    def coded(self, name: str, values: np.ndarray, session: Session) -> Any:
        """Return a quantity in the units in force; couplings as records in the topology SPARse."""
        values = values * self.factor(name)
        if name != "coupling" or self.topology != "SPAR":
            return values
        records = np.empty(np.count_nonzero(values), RECORD)
        (kept,) = np.nonzero(values)
        records["i"], records["j"] = (cells[kept] + 1 for cells in self.programs.upper)
        records["value"] = values[kept]
        if session.data_format.name == "ASC":
            return [field for record in records.tolist() for field in record]
        return Block(records)

    for _name in ("bias", "weight", "quadratic", "cubic", "quartic"):
        vars().update(_array_commands(_name))
    for _name in QUANTITIES:
        vars().update(_quantity_commands(_name))
    vars().update(_element_commands("coupling", _pair, (_CELL, _CELL)))
    vars().update(_element_commands("bias", lambda _, cell: cell - 1, (_CELL,)))
    vars().update(
        _element_commands(
            "weight",
            lambda board, cell, column: (cell - 1) * board.inputs + column - 1,
            (_CELL, Integer(1, lambda board: board.inputs)),
        )
    )
    del _name

    # ---- commit ----------------------------------------------------------------------------------------------------

    @command("MODel:COMMit", ChannelList(0, SLOTS - 1, also=("ALL",), optional=True), guards=("idle", "require_rails"))
    def _commit(self, _: Session, which: tuple[int, ...] | str | None) -> Operation:
        """Put programs on the switches and let them settle: of the selected slot, of the slots of a list, or of ALL.

        ALL means every slot that is written and not live.
        """
        slots: Sequence[int] = (self.programs.selected,) if which is None else which  # type: ignore[assignment]
        if which == "ALL":
            slots = [index for index, slot in enumerate(self.programs.slots) if slot.state in ("SHAD", "DIRT")]
        self.programs.commit(slots)
        self.update_live()
        settling = self.model.imperfections.settling_time * self.model.circuit.time_constant
        return self.settle(max(SWITCH_SETTLING, settling), COMMITTING, SETTLING)

    def actual(self, name: str) -> np.ndarray:
        """Return a quantity of the live image as the converters hold it; 203 where nothing is live."""
        program = self.programs.slot.program
        if program is None:
            raise ScpiError(203, f"slot {self.programs.selected}")
        return self.programs.as_values(self.model.realise(program))[name]

    @query("MODel:VERify?", guards=("require_rails",))
    def _verify(self, _: Session) -> tuple[int, int]:
        """Return the largest deviation of a coupling from what was asked, in LSB, and its place in the triangle."""
        actual, live = self.actual("coupling"), self.programs.slot.live
        deviation = np.abs(actual - live["coupling"]) if live is not None else actual
        if not deviation.size:
            return 0, 0
        bits = self.model.imperfections.coupling_bits or 24
        low, high = FULL_SCALE["coupling"]
        lsb = (high - low) / 2**bits
        worst = int(deviation.argmax())
        return round(float(deviation[worst]) / lsb), worst + 1

    @query("MODel:CRC?")
    def _ask_crc(self, _: Session) -> str:
        return f"#H{self.programs.slot.crc:08X}"

    @query("MODel:RESolution?")
    def _ask_resolution(self, _: Session) -> tuple[int, int, int]:
        imperfections = self.model.imperfections
        return imperfections.coupling_bits, imperfections.bias_bits, imperfections.weight_bits
