"""One thermodynamic board on a network cable."""

from collections.abc import Mapping
from typing import Any

from sim_devices.benches.bench import Bench
from sim_devices.benches.options import check_names, read_integer, read_table
from sim_devices.instruments.thermodynamic_board import ThermodynamicBoard
from twin.clock import VirtualClock
from twin.models import thermodynamic_board as model

__all__ = ["RESOURCES", "build"]

#: The raw socket of the board, and the same board with IEEE 488.2 message exchange.
RESOURCES = ("TCPIP0::board::5025::SOCKET", "TCPIP0::board::inst0::INSTR")


def build(*, seed: int, options: Mapping[str, Any]) -> Bench:
    """Build the bench; the physics is compiled in the background.

    Parameters
    ----------
    seed
        Seed of the board's imperfections and of its noise.
    options
        Table ``board`` with ``cells``, ``inputs`` and the tables ``circuit``, ``imperfections`` and ``integrator``,
        whose keys are the fields of the model's dataclasses of these names.

    Raises
    ------
    BenchOptionError
        An option is unknown or has a wrong value.
    """
    table = check_names(options, "", ["board"]).get("board", {})
    check_names(table, "board", ["cells", "inputs", "circuit", "imperfections", "integrator"])
    physics = model.ThermodynamicBoard(
        cells=read_integer(table.get("cells", 256), "board.cells", 1, 256),
        inputs=read_integer(table.get("inputs", 1024), "board.inputs", 0, 1024),
        circuit=read_table(table.get("circuit", {}), "board.circuit", model.Circuit),
        imperfections=read_table(table.get("imperfections", {}), "board.imperfections", model.Imperfections),
        integrator=read_table(table.get("integrator", {}), "board.integrator", model.Integrator),
        seed=seed,
    )
    bench = Bench("thermodynamic_board", VirtualClock())
    bench.place(ThermodynamicBoard(physics, bench.clock, bench.worker, "board"), *RESOURCES)
    return bench
