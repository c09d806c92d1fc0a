from dataclasses import replace

import numpy as np
import pytest

from protocols.baselines import judge_baselines
from protocols.record import Record
from protocols.tasks import Classification, Examples, classification


def judged(data):
    messages, count = judge_baselines(data, Record("baselines")), 0
    while True:
        try:
            next(messages)
            count += 1
        except StopIteration as end:
            return end.value, count


@pytest.mark.slow
def test_classifiers_are_judged_on_examples_they_have_not_seen():
    data = classification("iris")
    results, _ = judged(data)
    assert set(results) == {"logistic_regression", "network_32_32_32"}
    for result in results.values():
        assert result["test_accuracy"] > 0.85
        assert 0 < result["core_seconds"] < 60
    wrong = Examples(data.test.inputs, (data.test.labels + 1) % 3)
    assert all(result["test_accuracy"] < 0.15 for result in judged(replace(data, test=wrong))[0].values())


@pytest.mark.slow
def test_images_are_also_learnt_from_where_they_are_moved_to():
    generator = np.random.default_rng(4)
    labels = np.arange(300) % 2
    images = np.zeros((300, 8, 8))
    images[:, 3:5] = (1 - labels)[:, np.newaxis, np.newaxis]
    images[:, :, 3:5] += labels[:, np.newaxis, np.newaxis]
    images = np.clip(images + 0.1 * generator.normal(size=images.shape), -1, 1).reshape(300, 64)
    moved = np.roll(images.reshape(-1, 8, 8), (1, 1), axis=(1, 2)).reshape(300, 64)
    data = Classification("bars", Examples(images, labels), Examples(moved, labels), 2, image=(8, 8))
    results, messages = judged(data)
    assert results["network_32_32_32_shifted"]["test_accuracy"] == 1.0
    assert messages > 100
