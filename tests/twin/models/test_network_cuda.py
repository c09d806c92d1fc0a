import inspect
import itertools
import sys

import numpy as np
import pytest

from twin import compute
from twin.compute import GpuError, MissingExtraError
from twin.models import network, network_cuda
from twin.models.network_cuda import Timetable


def timetable(cells=3):
    return Timetable(
        np.array([5, 8]), np.array([0.02, 0.0125]), np.array([3, 4]), np.array([0.02, 0.015]), np.array([1, 3]), cells
    )


def test_a_gpu_takes_the_arguments_that_threads_take():
    assert list(inspect.signature(network_cuda.sample_network).parameters) == list(
        inspect.signature(network.sample_network).parameters
    )


def test_launches_take_every_step_once_and_end_at_every_observation(monkeypatch):
    monkeypatch.setattr(network_cuda, "LAUNCH", 200.0)
    spans = list(timetable().spans(done=0, observations=3, trajectories=10))
    for number in range(3):
        launches = [span for span in spans if span.observation == number]
        assert len(launches) > 1
        steps = launches[0].steps
        np.testing.assert_array_equal(launches[0].begins, [0, 0])
        np.testing.assert_array_equal(launches[-1].ends, steps)
        for before, after in itertools.pairwise(launches):
            np.testing.assert_array_equal(before.ends, after.begins)


def test_what_is_done_is_where_a_series_goes_on():
    whole = list(timetable().spans(done=0, observations=5, trajectories=1))
    rest = list(timetable().spans(done=2, observations=3, trajectories=1))
    for one, other in zip(whole[2:], rest, strict=True):
        np.testing.assert_allclose(one.times, other.times)
        np.testing.assert_array_equal(one.drawn, other.drawn)
        assert one.observation == other.observation + 2


def test_classes_draw_as_often_as_they_are_visited():
    second = next(timetable().spans(done=1, observations=1, trajectories=1))
    assert second.drawn[0, 0] == 5
    assert second.drawn[1].tolist() == [9, 16, 8]
    np.testing.assert_allclose(second.times, [0.1, 0.1])


def test_a_trajectory_longer_than_its_noise_is_refused():
    arrays = np.zeros((1, 2, 2)), np.zeros((1, 1, 2)), np.ones((1, 2, 3)), 0.1
    call = inspect.signature(network.sample_network).bind(*arrays, trajectories=1, key=(1, 2), first=1e10)
    call.apply_defaults()
    with pytest.raises(ValueError, match="longer than its noise"):
        network_cuda.sample_network(**call.arguments)


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    pytest.importorskip("numba_cuda")
    monkeypatch.setattr("numba.cuda.is_available", lambda: False)
    with pytest.raises(GpuError, match="no GPU"):
        compute.open_executor("gpu")


def test_a_gpu_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    monkeypatch.setattr("twin.gpu.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'szilard\[cuda\]'"):
        compute.open_executor("gpu")
