"""A gate-defined double dot between source and drain, read by the point contact beside it.

Dot 1 carries a current from source to drain; dot 2 is filled and emptied by the drain alone. At zero bias the charge of
dot 1 is an activation switch: it holds one more electron with probability 1 / (1 + exp(-a (V - V_N) / kT)), with the
plunger's lever arm a and the voltage V_N at which the charges N - 1 and N are degenerate.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm

from twin import compute
from twin.kernels import charge_states, telegraph
from twin.models.current_amplifier import CurrentAmplifier, relaxation_rate
from twin.models.gated_device import (
    BOLTZMANN,
    ELEMENTARY_CHARGE,
    GATES,
    DoubleDot,
    GateOxide,
    Junctions,
    PointContact,
)
from twin.noise import stream_key

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

__all__ = ["ChargeChain", "CurrentAmplifier", "DoubleDot", "GateOxide", "Junctions", "Parameters", "PointContact",
           "Sample"]  # fmt: skip

MANY_JUMPS = 32.0
"""Jumps per sample interval beyond which a trace follows the ends of the intervals and not every jump."""
SETTLED = 40.0
"""Relaxation times of the amplifier that pass before the first sample of a trace."""


@dataclass(frozen=True)
class Parameters:
    """All that a sample and its read-out are made of.

    Parameters
    ----------
    dots, junctions, point_contact, gate_oxide
        The sample.
    current_amplifier, sensor_amplifier
        Noise of the read-out of the current through dot 1 and of that through the point contact.
    """

    dots: DoubleDot = field(default_factory=DoubleDot)
    junctions: Junctions = field(default_factory=Junctions)
    point_contact: PointContact = field(default_factory=PointContact)
    gate_oxide: GateOxide = field(default_factory=GateOxide)
    current_amplifier: CurrentAmplifier = field(default_factory=lambda: CurrentAmplifier(1e-28, 10.0))
    sensor_amplifier: CurrentAmplifier = field(default_factory=CurrentAmplifier)


@dataclass(frozen=True)
class ChargeChain:
    """The charge states that matter at one setting of the gates, as a continuous-time Markov chain.

    Parameters
    ----------
    charges
        (s, dots) electrons in each state.
    rates
        (s, s) rate from state i to state j, 1/s; the diagonal is 0.
    law
        (s,) stationary probabilities.
    currents
        (s,) current through the point contact in each state, A.
    """

    charges: Integers
    rates: Array
    law: Array
    currents: Array

    @property
    def generator(self) -> Array:
        """Rates with what leaves each state on the diagonal, so that its rows sum to 0."""
        return self.rates - np.diag(self.rates.sum(axis=1))

    @property
    def jump_rate(self) -> float:
        """Mean number of jumps per s in the stationary state."""
        return float(self.law @ self.rates.sum(axis=1))


class Sample:
    """One sample on its carrier.

    Parameters
    ----------
    parameters
        What it is made of.
    seed, name
        Which sample it is; they are part of the keys of its noise.
    """

    def __init__(self, parameters: Parameters | None = None, seed: int = 0, name: str = "dot") -> None:
        self.parameters = parameters or Parameters()
        self.seed = seed
        self.name = name
        self._dots = _kernel_dots(self.parameters)

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates in the order of every array of gate voltages."""
        return GATES

    def warm_up(self) -> None:
        """Compile what the methods need, so that the first question is answered as fast as any other."""
        gates, bias = np.zeros((1, len(GATES))), np.zeros(1)
        self.current(gates, bias)
        self.occupation(gates, bias)
        self.ground_state(gates)
        self.leakage(gates)
        self.current_noise(1.0)
        self.sensor_noise(1.0)
        self.sensor_trace(gates[0], 0.0, 1e-3, 2, 1e4, (0, 0))
        self.sensor_trace(np.ones(len(GATES)), 0.0, 1e-3, 2, 1e4, (0, 0))

    def noise_key(self, acquisition: int, purpose: str) -> tuple[int, int]:
        """Return the key of the noise of one acquisition of this sample, see `twin.noise.stream_key`."""
        return stream_key(self.seed, self.name, acquisition, purpose)

    def current(self, gates: npt.ArrayLike, bias: npt.ArrayLike, drain: npt.ArrayLike = 0.0) -> Array:
        """Return the mean current (n,) in A from source to drain through dot 1, without noise.

        Parameters
        ----------
        gates
            (n, gates) voltages in V.
        bias, drain
            (n,) voltages in V of source and drain against ground.

        Raises
        ------
        ValueError
            If the gates have another shape or a voltage is not finite.
        """
        return -ELEMENTARY_CHARGE * self._solve(gates, bias, drain)[0]

    def occupation(self, gates: npt.ArrayLike, bias: npt.ArrayLike) -> Array:
        """Return the mean charge (n, dots) at gate voltages (n, gates) and a source voltage (n,) in V.

        Without any bias this is the thermal law, summed directly; with bias it is that of the rate equation.

        Raises
        ------
        ValueError
            If the gates have another shape or a voltage is not finite.
        """
        if not np.any(bias):
            volts = _gate_voltages(gates)
            charges = np.empty((len(volts), 2))
            compute.run_sliced(
                lambda begin, end: charge_states.thermal_charges(begin, end, self._dots, volts, charges), len(volts)
            )
            return charges
        return self._solve(gates, bias, 0.0)[1]

    def ground_state(self, gates: npt.ArrayLike) -> Integers:
        """Return the charges (n, dots) of least energy at gate voltages (n, gates) in V, source and drain at 0 V.

        Raises
        ------
        ValueError
            If the gates have another shape or a voltage is not finite.
        """
        volts = _gate_voltages(gates)
        charges = np.empty((len(volts), 2), np.int64)
        compute.run_sliced(
            lambda begin, end: charge_states.ground_states(begin, end, self._dots, volts, charges), len(volts)
        )
        return charges

    def sensor_current(self, gates: npt.ArrayLike, bias: npt.ArrayLike) -> Array:
        """Return the mean current (n,) in A through the point contact, averaged over the charges of the dots.

        Raises
        ------
        ValueError
            If the gates have another shape or a voltage is not finite.
        """
        return self.parameters.point_contact.open_current * self._solve(gates, bias, 0.0)[2]

    def chain(self, gates: npt.ArrayLike, bias: float) -> ChargeChain:
        """Return the charge states at one setting of the gates (gates,) and of the source, V, and their rates.

        Raises
        ------
        ValueError
            If the gates have another shape or a voltage is not finite.
        """
        volts = _gate_voltages(np.reshape(gates, (1, -1)))
        charges, rates = charge_states.charge_chain(self._dots, volts[0], float(bias), 0.0)
        law = np.empty(len(charges))
        charge_states.stationary_law(rates.copy(), len(charges), len(charges), law)
        neutral, per_electron = self._transmission_argument(volts)
        transmission = 1 / (1 + np.exp(-(neutral + charges @ per_electron)))
        return ChargeChain(charges, rates, law, self.parameters.point_contact.open_current * transmission)

    def sensor_trace(
        self,
        gates: npt.ArrayLike,
        bias: float,
        interval: float,
        points: int,
        bandwidth: float,
        key: tuple[int, int],
    ) -> Array:
        """Return samples (points,) in A of the current through the point contact while electrons come and go.

        The charges start in their stationary law, long before the first sample, and jump as the rate equation says; the
        amplifier with one pole and its noise are exact at the samples. Where more than `MANY_JUMPS` jumps are expected
        in an interval, its ends are drawn from the exact propagator and what the amplifier gathers in between, given
        these, from the normal law with its mean and variance.

        Parameters
        ----------
        gates, bias
            (gates,) voltages and that of the source, V.
        interval
            Time between samples, s.
        points
            Number of samples.
        bandwidth
            -3 dB frequency of the amplifier, Hz.
        key
            Two 32-bit words that address the randomness, see `twin.noise.stream_key`.

        Raises
        ------
        ValueError
            If the gates have another shape, or interval or bandwidth are not positive and finite.
        """
        if not 0 < interval < float("inf"):
            raise ValueError(f"trace: interval is {interval} s; it must be positive and finite")
        relaxation = relaxation_rate(bandwidth)
        rng = np.random.Generator(np.random.Philox(key=key[0] | key[1] << 32))
        chain = self.chain(gates, bias)
        trace = np.empty(points)
        start = int(rng.choice(len(chain.law), p=chain.law))
        if chain.jump_rate * interval <= MANY_JUMPS:
            run_in = SETTLED / relaxation
            telegraph.filtered_chain(rng, chain.rates, chain.currents, relaxation, interval, run_in, start, trace)
        else:
            _follow_ends(rng, chain, relaxation, interval, start, trace)
        self.parameters.sensor_amplifier.add_noise(trace, interval, bandwidth, rng)
        return trace

    def current_noise(self, aperture: float) -> float:
        """Return the standard deviation in A of a reading of the current that averages over `aperture` s."""
        return self.parameters.current_amplifier.reading_noise(aperture)

    def sensor_noise(self, aperture: float) -> float:
        """Return the standard deviation in A of a reading of the point contact that averages over `aperture` s."""
        return self.parameters.sensor_amplifier.reading_noise(aperture)

    def leakage(self, gates: npt.ArrayLike) -> Array:
        """Return the current (n, gates) in A into each gate at gate voltages (n, gates) in V.

        Raises
        ------
        ValueError
            If the gates have another shape or a voltage is not finite.
        """
        volts = _gate_voltages(gates)
        oxide = self.parameters.gate_oxide
        beyond = np.maximum(np.abs(volts) - np.asarray(oxide.breakdown_voltages), 0)
        return oxide.conductance * beyond * np.sign(volts)

    def _transmission_argument(self, volts: Array) -> tuple[Array, Array]:
        """Return the argument (n,) of the transmission with neutral dots, and what an electron on each dot adds."""
        contact = self.parameters.point_contact
        neutral = (volts @ np.asarray(contact.gate_weights) - contact.opening_voltage) / contact.opening_width
        return neutral, np.asarray(contact.electron_shifts) / contact.opening_width

    def _solve(self, gates: npt.ArrayLike, bias: npt.ArrayLike, drain: npt.ArrayLike) -> tuple[Array, Array, Array]:
        """Return electrons per s from the source (n,), mean charges (n, dots) and mean transmission (n,)."""
        volts = _gate_voltages(gates)
        source, ground = (np.array(np.broadcast_to(value, len(volts)), float) for value in (bias, drain))
        if not (np.isfinite(source).all() and np.isfinite(ground).all()):
            raise ValueError("sample: the voltages of source and drain must be finite")
        flow, charges, transmission = np.empty(len(volts)), np.empty((len(volts), 2)), np.empty(len(volts))
        contact = self._transmission_argument(volts)
        compute.run_sliced(
            lambda begin, end: charge_states.solve_transport(
                begin, end, self._dots, volts, source, ground, contact, flow, charges, transmission
            ),
            len(volts),
        )
        return flow, charges, transmission


