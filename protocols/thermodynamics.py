"""What learning costs: work, heat, entropy and free energy of activation switches, and of the records they leave.

A switch at activation A has the levels ``-+A/2`` for n = +-1. Every change of the drive is a quench at fixed n, which
takes work, and then a relaxation, which gives heat to the bath. All energies are in units of kT, entropies in nats, and
``a = beta A`` is the logit of the probability of +1 (Milburn and Basiri-Esfahani, "The physics of learning machines",
section 6, with the level energies following the activation).
"""

from dataclasses import asdict, astuple, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, expit

Array = NDArray[np.float64]


def binary_entropy(probability: ArrayLike) -> Array:
    """Return the entropy of an outcome, ``H(p) = -p ln p - (1 - p) ln(1 - p)``, in nats."""
    probability = np.asarray(probability, dtype=float)
    return entr(probability) + entr(1.0 - probability)


def sampled_entropy(on: ArrayLike, shots: ArrayLike) -> Array:
    """Return the entropy of an outcome estimated from counts, in nats.

    Parameters
    ----------
    on, shots : array_like
        Outcomes +1, and all outcomes; at least one.

    Returns
    -------
    ndarray
        ``H(on/shots)`` with the correction ``1/(2 N)`` of Miller and Madow where both outcomes occurred.
    """
    on, shots = np.asarray(on, dtype=float), np.asarray(shots, dtype=float)
    both = (on > 0) & (on < shots)
    return binary_entropy(on / shots) + np.where(both, 1.0 / (2.0 * shots), 0.0)


def sampled_activation(on: ArrayLike, shots: ArrayLike) -> tuple[Array, Array]:
    """Return the activation ``beta A`` estimated from counts, and its standard error.

    Parameters
    ----------
    on, shots : array_like
        Outcomes +1, and all outcomes; at least one.

    Returns
    -------
    activation, standard_error : ndarray
        ``ln[(k + 1/2)/(N - k + 1/2)]``, and ``1/sqrt(N p (1 - p))`` at ``p = (k + 1/2)/(N + 1)``.
    """
    on, shots = np.asarray(on, dtype=float), np.asarray(shots, dtype=float)
    p = (on + 0.5) / (shots + 1.0)
    return np.log(p / (1.0 - p)), 1.0 / np.sqrt(shots * p * (1.0 - p))


def energy(activation: ArrayLike) -> Array:
    """Return the mean energy in equilibrium, ``-(a/2) tanh(a/2)``, in kT."""
    half = np.asarray(activation, dtype=float) / 2.0
    return -half * np.tanh(half)


def free_energy(activation: ArrayLike) -> Array:
    """Return the free energy, ``-ln(2 cosh(a/2))``, in kT."""
    half = np.asarray(activation, dtype=float) / 2.0
    return -np.logaddexp(half, -half)


def energy_differential(splitting: float, wanted: ArrayLike, error_change: ArrayLike) -> Array:
    """Return the change of the mean energy with the error at fixed levels ``+-E_0/2``: ``dE = -n_T E_0 de``.

    Eq. (90) of Milburn and Basiri-Esfahani without its factor ``2 eta``; in the unit of the splitting ``E_0``.
    """
    return -np.asarray(wanted, dtype=float) * splitting * np.asarray(error_change, dtype=float)


def entropy_differential(activation: ArrayLike, wanted: ArrayLike, error_change: ArrayLike) -> Array:
    """Return the change of the entropy with the error to first order: ``dS = n_T beta A de``, in nats.

    Eq. (92) of Milburn and Basiri-Esfahani without its factor ``eta``.
    """
    activation = np.asarray(activation, dtype=float)
    return np.asarray(wanted, dtype=float) * activation * np.asarray(error_change, dtype=float)


