"""What training on a model reaches, through the whole stack: plan, model, device, driver, wire and the twin of a board.

Run ``python benchmarks/training.py`` for tables, ``--json`` for one line. "core" is the process CPU time of the fit, s,
"all" that of the whole run with its judgement. The cosine is judged with 1000 shots on 250 inputs: by the twin as it
comes, and by the scheme of Whitelam and Casert, "Thermodynamic computing out of equilibrium": Euler, step 1e-3,
Gaussian noise. Digits of MNIST are judged on the 1000 of each split that were kept out, so that one standard error is
0.7 %. A transfer is on the station `mismatched`: steps until the board is back at twice the ideal loss.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from measuring import Column, Row, make_parser, print_json, print_table

from lab import make_run_engine, open_catalogue, open_station
from protocols import evaluate, train_model_based, transfer
from protocols.stored_run import StoredRun

COSINE: Mapping[str, Mapping[str, Any]] = {
    "reset, 300 epochs": {"epochs": 300},
    "reset": {},
    "serial": {"sampling": "serial"},
}
SEEDS, SPLITS = (0, 1, 2), (0, 1, 2, 3)
PAPER = '\n[bench.board.integrator]\nscheme = "euler"\nstep = 1e-3\nnoise = "gaussian"\n'


def run(station_file: str | Path, directory: Path, plan: Any, *devices: str, seed: int, **arguments: Any) -> Row:
    """Run a plan on a station; return its result with the CPU and wall time of the run."""
    with open_station(station_file, seed=seed, devices=devices) as station:
        engine = make_run_engine(station, directory=directory, context_managers=())
        result: Row = {}

        def kept() -> Any:
            result.update((yield from plan(*(station[name] for name in devices), seed=seed, **arguments)))

        core, wall = time.process_time(), time.perf_counter()
        engine(kept())
        return {**result, "all": time.process_time() - core, "seconds": time.perf_counter() - wall}


def stored_run(directory: Path) -> StoredRun:
    """Return the last run with its trained program."""
    last = open_catalogue(directory).find("last")
    event = last.read("evaluation").isel(event=-1)
    return StoredRun.from_event(last.start, {str(key): event[key].values for key in event})


def paper_station(directory: Path) -> Path:
    """Write the station of the twin that integrates as the paper does."""
    path = directory / "paper.toml"
    path.write_text((resources.files("lab") / "stations" / "twin.toml").read_text() + PAPER)
    return path


def cosine(directory: Path, seeds: tuple[int, ...], changes: Mapping[str, Any]) -> dict[str, Row]:
    """Train the cosine, and judge it by both schemes."""
    rows = {}
    for name, arguments in COSINE.items():
        for seed in seeds:
            trained = {**arguments, **changes}
            row = run("twin", directory, train_model_based, "board", "model", seed=seed, **trained)
            paper = paper_station(directory)
            judged = run(paper, directory, evaluate, "board", seed=seed, run=stored_run(directory))
            rows[f"{name}, seed {seed}"] = {**row, "paper": judged["loss"]}
    return rows


def digits(directory: Path, splits: tuple[int, ...], changes: Mapping[str, Any]) -> dict[str, Row]:
    """Train 5000 digits of MNIST on their splits."""
    rows = {}
    for split in splits:
        arguments = {"task": "mnist5000", "split": split, **changes}
        row = run("twin", directory, train_model_based, "board", "model", seed=split, **arguments)
        baselines = {name: judged["test_accuracy"] for name, judged in row["baselines"].items()}
        rows[f"split {split}"] = {**row, **{f"M{shots}": value for shots, value in row["test_accuracy"].items()}}
        rows[f"split {split}"] |= baselines
    return rows


def transfers(directory: Path, seeds: tuple[int, ...], changes: Mapping[str, Any]) -> dict[str, Row]:
    """Carry programs over to a mismatched board."""
    rows = {}
    for task in ("cosine", "digits"):
        measure = "loss" if task == "cosine" else "accuracy"
        for seed in seeds:
            row = run("mismatched", directory, transfer, "board", "model", task=task, seed=seed, **changes)
            values = {stage: row[stage][measure] for stage in ("ideal", "deployed", "genetic", "feedback")}
            steps = {f"{way}_steps": row[way]["steps_to_recover"] for way in ("genetic", "feedback")}
            rows[f"{task}, seed {seed}"] = {**values, **steps, "all": row["all"]}
    return rows


def measure(options: argparse.Namespace) -> dict[str, dict[str, Row]]:
    """Make all runs."""
    seeds, splits = (SEEDS[:1], SPLITS[:1]) if options.quick else (SEEDS, SPLITS)
    short: dict[str, Any] = {"epochs": 5} if options.quick else {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        return {
            "cosine": cosine(directory, seeds, short | ({"shots": (100,)} if options.quick else {})),
            "digits": digits(directory, splits, short),
            "transfer": transfers(
                directory, seeds, short | ({"generations": 2, "updates": 2} if options.quick else {})
            ),
        }


def main() -> None:
    """Print what training on a model reaches."""
    options = make_parser(__doc__).parse_args()
    results = measure(options)
    if options.json:
        print_json(results)
        return
    core = [Column("training_core_seconds", "core", ".1f"), Column("all", "all", ".1f")]
    print_table(
        "cosine", results["cosine"], [*core, Column("final_loss", "loss", ".5f"), Column("paper", "paper", ".5f")]
    )
    shots = [Column(f"M{count}", f"M = {count}", ".3f") for count in (1, 20, 1000)]
    names = [Column("logistic_regression", "logistic", ".3f"), Column("network_32_32_32", "32-32-32", ".3f")]
    print_table("digits of MNIST", results["digits"], [*core, *shots, *names])
    stages = [Column(stage, stage, ".4f") for stage in ("ideal", "deployed", "genetic", "feedback")]
    steps = [Column(f"{way}_steps", f"{way}, steps", "d") for way in ("genetic", "feedback")]
    print_table("transfer", results["transfer"], [*stages, *steps, core[1]])


if __name__ == "__main__":
    main()
