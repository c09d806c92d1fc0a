import numpy as np
import pytest

from twin.models.thermodynamic_board import Circuit, Imperfections, Integrator, Program, Schedule, ThermodynamicBoard

RESET = Schedule("reset", 300, 1.0)
SERIAL = Schedule("serial", 300, 0.3, burn_in=1.0)
NO_INPUT = np.zeros((1, 0))


def program(n=6, quadratic=1.5, cubic=0.0, quartic=0.0, bias=0.5, weights=None):
    rng = np.random.default_rng(7)
    couplings = np.triu(0.4 * rng.normal(size=(n, n)), 1)
    return Program(
        couplings + couplings.T,
        np.full(n, bias),
        np.zeros((n, 0)) if weights is None else weights,
        *(np.full(n, j) for j in (quadratic, cubic, quartic)),
    )


def simulate(programs, inputs=NO_INPUT, schedule=RESET, scheme="automatic", board=None, **options):
    board = board or ThermodynamicBoard(integrator=Integrator(scheme=scheme))
    arguments = {"temperature": 0.1, "seed": 1, "acquisition": 0} | options
    return board.simulate(programs, inputs, schedule, **arguments)


def is_exact(*arguments, **options):
    """Whether nothing is solved in steps: these have other samples."""
    automatic = simulate(*arguments, **options).samples
    return not (automatic == simulate(*arguments, scheme="ros2", **options).samples).any()


@pytest.mark.parametrize("schedule", [RESET, SERIAL])
def test_harmonic_programs_are_sampled_exactly_and_others_in_steps(schedule):
    assert is_exact([program()], schedule=schedule)
    for other in (program(quartic=0.1), program(cubic=0.1, quartic=0.1)):
        automatic, steps = (simulate([other], schedule=schedule, scheme=scheme) for scheme in ("automatic", "ros2"))
        np.testing.assert_array_equal(automatic.samples, steps.samples)


def test_harmonic_programs_are_solved_by_the_scheme_of_euler_if_that_is_asked_for():
    still = {"schedule": Schedule("reset", 1, 1.0), "temperature": 0.0}
    euler, exact = (simulate([program(1)], scheme=scheme, **still).mean.item() for scheme in ("euler", "automatic"))
    assert exact == pytest.approx((1 - np.exp(-3)) / 6, abs=1e-7)
    assert euler == pytest.approx((1 - (1 - 0.003) ** 1000) / 6, abs=1e-6)


def test_euler_takes_no_longer_steps_than_those_of_the_paper():
    for step, taken in ((0.02, 0.001), (0.001, 0.001), (0.0002, 0.0002)):
        assert Integrator(step=step, scheme="euler").step_for(program(), 0.1, SERIAL) == taken


def test_exact_samples_have_the_moments_of_samples_in_steps():
    schedule = Schedule("serial", 20_000, 0.5, burn_in=3.0)
    exact, steps = (simulate([program()], schedule=schedule, scheme=scheme) for scheme in ("automatic", "ros2"))
    assert (np.abs(exact.mean - steps.mean) < 5 * np.hypot(exact.standard_error, steps.standard_error)).all()
    np.testing.assert_allclose(exact.variance, steps.variance, rtol=0.08)


@pytest.mark.parametrize("schedule", [RESET, SERIAL])
def test_programs_and_rows_that_are_solved_in_different_ways_are_put_together_in_order(schedule):
    weights = np.full((6, 1), -8.0)
    programs = [
        program(weights=weights),
        program(quartic=1.0, weights=weights),
        program(quadratic=-0.5, weights=weights),
    ]
    inputs = [[0.0], [9.0], [0.1]]  # the second drives harmonic cells to the rails
    together = simulate(programs, inputs, schedule)
    for p, alone in enumerate(programs):
        for r, row in enumerate(inputs):
            record = simulate([alone], [row], schedule, slots=[p], rows=[r])
            np.testing.assert_array_equal(record.samples[0, 0], together.samples[p, r])
    steps = simulate(programs, inputs, schedule, scheme="ros2")
    same = (together.samples == steps.samples).all(axis=(2, 3))
    np.testing.assert_array_equal(same[:2], [[False, True, False], [True, True, True]])


