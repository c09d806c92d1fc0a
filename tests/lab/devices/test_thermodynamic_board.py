import threading

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import numpy as np
import pytest
from bluesky.protocols import Checkable, Configurable, Movable, Readable, Stageable, Stoppable, Triggerable
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators
from ophyd.utils import LimitError

from drivers.errors import InstrumentError
from lab.devices.driver_device import AcquisitionStoppedError
from lab.devices.thermodynamic_board import ThermodynamicBoard
from lab.signals import ValueTypeError
from protocols.ports import Board, BoardProgram

SETTLED = 10.0


@pytest.fixture
def documents(engine):
    seen = []

    def keep(name, document):
        schema_validators[DocumentNames[name]].validate(document)
        seen.append((name, document))

    engine.subscribe(keep)
    return seen


def of(documents, name):
    return [document for kind, document in documents if kind == name]


def quadratic_program(bias, cells=2, **parameters):
    return BoardProgram(np.zeros((cells, cells)), bias=bias, quadratic=1.0, **parameters)


def settle(board, shots=4000, temperature=0.5):
    settings = {"shots": shots, "observation_time": SETTLED, "temperature": temperature}
    for name, value in settings.items():
        getattr(board, name).set(value).wait(10)


def test_the_board_keeps_the_protocols_of_bluesky_and_of_the_plans(board):
    for protocol in (Readable, Triggerable, Stageable, Stoppable, Configurable, Board):
        assert isinstance(board, protocol)
    for protocol in (Movable, Checkable, Readable):
        assert isinstance(board.drive, protocol)


def test_constructing_the_device_changes_nothing(driver, monkeypatch):
    sent = []
    write = driver.adapter.connection.visalib.write
    monkeypatch.setattr(
        driver.adapter.connection.visalib, "write", lambda session, data: sent.append(data) or write(session, data)
    )
    ThermodynamicBoard(driver, name="board").close()
    assert sent
    assert all(message.rstrip().endswith(b"?") and b";" not in message for message in sent)


def test_count_works_right_after_opening_and_leaves_the_outputs_off(board, driver, engine, documents):
    engine(bp.count([board], num=2))
    assert [name for name, _ in documents] == ["start", "descriptor", "event", "event", "stop"]
    assert of(documents, "stop")[0]["exit_status"] == "success"
    event = of(documents, "event")[0]
    assert event["data"]["board_mean"].shape == (1, 1, 8)
    assert event["data"]["board_run_time"] > 0
    key = of(documents, "descriptor")[0]["data_keys"]["board_mean"]
    assert (key["shape"], key["dims"], key["units"]) == ([1, 1, 8], ["slot", "row", "cell"], "model unit")
    assert not driver.outputs_enabled
    assert not driver.noise_enabled


def test_scanning_the_drive_commits_the_bias_before_sampling(board, engine, documents):
    settle(board, temperature=0.1)
    engine(bp.scan([board], board.drive, -2, 2, 5))
    events = of(documents, "event")
    drives = [event["data"]["board_drive"] for event in events]
    means = np.array([event["data"]["board_mean"][0, 0] for event in events])
    errors = np.array([event["data"]["board_standard_error"][0, 0] for event in events])
    assert drives == [-2, -1, 0, 1, 2]
    # the reset program has J2 = 0.5, so that the mean is the drive
    assert np.all(np.abs(means[:, 0] - drives) < 5 * errors[:, 0])
    assert np.all(np.abs(means[:, 1:]) < 5.5 * errors[:, 1:])


def test_programs_run_slot_by_slot_and_row_by_row(board):
    settle(board)
    weights = np.array([[1.0, 0.0], [0.0, -1.0]])
    board.programs.set([quadratic_program(1.0, weights=weights), quadratic_program(-1.0, weights=weights)]).wait(10)
    board.input_table.set([[0, 0], [1, 0], [0, 1], [1, 1]]).wait(10)
    board.rows.set((2, 3)).wait(10)
    board.projections.set([[1.0, 1.0]]).wait(10)
    assert board.describe()["board_mean"]["shape"] == [2, 3, 2]
    board.stage()
    board.trigger().wait(60)
    readings = board.read()
    samples = board.samples.get()
    board.unstage()
    inputs = np.array([[1, 0], [0, 1], [1, 1]])
    expected = (np.array([1.0, -1.0])[:, None, None] - inputs @ weights.T) / 2
    mean, error = readings["board_mean"]["value"], readings["board_standard_error"]["value"]
    assert samples.shape == (2, 3, 4000, 2)
    assert np.all(np.abs(mean - expected) < 5 * error)
    np.testing.assert_allclose(mean, samples.mean(axis=2), atol=1e-5)
    np.testing.assert_allclose(readings["board_variance"]["value"], samples.var(axis=2, ddof=1), rtol=1e-3)
    summed = samples.sum(axis=3)
    np.testing.assert_allclose(readings["board_projection_mean"]["value"][..., 0], summed.mean(axis=2), atol=1e-5)
    covariance = readings["board_projection_covariance"]["value"][0, 0, 0]
    expected_covariance = [np.cov(summed[0, 0], samples[0, 0, :, cell])[0, 1] for cell in range(2)]
    np.testing.assert_allclose(covariance, expected_covariance, rtol=2e-3, atol=1e-5)


