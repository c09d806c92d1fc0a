import threading
from importlib import resources

import numpy as np
import pytest

import protocols
from lab import open_station
from lab.catalogue import Catalogue
from lab.station_file import StationError

TEMPERATURE = """
[suspenders.too_warm]
signal = "board.case_temperature"
allowed = [10.0, 45.0]
poll = "5 ms"
"""


@pytest.fixture
def station_file(tmp_path):
    """Write a file of the twin's station with suspenders in it."""

    def write(suspenders):
        path = tmp_path / "suspending.toml"
        path.write_text((resources.files("lab") / "stations" / "twin.toml").read_text() + suspenders)
        return path

    return write


def board_of(station):
    """The simulated board itself, which can be heated."""
    return station.bench.instruments["TCPIP0::board::5025::SOCKET"]


def learn(make_engine, path, heat):
    """Train on a board that is heated after the third step, and cooled as soon as the plan waits."""
    said = []
    with open_station(path, seed=3, devices=["board"]) as station:
        board = board_of(station)
        engine = make_engine(station=station, directory=path.parent / f"heated-{heat}")

        def heated(name, document):
            if heat and name == "event" and document["seq_num"] == 3 and board.temperature < 45:
                board.set_temperature(50.0)

        def state(new, old):
            if new == "suspending":
                said.append(new)
                threading.Timer(0.2, board.set_temperature, [20.0]).start()

        engine.subscribe(heated)
        engine.state_hook = state
        engine(protocols.train_in_situ(station["board"], task="xor", epochs=40, seed=3))
    run = Catalogue(path.parent / f"heated-{heat}").find("last")
    return run, said


def test_a_plan_waits_while_the_board_is_too_warm_says_why_and_ends_with_the_same_data(
    make_engine, station_file, capsys
):
    path = station_file(TEMPERATURE)
    (undisturbed, _), (heated, said) = learn(make_engine, path, heat=False), learn(make_engine, path, heat=True)
    assert "suspending" in said
    assert (
        "suspender too_warm: the plan waits until board.case_temperature is within 10 to 45 degC"
        in capsys.readouterr().out
    )
    assert heated.state == undisturbed.state == "success"
    for key in ("couplings", "bias", "weights", "readout", "loss"):
        first, second = (run.read("learning")[key].values for run in (undisturbed, heated))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("suspenders", "problem"),
    [
        (
            '[suspenders.a]\nsignal = "board.warmth"\nallowed = true',
            "board has no signal 'warmth' to watch; allowed: .*temp",
        ),
        ('[suspenders.a]\nsignal = "oven.warmth"\nallowed = true', "there is no device 'oven'"),
        ('[suspenders.a]\nsignal = "warmth"\nallowed = true', "suspenders.a.signal"),
        ('[suspenders.a]\nsignal = "board.interlock_closed"\nallowed = false', "false is not allowed"),
        ('[suspenders.a]\nsignal = "board.case_temperature"\nallowed = [45.0, 10.0]', "the lower first"),
        ('[suspenders.a]\nsignal = "board.case_temperature"\nallowed = [1.0, 2.0]\npoll = "0 s"', "1 ms to 1 h"),
        ('[suspenders.a]\nsignal = "board.case_temperature"\nwhen = 3', "unknown key; allowed: signal, allowed, poll"),
    ],
)
def test_a_wrong_suspender_is_told_by_file_and_key_when_the_station_is_opened(station_file, suspenders, problem):
    with pytest.raises(StationError, match=problem) as refusal:
        open_station(station_file(suspenders), devices=["board"] if "oven" not in suspenders else None).close()
    assert "suspenders.a" in str(refusal.value)


def test_suspenders_of_devices_that_are_not_opened_are_left_out(station_file):
    with open_station(station_file(TEMPERATURE), devices=["photon"]) as station:
        assert station.suspenders == {}