def _gate_voltages(gates: npt.ArrayLike) -> Array:
    volts = np.ascontiguousarray(gates, float)
    if volts.ndim != 2 or volts.shape[1] != len(GATES):
        raise ValueError(f"sample: gate voltages have shape {volts.shape}; it must be (n, {len(GATES)})")
    if not np.isfinite(volts).all():
        raise ValueError("sample: gate voltages must be finite")
    return volts


def _kernel_dots(parameters: Parameters) -> charge_states.Dots:
    dots, junctions = parameters.dots, parameters.junctions
    return charge_states.Dots(
        charging=np.array(dots.charging_energies, float),
        mutual=float(dots.mutual_energy),
        spacing=np.array(dots.level_spacings, float),
        degeneracy=np.array(dots.spin_degeneracies, np.int64),
        offsets=np.array(dots.offset_energies, float),
        gate_arms=np.array(dots.gate_lever_arms, float),
        source_arms=np.array(dots.source_lever_arms, float),
        drain_arms=np.array(dots.drain_lever_arms, float),
        temperature=BOLTZMANN * dots.temperature,
        rates=np.array(junctions.maximum_rates, float),
        slopes=np.array(junctions.slopes, float),
        closures=np.array(junctions.offsets, float),
    )


def _follow_ends(
    rng: np.random.Generator, chain: ChargeChain, relaxation: float, interval: float, start: int, trace: Array
) -> None:
    """Fill in a trace without following every jump.

    The moments of what the amplifier gathers within an interval, given both its ends, are blocks of one matrix
    exponential (Van Loan 1978).
    """
    states = len(chain.law)
    mean = float(chain.law @ chain.currents)
    scale = max(float(np.ptp(chain.currents)), 1e-30)
    drive = relaxation * np.diag((chain.currents - mean) / scale)
    one, nothing = np.eye(states), np.zeros((states, states))
    blocks = np.block([
        [chain.generator, drive, nothing],
        [nothing, chain.generator - relaxation * one, drive],
        [nothing, nothing, chain.generator - 2 * relaxation * one],
    ])  # fmt: skip
    moments = expm(blocks * interval)[:states].reshape(states, 3, states)
    probability = np.maximum(moments[:, 0], 1e-300)
    first, second = moments[:, 1] / probability, 2 * moments[:, 2] / probability
    deviation = np.sqrt(np.maximum(second - first**2, 0))
    cumulative = np.ascontiguousarray(np.cumsum(probability, axis=1))
    decay = float(np.exp(-relaxation * interval))
    run_in = max(1, int(np.ceil(SETTLED / (relaxation * interval))))
    samples = np.empty(run_in + len(trace))
    telegraph.filtered_steps(
        rng, cumulative, np.ascontiguousarray(first * scale), deviation * scale, decay, start, samples
    )
    trace[:] = mean + samples[run_in:]
