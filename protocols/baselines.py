"""Conventional classifiers on the same examples, to judge a machine by."""

import time
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from bluesky.utils import Msg

from protocols.acquisition import Plan, save
from protocols.mnist import shifted
from protocols.randomness import stream
from protocols.record import Record
from protocols.tasks import Classification

PASSES = 100
"""Passes through the training examples, at most."""


def _logistic_regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=PASSES)


def _small_network() -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((32, 32, 32), max_iter=PASSES, random_state=0)


BASELINES: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {"logistic_regression": _logistic_regression, "network_32_32_32": _small_network}
)
"""Classifiers of scikit-learn with its own defaults, by name."""
MOVED = "network_32_32_32_shifted"
"""The same network on images that are moved by up to a pixel in every pass, as the machine learns from."""


def judge_baselines(data: Classification, record: Record) -> Plan[dict[str, dict[str, float]]]:
    """Train each baseline on the training examples, judge it on the test examples, and save one event of each.

    They run on one thread: at this size more of them only wait for each other.

    Parameters
    ----------
    data : Classification
        The task.
    record : Record
        The stream.

    Yields
    ------
    Msg

    Returns
    -------
    dict of str to dict
        ``test_accuracy`` and ``core_seconds``, the process CPU time of the training, by the name of the baseline.
    """
    judged: dict[str, dict[str, float]] = {}
    makers = {**BASELINES, **({MOVED: _small_network} if data.image else {})}
    for name, make in makers.items():
        classifier, seconds = make(), 0.0
        for number in range(PASSES if name == MOVED else 1):
            seconds += _learn(classifier, data, None if name != MOVED else number)
            yield Msg("checkpoint", None)
        accuracy = float(classifier.score(data.test.inputs, data.test.labels))
        judged[name] = {"test_accuracy": accuracy, "core_seconds": seconds}
        yield from save(record, baseline=name, **judged[name])
    return judged


def _learn(classifier: Any, data: Classification, number: int | None) -> float:
    """Train to the end, or with a number make that pass on images moved anew; return the CPU time of the process, s."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    began = time.process_time()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after so many passes the accuracy moves no more
        if number is None or data.image is None:
            classifier.fit(data.train.inputs, data.train.labels)
        else:
            images = shifted(data.train.inputs, data.image, stream(0, number))
            classifier.partial_fit(images, data.train.labels, classes=np.arange(data.classes))
    return time.process_time() - began