def test_statistics_keep_no_samples(board):
    board.readout.set("statistics").wait(10)
    board.shots.set(100).wait(10)
    board.stage()
    board.trigger().wait(60)
    board.unstage()
    assert board.samples.get().size == 0
    assert np.isfinite(board.mean.get()).all()


def test_equal_seeds_give_equal_samples(board):
    settle(board, shots=10)
    board.stage()
    taken = []
    for seed in (5, 5, 6):
        board.noise_seed.set(seed).wait(10)
        board.trigger().wait(60)
        taken.append(board.samples.get())
    board.unstage()
    np.testing.assert_array_equal(taken[0], taken[1])
    assert not np.array_equal(taken[0], taken[2])


def test_serial_and_reset_sampling_agree_in_the_long_run(board):
    settle(board)
    board.programs.set([quadratic_program(1.0)]).wait(10)
    board.burn_in.set(20.0).wait(10)
    board.stage()
    for sampling in ("reset", "serial"):
        board.sampling.set(sampling).wait(10)
        board.trigger().wait(60)
        assert np.all(np.abs(board.mean.get() - 0.5) < 5 * board.standard_error.get())
    board.unstage()


def test_an_instrument_error_surfaces_as_a_failed_status_with_its_cause(board, engine, documents):
    def plan():
        yield from bps.stage(board)
        yield from bps.open_run()
        yield from bps.mv(board.rows, (1, 1))
        yield from bps.trigger_and_read([board])

    with pytest.raises(FailedStatus) as raised:
        engine(plan())
    assert isinstance(raised.value.__cause__, InstrumentError)
    assert raised.value.__cause__.code == 211


def test_a_trigger_without_staging_fails_because_the_outputs_are_off(board):
    with pytest.raises(InstrumentError):
        board.trigger().wait(10)
    board.stage()
    board.trigger().wait(60)
    board.unstage()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("cells", 257, LimitError),
        ("shots", 10**12, LimitError),
        ("shots", 0, LimitError),
        ("observation_time", 0, LimitError),
        ("observation_time", float("nan"), LimitError),
        ("temperature", 4.1, LimitError),
        ("sampling", "often", ValueError),
        ("readout", "everything", ValueError),
        ("slots", [], ValueTypeError),
        ("slots", "0", ValueTypeError),
        ("slots", [64], LimitError),
        ("slots", list(range(65)), ValueTypeError),
        ("rows", (0, 1), LimitError),
        ("rows", 3, ValueTypeError),
        ("rows", (1.5, 1), ValueTypeError),
        ("input_table", [[1.5]], LimitError),
        ("input_table", [1.0], ValueTypeError),
        ("input_table", [[np.nan]], LimitError),
        ("input_table", [[1], [1, 2]], ValueTypeError),
        ("input_table", "table", ValueTypeError),
        ("projections", [[np.inf]], LimitError),
        ("projections", [1.0], ValueTypeError),
        ("programs", [], LimitError),
        ("programs", quadratic_program(0.0), ValueTypeError),
        ("programs", [1], ValueTypeError),
        ("programs", [quadratic_program(17.0)], LimitError),
        ("programs", [quadratic_program(0.0), quadratic_program(0.0, cells=3)], LimitError),
        ("programs", [quadratic_program(0.0, cells=257)], LimitError),
        ("programs", [quadratic_program(0.0)] * 65, LimitError),
        ("drive", 16.1, LimitError),
        ("drive_cell", 9, LimitError),
        ("noise_seed", -1, LimitError),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(board, driver, monkeypatch, name, value, error):
    def fail(*_args):
        raise AssertionError("something was sent")

    monkeypatch.setattr(driver, "write", fail)
    monkeypatch.setattr(driver, "write_bytes", fail)
    with pytest.raises(error, match=rf"board_{name}|board_"):
        getattr(board, name).set(value)


