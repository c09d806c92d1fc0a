"""The twin offered as a model of what was measured: the only module of the laboratory that uses its physics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.learning_rules import Gradient
from protocols.ports import BoardProgram

if TYPE_CHECKING:
    from twin.models.board_gradient import DifferentiableRun

Array = NDArray[np.float64]


def filter_occupation(
    samples: Array,
    interval: float,
    *,
    levels: tuple[float, float],
    noise_density: float,
    rates: tuple[float, float],
    bandwidth: float = math.inf,
) -> Array:
    """Return the probability that a dot is occupied, given the current of its point contact up to each sample.

    The exact filter of a two-state switch in white noise (Milburn and Basiri-Esfahani, section 3).

    Parameters
    ----------
    samples : ndarray, shape (n,)
        Current, A.
    interval : float
        Time between samples, s.
    levels : (empty, occupied)
        Current of each state, A.
    noise_density : float
        One-sided white noise, A^2/Hz.
    rates : (in, out)
        Rates at which the dot is filled and emptied, 1/s.
    bandwidth : float
        Bandwidth (-3 dB) of the one pole that the samples have passed, Hz.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        If the levels are equal, or noise, bandwidth or rates are not positive.
    """
    from twin.models.charge_detection import ChargeDetector

    return ChargeDetector(*levels, noise_density, *rates, bandwidth=bandwidth).occupation(samples, interval)


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """Trajectories of an ideal board, which can be asked what they would have done under another program."""

    _run: DifferentiableRun

    @property
    def samples(self) -> NDArray[np.float32]:
        """Samples, shape (rows, trajectories, observations, cells read)."""
        return self._run.samples

    def gradient(self, weights: ArrayLike) -> Gradient:
        """Return the derivatives of ``sum(weights * samples)`` by the parameters of the program, noise held fixed.

        A coupling of zero is none, and its derivative is zero; so are those by the weights of a cell whose weights are
        all zero.

        Parameters
        ----------
        weights : array_like, shape (rows, trajectories, observations, cells read)
            Derivative of a loss by each sample.

        Raises
        ------
        ValueError
            If the weights have another shape or are not finite.
        """
        return Gradient(**self._run.gradient(weights)._asdict())


def simulate_board(
    program: BoardProgram,
    inputs: ArrayLike,
    *,
    temperature: float,
    trajectories: int,
    observation_time: float,
    observations: int = 1,
    burn_in: float = 0.0,
    step: float = 0.02,
    cells: Sequence[int] | None = None,
    seed: int = 0,
    acquisition: int = 0,
    name: str = "model",
) -> SimulatedRun:
    """Simulate trajectories of an ideal board under one program: no mismatch, no quantisation, no offsets.

    Parameters
    ----------
    program, inputs, temperature, trajectories, observation_time, observations, burn_in, step, cells, seed, acquisition
        See `protocols.ports.BoardModel.run`; all quantities are in model units.
    name : str
        Whose noise it is; models of different names have different noise.

    Raises
    ------
    ValueError
        If an argument is out of range, or the inputs do not fit the program; the message says what is allowed.
    MemoryError
        If the states of all trajectories on the way take more than 1 GiB.
    """
    from twin.models import board_gradient
    from twin.noise import stream_key

    return SimulatedRun(
        board_gradient.simulate_board(
            program.couplings,
            program.bias,
            program.weights,
            np.column_stack([program.quadratic, program.cubic, program.quartic]),
            inputs,
            temperature,
            trajectories=trajectories,
            key=stream_key(seed, name, acquisition),
            first=burn_in + observation_time,
            interval=observation_time,
            observations=observations,
            step=step,
            read=cells,
        )
    )
