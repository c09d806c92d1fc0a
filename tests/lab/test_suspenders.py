import threading
from importlib import resources

import numpy as np
import pytest
from bluesky.utils import FailedStatus, RunEngineInterrupted

import protocols
from drivers.errors import InstrumentError
from lab import make_run_engine, open_station
from lab.catalogue import Catalogue
from lab.station_file import StationError

TWIN = (resources.files("lab") / "stations" / "twin.toml").read_text()
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
        path.write_text(TWIN + suspenders)
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
    printed = capsys.readouterr()
    assert "suspender too_warm: the plan waits until board.case_temperature is within 10 to 45 degC" in printed.err
    assert "Suspender too_warm reports a return to nominal conditions" in printed.out
    assert "Ctrl-C" not in printed.out, "bluesky tells of its own keys"
    assert heated.state == undisturbed.state == "success"
    assert_learnt_the_same(undisturbed, heated)


def disturbed(make_engine, path, disturb, mend, epochs=12):
    """Train on a board that something happens to in its third acquisition, mended as soon as it is told of."""
    said, acquisitions = [], 0
    with open_station(path, seed=3, devices=["board"]) as station:
        board, device = board_of(station), station["board"]
        mended = threading.Event()

        def say(line):
            said.append(line)
            threading.Timer(0.1, lambda: (mend(board), mended.set())).start()

        def acquire(status, whole=device.acquire):
            nonlocal acquisitions
            acquisitions += 1
            if acquisitions == 3:
                disturb(board)
            whole(status)

        device.say, device.acquire = say, acquire
        engine = make_engine(station=station, directory=path.parent / "disturbed")
        engine(protocols.train_in_situ(device, task="xor", epochs=epochs, seed=3))
        at_rest = device.at_rest
    assert at_rest
    return Catalogue(path.parent / "disturbed").find("last"), said


def assert_learnt_the_same(*runs):
    for key in ("couplings", "bias", "weights", "readout", "loss"):
        first, second = (run.read("learning")[key].values for run in runs)
        np.testing.assert_array_equal(first, second)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The run that nothing happens to."""
    path = tmp_path_factory.mktemp("quiet") / "quiet.toml"
    path.write_text(TWIN)

    def make_engine(station, directory):
        return make_run_engine(station, directory=directory)

    run, said = disturbed(make_engine, path, lambda board: None, lambda board: None)
    assert not said
    return run


def suspender(signal, *, clear=False, name="lid"):
    clearing = "clear = true\n" if clear else ""
    return f'[suspenders.{name}]\nsignal = "board.{signal}"\nallowed = true\npoll = "5 ms"\n{clearing}'


def unlatched(board):
    board.interlock_latch = False
    board.open_interlock()


def limit_saturation(limit):
    return lambda board: setattr(board, "saturation_limit", limit)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal", "clear", "disturb", "mend", "told"),
    [
        ("interlock_closed", False, unlatched, lambda board: board.close_interlock(), 'error 101, "Interlock open'),
        ("interlock_closed", True, lambda board: board.open_interlock(), lambda board: board.close_interlock(), "101"),
        ("untripped", True, lambda board: board.set_temperature(80), lambda board: board.set_temperature(20), "103"),
        ("unsaturated", False, limit_saturation(-1.0), limit_saturation(0.01), '233, "Cells saturated'),
    ],
)
def test_what_the_board_breaks_off_is_waited_for_and_repeated_with_the_same_data(
    make_engine, station_file, signal, clear, disturb, mend, told, quiet
):
    shaken, said = disturbed(make_engine, station_file(suspender(signal, clear=clear)), disturb, mend)
    assert quiet.state == shaken.state == "success"
    assert told in said[0]
    assert f"suspender lid: the plan waits until board.{signal} is true" in said[0]
    assert_learnt_the_same(quiet, shaken)


@pytest.mark.parametrize(
    ("signal", "disturb", "code"),
    [
        ("untripped", lambda board: board.open_interlock(), 101),
        ("interlock_closed", limit_saturation(-1.0), 233),
    ],
)
def test_what_no_suspender_is_about_ends_the_run_within_one_acquisition(
    make_engine, station_file, signal, disturb, code
):
    with pytest.raises(FailedStatus) as failure:
        disturbed(make_engine, station_file(suspender(signal)), disturb, lambda board: None)
    assert isinstance(failure.value.__cause__, InstrumentError)
    assert failure.value.__cause__.code == code
    run = Catalogue(station_file("").parent / "disturbed").find("last")
    assert (run.state, run.steps) == ("fail", 1), "a step has two acquisitions"


def test_an_abort_ends_the_wait_for_a_latched_interlock(make_engine, station_file):
    with open_station(station_file(suspender("interlock_closed")), seed=3, devices=["board"]) as station:
        board, device = board_of(station), station["board"]
        engine = make_engine(station=station)
        device.say = lambda line: threading.Timer(0.2, engine.abort).start()
        acquire = device.acquire
        device.acquire = lambda status: (board.open_interlock(), board.close_interlock(), acquire(status))
        with pytest.raises(RunEngineInterrupted):
            engine(protocols.train_in_situ(device, task="xor", epochs=3, seed=3))
        assert device.at_rest
        assert not device.interlock_closed.get()


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
        (
            '[suspenders.a]\nsignal = "board.unsaturated"\nallowed = true\nclear = true',
            "unsaturated latches",
        ),
    ],
)
def test_a_wrong_suspender_is_told_by_file_and_key_when_the_station_is_opened(station_file, suspenders, problem):
    with pytest.raises(StationError, match=problem) as refusal:
        open_station(station_file(suspenders), devices=["board"] if "oven" not in suspenders else None).close()
    assert "suspenders.a" in str(refusal.value)


def test_suspenders_of_devices_that_are_not_opened_are_left_out(station_file):
    with open_station(station_file(TEMPERATURE), devices=["photon"]) as station:
        assert station.suspenders == {}
