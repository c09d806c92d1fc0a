import numpy as np
import pytest

from protocols import determinant, invert_matrix, matrix_exponential
from protocols.arguments import ArgumentError
from protocols.matrices import MatrixError

MATRIX = np.array([[2.0, 0.6, -0.3], [0.6, 1.5, 0.4], [-0.3, 0.4, 1.0]])
PLANS = {"invert_matrix": invert_matrix, "matrix_exponential": matrix_exponential, "determinant": determinant}


def decay(matrix, time):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.exp(-values * time) @ vectors.T


@pytest.fixture
def linear_board(board):
    """The port over the exact transition of linear cells (Ornstein and Uhlenbeck)."""

    class LinearBoard(type(board)):
        ticks = 120

        def __init__(self):
            super().__init__()
            self.offset = 0.0
            self.observation_time.get = lambda: round(self.observation_time.value * self.ticks) / self.ticks

        def _sample(self, program, inputs, generator):
            matrix = program.couplings + np.diag(2 * program.quadratic)
            inverse, shots = np.linalg.inv(matrix), self.shots.get()
            settled = inverse @ np.full(program.cells, self.offset)
            x = np.broadcast_to(np.asarray(self.start.get(), dtype=float), (program.cells,)) - settled

            def moved(states, time):
                step = decay(matrix, time)
                spread = self.temperature.get() * inverse @ (np.eye(program.cells) - step @ step)
                kicks = generator.multivariate_normal(np.zeros(program.cells), spread, len(states), method="svd")
                return states @ step + kicks

            time = self.observation_time.get()
            if self.sampling.get() == "reset":
                return (settled + moved(np.tile(x, (shots, 1)), time))[np.newaxis]
            x, states = moved(x[np.newaxis], self.burn_in.get()), []
            step, kicks = decay(matrix, time), moved(np.zeros((shots, program.cells)), time)
            for kick in kicks:
                x = x @ step + kick
                states.append(x[0])
            return (settled + np.array(states))[np.newaxis]

    return LinearBoard()


def events(engine, stream):
    uids = {d["uid"] for name, d in engine.documents if name == "descriptor" and d["name"] == stream}
    return [d["data"] for name, d in engine.documents if name == "event" and d["descriptor"] in uids]


def assert_within(result, name, exact, sigmas=5.0):
    estimate, error = np.array(result[name]), np.array(result[f"{name}_standard_error"])
    assert (np.abs(estimate - exact) < sigmas * error).all()
    assert result["largest_deviation"] == pytest.approx(np.abs((estimate - exact) / error).max())
    assert result["relative_error"] == pytest.approx(np.linalg.norm(estimate - exact) / np.linalg.norm(exact))
    assert result["relative_error"] < 3 * result["expected_error"]


