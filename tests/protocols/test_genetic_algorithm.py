import numpy as np
import pytest

from protocols.genetic_algorithm import (
    classification_loss,
    function_loss,
    initial_population,
    is_stagnant,
    mutate,
    mutation_scale,
    select,
    shrinkage,
)


def test_the_first_population_is_normal_with_the_given_spread():
    population = initial_population(np.random.default_rng(0), 200, 500, 0.1)
    assert population.shape == (200, 500)
    assert abs(population.mean()) < 5 * 0.1 / np.sqrt(population.size)
    assert abs(population.std() / 0.1 - 1) < 5 / np.sqrt(2 * population.size)


def test_the_best_are_selected_best_first_and_lost_machines_last():
    losses = [np.nan, 0.3, np.inf, 0.1, 0.2, 0.1]
    assert select(losses, 4).tolist() == [3, 5, 4, 1]
    assert set(select([np.nan, np.inf, np.nan], 2)) <= {0, 1, 2}


def test_children_descend_from_the_parents_in_turn_and_all_differ_from_them():
    parents = np.arange(3.0)[:, np.newaxis] * np.ones(4)
    children = mutate(np.random.default_rng(0), parents, 8, np.full(4, 1e-3))
    assert np.round(children[:, 0]).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert np.all(children != parents[np.arange(8) % 3])


def test_mutations_have_the_spread_of_the_fan_in():
    fan_in = np.array([1.0, 4.0, 9.0, 16.0])
    scale = mutation_scale(fan_in, 0.1)
    assert scale == pytest.approx([0.1, 0.05, 0.1 / 3, 0.025])
    steps = mutate(np.random.default_rng(1), np.zeros((5, 4)), 50_000, scale)
    assert np.all(np.abs(steps.std(axis=0) / scale - 1) < 5 / np.sqrt(2 * len(steps)))
    assert np.all(np.abs(steps.mean(axis=0)) < 5 * scale / np.sqrt(len(steps)))
    correlation = np.corrcoef(steps.T) - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(steps))


def test_equal_generators_give_equal_children():
    draws = [mutate(np.random.default_rng(7), np.zeros((2, 3)), 5, np.ones(3)) for _ in range(2)]
    assert np.array_equal(*draws)


def test_the_loss_of_a_function_is_the_mean_squared_distance():
    assert function_loss([[1.0, 0.0], [0.0, 0.0]], [0.0, 2.0]) == pytest.approx([2.5, 2.0])


def test_a_machine_that_does_nothing_has_the_loss_of_the_plateau():
    target = np.cos(2 * np.pi * np.arange(250) / 249)
    assert function_loss(np.zeros((1, 250)), target) == pytest.approx([0.502], abs=1e-6)


def test_the_loss_of_a_classification_is_the_mean_cross_entropy():
    logits = np.log([[[0.7, 0.3], [0.2, 0.8]]])
    assert classification_loss(logits, [0, 0]) == pytest.approx([-(np.log(0.7) + np.log(0.2)) / 2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_machine_whose_output_is_not_finite_has_an_infinite_loss(bad):
    assert function_loss([[bad, 0.0], [0.0, 0.0]], [0.0, 0.0]).tolist() == [np.inf, 0.0]
    assert classification_loss([[[bad, 0.0]], [[0.0, 0.0]]], [1])[0] == np.inf


@pytest.mark.parametrize(
    ("loss", "first_loss", "factor"),
    [
        (0.125, 0.5, 0.5),
        (0.5, 0.5, 1),
        (2.0, 0.5, 1),
        (np.inf, 0.5, 1),
        (0.1, np.inf, 1),
        (np.inf, np.inf, 1),
        (0, 0.5, 0),
    ],
)
def test_mutations_shrink_with_the_root_of_the_loss(loss, first_loss, factor):
    assert shrinkage(loss, first_loss) == factor


def test_a_population_stagnates_when_it_has_not_learnt_within_its_patience():
    plateau = [0.5] * 100
    assert is_stagnant(plateau, 100)
    assert not is_stagnant(plateau, 101)
    assert is_stagnant([0.5] * 99 + [0.1], 100)
    assert not is_stagnant([0.5] * 50 + [0.1] * 50, 100)
    assert is_stagnant([0.5] * 99 + [np.inf], 100)