def test_limits_of_a_station_hold_for_signals_and_for_program_parameters(driver):
    board = ThermodynamicBoard(driver, name="board", limits={"temperature": (0, 1), "bias": (-1, 1)})
    for name, value in (("temperature", 2), ("drive", 2), ("programs", [quadratic_program(2.0)])):
        with pytest.raises(LimitError):
            getattr(board, name).set(value)
    board.close()


def test_stop_ends_a_run_and_the_next_one_works(board):
    board.stage()
    board.readout.set("statistics").wait(10)
    board.shots.set(16_000_000).wait(10)
    status = board.trigger()
    began = threading.Event()
    began.wait(0.2)
    board.stop()
    with pytest.raises((AcquisitionStoppedError, InstrumentError)):
        status.wait(20)
    board.shots.set(10).wait(10)
    board.trigger().wait(20)
    board.unstage()


def test_safe_works_at_any_time_and_again(board, driver):
    board.stage()
    assert board.safe() == board.safe() == ["run aborted", "noise off", "outputs off"]
    assert not driver.outputs_enabled
    board.unstage()


def test_results_have_the_shape_of_the_next_run_before_there_are_any(board):
    assert board.read()["board_mean"]["value"].shape == (1, 1, 8)
    board.programs.set([quadratic_program(0.0)] * 3).wait(10)
    assert board.read()["board_mean"]["value"].shape == tuple(board.describe()["board_mean"]["shape"]) == (3, 1, 2)


def test_configuration_says_what_was_set(board):
    board.temperature.set(0.25).wait(10)
    board.rows.set(None).wait(10)
    configuration = board.read_configuration()
    assert configuration["board_temperature"]["value"] == 0.25
    assert configuration["board_rows"]["value"] == [0, 0]
    assert configuration["board_slots"]["value"] == [0]
    assert set(configuration) == set(board.describe_configuration())


def test_shots_start_where_they_are_told_and_at_zero_when_the_board_is_staged_anew(board, driver):
    settle(board, shots=100, temperature=1e-6)
    board.observation_time.set(0.5).wait(10)
    board.programs.set([quadratic_program(0.0)]).wait(10)
    means = []
    for start in ((2.0, -4.0), None):
        board.stage()
        if start:
            board.start.set(start).wait(10)
        board.trigger().wait(60)
        means.append(board.mean.get()[0, 0])
        board.unstage()
    # an uncoupled cell with J2 = 1 forgets its start at the rate 2
    np.testing.assert_allclose(means, np.exp(-1.0) * np.array([[2.0, -4.0], [0.0, 0.0]]), atol=2e-3)
    assert driver.reset_values().tolist() == [0.0]


def test_a_change_of_the_cells_puts_the_start_to_zero(board, driver):
    board.start.set([1.0]).wait(10)
    board.cells.set(3).wait(10)
    assert board.start.last == (0.0,)
    assert driver.reset_values().tolist() == [0.0]


@pytest.mark.parametrize("start", [1.0, "zero", [1.0, 2.0, 3.0], [17.0], [float("nan")], [None], []])
def test_a_start_that_is_not_allowed_is_refused_before_anything_is_sent(board, driver, start):
    with pytest.raises((LimitError, ValueTypeError)):
        board.start.set(start)
    assert driver.reset_values().tolist() == [0.0]


def test_programs_run_in_the_slots_they_are_given(board, driver):
    settle(board, shots=20)
    programs = [quadratic_program(bias) for bias in (1.0, -1.0, 2.0)]
    taken = []
    for value in (programs, {1: programs[1], 2: programs[2]}):
        board.programs.set(value).wait(10)
        board.noise_seed.set(5).wait(10)
        board.stage()
        board.trigger().wait(60)
        taken.append(board.samples.get())
        board.unstage()
    assert list(driver.slots) == [1, 2]
    np.testing.assert_array_equal(taken[1], taken[0][1:])


@pytest.mark.parametrize(
    "programs", [{64: quadratic_program(0.0)}, {"0": quadratic_program(0.0)}, {0: 3}, {}, 3, quadratic_program(0.0)]
)
def test_programs_in_slots_that_are_not_there_are_refused_before_anything_is_sent(board, driver, programs):
    with pytest.raises((LimitError, ValueTypeError)):
        board.programs.set(programs)
    assert list(driver.slots) == [0]
