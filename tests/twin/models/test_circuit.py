import pytest
from scipy.constants import k as boltzmann

from twin.models.circuit import Circuit


def test_the_default_circuit_has_the_units_of_the_data_sheet():
    circuit = Circuit()
    assert circuit.time_constant == pytest.approx(10e-6)
    assert circuit.unit_charge == pytest.approx(5e-11)
    assert circuit.energy_unit == pytest.approx(2.5e-12)
    assert circuit.factor("time") * circuit.clock_frequency == pytest.approx(120)
    assert circuit.factor("signal") == 0.1


def test_a_stiffness_of_one_is_the_capacitance():
    circuit = Circuit(resistance=1e3, capacitance=2e-9)
    assert 1 / circuit.factor("quadratic") == pytest.approx(2e-9)


def test_force_of_a_model_cell_is_the_voltage_balance_of_its_loop():
    circuit = Circuit(resistance=3e3, capacitance=7e-10, unit_voltage=0.4, inductance=0.0)
    j2, j3, j4, coupling, bias, x, other = 0.7, -0.2, 0.9, 1.3, 0.6, 1.4, -0.8
    model = bias - 2 * j2 * x - 3 * j3 * x**2 - 4 * j4 * x**3 - coupling * other
    q, p = circuit.unit_charge * x, circuit.unit_charge * other
    volts = (
        bias * circuit.factor("bias")
        - j2 * circuit.factor("quadratic") * q
        - j3 * circuit.factor("cubic") * q**2
        - j4 * circuit.factor("quartic") * q**3
        - coupling * circuit.factor("coupling") * p
    )
    speed = volts / circuit.resistance
    assert speed == pytest.approx(model * circuit.unit_charge / circuit.time_constant, rel=1e-12)


def test_temperature_in_kelvin_gives_the_model_its_thermal_energy():
    circuit = Circuit()
    assert circuit.factor("temperature") * boltzmann == pytest.approx(circuit.energy_unit)


def test_noise_density_is_that_of_the_practical_board():
    circuit = Circuit(resistance=1e3, capacitance=5e-10, unit_voltage=1.0, inductance=0.0)
    assert circuit.energy_unit == pytest.approx(2.5e-10)
    assert circuit.noise_density(0.1) == pytest.approx(3.2e-4, rel=0.02)


@pytest.mark.parametrize(
    "wrong",
    [{"resistance": 0.0}, {"capacitance": -1e-9}, {"unit_voltage": float("nan")}, {"clock_frequency": float("inf")}],
)
def test_a_circuit_that_cannot_be_built_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Circuit(**wrong)


def test_the_mass_of_a_loop_is_its_inductance_in_units_of_its_resistance_and_time():
    assert Circuit().mass == 0.0
    assert Circuit(resistance=1e3, capacitance=5e-10, inductance=1e-4).mass == pytest.approx(0.1)


@pytest.mark.parametrize("inductance", [1e-6, 1e4])
def test_a_circuit_too_light_or_too_heavy_to_simulate_is_refused(inductance):
    with pytest.raises(ValueError, match=r"reduced mass .* allowed are 0 and 0\.0001 to"):
        Circuit(inductance=inductance)


def test_an_unknown_quantity_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="coupling, quadratic"):
        Circuit().factor("damping")
