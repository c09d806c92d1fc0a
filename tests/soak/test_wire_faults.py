"""Learning goes on through faults of the wire: same weights, every event recorded, nothing left open."""

import gc
import sys
import threading
from collections import Counter

import numpy as np
import psutil
import pytest

from lab import make_run_engine, open_catalogue, open_station
from protocols import train_in_situ
from sim_devices.faults import Fault, FaultInjector

RATE = 0.01 / 4
"""Of each of four kinds."""
FAULTS = [
    Fault("mute", rate=RATE),
    Fault("slow", rate=RATE, delay=0.002),
    Fault("error", rate=RATE),
    Fault("dropped", rate=RATE),
]
"""A garbled block of numbers is not among them: over SCPI it cannot be told from a sound one."""
TIMEOUT = 'timeout = "50 ms"'


@pytest.fixture
def station_file(tmp_path):
    """A twin with a board that is soon given up on."""
    file = tmp_path / "impatient.toml"
    file.write_text(
        '[station]\nlibrary = "twin"\n[bench.board]\ncells = 8\ninputs = 4\n[instruments.board]\n'
        f'resource = "TCPIP0::board::5025::SOCKET"\ndriver = "thermodynamic_board"\n{TIMEOUT}\n'
        '[devices.board]\nrole = "thermodynamic_board"\ninstrument = "board"\n'
    )
    return file


@pytest.fixture
def struck(monkeypatch):
    """Count the faults that strike, and the messages."""
    counts: Counter[str] = Counter()
    draw = FaultInjector.draw

    def counted(injector, message):
        fate = draw(injector, message)
        counts["messages"] += 1
        counts.update(fault.kind for fault in fate)
        return fate

    monkeypatch.setattr(FaultInjector, "draw", counted)
    return counts


def held():
    """Return resident memory in MiB, open files and threads of this process."""
    gc.collect()
    process = psutil.Process()
    return process.memory_info().rss / 2**20, process.num_fds(), threading.active_count()


def told(what, levels):
    """Say what a campaign found, for docs/reliability.md."""
    before, after = (f"{memory:.1f} MiB, {files} files, {threads} threads" for memory, files, threads in levels)
    sys.stdout.write(f"\n{what}; {before} early, {after} at the end\n")


def train(station_file, directory, epochs, faults=(), each_step=lambda step: None):
    """Train; return what was recorded and what was held in the middle and at the end."""
    levels = []
    with open_station(station_file, seed=1) as station:
        if faults:
            station.bench.inject("TCPIP0::board::5025::SOCKET", faults, seed=1)
        station["board"].say = lambda line: None
        engine = make_run_engine(station, directory=directory)
        events = 0

        def watch(name, _document):
            nonlocal events
            if name == "event":
                events += 1
                if events in (epochs // 4, epochs - 1):
                    levels.append(held())

        engine.subscribe(watch)
        engine(train_in_situ(station["board"], task="xor", epochs=epochs, shots=2, seed=1))
    run = open_catalogue(directory).find("last")
    return run, levels


def check(station_file, tmp_path, struck, epochs):
    """Train with and without faults, and compare."""
    sound, _ = train(station_file, tmp_path / "sound", epochs)
    struck.clear()
    shaken, levels = train(station_file, tmp_path / "shaken", epochs, FAULTS)
    assert all(struck[fault.kind] > 0 for fault in FAULTS), struck
    assert sound.streams == shaken.streams
    for stream in sound.streams:
        expected, found = sound.read(stream), shaken.read(stream)
        assert expected.sizes == found.sizes
        for name in set(expected) - {"time", "ts"}:
            if expected[name].dtype.kind in "fiu" and not name.startswith("ts_"):
                np.testing.assert_array_equal(found[name].values, expected[name].values, err_msg=f"{stream}.{name}")
    return shaken, levels


@pytest.mark.slow
def test_60_steps_with_faults_at_one_percent_of_messages_end_with_the_weights_of_a_quiet_wire(
    station_file, tmp_path, struck
):
    check(station_file, tmp_path, struck, 60)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_20000_steps_lose_nothing_and_hold_no_more_at_the_end(station_file, tmp_path, struck):
    run, levels = check(station_file, tmp_path, struck, 20000)
    (early, files, threads), (late, files_late, threads_late) = levels
    told(f"{run.seconds:.0f} s, {dict(struck)}", levels)
    assert late - early < 16
    assert files_late <= files + 4
    assert threads_late <= threads + 2


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_200_runs_in_one_process_leave_nothing_open(station_file, tmp_path):
    levels = []
    for number in range(200):
        train(station_file, tmp_path / "runs", 4)
        if number in (40, 199):
            levels.append(held())
    (early, files, threads), (late, files_late, threads_late) = levels
    told("200 runs", levels)
    assert late - early < 16
    assert files_late <= files + 4
    assert threads_late <= threads + 2
