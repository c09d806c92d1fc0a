import numpy as np
import pytest
from scipy.special import gamma

from protocols.equilibrium import equilibrium_moments, potential

QUADRATURE = [
    # stiffness, kT, drive, mean, variance: adaptive quadrature to the digits printed; the last mean is that of kT = 0
    ((0, 0, 1), 1.0, 1.0, 0.323649, 0.297021),
    ((0, 0, 1), 1.0, 5.0, 0.998818, 0.090701),
    ((1, 0, 1), 1.0, 0.0, 0.0, 0.233960),
    ((1, 0, 1), 1.0, 2.0, 0.432266, 0.185498),
    ((1, 1, 1), 1.0, 0.0, -0.150482, 0.263245),
    ((1, 1, 1), 1.0, -5.0, -1.111531, 0.104081),
    ((0, 1, 1), 1.0, 5.0, 0.799508, 0.088281),
    ((1, 0, 1), 0.1, 1.0, 0.354875, 0.027634),
    ((1, 0, 1), 0.01, 5.0, 0.923710, 0.0008186),
]


@pytest.mark.parametrize(("stiffness", "temperature", "drive", "mean", "variance"), QUADRATURE)
def test_moments_are_those_of_the_boltzmann_distribution(stiffness, temperature, drive, mean, variance):
    calculated = equilibrium_moments([drive], stiffness, temperature)
    assert calculated[0][0] == pytest.approx(mean, abs=2e-3 if temperature == 0.01 else 1e-6)
    assert calculated[1][0] == pytest.approx(variance, rel=2e-4)


def test_a_quadratic_cell_is_linear_with_the_variance_of_equipartition():
    drive = np.linspace(-5, 5, 7)
    mean, variance = equilibrium_moments(drive, (1, 0, 0), 0.01)
    np.testing.assert_allclose(mean, drive / 2, atol=1e-12)
    np.testing.assert_allclose(variance, 0.005, rtol=1e-9)


def test_a_quartic_cell_has_the_variance_of_the_gamma_function():
    _, (variance,) = equilibrium_moments([0.0], (0, 0, 1), 0.01)
    assert variance == pytest.approx(gamma(3 / 4) / gamma(1 / 4) * np.sqrt(0.01), rel=1e-9)


def test_a_bistable_potential_has_its_minima_and_barrier():
    x = np.linspace(-2, 2, 4001)
    energy = potential(x, (-2, 0, 1))
    assert abs(x[energy.argmin()]) == pytest.approx(1.0, abs=1e-3)
    assert -energy.min() == pytest.approx(1.0, abs=1e-6)
