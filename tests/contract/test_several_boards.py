"""A population on two boards of the twin, through the whole stack."""

from contextlib import contextmanager

import numpy as np
import pytest
from bluesky.utils import FailedStatus

from lab import make_run_engine, open_station
from lab.catalogue import Catalogue
from protocols import train_genetic
from sim_devices import benches
from sim_devices.faults import Fault

SHORT = {
    "generations": 3,
    "population": 9,
    "parents": 2,
    "inputs": 4,
    "shots": 16,
    "final_shots": 16,
    "layers": (4, 4),
    "seed": 5,
}
SECOND = "TCPIP0::board_2::5025::SOCKET"


@pytest.fixture
def bench(monkeypatch, station_name):
    """The bench of the station opened last."""
    if station_name != "twin":
        pytest.skip("two boards are a station of the twin")
    opened, open_bench = [], benches.open

    def remember(*args, **kwargs):
        opened.append(open_bench(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(benches, "open", remember)
    return opened


@contextmanager
def session(directory):
    with open_station("two_boards", seed=1) as station:
        yield station, make_run_engine(station, directory=directory)
        assert not any(device.driver.outputs_enabled for device in station.values())


def learning(directory):
    return Catalogue(directory).find("last").read("learning")


def test_two_boards_learn_what_one_learns(bench, tmp_path):
    runs = {}
    for names in (("board",), ("board", "board_2")):
        with session(tmp_path / "-".join(names)) as (station, engine):
            engine(train_genetic([station[name] for name in names], **SHORT))
        runs[names] = learning(tmp_path / "-".join(names))
    one, two = runs.values()
    assert two.sizes["event"] == SHORT["generations"]
    np.testing.assert_array_equal(two.losses, one.losses)
    np.testing.assert_array_equal(two.parents, one.parents)
    np.testing.assert_allclose(two.board_seconds, one.board_seconds)


def test_a_board_that_fails_is_named_the_others_are_left_safe_and_earlier_generations_kept(bench, tmp_path):
    with session(tmp_path) as (station, engine):

        def break_second_board(name, document):
            if name == "event" and document["seq_num"] == 2:
                bench[-1].inject(SECOND, [Fault("error", "INITiate", code=-240, count=1)])

        engine.subscribe(break_second_board)
        with pytest.raises(FailedStatus) as failure:
            engine(train_genetic(list(station.values()), **SHORT))
    assert "board_2: 'INIT'" in str(failure.value.__cause__)
    run = Catalogue(tmp_path).find("last")
    assert run.state == "fail"
    assert "board_2" in run.stop["reason"]
    assert run.read("learning").sizes["event"] == 2


def test_two_boards_take_half_the_time_of_the_bench(bench, tmp_path):
    durations = []
    for names in (("board",), ("board", "board_2")):
        with session(tmp_path) as (station, engine):
            begun = bench[-1].clock.now()
            engine(train_genetic([station[name] for name in names], **{**SHORT, "population": 8, "shots": 2000}))
            durations.append(bench[-1].clock.now() - begun)
    assert durations[1] < 0.6 * durations[0]
