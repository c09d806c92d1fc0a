import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.arguments import ArgumentError
from protocols.matrices import (
    STIFFEST,
    HeldMatrix,
    MatrixError,
    energy_program,
    positive_definite,
    random_positive_definite,
)
from protocols.randomness import stream

SIZES = st.integers(1, 12)
SEEDS = st.integers(0, 2**32 - 1)


def some(size, seed, condition=5.0):
    return random_positive_definite(size, condition, stream(seed))


def spoilt(matrix, index, value):
    changed = matrix.copy()
    changed[index] = value
    return changed


def test_a_random_matrix_has_the_eigenvalues_of_its_condition_number():
    np.testing.assert_allclose(np.linalg.eigvalsh(some(6, 1, 11.0)), [1, 3, 5, 7, 9, 11])
    assert some(1, 1).tolist() == [[1.0]]
    assert not np.allclose(some(4, 1), some(4, 2))


@given(SIZES, SEEDS)
def test_a_good_matrix_is_taken_as_it_is(size, seed):
    matrix = some(size, seed)
    taken = positive_definite("matrix", matrix.tolist())
    np.testing.assert_array_equal(taken, matrix)
    assert not taken.flags.writeable


@given(SIZES, SEEDS, st.sampled_from([np.nan, np.inf, -np.inf]), st.data())
def test_an_entry_that_is_no_number_is_named(size, seed, value, data):
    row, column = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    with pytest.raises(MatrixError, match=rf"matrix: entry \[{row}, {column}\] is (nan|-?inf); finite .* allowed"):
        positive_definite("matrix", spoilt(some(size, seed), (row, column), value))


@given(st.integers(2, 12), SEEDS, st.floats(1e-6, 10.0), st.data())
def test_an_asymmetry_is_found_where_it_is(size, seed, difference, data):
    row = data.draw(st.integers(0, size - 2))
    column = data.draw(st.integers(row + 1, size - 1))
    matrix = some(size, seed)
    matrix = spoilt(matrix, (row, column), matrix[row, column] + difference)
    with pytest.raises(MatrixError, match=rf"not symmetric at \[{row}, {column}\], .* and .*; symmetric is allowed"):
        positive_definite("matrix", matrix)


def test_an_asymmetry_of_rounding_is_evened_out():
    taken = positive_definite("matrix", [[1.0, 0.1 + 1e-12], [0.1, 1.0]])
    assert taken[0, 1] == taken[1, 0]


@given(SIZES, SEEDS, st.floats(0.0, 3.0))
def test_a_matrix_without_a_positive_smallest_eigenvalue_is_refused(size, seed, below):
    matrix = some(size, seed) - (1.0 + below) * np.eye(size)
    with pytest.raises(MatrixError, match=r"not positive definite, its smallest eigenvalue is .*; ones above 0"):
        positive_definite("matrix", matrix)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (3.0, r"shape \(\)"),
        ([1.0, 2.0], r"shape \(2,\)"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
        ([], r"shape \(0,\)"),
        (np.zeros((0, 0)), r"shape \(0, 0\)"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([[1.0, 2.0], [3.0]], "not a matrix of numbers"),
        ("a word", "not a matrix of numbers"),
        ([[1e308, 1e308], [1e308, 1.5e308]], r"largest entry is 1.5e\+308; from 1e-150 to 1e\+150"),
        ([[1e-320]], "largest entry is 9.99989e-321"),
        ([[1.0, "x"], ["x", 1.0]], "not a matrix of numbers"),
        (np.zeros((3, 3)), "smallest eigenvalue is 0"),
        (np.ones((3, 3)), "not positive definite"),
        ([[-1.0]], "smallest eigenvalue is -1"),
        ([[0.0]], "smallest eigenvalue is 0"),
    ],
)
def test_what_is_no_square_matrix_is_refused_in_plain_words(values, words):
    with pytest.raises(MatrixError, match=words) as refusal:
        positive_definite("matrix", values)
    assert "allowed" in str(refusal.value)
    assert isinstance(refusal.value, ArgumentError)


@given(SIZES, SEEDS)
def test_a_program_has_the_energy_of_the_quadratic_form(size, seed):
    matrix, x = some(size, seed), stream(seed, 1).standard_normal(size)
    program = energy_program(matrix)
    energy = program.quadratic @ x**2 + x @ np.triu(program.couplings, 1) @ x
    assert energy == pytest.approx(x @ matrix @ x / 2)


@given(SIZES, SEEDS, st.floats(1e-6, 1e6))
def test_a_held_matrix_fits_the_full_scale_whatever_its_size(size, seed, scale):
    held = HeldMatrix.stiffest(scale * some(size, seed))
    program = energy_program(held.entries)
    assert 2 * program.quadratic.max() == pytest.approx(STIFFEST)
    assert np.abs(program.couplings).max() < STIFFEST
    assert held.relaxation_time == pytest.approx(1 / np.linalg.eigvalsh(held.entries)[0])


def test_the_exponential_is_that_of_the_power_series():
    matrix = some(5, 3)
    term, total = np.eye(5), np.eye(5)
    for order in range(1, 40):
        term = term @ (-0.7 * matrix) / order
        total = total + term
    np.testing.assert_allclose(HeldMatrix(matrix, 1.0).exponential(0.7), total, atol=1e-13)


def test_a_temperature_at_which_states_reach_the_rails_is_refused():
    held = HeldMatrix.stiffest(np.diag([1.0, 1e-3]))
    held.check_spread(0.07)
    with pytest.raises(
        ArgumentError, match=r"temperature: at 0.1 .* spreads by 3.65 model units.*up to 0.0768 is allowed"
    ):
        held.check_spread(0.1)
