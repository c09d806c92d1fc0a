"""The contender in C: built with -O3 -march=native where a compiler is there, called through ctypes."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from measuring import NotInstalledError
from network.board import Board, Work

SOURCE = Path(__file__).with_name("langevin.c")
LANES, GROUP = 64, 4
RAIL = 16.0
FORMS = ("plain", "tiled", "general")
Form = Literal["plain", "tiled", "general"]
ARRAYS = ("starts", "neighbours", "weights", "tiles", "bias", "field", "force", "kick")
# Without the second option GCC 12 gathers from two neighbours at a time: six times slower.
FLAGS = ("-O3", "-fno-loop-unroll-and-jam", "-march=native", "-std=gnu11", "-shared", "-fPIC")


class Network(ctypes.Structure):
    """A board as the C program walks it."""

    _fields_ = (
        ("cells", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ARRAYS),
        *((name, ctypes.c_float) for name in ("step", "noise", "rail")),
    )


@cache
def library() -> ctypes.CDLL:
    """Build and load the C program.

    Raises
    ------
    NotInstalledError
        If there is no C compiler, or it refuses.
    """
    compiler = next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)
    if compiler is None:
        raise NotInstalledError("no C compiler is installed")
    with tempfile.TemporaryDirectory() as directory:
        built = Path(directory) / "langevin.so"
        outcome = subprocess.run(
            [compiler, *FLAGS, str(SOURCE), "-o", str(built)], capture_output=True, text=True, check=False
        )
        if outcome.returncode:
            raise NotInstalledError(f"{compiler} refuses: {outcome.stderr.strip().splitlines()[0]}")
        loaded = ctypes.CDLL(str(built))
    loaded.simulate.argtypes = (
        ctypes.POINTER(Network), ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p,
    )  # fmt: skip
    loaded.multiply_add.argtypes = (ctypes.c_int64, ctypes.c_float, ctypes.c_void_p)
    loaded.multiply_add.restype = ctypes.c_double
    return loaded


def walk(board: Board) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return starts (n + 1,), neighbours and couplings of each cell; cells of a group share the list of the first."""
    rows, neighbours = np.nonzero(board.couplings)
    starts = np.searchsorted(rows, np.arange(board.cells + 1))
    return starts.astype(np.int32), neighbours.astype(np.int32), board.couplings[rows, neighbours]


def c_euler(board: Board, work: Work, form: Form) -> Callable[[], npt.NDArray[np.float32]]:
    """Take steps in C with noise of one random bit.

    Parameters
    ----------
    form
        "plain": loops over lanes that the compiler vectorises; "tiled": register tiles in vector extensions; "general":
        the same with fields, stiffness and noise of each cell in memory and clipping at rails, which ours has.
    """
    program = library()
    starts, neighbours, weights = walk(board)
    tiles = np.concatenate(
        [
            np.ravel(board.couplings[j : j + GROUP, neighbours[starts[j] : starts[j + 1]]].T)
            for j in range(0, board.cells, GROUP)
        ]
    )
    arrays = {
        "starts": starts,
        "neighbours": neighbours,
        "weights": weights,
        "tiles": tiles,
        "bias": board.bias,
        "force": np.tile(np.float32([2, 0, 4 * board.quartic]), (board.cells, 1)),
        "kick": np.full(board.cells, work.noise(board), np.float32),
    }
    network = Network(
        cells=board.cells, step=work.step, noise=work.noise(board), rail=RAIL,
        **{name: array.ctypes.data for name, array in arrays.items()},
    )  # fmt: skip
    blocks = -(-work.trajectories // LANES)
    final = np.empty((blocks, board.cells, LANES), np.float32)

    def run() -> npt.NDArray[np.float32]:
        if program.simulate(network, FORMS.index(form), blocks, work.steps, 1, final.ctypes.data):
            raise MemoryError(f"no memory for {len(arrays)} arrays of {board.cells} cells")
        return final.transpose(0, 2, 1).reshape(-1, board.cells)

    return run
