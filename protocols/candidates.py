"""Candidate machines judged side by side: one program slot each, on one board or spread over several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bluesky.utils import Msg
from numpy.typing import NDArray

from protocols.acquisition import Plan, request
from protocols.networks import Network
from protocols.ports import Board

Array = NDArray[np.float64]

LARGEST_ACTIVITY = 4.0
"""Root mean square activity that a cell may have, in model units: a quarter of the rails."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What candidates gave.

    Attributes
    ----------
    outputs : ndarray, shape (candidates, rows, outputs)
        Outputs ``y_c = sum_i f_ci <x_i>``, eqs. (15) and (16) of Whitelam and Casert, "Thermodynamic computing out of
        equilibrium".
    free : ndarray of bool, shape (candidates,)
        Which of them are free of the rails: what a machine owes to clipping is no computation.
    board_seconds : float
        Time of the boards, summed over them, s.
    """

    outputs: Array
    free: NDArray[np.bool_]
    board_seconds: float


def judge_candidates(
    boards: Sequence[Board],
    network: Network,
    candidates: Array,
    *,
    rows: int,
    noise_seed: int,
    **settings: Any,
) -> Plan[Judgement]:
    """Run every candidate over the first rows of the input table, once.

    Candidate i is in slot i of whichever board it is on, and all boards have the noise of one seed, so boards of equal
    deviations give together what one of them would. They run at the same time.

    Parameters
    ----------
    boards : sequence of Board
        Configured but for what is given here; boards without a candidate are left alone.
    network : Network
        Which machine the parameters are of.
    candidates : ndarray, shape (candidates, parameters)
        Parameters of each; at most as many candidates as a board has slots.
    rows : int
        Rows of the input table.
    noise_seed : int
        Seed of the noise.
    **settings
        Further settings of every board, by signal name.

    Yields
    ------
    Msg

    Returns
    -------
    Judgement
    """
    shares = [share for share in np.array_split(np.arange(len(candidates)), len(boards)) if len(share)]
    at_work = list(zip(boards, shares, strict=False))
    yield Msg("checkpoint", None)
    for board, share in at_work:
        programs = {int(slot): network.program(candidates[slot]) for slot in share}
        yield from request(board, noise_seed=noise_seed, **settings, programs=programs, rows=(1, rows))
    yield Msg("wait", None, group="settings")
    for board, _ in at_work:
        yield Msg("trigger", board, group="run")
    yield Msg("wait", None, group="run")
    mean = np.concatenate([np.asarray(board.mean.get(), dtype=float) for board, _ in at_work])
    variance = np.concatenate([np.asarray(board.variance.get(), dtype=float) for board, _ in at_work])
    return Judgement(
        outputs=np.einsum("prc,poc->pro", mean[..., network.read], network.readout(candidates)),
        free=np.all(mean**2 + variance <= LARGEST_ACTIVITY**2, axis=(1, 2)),
        board_seconds=float(sum(board.run_time.get() for board, _ in at_work)),
    )