@dataclass(frozen=True)
class Ledger:
    """Means of what a sequence of quenches, each followed by full relaxation, does to a switch and its bath.

    Attributes
    ----------
    work : float
        Work on the switch, kT.
    heat : float
        Heat into the bath, kT.
    energy_change : float
        Change of the mean energy, kT: work minus heat.
    entropy_change : float
        Change of the entropy of the switch, nats.
    free_energy_change : float
        Change of the free energy, kT.
    entropy_production : float
        Entropy of switch and bath produced, nats: work minus the change of free energy, never below 0.
    """

    work: float = 0.0
    heat: float = 0.0
    energy_change: float = 0.0
    entropy_change: float = 0.0
    free_energy_change: float = 0.0
    entropy_production: float = 0.0

    def __add__(self, other: "Ledger") -> "Ledger":
        mine, others = asdict(self), asdict(other)
        return Ledger(**{name: mine[name] + others[name] for name in mine})


def quench_and_relax(before: ArrayLike, after: ArrayLike) -> Ledger:
    """Return the ledger of quenches from equilibrium at one activation to another, with relaxation after each.

    With ``n = tanh(a/2)``: work ``-n (a' - a)/2``, heat ``a' (n' - n)/2``, and an entropy production that is the
    Kullback-Leibler divergence of the outcome before from that after.

    Parameters
    ----------
    before, after : array_like, shape (quenches,)
        ``beta A`` before and after each quench.

    Returns
    -------
    Ledger
        The sum over the quenches.
    """
    a, b = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    n, relaxed = np.tanh(a / 2.0), np.tanh(b / 2.0)
    p, q = expit(a), expit(-a)
    divergence = p * (_log_expit(a) - _log_expit(b)) + q * (_log_expit(-a) - _log_expit(-b))
    return Ledger(
        work=_total(-n * (b - a) / 2.0),
        heat=_total(b * (relaxed - n) / 2.0),
        energy_change=_total(energy(b) - energy(a)),
        entropy_change=_total(binary_entropy(expit(b)) - binary_entropy(expit(a))),
        free_energy_change=_total(free_energy(b) - free_energy(a)),
        entropy_production=_total(divergence),
    )


class Quenches:
    """What a switch goes through: its activation ``beta A``, and what new weights and new signals have done so far.

    Parameters
    ----------
    state : ndarray, shape (13,), optional
        What `state` returned, to go on from there; by default nothing has happened.
    """

    def __init__(self, state: ArrayLike | None = None) -> None:
        size = len(fields(Ledger))
        activation, *numbers = np.full(1 + 2 * size, np.nan) if state is None else np.asarray(state, dtype=float)
        self._activation = float(activation)
        started = not np.isnan(activation)
        self._updates = Ledger(*map(float, numbers[:size])) if started else Ledger()
        self._presentations = Ledger(*map(float, numbers[size:])) if started else Ledger()

    def present(self, activation: float) -> None:
        """Add a change of the signals."""
        self._presentations += self._quench(activation)

    def update(self, activation: float) -> None:
        """Add a change of the weights."""
        self._updates += self._quench(activation)

    def ledgers(self) -> tuple[Ledger, Ledger]:
        """Return what the updates did, and what the presentations did; the first activation is the start."""
        return self._updates, self._presentations

    @property
    def state(self) -> Array:
        """The activation, and the numbers of both ledgers; NaN at first."""
        return np.array([self._activation, *astuple(self._updates), *astuple(self._presentations)])

    def _quench(self, activation: float) -> Ledger:
        before, self._activation = self._activation, activation
        return Ledger() if np.isnan(before) else quench_and_relax([before], [activation])


def landauer_bound(entropy: ArrayLike, shots: ArrayLike) -> float:
    """Return the least heat of erasing stored outcomes, kT.

    Parameters
    ----------
    entropy : array_like
        Entropy of one outcome of each batch, nats.
    shots : array_like
        Outcomes of each batch.

    Returns
    -------
    float
        ``sum N H`` over the batches: kT ln 2 for an outcome that is a fair coin (Landauer 1961).
    """
    return _total(np.asarray(shots, dtype=float) * np.asarray(entropy, dtype=float))


def _log_expit(value: Array) -> Array:
    return -np.logaddexp(0.0, -value)


def _total(values: ArrayLike) -> float:
    return float(np.sum(values))
