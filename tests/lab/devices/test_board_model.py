import bluesky.plans as bp
import numpy as np
import pytest
from bluesky.protocols import Readable, Stageable, Stoppable, Triggerable
from event_model import DocumentNames, schema_validators
from ophyd.utils import LimitError, ReadOnlyError

from lab.devices.board_model import BoardModel
from protocols.ports import BoardModel as Port
from protocols.ports import BoardProgram

PROGRAM = BoardProgram(
    np.array([[0.0, 0.6], [0.6, 0.0]]), bias=[0.3, -0.2], weights=[[1.0], [0.0]], quadratic=1.0, quartic=1.0
)
INPUTS = [[-0.5], [0.0], [0.5]]


@pytest.fixture
def model(board):
    return BoardModel(board, name="model")


def run(model, program=PROGRAM, **options):
    options = {"temperature": 0.1, "trajectories": 4, "observation_time": 0.5, "step": 0.1, **options}
    return model.run(program, INPUTS, **options)


def test_the_device_is_a_model_of_a_board_and_keeps_the_protocols_of_bluesky(model):
    for protocol in (Port, Readable, Triggerable, Stageable, Stoppable):
        assert isinstance(model, protocol)


def test_a_run_has_samples_and_derivatives_by_the_parameters_of_the_program(model):
    found = run(model, observations=3, cells=[1])
    assert found.samples.shape == (3, 4, 3, 1)
    gradient = found.gradient(np.ones(found.samples.shape))
    assert gradient.couplings.shape == PROGRAM.couplings.shape
    assert gradient.bias.shape == PROGRAM.bias.shape
    assert gradient.weights.shape == PROGRAM.weights.shape


def test_equal_addresses_give_equal_samples_and_others_do_not(model):
    samples = run(model, seed=3, acquisition=5).samples
    np.testing.assert_array_equal(run(model, seed=3, acquisition=5).samples, samples)
    for other in ({"seed": 4, "acquisition": 5}, {"seed": 3, "acquisition": 6}):
        assert not np.isin(run(model, **other).samples, samples).any()


def test_the_model_agrees_with_the_board_that_it_is_a_model_of(model, board):
    for name, value in {"temperature": 0.1, "observation_time": 0.5, "shots": 20_000, "readout": "statistics"}.items():
        getattr(board, name).set(value).wait(10)
    board.cells.set(2).wait(10)
    board.inputs.set(1).wait(10)
    board.programs.set([PROGRAM]).wait(10)
    board.input_table.set(np.array(INPUTS)).wait(10)
    board.rows.set((1, 3)).wait(10)
    board.stage()
    board.trigger().wait(60)
    board.unstage()
    samples = run(model, trajectories=20_000, step=0.02).samples[:, :, 0]
    error = np.hypot(board.standard_error.get()[0], samples.std(axis=1) / np.sqrt(20_000))
    assert (np.abs(samples.mean(axis=1, dtype=float) - board.mean.get()[0]) < 5 * error + 1e-3).all()


def test_the_model_counts_its_runs(model, engine):
    run(model)
    documents = []
    engine.subscribe(lambda name, document: documents.append((name, document)))
    engine(bp.count([model]))
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    (event,) = (document["data"] for name, document in documents if name == "event")
    assert event == {"model_runs": 1}


def test_what_the_model_has_counted_cannot_be_set(model):
    with pytest.raises(ReadOnlyError, match="model_runs"):
        model.runs.set(0)


def test_a_program_larger_than_the_board_is_refused(model):
    with pytest.raises(LimitError, match="a program of 257 cells; the board has 256"):
        run(model, BoardProgram(np.zeros((257, 257)), weights=np.zeros((257, 1))))


def test_a_model_has_no_output_to_make_safe(model, board):
    before = board.driver.outputs_enabled
    assert model.safe() == ["no output to switch off"]
    assert board.driver.outputs_enabled == before
