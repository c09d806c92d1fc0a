"""A run that was cut short anywhere goes on as if nothing had happened."""

import errno
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner

import protocols
from lab import journal as lab_journal
from lab import make_run_engine, open_station
from lab.catalogue import Catalogue, RunNotFoundError
from lab.cli import main
from lab.station import Station

IN_SITU = ("train_in_situ", "--task", "xor", "--shots", "10", "--observation-time", "1")
GATE = ("--epochs", "4", "--shots", "40", "--calibration-shots", "200", "--final-shots", "40")
RUNS = {
    "in situ": (*IN_SITU, "--epochs", "4"),
    "in situ, factorised, serial": (
        *("train_in_situ", "--task", "iris", "--epochs", "2", "--shots", "5", "--batch-size", "60"),
        *("--estimator", "factorised", "--readout", "trained", "--sampling", "serial"),
    ),
    "genetic": (
        *("train_genetic", "--generations", "6", "--population", "6", "--parents", "2", "--inputs", "3"),
        *("--shots", "4", "--final-shots", "8", "--patience", "2"),
    ),
    "genetic, classes, two boards": (
        *("train_genetic", "--station", "two_boards", "--board", "board,board_2", "--task", "iris", "--layers", "4,4"),
        *("--generations", "4", "--population", "6", "--inputs", "3", "--shots", "4", "--final-shots", "8"),
    ),
    "gate, cell": ("learn_gate", "--switch", "switch", *GATE),
    "XOR, cell": ("learn_gate", "--switch", "switch", "--gate", "XOR", "--presentation", "all", *GATE),
    "gate, dot": ("learn_gate", "--switch", "dot_switch", *GATE),
    "gate, photons": ("learn_gate", "--switch", "photon_switch", *GATE),
    "kernel": ("learn_kernel", "--method", "parameter_shift", *GATE[:4], "--calibration-shots", "500", *GATE[6:]),
}
MOMENTS = ("time", "bench_state")
"""When it was; two boards that run at the same time move the clock of their bench in any order."""


def lab(directory, *arguments):
    words = [*map(str, arguments), "--directory", str(directory)]
    return CliRunner().invoke(main, words)


