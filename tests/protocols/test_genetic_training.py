import numpy as np
import pytest

from protocols import train_genetic
from protocols.arguments import ArgumentError
from protocols.candidates import LARGEST_ACTIVITY

SHORT = {"population": 10, "parents": 2, "inputs": 4, "shots": 8, "final_shots": 16, "observation_time": 0.5}


def events(documents, stream):
    uid = next(d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream)
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] == uid]


@pytest.mark.slow
def test_a_small_population_learns_to_tell_flowers_apart(board, engine):
    plan = train_genetic(board, task="iris", layers=(4,), generations=60, inputs=30, shots=8, population=30)
    result = engine.run(plan)
    assert np.mean(result["loss"][-5:]) < 0.5 * np.mean(result["loss"][:5])
    assert result["test_accuracy"] > 0.8


def test_a_generation_is_one_run_of_the_board(board, engine):
    result = engine.run(train_genetic(board, generations=4, **SHORT))
    assert [name for name, _ in board.log].count("trigger") == 4 + 2
    sizes = [len(value) for name, value in board.log if name == "programs"]
    assert sizes == [10, 10, 10, 10, 8, 1]
    assert len(result["loss"]) == result["generations"] == 4
    assert result["shots"] == 8
    assert result["samples"] == 4 * 10 * 4 * 8 + 8 * 250 * 8 + 250 * 16
    assert result["final_loss"] > 0


