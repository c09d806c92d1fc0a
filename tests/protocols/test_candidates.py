import numpy as np
import pytest

from protocols.acquisition import configure, recorded
from protocols.candidates import LARGEST_ACTIVITY, judge_candidates
from protocols.networks import Network

NETWORK = Network(1, (2, 2), 1)
INPUTS = np.linspace(0, 1, 3)[:, np.newaxis]


@pytest.fixture
def candidates():
    return np.random.default_rng(3).normal(0, 0.5, (5, NETWORK.size))


@pytest.fixture
def boards(board):
    return [board, type(board)("board_2"), type(board)("board_3")]


def judge(boards, candidates, **settings):
    def body():
        for board in boards:
            yield from configure(board, cells=NETWORK.cells, inputs=1, shots=20, readout="statistics")
        return (
            yield from judge_candidates(
                boards, NETWORK, candidates, rows=len(INPUTS), noise_seed=9, input_table=INPUTS, **settings
            )
        )

    return recorded(boards, "judge", {}, body())


def test_the_output_is_that_of_the_last_layer_weighed_by_the_read_out(board, candidates, engine):
    judged = engine.run(judge([board], candidates))
    weights = candidates[:, np.newaxis, -2:]
    assert judged.outputs.shape == (5, 3, 1)
    np.testing.assert_allclose(judged.outputs[..., 0], (board.mean.get()[..., 2:] * weights).sum(axis=-1))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_several_boards_give_what_one_gives(boards, candidates, engine, count):
    alone = engine.run(judge([type(boards[0])()], candidates))
    shared = engine.run(judge(boards[:count], candidates))
    np.testing.assert_array_equal(shared.outputs, alone.outputs)
    np.testing.assert_array_equal(shared.free, alone.free)
    assert shared.board_seconds == pytest.approx(alone.board_seconds)


def test_a_candidate_keeps_its_slot_on_whichever_board_it_is(boards, candidates, engine):
    engine.run(judge(boards[:2], candidates))
    assert [list(board.programs.get()) for board in boards[:2]] == [[0, 1, 2], [3, 4]]


def test_all_boards_are_running_before_any_is_waited_for(boards, candidates):
    plan = judge_candidates(boards, NETWORK, candidates, rows=3, noise_seed=9)
    commands, sent = [], None
    while not commands or commands[-2:] != ["trigger", "wait"]:
        commands.append(plan.send(sent).command)
    assert commands == ["checkpoint", *["set"] * 3 * len(boards), "wait", *["trigger"] * len(boards), "wait"]


def test_boards_without_a_candidate_are_left_alone(boards, candidates, engine):
    engine.run(judge(boards, candidates[:2]))
    assert "trigger" not in [name for name, _ in boards[2].log]


def test_a_machine_on_the_rails_is_not_free(board, candidates, engine):
    acquire = board._acquire

    def clip():
        acquire()
        board.mean.value[1, 2, 0] = LARGEST_ACTIVITY + 0.1

    board._acquire = clip
    assert engine.run(judge([board], candidates)).free.tolist() == [True, False, True, True, True]