def run(directory, *arguments):
    outcome = lab(directory, *arguments, "--no-figure", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    return json.loads(outcome.stdout.splitlines()[-1])["result"]


def journal(directory):
    (path,) = directory.glob("*/journal.jsonl")
    return path


def cut_copies(whole, directory, places):
    """Yield copies of a stored run whose journal ends after each of some lines, and in the middle of the next."""
    lines = journal(whole).read_bytes().splitlines(keepends=True)
    for place in places(len(lines)):
        for rest in (0, len(lines[place]) // 2):
            copy = directory / f"{place}-{rest}"
            shutil.copytree(whole, copy)
            journal(copy).write_bytes(b"".join(lines[:place]) + lines[place][:rest])
            yield copy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("in situ", lambda lines: range(1, lines)),
        *((kind, lambda lines: (lines // 2, lines - 2)) for kind in RUNS if kind != "in situ"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_run_cut_after_any_document_or_within_one_ends_as_if_it_had_not_been_cut(kind, places, tmp_path):
    wanted = run(tmp_path / "whole", "run", *RUNS[kind])
    whole = Catalogue(tmp_path / "whole").find("last")
    for directory in cut_copies(tmp_path / "whole", tmp_path, places):
        assert run(directory, "resume", "last") == wanted
        continued = Catalogue(directory).find("last")
        assert continued.streams == whole.streams
        for stream in whole.streams:
            resumed, uncut = (each.read(stream).drop_vars(MOMENTS, errors="ignore") for each in (continued, whole))
            assert resumed.equals(uncut)
        assert continued.steps == whole.steps


def test_a_run_whose_seed_is_not_that_of_its_station_goes_on_with_both(tmp_path):
    arguments = {"task": "xor", "epochs": 6, "shots": 10, "seed": 9}
    with open_station("mismatched", seed=5, devices=["board"]) as station:
        engine = make_run_engine(station, directory=tmp_path / "whole", arguments=arguments)
        md = {"plan_devices": {"board": "board"}, "compute": None}
        engine(protocols.train_in_situ(station["board"], **arguments, md=md))
        engine.journal.close()
    whole = Catalogue(tmp_path / "whole").find("last").read("learning")
    for directory in cut_copies(tmp_path / "whole", tmp_path, lambda lines: [lines // 2]):
        run(directory, "resume", "last")
        resumed = Catalogue(directory).find("last")
        assert (resumed.start["station_seed"], resumed.start["arguments"]["seed"]) == (5, 9)
        assert resumed.read("learning").drop_vars(MOMENTS).equals(whole.drop_vars(MOMENTS))


@pytest.fixture
def cut(tmp_path):
    """A directory with a run that ends after its fifth learning step."""
    run(tmp_path, "run", *IN_SITU, "--epochs", "8", "--seed", "3")
    lines = journal(tmp_path).read_bytes().splitlines(keepends=True)
    steps = [number for number, line in enumerate(lines) if b'"gradient_mean"' in line and b'"name":"event"' in line]
    journal(tmp_path).write_bytes(b"".join(lines[: steps[4] + 1]))
    return tmp_path


def test_the_whole_run_reads_as_one_and_says_where_it_was_cut(cut):
    said = lab(cut, "resume", "last", "--no-figure")
    assert "goes on after step 5" in said.stderr
    first, whole = Catalogue(cut).runs()
    assert (first.state, first.steps) == ("cut", 5)
    assert (whole.state, whole.steps) == ("success", 8)
    assert [place["step"] for place in whole.cuts] == [5]
    assert whole.cuts[0]["run"] == first.uid
    learning = whole.read("learning")
    assert learning["step"].values.tolist() == learning["seq_num"].values.tolist() == list(range(1, 9))
    assert json.loads(learning.attrs["cuts"]) == whole.cuts
    shown = lab(cut, "show", "last")
    assert "cut after step 5" in shown.stdout
    assert first.uid in shown.stdout
    listed = json.loads(lab(cut, "runs", "--json").stdout)
    assert [(row["state"], row["progress"]) for row in listed] == [("cut", "epoch 5 of 8"), ("success", "epoch 8 of 8")]
    assert listed[1]["continues"] == first.uid[:8]
    assert lab(cut, "plot", "last").exit_code == 0


@pytest.mark.parametrize("missing", [1, 2])
def test_steps_whose_arrays_a_power_cut_took_are_made_again(missing, tmp_path):
    wanted = run(tmp_path, "run", *RUNS["genetic"])
    path = journal(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    (path.parent / "evaluation.h5").unlink(missing_ok=True)
    with h5py.File(path.parent / "learning.h5", "r+") as arrays:
        for rows in arrays.values():
            rows.resize(len(rows) - missing, axis=0)
    assert Catalogue(tmp_path).find("last").read("learning").sizes["event"] == 6 - missing
    assert run(tmp_path, "resume", "last") == wanted


def test_a_continuation_that_is_cut_is_continued_too(cut):
    run(cut, "resume", "last")
    second = Catalogue(cut).find("last")
    path = second.directory / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    refused = lab(cut, "resume", "1")
    assert refused.exit_code == 1
    assert f"continued already, by run {second.uid[:8]} (cut); resume that" in refused.stderr
    run(cut, "resume", "last")
    third = Catalogue(cut).find("last")
    assert len(third.cuts) == 2
    assert third.read("learning")["step"].values.tolist() == list(range(1, 9))


def test_a_run_is_taken_up_on_another_machine_with_its_directory_alone(cut, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(journal(cut).parent, elsewhere / journal(cut).parent.name)
    monkeypatch.chdir(elsewhere)
    assert run(elsewhere, "resume", "1") == run(cut, "resume", "1")


def test_a_continuation_without_its_first_part_says_which_run_is_missing(cut):
    run(cut, "resume", "last")
    first, whole = Catalogue(cut).runs()
    shutil.rmtree(first.directory)
    with pytest.raises(RunNotFoundError, match=f"continues run {first.uid[:8]}, which is not in"):
        Catalogue(cut).find(whole.uid).read("learning")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (IN_SITU, "is complete"),
        (("activation_curve", "--drive", "0", "--shots", "10"), "is complete"),
    ],
)
def test_a_complete_run_is_not_continued(arguments, said, tmp_path):
    run(tmp_path, "run", *arguments, *(("--epochs", "1") if "--task" in arguments else ()))
    refused = lab(tmp_path, "resume", "last")
    assert refused.exit_code == 1
    assert said in refused.stderr


def test_a_plan_that_cannot_be_continued_names_those_that_can(tmp_path):
    run(tmp_path, "run", "activation_curve", "--drive", "0", "--shots", "10")
    lines = journal(tmp_path).read_bytes().splitlines(keepends=True)
    journal(tmp_path).write_bytes(b"".join(lines[:-1]))
    refused = lab(tmp_path, "resume", "last")
    assert refused.exit_code == 1
    assert "only learn_gate, learn_kernel, train_genetic, train_in_situ can" in refused.stderr


@pytest.mark.slow
def test_a_run_that_still_goes_on_is_left_alone(tmp_path):
    process = started(tmp_path, "1000000")
    try:
        wait_for_steps(tmp_path, 1)
        refused = lab(tmp_path, "resume", "last")
        assert refused.exit_code == 1
        assert "still running" in refused.stderr
    finally:
        process.kill()
        process.wait()


def started(directory, epochs):
    command = [sys.executable, "-m", "lab", "run", *IN_SITU, "--epochs", epochs, "--seed", "2"]
    return subprocess.Popen(
        [*command, "--no-figure", "--directory", str(directory)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for_steps(directory, count):
    deadline, pause = time.monotonic() + 60, threading.Event()
    while time.monotonic() < deadline:
        for path in Path(directory).glob("*/journal.jsonl"):
            if path.read_bytes().count(b'"gradient_mean":') > count:
                return
        pause.wait(0.02)
    raise AssertionError("no steps were recorded")


@pytest.mark.slow
def test_a_killed_process_is_continued_as_if_nothing_had_happened(tmp_path):
    process = started(tmp_path / "killed", "60")
    wait_for_steps(tmp_path / "killed", 20)
    process.kill()
    process.wait()
    cut = Catalogue(tmp_path / "killed").find("last")
    assert cut.state == "cut"
    assert run(tmp_path / "killed", "resume", "last") == run(
        tmp_path / "whole", "run", *IN_SITU, "--epochs", "60", "--seed", "2"
    )


@pytest.mark.parametrize("writes", [4, 7, 12])
def test_a_full_disk_stops_a_run_with_safe_outputs_and_it_goes_on_once_there_is_room(writes, tmp_path, monkeypatch):
    arguments = (*IN_SITU, "--epochs", "8", "--seed", "3")
    wanted = run(tmp_path / "whole", "run", *arguments)
    write, room, safe = lab_journal.os.write, [writes], []

    def until_full(descriptor, data):
        if len(data) == lab_journal.PROBE_SIZE:
            return write(descriptor, data)
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    def noting_safe(station, done=Station.safe):
        safe.append(done(station))
        return safe[-1]

    with monkeypatch.context() as patched:
        patched.setattr(lab_journal.os, "write", until_full)
        patched.setattr(Station, "safe", noting_safe)
        failed = lab(tmp_path / "cut", "run", *arguments)
    assert failed.exit_code == 2
    assert "the disk is full" in failed.stderr
    assert "outputs off" in safe[-1]["board"]
    cut = Catalogue(tmp_path / "cut").find("last")
    assert cut.state == "cut"
    assert sum(cut.read(stream).sizes["event"] for stream in cut.streams) == writes - 1 - len(cut.streams)
    assert run(tmp_path / "cut", "resume", "last") == wanted
