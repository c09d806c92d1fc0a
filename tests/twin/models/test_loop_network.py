import inspect

import numpy as np
import pytest

from twin import compute
from twin.models.loop_network import sample_loops
from twin.models.network_pieces import cut_network


@pytest.fixture(autouse=True)
def _threads_restored():
    before = compute.threads()
    yield
    compute.set_threads(before)


def arrays():
    rng = np.random.default_rng(3)
    upper = np.triu(rng.normal(size=(4, 6, 6)), 1)
    return upper + upper.swapaxes(1, 2), rng.normal(size=(4, 3, 6)), np.ones((4, 6, 3))


def loops(*programs, **options):
    arguments = {"mass": 0.1, "trajectories": 50, "key": (5, 6), "first": 0.5, "interval": 0.3, "observations": 2}
    return sample_loops(*(programs or arrays()), 0.2, **arguments | options)


def test_samples_have_the_shape_that_was_asked_for():
    samples = loops(read=[1, 4])
    assert samples.shape == (4, 3, 50, 2, 2)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, loops()[..., [1, 4]])


@pytest.mark.parametrize("count", [2, 3])
def test_samples_do_not_depend_on_the_number_of_threads(count):
    compute.set_threads(1)
    one = loops()
    compute.set_threads(count)
    np.testing.assert_array_equal(loops(), one)


def test_a_trajectory_does_not_depend_on_what_runs_beside_it():
    couplings, fields, stiffness = arrays()
    alone = loops(
        couplings[2:3], fields[2:3, 1:2], stiffness[2:3], trajectories=3, slots=[2], rows=[1], first_trajectory=17
    )
    np.testing.assert_array_equal(alone[0, 0], loops()[2, 1, 17:20])


def test_a_series_that_is_cut_goes_on_as_if_it_were_not():
    whole = loops(observations=9, settling_time=0.3)
    state, parts, done = np.zeros((4, 150, 12), np.float32), [], 0
    for observations in (1, 5, 3):
        parts.append(loops(observations=observations, state=state, done=done, settling_time=0.3))
        done += observations
    np.testing.assert_array_equal(np.concatenate(parts, axis=3), whole)


@pytest.mark.parametrize("done", [0, 2])
def test_pieces_are_together_what_the_whole_is_and_carry_on_its_state(done):
    programs = dict(zip(("couplings", "fields", "stiffness"), arrays(), strict=True))
    state = np.random.default_rng(1).normal(size=(4, 150, 12)).astype(np.float32)
    given = {"temperature": 0.2, "mass": 0.1, "trajectories": 50, "key": (5, 6), "first": 0.5, "done": done}
    call = inspect.signature(sample_loops).bind(**programs, **given, state=state)
    call.apply_defaults()
    pieces = list(cut_network(call.arguments, 9))
    assert len(pieces) > 4
    moved = state.copy()
    whole = sample_loops(**call.arguments | {"state": moved})
    for piece in pieces:
        np.testing.assert_array_equal(sample_loops(**piece.arguments), whole[piece.where])
        piece.changed["state"][:] = piece.arguments["state"].reshape(piece.changed["state"].shape)
    np.testing.assert_array_equal(state, moved)
    assert (state != 0).all()


def test_keys_programs_rows_trajectories_and_loops_each_have_their_own_noise():
    still = np.zeros((2, 3, 3)), np.zeros((2, 2, 3)), np.ones((2, 3, 3))
    samples = loops(*still, trajectories=20)
    assert len(np.unique(samples)) == samples.size
    assert not (loops(*still, trajectories=20, key=(5, 7)) == samples).any()


def test_a_trajectory_longer_than_its_noise_is_refused():
    with pytest.raises(ValueError, match="noise"):
        loops(first=1e10)
