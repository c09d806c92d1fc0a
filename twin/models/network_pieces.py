"""How the simulation of a network is cut into pieces that may run anywhere: by programs, rows and trajectories."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from twin.compute import Piece, slices
from twin.kernels.jit import LANES


def cut_network(arguments: Mapping[str, Any], pieces: int) -> Iterator[Piece]:
    """Cut a call of `twin.models.network.sample_network` into about so many calls, with the same noise.

    Whole programs go together if there are enough of them, then whole rows, then trajectories; a piece has at least as
    many trajectories as run side by side, where there are that many.

    Parameters
    ----------
    arguments
        Of the call, by name.
    pieces
        How many are wanted.
    """
    programs, count = np.shape(arguments["fields"])[:2]
    trajectories = arguments["trajectories"]
    by_program = slices(programs, pieces)
    within = min(math.ceil(pieces / len(by_program)), max(1, count * trajectories // LANES))
    by_row = slices(count, within)
    by_trajectory = slices(trajectories, math.ceil(within / len(by_row)))
    for p, r, t in itertools.product(by_program, by_row, by_trajectory):
        yield _piece(arguments, p, r, t)


def _piece(arguments: Mapping[str, Any], p: slice, r: slice, t: slice) -> Piece:
    """Return the call for some programs, rows and trajectories."""
    programs, count = np.shape(arguments["fields"])[:2]
    slots, rows, state = arguments["slots"], arguments["rows"], arguments["state"]
    own = {
        "couplings": arguments["couplings"][p],
        "fields": arguments["fields"][p, r],
        "stiffness": arguments["stiffness"][p],
        "step": np.broadcast_to(arguments["step"], (programs,))[p],
        "slots": (np.arange(programs) if slots is None else np.asarray(slots))[p],
        "rows": (np.arange(count) if rows is None else np.asarray(rows))[r],
        "trajectories": t.stop - t.start,
        "first_trajectory": arguments["first_trajectory"] + t.start,
    }
    if state is None:
        return Piece({**arguments, **own}, (p, r, t))
    place = state.reshape(programs, count, arguments["trajectories"], -1)[p, r, t]
    own["state"] = place.reshape(len(place), -1, place.shape[-1]).copy()
    return Piece({**arguments, **own}, (p, r, t), {"state": place})
