"""What a time step costs in accuracy: one cell against its Fokker-Planck equation, a network against fine steps."""

import math

import numpy as np
from network.board import Board, Moments
from network.ours import KEY

from twin.models.network import Noise, Scheme, sample_network

FOKKER_PLANCK = {0.0: (0.0, 0.040706), 1.0: (0.34152, 0.028975), 5.0: (0.91620, 0.008329)}
"""Mean and variance at t = 1 of a cell (1, 0, 1) at kT = 0.1 in these fields, started at 0 (Crank-Nicolson)."""

ROWS = 4


def one_cell(steps: int, trajectories: int) -> dict[str, float]:
    """Return how far ros2 is from the Fokker-Planck equation: the worst mean and the worst relative variance.

    Four standard errors of each are taken off: the error that remains is not one of sampling.
    """
    fields = np.array(list(FOKKER_PLANCK), np.float32)[None, :, None]
    samples = sample_network(
        np.zeros((1, 1, 1), np.float32), fields, np.float32([[[1, 0, 1]]]), 0.1, trajectories=trajectories, key=KEY,
        first=1.0, step=1 / steps,
    )[0, :, :, 0, 0].astype(np.float64)  # fmt: skip
    exact_mean, exact_variance = np.array(list(FOKKER_PLANCK.values())).T
    variance = samples.var(axis=1)
    sampling = math.sqrt(2 / trajectories)
    mean_error = np.abs(samples.mean(axis=1) - exact_mean) - 4 * np.sqrt(variance / trajectories)
    return {
        "mean": float(mean_error.max()),
        "variance": float((np.abs(variance / exact_variance - 1)).max() - 4 * sampling),
    }


def network_moments(board: Board, scheme: Scheme, noise: Noise, steps: int, trajectories: int) -> Moments:
    """Return means and variances of all cells in all rows of input at t = 1."""
    rng = np.random.default_rng(5)
    inputs = np.linspace(0, 1, ROWS)[:, None] * rng.normal(size=board.width)
    fields = np.broadcast_to(board.bias, (1, ROWS, board.cells)).copy()
    fields[0, :, : board.width] -= inputs.astype(np.float32)
    stiffness = np.broadcast_to(np.float32([1, 0, board.quartic]), (1, board.cells, 3))
    samples = sample_network(
        board.couplings[None], fields, stiffness, board.temperature, trajectories=trajectories, key=(KEY[0], steps),
        first=1.0, step=1 / steps, scheme=scheme, noise=noise,
    )  # fmt: skip
    return Moments.of(np.concatenate(samples[0, :, :, 0], axis=1))


def rms_biases(tested: Moments, reference: Moments) -> dict[str, float]:
    """Return root mean square differences of means and of relative variances, less what sampling explains.

    None is below what that many samples can tell from nothing.
    """
    cells = len(reference.values) // 2
    scale = np.concatenate((np.ones(cells), reference.values[cells:]))
    difference = ((tested.values - reference.values) / scale) ** 2
    sampling = (reference.spread / scale) ** 2 * (1 / tested.count + 1 / reference.count)
    found = {}
    for name, part in (("mean", slice(0, cells)), ("variance", slice(cells, None))):
        resolved = sampling[part].mean() * math.sqrt(2 / cells)
        found[name] = math.sqrt(max(float((difference - sampling)[part].mean()), float(resolved)))
    return found


def biases(trajectories: int) -> dict[str, dict[str, float]]:
    """Return the biases of the 4 x 8 board, for Euler as in the paper and for ros2 of fewer steps."""
    board = Board(4, 8)
    reference = network_moments(board, "ros2", "gaussian", 400, trajectories)
    tested: dict[str, tuple[Scheme, Noise, int]] = {
        "euler, 1000 steps": ("euler", "gaussian", 1000),
        "ros2, 64 steps": ("ros2", "matched", 64),
        "ros2, 50 steps": ("ros2", "matched", 50),
    }
    return {
        name: rms_biases(network_moments(board, *arguments, trajectories), reference)
        for name, arguments in tested.items()
    }
