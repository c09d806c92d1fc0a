import bluesky.plans as bp
import numpy as np
import pytest
from bluesky.protocols import Readable, Stageable, Stoppable, Triggerable
from event_model import DocumentNames, schema_validators
from ophyd.utils import LimitError
from scipy.integrate import quad

from lab.devices.activation_switch import fraction
from lab.devices.board_cell import BoardCellSwitch
from protocols.ports import ActivationSwitch, BoardProgram

TEMPERATURE = 0.25


@pytest.fixture
def switch(board):
    device = BoardCellSwitch(board, name="switch", cell=2, shots=4000)
    yield device
    device.close()


def on_probability(drive):
    def weight(x):
        return np.exp(-(-(x**2) + x**4 - drive * x) / TEMPERATURE)

    on, off = quad(weight, 0, 6)[0], quad(weight, -6, 0)[0]
    return on / (on + off)


def test_a_cell_is_an_activation_switch(switch):
    for protocol in (ActivationSwitch, Readable, Triggerable, Stageable, Stoppable):
        assert isinstance(switch, protocol)


def test_the_fraction_on_follows_the_drive_as_statistical_mechanics_says(board, switch, engine):
    board.temperature.set(TEMPERATURE).wait(10)
    board.observation_time.set(20.0).wait(10)
    documents = []

    def keep(name, document):
        schema_validators[DocumentNames[name]].validate(document)
        documents.append((name, document))

    engine.subscribe(keep)
    engine(bp.scan([switch], switch.drive, -0.4, 0.4, 3))
    events = [document["data"] for name, document in documents if name == "event"]
    assert len(events) == 3
    for event in events:
        expected = on_probability(event["switch_drive"])
        assert abs(event["switch_probability"] - expected) < 5 * event["switch_probability_standard_error"]
        assert event["switch_on_count"] + event["switch_off_count"] == 4000
    assert not board.driver.outputs_enabled


def test_the_boards_own_run_is_put_back(board, switch):
    board.programs.set([BoardProgram(np.zeros((3, 3)))] * 2).wait(10)
    board.shots.set(17).wait(10)
    switch.shots.set(10).wait(10)
    switch.stage()
    switch.trigger().wait(60)
    board.trigger().wait(60)
    switch.unstage()
    assert board.mean.get().shape == (2, 1, 3)
    assert board.samples.get().shape == (2, 1, 17, 3)


def test_a_board_that_is_staged_already_stays_staged(board, switch):
    board.stage()
    switch.stage()
    switch.unstage()
    assert board.driver.outputs_enabled
    board.unstage()


@pytest.mark.parametrize(("name", "value"), [("drive", 17), ("drive", float("nan")), ("shots", 0), ("shots", 10**12)])
def test_nonsense_is_refused(switch, name, value):
    with pytest.raises(LimitError):
        getattr(switch, name).set(value)


def test_a_cell_that_is_not_in_use_cannot_be_staged(board):
    switch = BoardCellSwitch(board, name="switch", cell=9)
    with pytest.raises(LimitError, match="cell 9"):
        switch.stage()
    switch.close()


def test_a_cell_that_is_not_bistable_is_no_switch(board):
    with pytest.raises(ValueError, match="not bistable"):
        BoardCellSwitch(board, name="switch", quadratic=1.0)


def test_the_error_of_a_fraction_is_binomial_and_never_zero():
    probability, error = fraction(2500, 7500)
    assert probability == 0.25
    assert error == pytest.approx(np.sqrt(0.25 * 0.75 / 10000), rel=1e-3)
    assert fraction(0, 100)[1] > 0
    with pytest.raises(ValueError, match="no counts"):
        fraction(0, 0)
