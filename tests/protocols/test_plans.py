"""What every plan of a board promises, whichever it is."""

import importlib
import inspect
import json
from itertools import pairwise

import numpy as np
import pytest
from bluesky import RunEngineInterrupted
from bluesky.simulators import RunEngineSimulator, assert_message_and_return_remaining
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators

import protocols
from protocols.arguments import ArgumentError

SHORT = {
    "determinant": {"size": 2, "shots": 20, "batches": 2, "stages": 2},
    "invert_matrix": {"size": 2, "shots": 20, "batches": 2},
    "matrix_exponential": {"size": 2, "shots": 20, "batches": 2},
    "activation_curve": {"drive": tuple(np.linspace(-1, 1, 66).tolist()), "shots": 20, "observation_time": 0.2},
    "trajectory": {"drive": tuple(np.linspace(-1, 1, 66).tolist()), "shots": 10, "temperature": 0.1},
    "train_in_situ": {"task": "xor", "epochs": 2, "shots": 10, "observation_time": 0.5},
    "train_genetic": {"generations": 2, "population": 6, "parents": 2, "inputs": 3, "shots": 4, "final_shots": 4},
}


@pytest.fixture(params=sorted(SHORT))
def plan(request):
    """A function that makes a short run of a plan."""

    def make(board, **changes):
        return getattr(protocols, request.param)(board, **{**SHORT[request.param], **changes})

    make.name = request.param
    return make


def final_arrays(documents):
    """Return what the last event of each stream holds."""
    streams = {d["uid"]: d["name"] for name, d in documents if name == "descriptor"}
    return {streams[d["descriptor"]]: d["data"] for name, d in documents if name == "event"}


def same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[stream][key], other[stream][key]) for stream in one for key in one[stream]
    )


def test_the_list_of_plans_is_what_can_be_imported():
    taken = {name: inspect.signature(getattr(protocols, name)).parameters for name in protocols.__all__}
    boards = {name for name, wanted in taken.items() if "board" in wanted and not {"model", "run"} & wanted.keys()}
    assert sorted(SHORT) == sorted(boards)
    assert all(callable(getattr(protocols, name)) for name in protocols.__all__)
    assert set(protocols.__all__) <= set(dir(protocols))
    with pytest.raises(AttributeError, match="no attribute 'train_by_magic'"):
        _ = protocols.train_by_magic


def test_a_run_is_recorded_in_valid_documents(plan, board, engine):
    result = engine.run(plan(board))
    for name, document in engine.documents:
        schema_validators[DocumentNames[name]].validate(json.loads(json.dumps(document, default=np.ndarray.tolist)))
    start, stop = engine.documents[0][1], engine.documents[-1][1]
    assert start["plan_name"] == plan.name
    assert stop["exit_status"] == "success"
    json.dumps(result, allow_nan=False)


def test_the_start_document_holds_every_argument(plan, board, engine):
    engine.run(plan(board, seed=7, md={"operator": "a test"}))
    start = engine.documents[0][1]
    assert start["operator"] == "a test"
    assert start["plan_args"]["seed"] == 7
    for name, value in SHORT[plan.name].items():
        assert start["plan_args"][name] == (list(value) if isinstance(value, tuple) else value)


def test_the_board_is_staged_first_and_unstaged_last(plan, board, engine):
    engine.run(plan(board))
    names = [name for name, _ in board.log]
    assert names[0] == "stage"
    assert names[-1] == "unstage"
    assert names.count("stage") == names.count("unstage") == 1


def test_the_board_is_left_safe_when_a_run_fails(plan, board, engine):
    board.fail_at = 1
    with pytest.raises(FailedStatus):
        engine.run(plan(board))
    assert board.log[-1] == ("unstage", None)
    stop = engine.documents[-1][1]
    assert stop["exit_status"] == "fail"
    assert stop["reason"] == "the instrument does not answer"


