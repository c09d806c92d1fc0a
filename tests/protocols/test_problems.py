import numpy as np

from protocols.problems import Problem
from protocols.tasks import xor


def test_a_batch_of_examples_is_drawn_without_repetition_and_no_larger_than_there_are():
    problem = Problem("xor", xor())
    inputs, labels = problem.batch(np.random.default_rng(0), 100)
    assert sorted(map(tuple, inputs)) == sorted(map(tuple, problem.data.train.inputs))
    assert (inputs.prod(axis=1) < 0).astype(int).tolist() == labels.tolist()
    assert len(problem.batch(np.random.default_rng(0), 3)[0]) == 3


def test_a_batch_of_a_function_is_a_grid_whatever_is_drawn():
    one, other = (Problem("cosine", None).batch(np.random.default_rng(seed), 5) for seed in (0, 1))
    assert one[0][:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_array_equal(one[1], other[1])
