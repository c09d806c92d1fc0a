"""What a gradient through the noisy dynamics costs, and whether it is that of the samples."""

import numpy as np
from measuring import ROUNDS, least_time
from network.board import Board, Work
from network.ours import KEY

from twin import compute
from twin.models.board_gradient import DifferentiableRun, simulate_board


def simulate(board: Board, work: Work, couplings: np.ndarray, bias: np.ndarray) -> DifferentiableRun:
    """Simulate a board of these couplings and biases, whose cells of the last layer are read."""
    return simulate_board(
        couplings, bias, np.zeros((board.cells, 1)), np.tile([1.0, 0, board.quartic], (board.cells, 1)), [[0.0]],
        board.temperature, trajectories=work.trajectories, key=KEY, first=work.steps * work.step, step=work.step,
        read=np.arange(board.cells)[board.last],
    )  # fmt: skip


def adjoint(board: Board, work: Work, rounds: int = ROUNDS) -> dict[str, float]:
    """Return ns for a step of a cell of samples and of their gradient, and how far it is from a finite difference.

    The finite difference is central, along a random direction in all couplings and biases, on the same noise.
    """
    compute.set_threads(1)
    rng = np.random.default_rng(6)
    couplings, bias = board.couplings.astype(float), board.bias.astype(float)
    forward, run = least_time(lambda: simulate(board, work, couplings, bias), rounds)
    weights = rng.normal(size=run.samples.shape) / work.trajectories
    backward, gradient = least_time(lambda: run.gradient(weights), rounds)
    upper = np.triu(rng.normal(size=couplings.shape)) * (couplings != 0)
    along, size = (upper + upper.T, rng.normal(size=bias.shape)), 1e-3
    ends = [
        simulate(board, work, couplings + sign * size * along[0], bias + sign * size * along[1]).samples
        for sign in (1, -1)
    ]
    difference = float((weights * (ends[0].astype(float) - ends[1])).sum() / (2 * size))
    slope = float((np.triu(gradient.couplings) * upper).sum() + gradient.bias @ along[1])
    size = work.trajectories * work.steps * board.cells
    return {
        "forward": forward.cpu / size * 1e9,
        "gradient": backward.cpu / size * 1e9,
        "ratio": backward.cpu / forward.cpu,
        "disagreement": abs(slope / difference - 1),
    }