@pytest.mark.parametrize(
    "size", [{"coupling_mismatch": 0.05}, {"reciprocity_error": 0.05}, {"stiffness_mismatch": 0.05}]
)
def test_boards_that_deviate_are_sampled_exactly_with_their_deviations(size):
    boards = [
        ThermodynamicBoard(imperfections=Imperfections(**size), integrator=Integrator(step=0.002, scheme=scheme))
        for scheme in ("automatic", "ros2")
    ]
    schedule = Schedule("reset", 1, 2.0)
    exact, steps = (simulate([program()], schedule=schedule, board=board, temperature=0.0).mean for board in boards)
    np.testing.assert_allclose(exact, steps, atol=1e-5)
    ideal = simulate([program()], schedule=schedule, temperature=0.0).mean
    assert np.abs(exact - ideal).max() > 1e-3


def test_fields_that_settle_are_followed_in_steps():
    board = ThermodynamicBoard(imperfections=Imperfections(settling_time=0.5))
    steps = ThermodynamicBoard(imperfections=Imperfections(settling_time=0.5), integrator=Integrator(scheme="ros2"))
    samples = [simulate([program()], board=one).samples for one in (board, steps)]
    np.testing.assert_array_equal(*samples)


@pytest.mark.parametrize("cut", [1, 50])
@pytest.mark.parametrize("inductance", [0.0, 1e-2])
@pytest.mark.parametrize("schedule", [RESET, SERIAL])
def test_results_do_not_depend_on_how_a_run_is_cut(monkeypatch, schedule, inductance, cut):
    board = ThermodynamicBoard(circuit=Circuit(inductance=inductance))
    programs = [program(), program(quartic=1.0), program(bias=0.7)]
    whole = simulate(programs, np.zeros((2, 0)), schedule, board=board)
    monkeypatch.setattr("twin.models.run.CHUNK", cut)
    np.testing.assert_array_equal(simulate(programs, np.zeros((2, 0)), schedule, board=board).samples, whole.samples)


def test_loops_with_inductance_move_underdamped_whatever_the_scheme():
    schedule = Schedule("reset", 20_000, 1.0)
    cell = program(1, 1.0, 0.0, 1.0, bias=5.0)
    for scheme in ("automatic", "euler"):
        board = ThermodynamicBoard(circuit=Circuit(inductance=0.1), integrator=Integrator(scheme=scheme))
        record = simulate([cell], schedule=schedule, board=board)
        assert record.mean.item() == pytest.approx(1.273, abs=5 * record.standard_error.item() + 5e-4)


@pytest.mark.parametrize("mass", [1e-4, 1e-3, 1e-2, 0.1, 10.0])
@pytest.mark.parametrize(
    ("quadratic", "quartic", "bias", "kT"), [(1, 4, 16, 4), (-4, 1, 0, 4), (4, 4, -16, 1), (4, 0, 0, 1)]
)
def test_steps_of_loops_are_short_enough_for_the_stiffest_and_hottest(mass, quadratic, quartic, bias, kT):
    cell = program(1, quadratic, 0.0, quartic, bias)
    step = Integrator().step_for(cell, kT, SERIAL, mass)
    x = np.linspace(-5, 5, 20_001)
    energy = quadratic * x**2 + quartic * x**4 - bias * x
    visited = energy - energy.min() < 8 * kT
    stiffest = (2 * quadratic + 12 * quartic * x**2)[visited].max()
    assert step * np.sqrt(stiffest / mass) < 1.0
    assert step <= min(0.02, 5 * mass)
    assert Integrator().step_for(cell, kT, Schedule("reset", 1, 1e-4), mass) <= 1e-4 / 20


@pytest.mark.parametrize(("quadratic", "quartic", "bias", "kT"), [(1, 4, 16, 4), (-4, 1, 0, 4), (4, 4, -16, 1)])
def test_the_stiffest_and_hottest_loops_agree_with_quadrature(quadratic, quartic, bias, kT):
    x = np.linspace(-5, 5, 100_001)
    energy = quadratic * x**2 + quartic * x**4 - bias * x
    weight = np.exp(-(energy - energy.min()) / kT)
    weight /= weight.sum()
    mean = weight @ x
    variance = weight @ (x - mean) ** 2
    shots = 20_000
    board = ThermodynamicBoard(circuit=Circuit(inductance=2e-3))
    record = simulate(
        [program(1, quadratic, 0.0, quartic, bias)], schedule=Schedule("reset", shots, 4.0), board=board, temperature=kT
    )
    assert record.mean.item() == pytest.approx(mean, rel=0.01, abs=5 * np.sqrt(variance / shots))
    assert record.variance.item() == pytest.approx(variance, rel=0.01 + 5 * np.sqrt(2 / shots))
