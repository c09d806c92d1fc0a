import inspect

import numpy as np
import pytest

from twin.models.network import sample_network
from twin.models.network_pieces import cut_network

PROGRAMS, ROWS, CELLS = 3, 5, 4
CUT = {
    "couplings", "fields", "stiffness", "step", "slots", "rows", "trajectories", "first_trajectory", "state",
}  # fmt: skip
SHARED = {
    "temperature", "key", "first", "interval", "observations", "scheme", "noise", "rail", "read", "start", "cells",
    "done", "settling_time", "cancelled", "progress",
}  # fmt: skip


def arguments(**options):
    rng = np.random.default_rng(3)
    upper = np.triu(rng.normal(size=(PROGRAMS, CELLS, CELLS)), 1).astype(np.float32)
    given = {
        "couplings": upper + upper.swapaxes(1, 2),
        "fields": rng.normal(size=(PROGRAMS, ROWS, CELLS)).astype(np.float32),
        "stiffness": np.ones((PROGRAMS, CELLS, 3), np.float32),
        "temperature": 0.2,
        "trajectories": 70,
        "key": (5, 6),
        "first": 0.3,
        "step": np.array([0.02, 0.01, 0.03]),
    }
    bound = inspect.signature(sample_network).bind(**given | options)
    bound.apply_defaults()
    return bound.arguments


@pytest.mark.parametrize(
    ("options", "pieces", "expected"),
    [
        ({}, 1, 1),
        ({}, 3, 3),
        ({}, 7, 9),
        ({"slots": np.array([7, 8, 2]), "rows": np.array([3, 4, 0, 2, 9])}, 5, 6),
        ({"trajectories": 700, "first_trajectory": 11}, 40, 45),
        ({"observations": 3, "interval": 0.1}, 12, 12),
    ],
)
def test_pieces_are_together_what_the_whole_is(options, pieces, expected):
    call = arguments(**options)
    whole = sample_network(**call)
    together = np.full_like(whole, np.nan)
    cut = list(cut_network(call, pieces))
    for piece in cut:
        assert np.isnan(together[piece.where]).all()
        together[piece.where] = sample_network(**piece.arguments)
    np.testing.assert_array_equal(together, whole)
    assert len(cut) == expected


def test_where_trajectories_are_is_carried_on_piece_by_piece():
    states = [np.random.default_rng(1).normal(size=(PROGRAMS, ROWS * 70, CELLS)).astype(np.float32) for _ in range(2)]
    sample_network(**arguments(state=states[0]))
    for piece in cut_network(arguments(state=states[1]), 20):
        before = piece.arguments["state"].copy()
        np.testing.assert_array_equal(before.reshape(piece.changed["state"].shape), piece.changed["state"])
        sample_network(**piece.arguments)
        piece.changed["state"][...] = piece.arguments["state"].reshape(piece.changed["state"].shape)
    np.testing.assert_array_equal(states[0], states[1])


@pytest.mark.parametrize(("trajectories", "pieces", "expected"), [(1, 8, 1), (64, 8, 8), (1000, 8, 8), (100, 100, 100)])
def test_a_single_program_is_cut_only_as_far_as_trajectories_run_side_by_side(trajectories, pieces, expected):
    call = arguments(trajectories=trajectories)
    one = {**call, "couplings": call["couplings"][:1], "fields": np.zeros((1, 128, CELLS), np.float32), "step": 0.02}
    assert len(list(cut_network(one, pieces))) == (expected if trajectories > 1 else 2)


def test_the_cut_knows_every_argument_of_a_call():
    assert set(inspect.signature(sample_network).parameters) == CUT | SHARED
