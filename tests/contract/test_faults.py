"""Every fault of the physics is seen by the instruments, and is the same for equal seeds."""

from pathlib import Path

import numpy as np
import pytest

from drivers.errors import ConnectionLostError
from lab import open_station
from lab.faults import known_faults
from lab.station import CommunicationError, StationError
from lab.station_file import read_station
from protocols import dark_counts, pinch_off
from protocols.ports import BoardProgram

CELLS = 64


@pytest.fixture(autouse=True)
def _twin(station_name):
    if station_name != "twin":
        pytest.skip("only a twin can be made to fail")


def cells(faults, *, couplings=0.0, wait=0.0):
    """Return what cells of stiffness 1 under a force of 1 settle to without noise."""
    ones, chain = np.ones(CELLS), couplings * (np.eye(CELLS, k=1) + np.eye(CELLS, k=-1))
    settings = {
        "programs": [BoardProgram(chain, ones, np.zeros((CELLS, 1)), ones, 0 * ones, 0 * ones)],
        "input_table": [[0.0]], "rows": (1, 1), "sampling": "reset", "observation_time": 50.0, "shots": 1,
        "readout": "samples", "temperature": 0.0,
    }  # fmt: skip
    with open_station(seed=1, devices=["board"], faults=faults) as station:
        station.clock.sleep(wait)  # before anything settles, whose end it might not wait for
        board = station["board"]
        board.stage()
        for name, value in settings.items():
            getattr(board, name).set(value).wait(60)
        board.trigger().wait(60)
        return np.asarray(board.samples.get(), float).reshape(CELLS)


def test_drift_moves_the_cells_of_a_board_more_with_time():
    sound, early, late = cells({}), cells({"drift": None}, wait=1.0), cells({"drift": None}, wait=3600.0)
    assert np.std(early - sound) < 0.05 < np.std(late - sound)
    # half the force, whose variance is 1 after an hour
    assert abs(np.std(late - sound) - 0.5) < 5 * 0.5 / np.sqrt(2 * CELLS)


def test_stuck_cells_stay_and_push_their_neighbours():
    shares = {share: cells({"stuck_cell": share}, couplings=0.5) for share in (0.0, 0.3)}
    stuck = np.isin(shares[0.3], (-1.0, 1.0))
    assert 5 < np.count_nonzero(stuck) < CELLS / 2
    padded = np.concatenate([[0.0], shares[0.3], [0.0]])
    settled = (1 - 0.5 * (padded[:-2] + padded[2:])) / 2  # what balances force, stiffness and neighbours
    assert np.allclose(shares[0.3][~stuck], settled[~stuck], atol=1e-5)
    assert np.array_equal(shares[0.0], cells({}, couplings=0.5))


def test_equal_seeds_have_equal_faults():
    faults = {"drift": 2.0, "stuck_cell": 0.2}
    assert np.array_equal(cells(faults, wait=10.0), cells(faults, wait=10.0))


@pytest.fixture
def measured(opened):
    """Return the result of a plan on a device of a faulty twin."""

    def run(plan, device, faults, **arguments):
        table = "".join(f"{fault} = {rate}\n" for fault, rate in faults.items())
        session = opened(device, options=f"\n[faults]\n{table}")
        return session.run(plan(session.station[device], **arguments))

    return run


SWEEP = {"points": 41, "repeats": 2}


def test_dead_gates_move_nothing(measured):
    sound, dead = (np.ptp(measured(pinch_off, "dot", faults, **SWEEP)["current"]) for faults in ({}, {"dead_gate": 6}))
    assert dead < sound / 20


@pytest.mark.parametrize("fault", [{"charge_jump": 5.0}, {"drift": 1000.0}])
def test_charges_that_jump_or_drift_shift_a_sweep_by_more_than_its_noise(measured, fault):
    steep = {"start": 0.45, "stop": 0.55, "points": 41, "repeats": 4}
    sound, again, disturbed = (
        np.array(measured(pinch_off, "dot", faults, **steep)["current"]) for faults in ({}, {}, fault)
    )
    assert np.std(disturbed - sound) > 3 * np.std(again - sound)


def test_bursts_add_dark_counts_at_every_level(measured):
    sound, bursting = (
        np.array(measured(dark_counts, "photon", faults, shots=500)["rate"])
        for faults in ({}, {"dark_count_burst": 10.0})
    )
    assert np.all(bursting > sound + 1e5)


def test_a_detector_that_drifts_loses_counts(measured):
    sound, drifting = (
        np.array(measured(dark_counts, "photon", faults, shots=500)["rate"]) for faults in ({}, {"drift": 300.0})
    )
    assert np.all(drifting[:2] < 0.95 * sound[:2])


def test_faults_stand_in_the_start_document_with_the_rates_in_force(tmp_path):
    with open_station(seed=1, devices=["photon"], faults={"drift": None, "slow@awg": 0.5}) as station:
        assert station.metadata()["faults"] == {"drift": 1.0, "slow@awg": 0.5}
    with open_station(seed=1, devices=["photon"]) as station:
        assert "faults" not in station.metadata()


def test_faults_of_a_station_file_are_in_force_and_those_asked_for_come_first(tmp_path):
    file = tmp_path / "bad_night.toml"
    file.write_text(Path(read_station("twin").path).read_text() + '\n[faults]\ndrift = true\n"mute@board" = 0.1\n')
    with open_station(file, devices=["board"], faults={"drift": 3.0}) as station:
        assert station.faults == {"drift": 3.0, "mute@board": 0.1}


def test_a_station_without_a_twin_has_no_faults_to_choose():
    with pytest.raises(StationError, match='faults: allowed only with library = "twin"'):
        open_station("tcp", faults={"drift": None})
    with pytest.raises(StationError, match='only a station with library = "twin" can be made to fail'):
        known_faults("tcp")


def test_a_wrong_identity_is_found_when_the_station_is_opened():
    with pytest.raises(CommunicationError) as caught:
        open_station(devices=["board"], faults={"identity": None})
    assert "it says it is 'Unknown" in str(caught.value)


def test_other_faults_of_the_wire_wait_until_the_station_is_open():
    with open_station(devices=["photon"], faults={"dropped": 1.0}) as station, pytest.raises(ConnectionLostError):
        _ = station["photon"].driver.counter.id