@pytest.mark.parametrize("sampling", ["serial", "reset"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_the_covariance_of_linear_cells_is_the_inverse(linear_board, engine, sampling, scale):
    matrix = scale * MATRIX
    result = engine.run(invert_matrix(linear_board, matrix=matrix, sampling=sampling, shots=20_000, batches=4, seed=1))
    assert_within(result, "inverse", np.linalg.inv(matrix))
    assert result["expected_error"] == pytest.approx(0.0158, rel=0.25)
    residual = matrix @ np.array(result["inverse"]) - np.eye(3)
    assert result["residual"] == pytest.approx(np.sqrt(np.mean(residual**2)))
    assert result["condition_number"] == pytest.approx(np.linalg.cond(matrix))
    assert result["shots"] == sum(value for name, value in linear_board.log if name == "shots") * 4


def test_the_error_of_independent_samples_is_the_closed_form(linear_board, engine):
    result = engine.run(invert_matrix(linear_board, matrix=MATRIX, sampling="reset", shots=40_000, batches=10))
    inverse = np.linalg.inv(MATRIX)
    variance = np.outer(np.diagonal(inverse), np.diagonal(inverse)) + inverse**2
    exact = np.sqrt(variance / result["shots"])
    np.testing.assert_allclose(result["inverse_standard_error"], exact, rtol=5 / np.sqrt(2 * 160))


@pytest.mark.slow
def test_errors_of_serial_samples_close_to_each_other_hold_as_well(linear_board, engine):
    deviations = []
    for seed in range(12):
        plan = invert_matrix(
            linear_board, matrix=MATRIX, shots=4000, batches=10, observation_time=0.02, temperature=0.5, seed=seed
        )
        result = engine.run(plan)
        deviation = np.array(result["inverse"]) - np.linalg.inv(MATRIX)
        deviations.append((deviation / result["inverse_standard_error"])[np.triu_indices(3)])
    squares = np.mean(np.square(deviations), axis=1)
    # ten batches estimate each error: Student's t with 9 degrees of freedom has the variance 9/7
    assert squares.mean() == pytest.approx(9 / 7, abs=5 * squares.std() / np.sqrt(12))


def test_an_offset_of_the_board_does_not_reach_the_inverse(linear_board, engine):
    linear_board.offset = 0.3
    result = engine.run(invert_matrix(linear_board, matrix=MATRIX, shots=20_000, batches=4))
    assert_within(result, "inverse", np.linalg.inv(MATRIX))


@pytest.mark.parametrize("sampling", ["serial", "reset"])
@pytest.mark.parametrize("time", [0.07, 0.5, 2.0])
def test_what_is_left_after_a_time_is_the_exponential(linear_board, engine, sampling, time):
    linear_board.offset = 0.02
    plan = matrix_exponential(
        linear_board, matrix=MATRIX, time=time, sampling=sampling, shots=20_000, batches=4, temperature=0.05, seed=2
    )
    assert_within(engine.run(plan), "exponential", decay(MATRIX, time))


def test_a_lag_that_the_clock_rounds_is_allowed_for(linear_board, engine):
    linear_board.ticks = 7
    plan = matrix_exponential(linear_board, matrix=MATRIX, sampling="reset", shots=20_000, temperature=0.01)
    assert_within(engine.run(plan), "exponential", decay(MATRIX, 1.0))


def test_displacements_go_along_every_cell_both_ways_and_end_at_zero(linear_board, engine):
    engine.run(matrix_exponential(linear_board, matrix=MATRIX, sampling="reset", shots=60, amplitude=2.0))
    starts = [value for name, value in linear_board.log if name == "start"]
    expected = [sign * 2.0 * row for row in np.eye(3) for sign in (1, -1)]
    np.testing.assert_array_equal(starts[:-1], expected)
    assert starts[-1] == [0.0]
    assert [name for name, _ in linear_board.log].count("trigger") == 6


@pytest.mark.parametrize("sampling", ["reset", "serial"])
@pytest.mark.parametrize("stages", [1, 5])
def test_the_work_of_switching_a_matrix_on_gives_its_determinant(linear_board, engine, sampling, stages):
    plan = determinant(linear_board, matrix=MATRIX, stages=stages, sampling=sampling, shots=4000, batches=4, seed=3)
    result = engine.run(plan)
    exact = np.linalg.slogdet(MATRIX)[1]
    assert result["exact"] == pytest.approx(exact)
    assert abs(result["deviation"]) < 5
    for name in ("log_determinant", "jarzynski_forward", "jarzynski_reverse"):
        assert abs(result[name] - exact) < 5 * result[f"{name}_standard_error"]
    assert result["lower_bound"] + 3 * result["lower_bound_standard_error"] < exact
    assert result["upper_bound"] - 3 * result["upper_bound_standard_error"] > exact
    assert result["dissipated_work"] == pytest.approx((result["upper_bound"] - result["log_determinant"]) / 2)


def test_more_stages_dissipate_less(linear_board, engine):
    dissipated = [
        engine.run(determinant(linear_board, matrix=MATRIX, stages=stages, shots=4000, batches=2))["dissipated_work"]
        for stages in (1, 4, 16)
    ]
    assert dissipated[0] > 3 * dissipated[1] > 9 * dissipated[2] > 0


def test_every_stage_is_a_program_between_the_diagonal_and_the_matrix(linear_board, engine):
    engine.run(determinant(linear_board, matrix=MATRIX, stages=2, shots=10, batches=2))
    first, middle, last = (linear_board.programs.get()[stage] for stage in range(3))
    assert not first.couplings.any()
    np.testing.assert_allclose(middle.couplings, last.couplings / 2)
    np.testing.assert_allclose(last.couplings / (2 * last.quadratic[0]), (MATRIX - np.diag(np.diagonal(MATRIX))) / 2.0)
    assert all(np.array_equal(program.quadratic, last.quadratic) for program in (first, middle))


@pytest.mark.parametrize("name", sorted(PLANS))
def test_every_batch_is_an_event_whose_expected_error_falls(linear_board, engine, name):
    engine.run(PLANS[name](linear_board, matrix=MATRIX, sampling="serial", shots=4000, batches=8))
    estimates = events(engine, "estimates")
    assert [event["batch"] for event in estimates] == list(range(1, 9))
    key = "log_determinant_standard_error" if name == "determinant" else "expected_error"
    assert estimates[-1][key] == pytest.approx(estimates[1][key] / 2, rel=0.3)
    assert np.all(np.diff([event["shots"] for event in estimates]) > 0)
    (result,) = events(engine, "result")
    np.testing.assert_array_equal(result["matrix"], MATRIX)


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_matrix_of_one_entry_is_a_matrix(linear_board, engine, name):
    result = engine.run(PLANS[name](linear_board, matrix=[[2.5]], shots=2000, batches=2))
    if name == "determinant":
        assert result["log_determinant"] == pytest.approx(np.log(2.5))
    else:
        assert result["largest_deviation"] < 5


@pytest.mark.parametrize("name", sorted(PLANS))
def test_the_random_matrix_is_that_of_the_seed(linear_board, engine, name):
    for seed in (5, 5, 6):
        engine.run(PLANS[name](linear_board, size=3, condition=2.0, shots=20, batches=2, seed=seed))
    first, again, other = (result["matrix"] for result in events(engine, "result"))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_allclose(np.linalg.eigvalsh(first), [1.0, 1.5, 2.0])


@pytest.mark.parametrize("name", sorted(PLANS))
@pytest.mark.parametrize(
    "bad",
    [
        [[1.0, 2.0], [2.0, 1.0]],
        [[1.0, 0.1 + 1e-6], [0.1, 1.0]],
        [[1.0, np.nan], [np.nan, 1.0]],
        [[1.0, 1.0], [1.0, 1.0]],
        [[-1.0]],
        [1.0],
    ],
)
def test_a_matrix_that_cannot_be_held_is_refused_before_the_board_is_touched(board, name, bad):
    with pytest.raises(MatrixError, match=r"matrix: .*allowed"):
        next(PLANS[name](board, matrix=bad))
    assert board.log == []


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_matrix_of_more_rows_than_cells_is_refused_before_the_board_is_touched(board, name):
    board.cells.high = 8
    with pytest.raises(ArgumentError, match="cells: board refuses 9"):
        next(PLANS[name](board, matrix=np.eye(9), shots=20))
    assert board.log == []


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("invert_matrix", {"size": 0}, "size: 0"),
        ("invert_matrix", {"size": 257}, "size: 257"),
        ("invert_matrix", {"condition": 0.5}, "condition: 0.5"),
        ("invert_matrix", {"condition": 1e5}, "temperature: at 0.1 the softest direction"),
        ("invert_matrix", {"batches": 1}, "batches: 1"),
        ("matrix_exponential", {"time": 0.0}, "time: 0.0"),
        ("matrix_exponential", {"amplitude": 9.0}, "amplitude: 9.0"),
        ("matrix_exponential", {"observation_time": 0.1}, "observation_time: 0.1 is not allowed; at least"),
        ("determinant", {"stages": 64}, "stages: 64"),
    ],
)
def test_nonsense_is_refused_in_plain_words(board, name, arguments, words):
    with pytest.raises(ArgumentError, match=words) as refusal:
        next(PLANS[name](board, **arguments))
    assert "allowed" in str(refusal.value)
    assert board.log == []
