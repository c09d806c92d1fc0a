import threading
from contextlib import ExitStack, suppress
from importlib import resources

import numpy as np
import pytest
from bluesky import plan_stubs, plans
from bluesky.utils import FailedStatus, RunEngineInterrupted

import protocols
from drivers.errors import InstrumentError
from lab import make_run_engine, open_station
from lab.catalogue import Catalogue
from lab.devices.board_cell import BORROWED
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


@pytest.fixture
def opened(make_engine, station_file):
    """Open a station with a suspender; hand out it, the simulated board, and an engine."""
    with ExitStack() as stack:

        def open_with(table, *devices):
            station = stack.enter_context(open_station(station_file(table), seed=3, devices=devices))
            for device in station.values():
                device.say = lambda line: None
            return station, board_of(station), make_engine(station=station)

        yield open_with


def glitch(board):
    board.open_interlock()
    board.close_interlock()


@pytest.mark.slow
def test_an_abort_as_the_plan_is_about_to_be_suspended_is_not_held_up(opened):
    station, board, engine = opened(TEMPERATURE.replace("5 ms", "1 ms"), "board")
    suspender = station["board"].conditions[0].suspender

    def heat_and_abort():
        board.set_temperature(50.0)
        while not suspender.tripped:
            pass
        engine.abort()

    for _ in range(6):
        board.set_temperature(20.0)
        late = threading.Timer(20.0, board.set_temperature, [20.0])
        token = engine.subscribe(
            lambda _, doc: doc["seq_num"] == 3 and threading.Thread(target=heat_and_abort).start(), "event"
        )
        late.start()
        with suppress(RunEngineInterrupted, FailedStatus):
            engine(protocols.train_in_situ(station["board"], task="xor", epochs=400, seed=3))
        engine.unsubscribe(token)
        assert late.is_alive(), "the abort waited for the board to cool"
        late.cancel()
        assert station["board"].at_rest


def test_an_interlock_that_opens_while_a_device_is_staged_ends_the_run_for_nobody_could_end_the_wait(opened):
    station, board, engine = opened(suspender("interlock_closed"), "board")
    prepare = station["board"].prepare_acquisition
    station["board"].prepare_acquisition = lambda: (board.open_interlock(), prepare())
    with pytest.raises(InstrumentError, match="Interlock open"):
        engine(protocols.train_in_situ(station["board"], task="xor", epochs=2, seed=3))
    assert station["board"].at_rest


def test_what_is_cleared_while_a_run_is_under_way_is_told_to_the_run(opened):
    station, board, engine = opened(suspender("interlock_closed", clear=True).replace("5 ms", "1 ms"), "board")
    device, told = station["board"], []
    device.say = told.append
    poll = device.driver._poll

    def slow(sent, *rest):
        if sent == "INIT" and not told:
            glitch(board)
            threading.Event().wait(0.05)
        return poll(sent, *rest)

    device.driver._poll = slow
    engine(plans.count([device], num=1))
    assert "Interlock open" in told[0]


def test_an_error_that_is_older_than_the_steps_to_safety_is_told_and_no_failure(opened):
    station, board, engine = opened(suspender("untripped"), "board")
    device, told = station["board"], []
    device.say = told.append
    board.interlock_latch = False

    def plan():
        yield from plan_stubs.stage(device)
        yield from plan_stubs.open_run()
        yield from plan_stubs.trigger_and_read([device])
        glitch(board)
        yield from plan_stubs.unstage(device)
        yield from plan_stubs.close_run()

    engine(plan())
    assert device.at_rest
    assert "Interlock open" in told[0]


def test_a_switch_gives_the_board_back_as_it_was_lent_though_a_count_was_broken_off(opened):
    station, board, engine = opened(suspender("interlock_closed"), "board", "switch")
    driver, switch = station["board"].driver, station["switch"]
    board.interlock_latch = False
    registers = {name: getattr(driver, name) for name in BORROWED}
    give_back, broken = switch._give_back, []

    def breaking():
        if switch._lent and not broken:
            broken.append(True)
            setattr(driver, *next(iter(switch._lent.items())))
            glitch(board)
        give_back()

    switch._give_back = breaking
    engine(plans.count([switch], num=1))
    assert broken
    assert {name: getattr(driver, name) for name in BORROWED} == registers


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
