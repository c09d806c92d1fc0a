"""What is promised of the addresses of the noise; the laws are tested on the models."""

import numpy as np
import pytest

from twin.kernels.markov_switch import Drive, Paths, driven_paths, dwell_ends, stepped_paths

KEY = (61, 62)
INITIAL = np.ones(30, np.int8)
DRIVE = Drive(np.array([0.0, 1.0]), np.array([-1.0, 2.0]), (1.0, 3.0), (4.0, -3.0), True, 0.5, 5.0, True)


def driven(begin, end):
    paths = Paths(np.zeros((30, 2), np.int8), *np.zeros((2, 30), np.int64), *np.zeros((2, 30)))
    driven_paths(begin, end, INITIAL, DRIVE, np.array([0.4, 1.5]), *KEY, paths)
    return np.column_stack([*paths])


def dwelling(begin, end):
    times, counts = np.zeros((30, 4)), np.zeros(30, np.int64)
    dwell_ends(begin, end, INITIAL, 1.0, 2.0, 3.0, *KEY, times, counts)
    return np.column_stack([times, counts])


def stepped(begin, end):
    states = np.zeros((30, 5), np.int8)
    stepped_paths(begin, end, INITIAL, np.linspace(0.1, 0.9, 5), np.full(5, 0.3), *KEY, states)
    return states


@pytest.mark.parametrize("run", [driven, dwelling, stepped])
def test_a_trajectory_does_not_depend_on_what_runs_beside_it(run):
    whole = run(0, 30)
    np.testing.assert_array_equal(run(0, 7) + run(7, 30), whole)
    assert len(np.unique(whole, axis=0)) > 5


def test_jumps_for_which_there_is_no_room_are_counted():
    times, counts = np.zeros((30, 1)), np.zeros(30, np.int64)
    dwell_ends(0, 30, INITIAL, 1.0, 2.0, 3.0, *KEY, times, counts)
    np.testing.assert_array_equal(counts, dwelling(0, 30)[:, -1])
    assert counts.max() > 1
