"""The circuit of the thermodynamic board: series RLC loops, and what a model unit is in SI units."""

import math
from dataclasses import dataclass, field

BOLTZMANN = 1.380649e-23
"""J/K"""
LEAST_MASS, LARGEST_MASS = 1e-4, 1e4
"""Reduced masses that are simulated. A lighter loop moves as one without inductance, to 0.01 %."""


@dataclass(frozen=True)
class Circuit:
    """Series loops L q'' + R q' + dU/dq = V + noise, one a cell, coupled by capacitors.

    The charge is q = Q0 x and the time t tau, with tau = 2 R C so that J2 = 1 is the capacitance C, Q0 = C V0 and
    E0 = R Q0^2 / tau; the mobility is then 1.

    Parameters
    ----------
    resistance
        R in Ohm.
    capacitance
        C in F.
    unit_voltage
        V0 in V: the voltage across C at x = 1.
    inductance
        L in H. With 0 the loops move overdamped; else they have the reduced mass m = L / (R tau) and move underdamped.
        Overdamped motion is right to 1 % up to m = 0.01 and cheaper.
    clock_frequency
        Clock of the sampling logic in Hz.

    Raises
    ------
    ValueError
        If a value is not positive and finite, or the reduced mass is not 0 and out of LEAST_MASS to LARGEST_MASS.
    """

    resistance: float = field(default=1e4, metadata={"unit": "ohm"})
    capacitance: float = field(default=5e-10, metadata={"unit": "F"})
    unit_voltage: float = field(default=0.1, metadata={"unit": "V"})
    inductance: float = field(default=0.0, metadata={"unit": "H"})
    clock_frequency: float = field(default=12e6, metadata={"unit": "Hz"})

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            lowest = "not negative" if name == "inductance" else "positive"
            if not (0 <= value < math.inf) or (value == 0 and lowest == "positive"):
                raise ValueError(f"circuit: {name} is {value}; it must be {lowest} and finite")
        if self.mass and not LEAST_MASS <= self.mass <= LARGEST_MASS:
            raise ValueError(
                f"circuit: the reduced mass L / (R tau) is {self.mass:.3g}; "
                f"allowed are 0 and {LEAST_MASS} to {LARGEST_MASS}"
            )

    @property
    def time_constant(self) -> float:
        """Unit of time tau = 2 R C in s."""
        return 2 * self.resistance * self.capacitance

    @property
    def unit_charge(self) -> float:
        """Unit of charge Q0 = C V0 in C."""
        return self.capacitance * self.unit_voltage

    @property
    def energy_unit(self) -> float:
        """Unit of energy E0 = R Q0^2 / tau in J."""
        return self.resistance * self.unit_charge**2 / self.time_constant

    @property
    def mass(self) -> float:
        """Reduced mass L / (R tau) of a loop."""
        return self.inductance / (self.resistance * self.time_constant)

    def noise_density(self, temperature: float) -> float:
        """Return the one-sided density sqrt(4 R kT E0), in V per sqrt(Hz), of the noise source at a model kT."""
        return math.sqrt(4 * self.resistance * temperature * self.energy_unit)

    def factor(self, quantity: str) -> float:
        """Return what one model unit of a quantity is in SI units.

        Parameters
        ----------
        quantity
            ``coupling`` (elastance 1/C_c in 1/F), ``quadratic`` (elastance 1/C in 1/F), ``cubic`` (V/C^2), ``quartic``
            (V/C^3), ``bias`` and ``weight`` (V), ``temperature`` (K), ``signal`` (V) or ``time`` (s).

        Raises
        ------
        ValueError
            If there is no such quantity.
        """
        charge, energy, time = self.unit_charge, self.energy_unit, self.time_constant
        factors = {
            "coupling": self.resistance / time,
            "quadratic": 2 * self.resistance / time,
            "cubic": 3 * energy / charge**3,
            "quartic": 4 * energy / charge**4,
            "bias": self.resistance * charge / time,
            "weight": self.resistance * charge / time,
            "temperature": energy / BOLTZMANN,
            "signal": self.unit_voltage,
            "time": time,
        }
        if quantity not in factors:
            raise ValueError(f"no quantity {quantity!r}; known are {', '.join(factors)}")
        return factors[quantity]
