"""Euler steps of a board as one writes them with common tools, in single precision and on one thread.

Each function returns a run: no arguments, the final states (trajectories, cells). What a tool compiles or prepares
once is outside the run, its random numbers are inside.
"""

from collections.abc import Callable
from typing import Any, Literal

import numba
import numpy as np
from measuring import contender
from network.board import Array, Board, Work

Run = Callable[[], Array]
Draw = Literal["normal", "rademacher", "none"]

SEED = 3


def numpy_euler(board: Board, work: Work) -> Run:
    """Take vectorised steps in NumPy."""
    couplings, bias, h, sigma = board.couplings, board.bias, np.float32(work.step), np.float32(work.noise(board))
    stiffness, quartic = np.float32(2), np.float32(4 * board.quartic)

    def run() -> Array:
        rng = np.random.default_rng(SEED)
        x = np.zeros((work.trajectories, board.cells), np.float32)
        for _ in range(work.steps):
            x += h * (bias - x @ couplings - x * (stiffness + quartic * x * x)) + sigma * rng.standard_normal(
                x.shape, np.float32
            )
        return x

    return run


@numba.njit(fastmath=True, nogil=True)
def _walk(rng, starts, neighbours, weights, bias, quartic, steps, h, sigma, final):  # type: ignore[no-untyped-def]
    """Run trajectories one after another."""
    force = np.zeros(bias.size, np.float32)
    for trajectory in range(final.shape[0]):
        x = final[trajectory]
        x[:] = 0
        for _ in range(steps):
            for i in range(bias.size):
                field = bias[i] - x[i] * (np.float32(2) + quartic * x[i] * x[i])
                for k in range(starts[i], starts[i + 1]):
                    field -= weights[k] * x[neighbours[k]]
                force[i] = field
            for i in range(bias.size):
                x[i] += h * force[i] + sigma * np.float32(rng.standard_normal())


def numba_euler(board: Board, work: Work) -> Run:
    """Take steps in a plain Numba loop over trajectories, cells and their neighbours."""
    rows, neighbours = np.nonzero(board.couplings)
    starts = np.searchsorted(rows, np.arange(board.cells + 1))
    weights = board.couplings[rows, neighbours]
    h, sigma, quartic = np.float32(work.step), np.float32(work.noise(board)), np.float32(4 * board.quartic)
    final = np.empty((work.trajectories, board.cells), np.float32)

    def run() -> Array:
        _walk(
            np.random.default_rng(SEED), starts, neighbours, weights, board.bias, quartic, work.steps, h, sigma, final
        )
        return final

    return run


def jax_euler(board: Board, work: Work, draw: Draw) -> Run:
    """Scan over steps of all trajectories in JAX, compiled."""
    jax = contender("jax")
    couplings, bias = jax.numpy.asarray(board.couplings), jax.numpy.asarray(board.bias)
    h, sigma, quartic = work.step, work.noise(board), 4 * board.quartic
    start = jax.numpy.zeros((work.trajectories, board.cells), jax.numpy.float32)
    draws: dict[Draw, Callable[[Any], Any]] = {
        "normal": lambda key: sigma * jax.random.normal(key, start.shape),
        "rademacher": lambda key: sigma * jax.random.rademacher(key, start.shape, jax.numpy.float32),
        "none": lambda key: 0.0,  # noqa: ARG005
    }

    def step(x: Any, key: Any) -> tuple[Any, None]:
        return x + h * (bias - x @ couplings - x * (2 + quartic * x * x)) + draws[draw](key), None

    scan = jax.jit(lambda key: jax.lax.scan(step, start, jax.random.split(key, work.steps))[0])
    return lambda: np.asarray(scan(jax.random.key(SEED)))


def torch_euler(board: Board, work: Work) -> Run:
    """Take eager steps in PyTorch."""
    torch = contender("torch")
    torch.set_num_threads(1)
    couplings, bias = torch.from_numpy(board.couplings), torch.from_numpy(board.bias)
    h, sigma, quartic = work.step, work.noise(board), 4 * board.quartic

    def run() -> Array:
        generator = torch.Generator().manual_seed(SEED)
        with torch.inference_mode():
            x = torch.zeros(work.trajectories, board.cells)
            for _ in range(work.steps):
                force = torch.addmm(bias, x, couplings, alpha=-1) - x * (2 + quartic * x * x)
                x.add_(force, alpha=h).add_(torch.randn(x.shape, generator=generator), alpha=sigma)
            return x.numpy()

    return run


def torchsde_euler(board: Board, work: Work) -> Run:
    """Integrate with the Euler method of torchsde; it samples a Brownian path of its own."""
    torch, torchsde = contender("torch"), contender("torchsde")
    torch.set_num_threads(1)
    couplings, bias = torch.from_numpy(board.couplings), torch.from_numpy(board.bias)
    start = torch.zeros(work.trajectories, board.cells)
    diffusion = torch.full_like(start, (2 * board.temperature) ** 0.5)

    class Motion(torch.nn.Module):  # type: ignore[name-defined,misc]
        """Drift and diffusion."""

        noise_type, sde_type = "diagonal", "ito"

        def f(self, _: Any, x: Any) -> Any:
            """Return the drift."""
            return torch.addmm(bias, x, couplings, alpha=-1) - x * (2 + 4 * board.quartic * x * x)

        def g(self, _: Any, __: Any) -> Any:
            """Return the diffusion."""
            return diffusion

    motion, times = Motion(), torch.tensor([0.0, work.steps * work.step])

    def run() -> Array:
        torch.manual_seed(SEED)
        with torch.inference_mode():
            return torchsde.sdeint(motion, start, times, method="euler", dt=work.step)[-1].numpy()

    return run


def diffrax_euler(board: Board, work: Work) -> Run:
    """Integrate with the Euler method of diffrax and an UnsafeBrownianPath, compiled, one solve for each trajectory."""
    jax, diffrax, lineax = contender("jax"), contender("diffrax"), contender("lineax")
    couplings, bias = jax.numpy.asarray(board.couplings), jax.numpy.asarray(board.bias)
    diffusion = jax.numpy.full(board.cells, (2 * board.temperature) ** 0.5, jax.numpy.float32)
    end = work.steps * work.step

    def drift(_: Any, x: Any, __: Any) -> Any:
        return bias - x @ couplings - x * (2 + 4 * board.quartic * x * x)

    def solve(key: Any) -> Any:
        path = diffrax.UnsafeBrownianPath(shape=(board.cells,), key=key)
        noise = diffrax.ControlTerm(lambda *_: lineax.DiagonalLinearOperator(diffusion), path)
        terms = diffrax.MultiTerm(diffrax.ODETerm(drift), noise)
        solution = diffrax.diffeqsolve(
            terms, diffrax.Euler(), 0.0, end, work.step, jax.numpy.zeros(board.cells, jax.numpy.float32),
            max_steps=work.steps + 1, adjoint=diffrax.DirectAdjoint(),
        )  # fmt: skip
        return solution.ys[0]

    batch = jax.jit(jax.vmap(solve))
    return lambda: np.asarray(batch(jax.random.split(jax.random.key(SEED), work.trajectories)))
