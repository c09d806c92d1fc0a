import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.cli import main

CURVE = [
    "run",
    "activation_curve",
    "--stiffness",
    "1,0,1",
    "--temperature",
    "0.1",
    "--drive",
    "-1,0,1",
    "--observation-time",
    "1",
]
QUICK = [*CURVE, "--shots", "200", "--seed", "1", "--no-figure"]
ENDLESS = ["run", "train_in_situ", "--task", "xor", "--epochs", "1000000"]
COMMANDS = (
    "catalog check devices export faults figure plans plot queue resume run runs safe serve show watch".split()  # noqa: SIM905
)


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def lab(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@contextmanager
def started(*arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """Run `lab` in a process of its own, which does not outlive the block."""
    command = [sys.executable, "-m", "lab", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def last_json(text: str) -> dict[str, Any]:
    outcome = json.loads(text.splitlines()[-1], parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert list(outcome) == ["run", "plan", "exit_status", "seconds", "result"]
    return outcome


def station_file(folder: Path, port: int = 1, devices: str = "board", **instrument: str) -> Path:
    table = {
        "resource": f"TCPIP0::127.0.0.1::{port}::SOCKET",
        "driver": "thermodynamic_board",
        "identity": "Szilard,TB256",
        "timeout": "2 s",
        **instrument,
    }
    lines = [
        "[station]",
        'library = "py"',
        "[instruments.board]",
        *(f'{key} = "{value}"' for key, value in table.items()),
    ]
    if devices:
        lines += [f"[devices.{devices}]", 'role = "thermodynamic_board"', 'instrument = "board"']
    path = folder / "station.toml"
    path.write_text("\n".join(lines))
    return path


def test_help_lists_every_command():
    listed = re.findall(r"^  (\w+) ", lab("--help").output.partition("Commands:")[2], re.M)
    assert listed == COMMANDS
    for command in COMMANDS:
        assert lab(command, "--help").exit_code == 0


def test_no_line_of_the_help_is_cut_short():
    assert "..." not in lab("--help").stdout.partition("Commands:")[2]


def test_the_help_of_a_plan_is_its_docstring():
    text = lab("run", "activation_curve", "--help").output
    assert "Sweep the bias of one cell" in text
    assert "--observation-time" in text
    assert "[reset|serial]" in text
    assert "--md" not in text
    listed = lab("run", "--help").output
    assert "train_genetic" in listed


def test_plans_are_listed_for_people_and_for_programs():
    assert "activation_curve(board, *)" in lab("plans").output
    listed = {plan["name"]: plan for plan in json.loads(lab("plans", "--json").stdout)}
    assert listed["train_in_situ"]["devices"] == ["board"]


def test_a_run_gives_its_result_as_one_line_of_json(runs):
    done = lab(*CURVE, "--shots", 2000, "--seed", 1, "--json")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    outcome = last_json(done.stdout)
    assert outcome["exit_status"] == "success"
    assert outcome["plan"] == "activation_curve"
    assert outcome["seconds"] > 0
    result = outcome["result"]
    assert result["drive"] == [-1.0, 0.0, 1.0]
    assert abs(result["mean"][0] + result["mean"][2]) < 6 * result["mean_standard_error"][0] * 2
    assert result["mean"][2] > 0.2
    assert all(variance > 0 for variance in result["variance"])
    (directory,) = runs.iterdir()
    assert directory.name.endswith(outcome["run"][:8])
    assert (directory / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert str(directory) in done.stderr


def test_equal_seeds_give_equal_results_and_others_do_not():
    first, again, other = (last_json(lab(*QUICK[:-2], seed, "--json", "--no-figure").stdout) for seed in (1, 1, 2))
    assert first["result"] == again["result"]
    assert first["result"]["mean"] != other["result"]["mean"]
    assert first["run"] != again["run"]


def test_options_may_stand_before_the_plan_and_underscores_for_hyphens():
    done = lab(
        "run", "--json", "--no-figure", "activation-curve", "--drive", "0", "--shots", "10", "--observation_time", "0.1"
    )
    assert done.exit_code == 0, done.stderr
    assert last_json(done.stdout)["result"]["drive"] == [0.0]


def test_without_json_the_result_is_a_table():
    done = lab(*QUICK)
    assert done.exit_code == 0
    assert re.search(r"^drive +-1, 0, 1", done.stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run", "plans are activation_curve"),
        ("run nosuch", "no plan 'nosuch'"),
        ("run --station twin nosuch", "no known plan named; plans are activation_curve"),
        ("run activation_kurve", "did you mean activation_curve?"),
        ("run activation_curve --nosuch 1", "--nosuch"),
        ("run activation_curve --observation-tme 1", "--observation-time"),
        ("run activation_curve --shots 1e12", "shots"),
        ("run activation_curve --shots 0", "shots"),
        ("run activation_curve --shots -5", "shots"),
        ("run activation_curve --shots many", "not a whole number"),
        ("run activation_curve --shots", "--shots"),
        ("run activation_curve --observation-time 0", "observation_time"),
        ("run activation_curve --observation-time nan", "not a finite number"),
        ("run activation_curve --observation-time inf", "not a finite number"),
        ("run activation_curve --drive 1,nan", "not a finite number"),
        ("run activation_curve --drive 1e9", "drive"),
        ("run activation_curve --stiffness 1,0", "3 are needed"),
        ("run activation_curve --sampling sometimes", "sometimes"),
        ("run activation_curve --seed -1", "--seed"),
        ("run activation_curve --seed 1e99", "not a whole number from 0 to 4294967295"),
        ("run activation_curve --station nosuch", "nosuch"),
        ("run activation_curve spare", "spare"),
        ("run train_in_situ --task cats", "cats"),
        ("run train_in_situ --epochs 0", "epochs"),
        ("run train_in_situ --hidden 1000000", "hidden"),
        ("run train_genetic --population 100000", "population"),
        ("run evaluate", "--run"),
        ("run evaluate --run nosuch", "nosuch"),
    ],
)
def test_nonsense_is_a_bad_argument_in_plain_words(arguments, said):
    done = lab(*arguments.split(), "--json")
    assert done.exit_code == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 1500
    outcome = last_json(done.stdout)
    assert outcome["exit_status"] == "fail"
    assert outcome["run"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("", 1, "Usage"),
        ("nosuch", 1, "nosuch"),
        ("show", 1, "RUN"),
        ("show nosuch", 1, "no run 'nosuch'"),
        ("show last", 1, "there are none yet"),
        ("plot 7", 1, "no run '7'"),
        ("export last x.nc", 1, "no run 'last'"),
        ("check --station nosuch", 1, "nosuch"),
        ("serve --port 99999", 1, "--port"),
        ("serve --station nosuch", 1, "nosuch"),
        ("serve --address 203.0.113.7 --port 0", 2, "203.0.113.7"),
    ],
)
def test_every_command_refuses_nonsense_in_plain_words(arguments, code, said):
    done = lab(*arguments.split())
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 40


@pytest.mark.parametrize("plan", ["activation_curve", "train_in_situ", "train_genetic"])
def test_a_plan_refuses_its_arguments_before_any_instrument_is_opened(plan, monkeypatch):
    monkeypatch.setattr("lab.station.open_station", lambda *_, **__: pytest.fail("a station was opened"))
    outcome = lab("run", plan, "--shots", "1e12", "--json")
    assert outcome.exit_code == 1
    assert "shots: 1000000000000 is not allowed" in outcome.stderr
    assert last_json(outcome.stdout)["exit_status"] == "fail"


def test_debug_shows_where_an_error_came_from():
    done = lab("check", "--station", "nosuch", "--debug")
    assert done.exit_code == 1
    assert "Traceback" in done.stderr


def test_a_plan_whose_device_the_station_has_not_is_refused(tmp_path):
    station = station_file(tmp_path, devices="another", resource="TCPIP0::board::5025::SOCKET")
    text = station.read_text().replace('library = "py"', 'library = "twin"\nbench = "thermodynamic_board"')
    station.write_text(text)
    done = lab(*QUICK, "--station", station, "--json")
    assert done.exit_code == 1
    assert "needs board" in done.stderr
    assert "it has another" in done.stderr
    assert last_json(done.stdout)["exit_status"] == "fail"


@pytest.mark.parametrize("command", ["run", "check", "devices", "safe"])
def test_an_instrument_that_does_not_answer_is_exit_code_3(command, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        station = station_file(tmp_path, port=free.getsockname()[1])
    done = lab(*(QUICK if command == "run" else [command]), "--station", station)
    assert done.exit_code == 3, done.stderr
    assert "instrument board at TCPIP0::127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    done = lab(*QUICK, "--directory", tmp_path / "file" / "runs")
    assert done.exit_code == 2
    assert "cannot be recorded" in done.stderr


def test_stored_runs_are_listed_shown_exported_and_drawn(runs, tmp_path):
    assert "no runs" in lab("runs").stderr
    uid = last_json(lab(*QUICK, "--json").stdout)["run"]
    lab(*QUICK[:-1], "--drive", "0,1", "--no-figure")
    listed = json.loads(lab("runs", "--json").stdout)
    assert [run["state"] for run in listed] == ["success", "success"]
    assert [run["steps"] for run in listed] == [3, 2]
    assert listed[0]["run"] == uid[:8]
    assert lab("runs", "--plan", "nosuch", "--json").stdout.strip() == "[]"
    for name in (uid, uid[:10], "1"):
        shown = json.loads(lab("show", name, "--json").stdout)
        assert shown["run"] == uid
        assert shown["start"]["plan_args"]["drive"] == [-1.0, 0.0, 1.0]
        assert shown["streams"]["primary"]["mean"] == [3]
    assert "primary: 2 events" in lab("show", "last").stdout
    done = lab("export", "1", tmp_path / "run.csv")
    assert done.stdout.strip() == str(tmp_path / "run.csv")
    assert len((tmp_path / "run.csv").read_text().splitlines()) == 4
    assert lab("export", "1", tmp_path / "run.csv").exit_code == 1
    assert lab("export", "1", tmp_path / "run.nc").exit_code == 0
    assert lab("plot", "last", tmp_path / "picture.png").exit_code == 0
    assert (tmp_path / "picture.png").exists()
    assert lab("plot", "1").stdout.strip().endswith("figure.png")
    assert lab("plot", "1", tmp_path / "nosuch" / "x.png").exit_code == 2


def test_a_stored_program_is_evaluated_by_the_name_of_its_run():
    trained = last_json(lab("run", "train_in_situ", "--task", "xor", "--epochs", 2, "--no-figure", "--json").stdout)
    done = lab("run", "evaluate", "--run", "last", "--shots", 50, "--json")
    assert done.exit_code == 0, done.stderr
    assert last_json(done.stdout)["result"]["shots"] == 50
    shown = json.loads(lab("show", "last", "--json").stdout)
    assert shown["start"]["plan_args"]["run"] == trained["run"]


@pytest.mark.slow
def test_a_stored_calibration_is_taken_by_the_name_of_its_run():
    measured = last_json(lab("run", "switch_curve", "--shots", 500, "--no-figure", "--json").stdout)["result"]
    learning = ["run", "learn_gate", "--epochs", 2, "--final-shots", 10, "--no-figure", "--json"]
    (used,) = last_json(lab(*learning, "--calibration", "last").stdout)["result"]["calibrations"]
    assert used["offset"] == measured["offset"]
    shown = json.loads(lab("show", "last", "--json").stdout)
    assert shown["start"]["plan_args"]["calibration"] == shown["start"]["arguments"]["calibration"]
    lab(*QUICK)
    refused = lab(*learning, "--calibration", "last")
    assert refused.exit_code == 1
    assert "allowed: finished runs of switch_curve and learn_gate" in " ".join(refused.stderr.split())


def test_devices_check_and_safe_tell_about_the_station():
    signals = {(row["device"], row["signal"]): row for row in json.loads(lab("devices", "--json").stdout)}
    assert signals["board", "temperature"]["allowed"] == "0 to 4"
    assert signals["board", "sampling"]["allowed"] == "reset, serial"
    assert signals["board", "run_time"]["units"] == "s"
    checked = json.loads(lab("check", "--json").stdout)
    assert checked["instruments"][0]["identity"].startswith("Szilard,TB256")
    assert {"device": "board", "signal": "sampling", "value": "reset"} in checked["states"]
    assert "Szilard,TB256" in lab("check").stdout
    done = lab("safe")
    assert done.exit_code == 0
    assert "board: was safe already" in done.stdout
    assert "gates at their safe voltages" in done.stdout


def served(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"127\.0\.0\.1:(\d+)$", line.strip())
    assert found, (line, process.stderr and process.stderr.read())
    return int(found.group(1))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_served_bench_gives_what_the_twin_gives_and_stops_cleanly(tmp_path, number):
    with started("serve", "--port", 0, "--seed", 1) as server:
        over_tcp = lab(*QUICK, "--json", "--station", station_file(tmp_path, served(server)))
        assert over_tcp.exit_code == 0, over_tcp.stderr
        in_process = lab(*QUICK, "--json")
        assert last_json(over_tcp.stdout)["result"] == last_json(in_process.stdout)["result"]
        server.send_signal(number)
        _, err = server.communicate(timeout=20)
    assert server.returncode == 0, err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_port_in_use_is_refused_in_plain_words():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = lab("serve", "--port", port)
    assert done.exit_code == 2
    assert str(port) in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "numbers", [[signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT], [signal.SIGINT, signal.SIGINT]]
)
def test_an_interrupted_run_is_an_abort_whose_data_are_kept(numbers):
    with started(*ENDLESS, "--json") as process:
        assert process.stderr is not None
        seen = ""
        while not seen.startswith("step"):
            seen = process.stderr.readline()
            assert seen, "ended before it learnt anything"
        for number in numbers:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    outcome = last_json(out)
    assert outcome["exit_status"] == "abort"
    assert "Traceback" not in err
    (run,) = json.loads(lab("runs", "--json").stdout)
    assert run["state"] == "abort"
    assert run["steps"] > 0
    assert outcome["run"].startswith(run["run"])
    assert lab("plot", "last").exit_code == 0


@pytest.mark.slow
def test_a_run_goes_on_when_its_terminal_is_lost():
    with started("run", "train_in_situ", "--task", "xor", "--epochs", "150", "--json") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while not process.stderr.readline().startswith("step"):
            pass
        process.stderr.close()
        assert last_json(process.stdout.read())["exit_status"] == "success"
        assert process.wait(60) == 0


def test_a_picture_is_drawn_from_the_runs_that_the_commands_it_prints_have_made(tmp_path):
    path = tmp_path / "picture.png"
    missing = lab("figure", "bistable-trajectory", path)
    assert missing.exit_code == 1
    assert "no picture bistable-trajectory: the run that it is drawn from not found in" in missing.stderr
    (command,) = missing.stdout.splitlines()
    assert command.startswith("lab run trajectory --stiffness -2,0,1 --temperature 0.2 ")
    assert lab(*command.split()[1:], "--no-figure").exit_code == 0
    made = lab("figure", "bistable-trajectory", path)
    assert made.exit_code == 0
    assert made.stdout.strip() == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_command_that_fails_keeps_those_that_need_its_run_from_running():
    train, judge = lab("figure", "loss_against_shots").stdout.splitlines()
    assert train.startswith("lab run train_model_based ")
    assert train.endswith(" &&")
    assert judge.startswith("lab run loss_curve --run last ")


def test_the_commands_store_runs_where_the_picture_looks_for_them(tmp_path):
    directory = tmp_path / "all my runs"
    (command,) = lab("figure", "bistable_trajectory", "--directory", directory).stdout.splitlines()
    assert shlex.split(command)[-2:] == ["--directory", str(directory)]


def test_pictures_are_listed_by_what_they_show_and_unknown_ones_refused():
    listed = lab("figure")
    assert listed.exit_code == 0
    assert "loss of a trained program against shots (Fig. 7)" in listed.stdout
    unknown = lab("figure", "mona_lisa")
    assert unknown.exit_code == 1
    assert "no picture 'mona_lisa'; there are activation_functions" in unknown.stderr


# faults


def test_faults_are_listed_with_their_rates():
    listed = json.loads(lab("faults", "--json").stdout)
    assert {"mute", "drift", "dead_gate"} <= {fault["fault"] for fault in listed}
    assert all(fault["default"] <= fault["largest"] for fault in listed)


def test_a_run_says_and_records_that_it_rehearses_faults(runs):
    outcome = lab(*QUICK, "--fault", "drift:5", "--fault", "slow@board", "--json")
    assert "rehearsing with faults: drift:5, slow@board:0.01" in outcome.stderr
    shown = json.loads(lab("show", "last", "--json").stdout)
    assert shown["start"]["faults"] == {"drift": 5.0, "slow@board": 0.01}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("rust", "no such fault on this bench; allowed: mute"),
        ("mute:2", "from 0 to 1 (probability for each message)"),
        ("mute:often", "'often' is no rate"),
        ("mute@board_9", "no instrument 'board_9'"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_before_the_run(runs, fault, said):
    outcome = lab(*QUICK, "--fault", fault)
    assert outcome.exit_code == 1
    assert said in outcome.stderr
    assert not runs.exists() or not list(runs.iterdir())
