"""What the whole stack measures, from plan to kernel, against quadrature, exact gradients and published values."""

import math

import numpy as np
import pytest

from drivers.thermodynamic_board import ThermodynamicBoard as Driver
from protocols import activation_curve, train_in_situ
from protocols.learning_rules import thermal_gradient
from protocols.ports import BoardProgram
from twin.models.circuit import BOLTZMANN, Circuit

SEED = 3
DRIVE = (-5.0, -2.0, 0.0, 1.0, 5.0)


@pytest.fixture
def board(station, computes):
    return station["board"]


@pytest.fixture
def measure(board, run_engine):
    """Run a plan on the board and return what it returns."""

    def run(plan, **arguments):
        results = []

        def kept():
            results.append((yield from plan(board, **arguments)))

        run_engine(kept())
        return results[0]

    return run


@pytest.fixture
def staged(board):
    board.stage()
    yield board
    board.unstage()


def take(board, **settings):
    for name, value in settings.items():
        getattr(board, name).set(value).wait(60)
    board.trigger().wait(60)


def quadrature(stiffness, bias, kT):
    """Mean and variance of a cell in equilibrium, and its probability to be positive."""
    x = np.linspace(-8, 8, 160_001)
    energy = stiffness[0] * x**2 + stiffness[1] * x**3 + stiffness[2] * x**4 - bias * x
    weight = np.exp(-(energy - energy.min()) / kT)
    weight /= weight.sum()
    mean = weight @ x
    return mean, weight @ (x - mean) ** 2, weight[x > 0].sum() + weight[x == 0].sum() / 2


def assert_close(values, errors, exact):
    """Compare within five standard errors and one per cent."""
    exact = np.asarray(exact)
    assert (np.abs(np.asarray(values) - exact) < 5 * np.asarray(errors) + 0.01 * np.abs(exact)).all()


@pytest.mark.parametrize("sampling", ["reset", "serial"])
@pytest.mark.parametrize("kT", [0.1, 1.0])
@pytest.mark.parametrize("stiffness", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (-1.0, 0.0, 1.0)])
def test_a_cell_in_equilibrium_has_the_mean_and_variance_of_quadrature(measure, stiffness, kT, sampling):
    settled = 30.0 if stiffness[0] < 0 and kT < 1 else 6.0
    result = measure(
        activation_curve, drive=DRIVE, stiffness=stiffness, temperature=kT, shots=20_000, sampling=sampling,
        observation_time=settled if sampling == "reset" else 1.0, seed=SEED,
    )  # fmt: skip
    means, variances, _ = zip(*(quadrature(stiffness, bias, kT) for bias in DRIVE), strict=True)
    assert_close(result["mean"], result["mean_standard_error"], means)
    assert_close(result["variance"], result["variance_standard_error"], variances)


PUBLISHED = [
    # t, then mean and variance of J = (1, 0, 1) for kT = 0.1 at a bias of 1 and of 5, by the Fokker-Planck equation
    (0.2, (0.16047, 0.72156), (0.025696, 0.014707)),
    (0.5, (0.28209, 0.90945), (0.032039, 0.008554)),
    (1.0, (0.34152, 0.91620), (0.028975, 0.008329)),
    (2.0, (0.35444, 0.91622), (0.027682, 0.008328)),
]


@pytest.mark.parametrize(("time", "means", "variances"), PUBLISHED)
def test_activation_at_a_finite_time_is_the_published_one(measure, time, means, variances):
    result = measure(
        activation_curve, drive=(1.0, 5.0), temperature=0.1, shots=100_000, observation_time=time, seed=SEED
    )
    assert_close(result["mean"], result["mean_standard_error"], means)
    assert_close(result["variance"], result["variance_standard_error"], variances)


@pytest.mark.parametrize(
    ("time", "means"),
    [
        (0.2, (0.163923, 0.322550, 0.471541, 0.608091, 0.731009)),
        (0.5, (0.300791, 0.535061, 0.700991, 0.822491, 0.917849)),
        (1.0, (0.371514, 0.587102, 0.727656, 0.835051, 0.923697)),
        (2.0, (0.385136, 0.589749, 0.728082, 0.835122, 0.923710)),
    ],
)
def test_activation_without_noise_is_the_published_one(measure, time, means):
    cold = 1e-8
    result = measure(
        activation_curve, drive=(1.0, 2.0, 3.0, 4.0, 5.0), temperature=cold, shots=100, observation_time=time, seed=SEED
    )
    np.testing.assert_allclose(result["mean"], means, atol=6e-4)


def test_a_bistable_cell_switches_as_its_two_wells_are_filled(measure):
    drive, stiffness, kT = tuple(np.linspace(-0.6, 0.6, 13)), (-1.0, 0.0, 1.0), 0.3
    result = measure(
        activation_curve, drive=drive, stiffness=stiffness, temperature=kT, shots=20_000, observation_time=15.0,
        seed=SEED,
    )  # fmt: skip
    filled = [quadrature(stiffness, bias, kT)[2] for bias in drive]
    assert_close(result["probability"], result["probability_standard_error"], filled)
    fit = result["fit"]
    assert abs(fit["offset"]) < 5 * fit["offset_standard_error"]
    slope = (filled[7] - filled[5]) / (drive[7] - drive[5])
    assert fit["width"] == pytest.approx(1 / (4 * slope), rel=0.05)


