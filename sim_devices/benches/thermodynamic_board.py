"""Thermodynamic boards on network cables: one, or several of a kind."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sim_devices.benches.bench import Bench
from sim_devices.benches.options import QuantityReader, check_names, read_integer, read_table
from sim_devices.instruments.board_rails import IDENTITY
from sim_devices.instruments.thermodynamic_board import ThermodynamicBoard
from twin.models import thermodynamic_board as model

__all__ = ["FAULTS", "RESOURCES", "TABLES", "place"]

#: The raw socket of the board, and the same board with IEEE 488.2 message exchange; further boards are ``board_2``, ...
RESOURCES = ("TCPIP0::board::5025::SOCKET", "TCPIP0::board::inst0::INSTR")

#: The tables of its options.
TABLES = ("board",)

#: What may be wrong in its physics.
FAULTS = ("drift", "stuck_cell")

HOUR = 3600.0

MOST_BOARDS = 16


def place(bench: Bench, options: Mapping[str, Any], quantity: QuantityReader, seed: int) -> None:
    """Put the boards on a bench.

    Parameters
    ----------
    bench
        Where it stands.
    options
        Table ``board`` with ``boards`` (how many there are), ``cells``, ``inputs`` and the tables ``circuit``,
        ``imperfections`` and ``integrator``, whose keys are the fields of the model's dataclasses of these names.
    quantity
        Reads a value with its unit.
    seed
        Seed of the imperfections, which every board has its own of, and of the noise.

    Raises
    ------
    BenchOptionError
        An option is unknown or has a wrong value.
    """
    table = options.get("board", {})
    check_names(table, "board", ["boards", "cells", "inputs", "circuit", "imperfections", "integrator"])
    boards = read_integer(table.get("boards", 1), "board.boards", 1, MOST_BOARDS)
    for number in range(1, boards + 1):
        name = "board" if number == 1 else f"board_{number}"
        board = ThermodynamicBoard(
            _physics(table, quantity, seed, name, bench.faults),
            bench.clock,
            bench.worker,
            name,
            identity=IDENTITY.replace("SN0001", f"SN{number:04d}"),
        )
        bench.place(board, *(resource.replace("board", name) for resource in RESOURCES))


def _physics(
    table: Mapping[str, Any], quantity: QuantityReader, seed: int, name: str, faults: Mapping[str, float]
) -> model.ThermodynamicBoard:
    circuit = read_table(table.get("circuit", {}), "board.circuit", model.Circuit, quantity)
    imperfections = read_table(table.get("imperfections", {}), "board.imperfections", model.Imperfections, quantity)
    return model.ThermodynamicBoard(
        cells=read_integer(table.get("cells", 256), "board.cells", 1, 256),
        inputs=read_integer(table.get("inputs", 1024), "board.inputs", 0, 1024),
        circuit=circuit,
        imperfections=_faulty(imperfections, circuit, faults),
        integrator=read_table(table.get("integrator", {}), "board.integrator", model.Integrator, quantity),
        seed=seed,
        name=name,
    )


def _faulty(
    imperfections: model.Imperfections, circuit: model.Circuit, faults: Mapping[str, float]
) -> model.Imperfections:
    """Return imperfections with those faults that are in force."""
    drift = faults.get("drift", 0.0) * math.sqrt(circuit.time_constant / HOUR)
    return replace(
        imperfections,
        drift=math.hypot(imperfections.drift, drift) if drift else imperfections.drift,
        stuck_cells=max(imperfections.stuck_cells, faults.get("stuck_cell", 0.0)),
    )