def test_the_grid_of_inputs_is_sent_once_for_the_training_and_once_for_the_judgement(board, engine):
    engine.run(train_genetic(board, generations=3, **SHORT))
    tables = [value for name, value in board.log if name == "input_table"]
    assert [len(table) for table in tables] == [4, 250]
    assert tables[0][:, 0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_parents_of_every_generation_are_recorded_and_their_children_run_next(board, engine):
    engine.run(train_genetic(board, generations=3, mutation=1e-9, shrink=False, **SHORT))
    generations = events(engine.documents, "learning")
    assert [event["generation"] for event in generations] == [1, 2, 3]
    programs = [value for name, value in board.log if name == "programs"]
    for event, children in zip(generations, programs[1:3], strict=False):
        assert event["loss"] == event["losses"].min()
        assert children[0].bias == pytest.approx(event["parents"][0][:32], abs=1e-7)
        assert children[1].bias == pytest.approx(event["parents"][1][:32], abs=1e-7)


def test_mutations_shrink_with_the_loss_unless_told_not_to(board, engine):
    engine.run(train_genetic(board, generations=6, mutation=0.2, **SHORT))
    events_ = events(engine.documents, "learning")
    parents_loss = [np.sort(event["losses"])[:2].mean() for event in events_]
    expected = [0.2 * min(1.0, np.sqrt(loss / parents_loss[0])) for loss in parents_loss]
    assert [event["mutation"] for event in events_] == pytest.approx(expected)
    engine.documents.clear()
    engine.run(train_genetic(type(board)(), generations=3, mutation=0.2, shrink=False, **SHORT))
    assert [event["mutation"] for event in events(engine.documents, "learning")] == [0.2, 0.2, 0.2]


def test_a_machine_on_the_rails_is_never_selected(board, engine):
    acquire = board._acquire

    def two_machines_lost():
        acquire()
        if len(board.mean.value) < 10:
            return
        board.mean.value[0, 0, 0] = LARGEST_ACTIVITY + 0.1
        board.mean.value[1, 0, 3] = np.nan

    board._acquire = two_machines_lost
    engine.run(train_genetic(board, generations=2, **SHORT))
    for event in events(engine.documents, "learning"):
        assert np.isinf(event["losses"][:2]).all()
        assert np.isfinite(event["losses"][2:]).all()
        assert np.isfinite(event["loss"])


def test_a_population_that_ends_on_the_rails_is_judged_by_what_it_gave(board, engine):
    acquire = board._acquire

    def all_machines_lost():
        acquire()
        board.mean.value[..., 0] = LARGEST_ACTIVITY + 0.1

    board._acquire = all_machines_lost
    result = engine.run(train_genetic(board, generations=2, **SHORT))
    assert np.isfinite([*result["loss"], result["final_loss"]]).all()


def test_one_lost_machine_does_not_stop_the_run(board, engine):
    engine.run(train_genetic(board, generations=1, **SHORT))
    assert board.saturation_limit.get() == 1.0


@pytest.mark.parametrize(("neuron", "quartic"), [("quadratic", 0.0), ("quadratic-quartic", 1.0)])
def test_the_kind_of_neuron_is_its_stiffness(board, engine, neuron, quartic):
    engine.run(train_genetic(board, generations=1, neuron=neuron, **SHORT))
    program = board.programs.get()[0]
    assert np.unique(program.quadratic).tolist() == [1.0]
    assert np.unique(program.quartic).tolist() == [quartic]


def test_classes_are_learnt_on_a_batch_drawn_anew_for_each_generation(board, engine):
    result = engine.run(train_genetic(board, task="iris", layers=(3, 2), generations=3, **SHORT))
    tables = [value for name, value in board.log if name == "input_table"]
    assert [table.shape for table in tables] == [(4, 4)] * 3 + [(50, 4)]
    assert not np.array_equal(tables[0], tables[1])
    (final,) = events(engine.documents, "evaluation")
    assert result["test_accuracy"] == np.mean(final["predictions"] == final["labels"])
    assert final["readout"].shape == (3, 2)


def test_serial_sampling_averages_along_one_trajectory_from_its_start(board, engine):
    engine.run(train_genetic(board, sampling="serial", generations=1, **{**SHORT, "observation_time": None}))
    assert board.sampling.get() == "serial"
    assert board.observation_time.get() == 0.2
    assert board.burn_in.get() == 0.0


def test_a_population_that_learns_nothing_is_replaced_by_a_new_one(board, engine):
    engine.run(train_genetic(board, generations=5, patience=2, mutation=0.0, initial_spread=1.0, **SHORT))
    parents = [event["parents"] for event in events(engine.documents, "learning")]
    assert np.isin(parents[1], parents[0]).all()
    assert not np.isin(parents[2], parents[0]).any()


def test_biases_and_read_out_weights_do_not_drift_away(board, engine):
    engine.run(train_genetic(board, generations=3, mutation=8.0, shrink=False, **SHORT))
    parents = events(engine.documents, "learning")[-1]["parents"]
    assert np.abs(parents[:, :32]).max() == 4.0
    assert np.abs(parents[:, 232:]).max() == 4.0
    assert 4.0 < np.abs(parents[:, 32:232]).max() <= 8.0


def test_training_ends_when_the_target_has_been_held_for_fifty_generations(board, engine):
    quick = {
        **SHORT,
        "population": 2,
        "parents": 1,
        "inputs": 2,
        "shots": 1,
        "final_shots": 1,
        "observation_time": 0.05,
    }
    result = engine.run(train_genetic(board, generations=60, target_loss=1e6, **quick))
    assert result["generations"] == len(result["loss"]) == 50


def test_a_generation_on_several_boards_is_one_event_with_the_losses_of_one_board(board, engine):
    one = engine.run(train_genetic(board, generations=3, **SHORT))
    alone = events(engine.documents, "learning")
    engine.documents.clear()
    boards = [type(board)(), type(board)("board_2"), type(board)("board_3")]
    several = engine.run(train_genetic(boards, generations=3, **SHORT))
    assert {key: several[key] for key in ("loss", "final_loss", "samples")} == {
        key: one[key] for key in ("loss", "final_loss", "samples")
    }
    together = events(engine.documents, "learning")
    assert len(together) == 3
    for mine, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(mine["losses"], theirs["losses"])
        np.testing.assert_array_equal(mine["parents"], theirs["parents"])
    assert all([name for name, _ in each.log].count("trigger") >= 3 for each in boards)


@pytest.mark.parametrize("twice", [True, False])
def test_one_board_twice_and_no_board_are_refused_before_anything_is_sent(board, engine, twice):
    given = "board, board" if twice else "none"
    with pytest.raises(ArgumentError, match=f"board: {given} given; allowed: one or several, each once"):
        engine.run(train_genetic([board, board] if twice else [], generations=3, **SHORT))
    assert board.log == []


def test_every_board_is_asked_whether_it_takes_the_settings_before_anything_is_sent(board):
    small = type(board)("board_2")
    small.cells.high = 16
    with pytest.raises(ArgumentError, match="cells: board_2 refuses 32"):
        next(train_genetic([board, small]))
    assert board.log == small.log == []
