"""What the whole stack computes of matrices, against NumPy within five standard errors."""

import math

import numpy as np
import pytest

from protocols import determinant, invert_matrix, matrix_exponential

MATRIX = np.array([[30.0, 9.0, -4.5], [9.0, 22.5, 6.0], [-4.5, 6.0, 15.0]])
SEED = 4


@pytest.fixture
def measure(opened):
    """Run a plan on the board and return what it returns."""
    session = opened("board")

    def run(plan, **arguments):
        return session.run(plan(session.station["board"], **arguments))

    return run


@pytest.mark.parametrize("sampling", ["serial", "reset"])
def test_a_board_inverts_a_matrix_within_its_errors(measure, sampling):
    result = measure(invert_matrix, matrix=MATRIX, sampling=sampling, shots=20_000, batches=5, seed=SEED)
    deviation = np.array(result["inverse"]) - np.linalg.inv(MATRIX)
    assert (np.abs(deviation) < 5 * np.array(result["inverse_standard_error"])).all()
    assert result["board_seconds"] > 0


@pytest.mark.parametrize(("shots", "published"), [(1000, 0.078), (10_000, 0.026), (100_000, 0.0106)])
def test_the_error_of_an_inverse_falls_as_published(measure, shots, published):
    """Eight cells with eigenvalues from 1 to 3.8; scatter of the Frobenius norm of one inverse is about a quarter."""
    result = measure(invert_matrix, condition=3.8, sampling="reset", shots=shots, seed=SEED)
    assert result["expected_error"] < 1.15 * published
    assert result["relative_error"] < 2 * result["expected_error"]


@pytest.mark.parametrize(("sampling", "published"), [("serial", 0.12), ("reset", 0.12)])
def test_a_board_finds_the_exponential_of_a_matrix_within_its_errors(measure, sampling, published):
    result = measure(matrix_exponential, condition=3.8, sampling=sampling, shots=10_000, batches=5, seed=SEED)
    assert result["largest_deviation"] < 5
    assert result["expected_error"] < 1.2 * published
    assert result["relative_error"] < 1.5 * result["expected_error"]


def test_displacements_larger_than_the_noise_find_the_exponential_more_precisely(measure):
    small, large = (
        measure(
            matrix_exponential, matrix=MATRIX, time=0.05, sampling="reset", shots=6000, amplitude=amplitude, seed=SEED
        )
        for amplitude in (0.5, 4.0)
    )
    assert large["largest_deviation"] < 5
    assert large["expected_error"] == pytest.approx(small["expected_error"] / 8, rel=0.05)


@pytest.mark.parametrize("sampling", ["serial", "reset"])
def test_the_work_of_switching_a_matrix_on_gives_its_determinant(measure, sampling):
    result = measure(determinant, matrix=MATRIX, stages=6, sampling=sampling, shots=4000, batches=4, seed=SEED)
    assert result["exact"] == pytest.approx(np.linalg.slogdet(MATRIX)[1])
    for name in ("log_determinant", "jarzynski_forward", "jarzynski_reverse"):
        assert abs(result[name] - result["exact"]) < 5 * result[f"{name}_standard_error"]
    assert result["lower_bound"] < result["exact"] < result["upper_bound"]
    assert result["dissipated_work"] > 0


@pytest.mark.slow
def test_errors_are_the_scatter_over_seeds(measure):
    plans = {
        "inverse": (invert_matrix, {"sampling": "serial"}),
        "exponential": (matrix_exponential, {"sampling": "serial", "time": 0.05}),
    }
    for name, (plan, arguments) in plans.items():
        squares = []
        for seed in range(6):
            result = measure(plan, matrix=MATRIX, shots=2000, batches=10, seed=seed, **arguments)
            exact = np.linalg.inv(MATRIX) if name == "inverse" else None
            if exact is None:
                values, vectors = np.linalg.eigh(MATRIX)
                exact = vectors * np.exp(-0.05 * values) @ vectors.T
            deviations = (np.array(result[name]) - exact) / result[f"{name}_standard_error"]
            squares += np.square(deviations[np.triu_indices(3)]).tolist()
        assert np.mean(squares) == pytest.approx(1.0, abs=5 * math.sqrt(2 / len(squares)))


@pytest.mark.parametrize("bits", [8])
def test_couplings_of_few_bits_invert_what_the_board_holds(opened, bits):
    session = opened("board", options=f"[bench.board.imperfections]\ncoupling_bits = {bits}\n")
    result = session.run(
        invert_matrix(session.station["board"], matrix=MATRIX, sampling="reset", shots=100_000, seed=SEED)
    )
    scale = 7.5 / MATRIX.max()
    held = np.round(scale * MATRIX * 2 ** (bits - 1) / 8) * 8 / 2 ** (bits - 1)
    np.fill_diagonal(held, scale * np.diagonal(MATRIX))
    deviations = np.array(result["inverse"]) - np.linalg.inv(held / scale)
    assert (np.abs(deviations) < 5 * np.array(result["inverse_standard_error"])).all()
