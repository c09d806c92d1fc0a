import subprocess
import sys

import numpy as np
import pytest

from protocols.arguments import ArgumentError
from protocols.readout import Readout
from protocols.tasks import CLASSIFICATIONS, classification, cosine, xor

SIZES = {"digits": (1437, 360, 64, 10), "iris": (100, 50, 4, 3), "xor": (4, 4, 2, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_inputs_are_within_the_full_scale_and_every_class_occurs(name):
    task = classification(name)
    assert (len(task.train), len(task.test), task.inputs, task.classes) == SIZES[name]
    for part in (task.train, task.test):
        assert np.abs(part.inputs).max() <= 1
        assert set(part.labels) == set(range(task.classes))


def test_the_digits_have_no_mean_and_are_split_in_the_same_way_each_time():
    one, other = classification("digits"), classification("digits")
    assert np.abs(one.train.inputs.mean(axis=0)).max() < 1e-12
    assert np.array_equal(one.test.inputs, other.test.inputs)
    shares = np.bincount(one.test.labels) / 360 - np.bincount(one.train.labels) / 1437
    assert np.abs(shares).max() < 0.003


def test_exclusive_or_is_true_where_the_inputs_differ():
    task = xor()
    assert ((task.train.inputs[:, 0] != task.train.inputs[:, 1]) == task.train.labels.astype(bool)).all()
    assert task.targets.ravel().tolist() == [-0.4, 0.4]


def test_the_cosine_is_sampled_from_one_end_to_the_other():
    z, target = cosine(5)
    assert z[:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert target == pytest.approx([1, 0, -1, 0, 1])


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match="allowed: digits, iris, xor"):
        classification("mnist")


def test_plans_are_listed_without_importing_them():
    code = "import sys, protocols; dir(protocols); print({'numpy', 'bluesky', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_outputs_name_the_class_of_the_nearest_target():
    readout = Readout(np.ones((1, 1)), xor().targets)
    outputs = readout.outputs([[-0.5], [0.1], [0.41]])
    probabilities = readout.probabilities(outputs)
    assert probabilities.argmax(axis=1).tolist() == [0, 1, 1]
    assert probabilities.sum(axis=1) == pytest.approx([1, 1, 1])
    assert readout.accuracy(outputs, np.array([0, 1, 0])) == pytest.approx(2 / 3)
    loss, error = readout.loss(outputs, np.array([0, 1, 0]))
    assert loss == pytest.approx([0.005, 0.045, 0.81**2 / 2])
    assert error.ravel() == pytest.approx([-0.1, -0.3, 0.81])