def test_the_noise_is_seeded_anew_before_every_run_of_the_board(plan, board, engine):
    engine.run(plan(board))
    names = [name for name, _ in board.log if name in ("noise_seed", "trigger")]
    assert names == ["noise_seed", "trigger"] * (len(names) // 2)
    seeds = [seed for name, seed in board.log if name == "trigger"]
    assert len(set(seeds)) == len(seeds)


def test_messages_come_in_order_with_a_point_of_return_before_every_run_of_the_board(plan, board):
    simulator = RunEngineSimulator()
    simulator.add_handler("set", lambda message: message.obj.set(*message.args))
    simulator.add_handler("trigger", lambda message: message.obj.trigger())
    messages = simulator.simulate_plan(plan(board))
    rest = messages
    for command in ("stage", "open_run", "checkpoint", "trigger", "wait", "create", "read", "save", "checkpoint"):
        rest = assert_message_and_return_remaining(rest, lambda message, command=command: message.command == command)
    assert_message_and_return_remaining(rest, lambda message: message.command == "unstage")
    commands = [message.command for message in messages if message.command not in ("set", "wait")]
    assert all(before == "checkpoint" for before, now in pairwise(commands) if now == "trigger")
    assert all(after == "checkpoint" for now, after in pairwise(commands) if now == "save")


def test_equal_seeds_give_equal_runs_and_other_seeds_others(plan, board, engine):
    runs = []
    for seed in (1, 1, 2):
        engine.documents.clear()
        engine.run(plan(type(board)(), seed=seed))
        runs.append(final_arrays(engine.documents))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.parametrize("moment", [1, 2])
def test_a_run_that_is_paused_and_resumed_is_the_run_without_a_pause(plan, board, engine, moment):
    undisturbed = engine.run(plan(type(board)()))
    expected = final_arrays(engine.documents)
    engine.documents.clear()
    triggers = []

    def interrupt():
        triggers.append(None)
        if len(triggers) == moment:
            engine.engine.loop.create_task(engine.engine._request_pause_coro())

    board.on_trigger = interrupt
    with pytest.raises(RunEngineInterrupted):
        engine.run(plan(board))
    resumed = engine.engine.resume().plan_result
    if engine.engine.state == "paused":
        resumed = engine.engine.resume().plan_result
    assert same(final_arrays(engine.documents), expected)
    assert json.dumps(resumed, sort_keys=True) == json.dumps(undisturbed, sort_keys=True)


BAD = {
    "shots": [0, -1, 10**12, 2.5, float("nan"), "many", True],
    "temperature": [0.0, -1.0, 5.0, float("nan"), float("inf"), "hot"],
    "observation_time": [0.0, -1.0, float("nan"), float("inf")],
    "seed": [-1, 2**32, 0.5],
    "sampling": ["", "parallel"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_an_argument_that_is_not_allowed_is_refused_before_the_board_is_touched(plan, board, name, value):
    if name not in inspect.signature(getattr(protocols, plan.name)).parameters:
        pytest.skip(f"{plan.name} has no {name}")
    with pytest.raises(ArgumentError, match=name) as refusal:
        next(plan(board, **{name: value}))
    assert "allowed" in str(refusal.value)
    assert board.log == []


def test_a_board_that_is_too_small_is_found_out_before_it_is_touched(plan, board):
    board.temperature.high = 0.01
    with pytest.raises(ArgumentError, match=r"temperature: board refuses 0\.1"):
        next(plan(board))
    assert board.log == []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("activation_curve", {"drive": ()}, "drive: 0 numbers given"),
        ("activation_curve", {"drive": 3.0}, "drive: 3.0 is not a list"),
        ("activation_curve", {"drive": (float("nan"),)}, "drive: nan"),
        ("activation_curve", {"drive": (17.0,)}, "drive: 17.0"),
        ("activation_curve", {"stiffness": (1.0, 1.0, 0.0)}, "unbounded"),
        ("activation_curve", {"stiffness": (1.0, 0.0)}, "stiffness: 2 numbers given; 3 needed"),
        ("train_in_situ", {"task": "mnist"}, "task: 'mnist' is not known; allowed: digits, iris, xor"),
        ("train_in_situ", {"estimator": "magic"}, "estimator"),
        ("train_in_situ", {"hidden": 257}, "hidden"),
        ("train_in_situ", {"epochs": 0}, "epochs"),
        ("train_in_situ", {"learning_rate": float("nan")}, "learning_rate"),
        ("train_in_situ", {"task": "xor", "shots": 2**24}, "raw samples"),
        ("train_in_situ", {"stiffness": (1.0, 0.0, 0.0)}, "stiffness"),
        ("train_genetic", {"task": "mnist"}, "task"),
        ("train_genetic", {"neuron": "cubic"}, "neuron"),
        ("train_genetic", {"population": 65}, "population"),
        ("train_genetic", {"population": 5, "parents": 5}, "parents"),
        ("train_genetic", {"layers": (200, 100)}, "layers"),
        ("train_genetic", {"layers": ()}, "layers"),
        ("train_genetic", {"generations": 10**12}, "generations"),
    ],
)
def test_nonsense_is_refused_in_plain_words(board, name, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        next(getattr(protocols, name)(board, **arguments))
    assert board.log == []


def test_more_cells_than_the_board_has_are_refused(board):
    board.cells.high = 8
    with pytest.raises(ArgumentError, match="cells: board refuses 32"):
        next(protocols.train_genetic(board))
    with pytest.raises(ArgumentError, match="cells"):
        next(protocols.train_in_situ(board, task="xor", hidden=8))
    assert board.log == []


def test_every_plan_is_in_a_module_of_its_family_and_never_hidden_by_one():
    for name, family in protocols.FAMILIES.items():
        module = importlib.import_module(f"protocols.{family}")
        assert getattr(protocols, name) is getattr(module, name)
    assert set(protocols.FAMILIES) == set(protocols.__all__)
    assert not set(protocols.FAMILIES) & set(protocols.FAMILIES.values())
