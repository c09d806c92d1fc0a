"""Transitions of linear networks against SciPy's matrix functions and closed forms."""

import math

import numpy as np
import pytest
from scipy.linalg import expm, solve, solve_continuous_lyapunov

from twin.kernels.ornstein_uhlenbeck import factorise, multiply, prolong, propagate

NO_SLOPE = np.zeros((6, 0))


def drift(kind, n=6):
    rng = np.random.default_rng(4)
    couplings = np.triu(0.4 * rng.normal(size=(n, n)), 1)
    turning = np.triu(1.5 * rng.normal(size=(n, n)), 1)
    symmetric = couplings + couplings.T + np.diag(rng.uniform(2, 5, n))
    return {
        "symmetric": symmetric,
        "turning": symmetric + turning - turning.T,
        "free": np.zeros((n, n)),
        "unstable": symmetric - 3 * np.eye(n),
    }[kind]


def covariance_by_quadrature(A, kT, time):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    times = time / 2 * (nodes + 1)
    decays = [expm(-A * s) for s in times]
    return sum(w * time / 2 * (d * 2 * kT) @ d.T for w, d in zip(weights, decays, strict=True))


@pytest.mark.parametrize("kind", ["symmetric", "turning", "free", "unstable"])
@pytest.mark.parametrize("time", [1e-3, 0.4, 3.0])
def test_a_transition_agrees_with_matrix_exponentials_and_their_integrals(kind, time):
    A, kT = drift(kind), np.array([0.0, 0.1, 0.1, 0.3, 1.0, 4.0])
    decay, response, covariance, _reach = propagate(A, kT, time, NO_SLOPE)
    augmented = np.block([[-A, np.eye(6)], [np.zeros((6, 12))]])
    np.testing.assert_allclose(decay, expm(-A * time), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(response, expm(augmented * time)[:6, 6:], rtol=1e-11, atol=1e-13)
    expected = covariance_by_quadrature(A, kT, time)
    np.testing.assert_allclose(covariance, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["symmetric", "turning"])
def test_after_a_long_time_the_start_is_forgotten(kind):
    A, kT = drift(kind), np.array([0.2, 0.1, 0.1, 0.3, 1.0, 4.0])
    decay, response, covariance, _reach = propagate(A, kT, 1e6, NO_SLOPE)
    assert np.abs(decay).max() < 1e-17
    np.testing.assert_allclose(response, np.linalg.inv(A), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(covariance, solve_continuous_lyapunov(A, 2 * np.diag(kT)), rtol=1e-10, atol=1e-14)


def test_a_transition_is_prolonged_to_that_of_a_longer_time():
    A, kT = drift("turning"), np.full(6, 0.3)
    slopes = np.random.default_rng(1).normal(size=(6, 2))
    short, long = propagate(A, kT, 0.05, slopes), propagate(A, kT, 0.4, slopes)
    prolong(*short, slopes, 3)
    for prolonged, expected in zip(short[:3], long[:3], strict=True):
        np.testing.assert_allclose(prolonged, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", ["symmetric", "turning", "free", "unstable"])
def test_the_mean_gets_no_farther_than_its_bound_which_is_not_far_off(kind):
    A, slopes = drift(kind), np.random.default_rng(2).normal(size=(6, 5))
    augmented = np.block([[-A, np.eye(6)], [np.zeros((6, 12))]])
    *_, reach = propagate(A, np.zeros(6), 2.0, slopes)
    farthest = np.max([np.abs(expm(augmented * t)[:6, 6:] @ slopes) for t in np.linspace(0, 2, 201)], axis=0)
    assert (farthest <= reach * (1 + 1e-12)).all()
    assert (reach.max(axis=0) < 4 * farthest.max(axis=0)).all()


def test_an_unstable_transition_over_a_long_time_is_never_mistaken_for_a_small_one():
    *_, covariance, reach = propagate(drift("unstable"), np.ones(6), 1e5, np.ones((6, 1)))
    assert not (np.diagonal(covariance) < 1e6).all()
    assert not (reach < 1e6).all()


def test_a_covariance_is_factorised_even_if_some_cells_are_still():
    covariance = np.array([[0.0, 0, 0, 0], [0, 4.0, 2.0, 2.0], [0, 2.0, 1.0, 1.0], [0, 2.0, 1.0, 2.0]])
    root = factorise(covariance)
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-15)
    assert not np.triu(root, 1).any()


def test_a_column_of_a_product_does_not_depend_on_the_others():
    a, b = np.random.default_rng(0).normal(size=(2, 9, 9))
    whole = multiply(a, b)
    np.testing.assert_allclose(whole, a @ b, rtol=1e-12, atol=1e-14)
    for k in range(9):
        np.testing.assert_array_equal(multiply(a, b[:, k : k + 1].copy())[:, 0], whole[:, k])


def test_the_inverse_is_accurate_for_a_network_as_large_as_the_board():
    rng = np.random.default_rng(3)
    couplings = np.triu(rng.normal(size=(256, 256)) / 16, 1)
    A = couplings + couplings.T + 3 * np.eye(256)
    _decay, response, covariance, _reach = propagate(A, np.ones(256), 80.0, np.zeros((256, 0)))
    exact = solve(A, np.eye(256), assume_a="pos")
    assert np.abs(response - exact).max() < 1e-12
    assert np.linalg.norm(covariance - exact) < 1e-12 * math.sqrt(256) * np.linalg.norm(exact)
