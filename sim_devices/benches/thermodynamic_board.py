"""One thermodynamic board on a network cable."""

from collections.abc import Mapping
from typing import Any

from sim_devices.benches.bench import Bench
from sim_devices.benches.options import QuantityReader, check_names, read_integer, read_table
from sim_devices.instruments.thermodynamic_board import ThermodynamicBoard
from twin.models import thermodynamic_board as model

__all__ = ["RESOURCES", "TABLES", "place"]

#: The raw socket of the board, and the same board with IEEE 488.2 message exchange.
RESOURCES = ("TCPIP0::board::5025::SOCKET", "TCPIP0::board::inst0::INSTR")

#: The tables of its options.
TABLES = ("board",)


def place(bench: Bench, options: Mapping[str, Any], quantity: QuantityReader, seed: int) -> None:
    """Put the board on a bench.

    Parameters
    ----------
    bench
        Where it stands.
    options
        Table ``board`` with ``cells``, ``inputs`` and the tables ``circuit``, ``imperfections`` and ``integrator``,
        whose keys are the fields of the model's dataclasses of these names.
    quantity
        Reads a value with its unit.
    seed
        Seed of the board's imperfections and of its noise.

    Raises
    ------
    BenchOptionError
        An option is unknown or has a wrong value.
    """
    table = options.get("board", {})
    check_names(table, "board", ["cells", "inputs", "circuit", "imperfections", "integrator"])
    physics = model.ThermodynamicBoard(
        cells=read_integer(table.get("cells", 256), "board.cells", 1, 256),
        inputs=read_integer(table.get("inputs", 1024), "board.inputs", 0, 1024),
        circuit=read_table(table.get("circuit", {}), "board.circuit", model.Circuit, quantity),
        imperfections=read_table(table.get("imperfections", {}), "board.imperfections", model.Imperfections, quantity),
        integrator=read_table(table.get("integrator", {}), "board.integrator", model.Integrator, quantity),
        seed=seed,
    )
    bench.place(ThermodynamicBoard(physics, bench.clock, bench.worker, "board"), *RESOURCES)