def test_reported_errors_are_the_scatter_over_seeds(measure):
    deviations = {"mean": [], "variance": []}
    drive = tuple(np.linspace(-0.5, 0.5, 40))
    exact = [quadrature((1.0, 0.0, 1.0), bias, 0.3) for bias in drive]
    for sampling, time in (("reset", 5.0), ("serial", 0.2)):
        for seed in range(2):
            result = measure(
                activation_curve, drive=drive, temperature=0.3, shots=2000, observation_time=time, sampling=sampling,
                seed=seed,
            )  # fmt: skip
            for index, name in enumerate(deviations):
                errors = np.array(result[f"{name}_standard_error"])
                deviations[name] += ((np.array(result[name]) - [e[index] for e in exact]) / errors).tolist()
    for values in deviations.values():
        assert np.mean(np.square(values)) == pytest.approx(1.0, abs=5 * math.sqrt(2 / len(values)))


COUPLINGS = np.array([[0, 0.9, -0.6], [0.9, 0, 1.1], [-0.6, 1.1, 0]])
BIAS, WEIGHTS = np.array([0.3, -0.2, 0.1]), np.array([[0.7], [-0.5], [0.2]])


def exact_moments(couplings, bias, kT, points=61):
    """Mean and covariance of three coupled cells of J = (1, 0, 1) by quadrature."""
    x = np.stack(np.meshgrid(*[np.linspace(-2, 2, points)] * 3, indexing="ij")).reshape(3, -1)
    energy = (x**2 + x**4).sum(axis=0) - bias @ x + np.einsum("ip,ij,jp->p", x, couplings, x) / 2
    weight = np.exp(-(energy - energy.min()) / kT)
    weight /= weight.sum()
    mean = x @ weight
    return mean, (x - mean[:, None]) * weight @ (x - mean[:, None]).T


def loss_by(parameter, index, change, kT, delta):
    """``delta`` times the mean activities after a small change of one coupling or bias."""
    values = {"couplings": COUPLINGS.copy(), "bias": BIAS - WEIGHTS[:, 0] * 0.8}
    values[parameter][index] += change
    if parameter == "couplings":
        values[parameter][index[::-1]] += change
    return delta @ exact_moments(values["couplings"], values["bias"], kT)[0]


def test_the_gradient_a_board_measures_is_the_derivative_of_its_loss(staged):
    kT, delta = 0.1, np.array([0.0, 0.0, 1.0])
    ones = np.ones(3)
    program = BoardProgram(
        couplings=COUPLINGS, bias=BIAS, weights=WEIGHTS, quadratic=ones, cubic=0 * ones, quartic=ones
    )
    take(
        staged, programs=[program], input_table=[[0.8]], rows=(1, 1), projections=[delta], temperature=kT,
        sampling="reset", observation_time=8.0, shots=200_000, readout="samples", noise_seed=SEED,
    )  # fmt: skip
    samples = np.asarray(staged.samples.get(), float)[0]
    mean, covariance = exact_moments(COUPLINGS, BIAS - WEIGHTS[:, 0] * 0.8, kT)
    assert_close(staged.mean.get()[0, 0], staged.standard_error.get()[0, 0], mean)
    np.testing.assert_allclose(staged.projection_covariance.get()[0, 0, 0], covariance[2], atol=3e-4)
    gradient = thermal_gradient(samples, delta[np.newaxis], kT, [[0.8]])
    step = 1e-3
    for parameter, indices in (("couplings", [(0, 1), (0, 2), (1, 2)]), ("bias", [0, 1, 2])):
        for index in indices:
            ahead, behind = (loss_by(parameter, index, sign * step, kT, delta) for sign in (1, -1))
            exact = (ahead - behind) / (2 * step)
            assert getattr(gradient, parameter)[index] == pytest.approx(exact, abs=4e-3), (parameter, index)


def test_a_training_on_the_wire_is_the_same_twice(measure):
    arguments = {"task": "xor", "epochs": 4, "shots": 30, "seed": SEED}
    first, second = (measure(train_in_situ, **arguments) for _ in range(2))
    assert first == second


def test_physical_units_are_those_of_the_loops(staged):
    """A cell written in elastances, volts and kelvin has the thermal voltages of its circuit."""
    driver: Driver = staged.driver
    circuit = Circuit()
    capacitance, kT = circuit.capacitance / 2, 0.4 * circuit.energy_unit
    volts = 0.15
    driver.execute("MOD:CELL 1;INP 0;:MOD:UNIT PHYS")
    try:
        driver.program(0, quadratic=[1 / capacitance], quartic=[0.0], cubic=[0.0], bias=[volts])
        driver.execute(f"NOIS:TEMP {kT / BOLTZMANN:.9g};:SAMP:MOD (@0);COUN 50000;MODE RES")
        driver.execute(f"SAMP:TOBS {5 * circuit.resistance * capacitance:.9g};:INP:MODE OFF")
        driver.commit()
        driver.run()
        mean, variance, error = (values.item() for values in driver.moments())
    finally:
        driver.execute("MOD:UNIT MOD")
    charge = volts * capacitance
    assert mean == pytest.approx(charge / circuit.capacitance, abs=5 * error + 1e-2 * charge / circuit.capacitance)
    assert variance == pytest.approx(kT * capacitance / circuit.capacitance**2, rel=5 * math.sqrt(2 / 50_000) + 0.01)
