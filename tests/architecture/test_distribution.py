"""What a user installs is complete, and the tree has no room that nobody planned."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("drivers", "lab", "protocols", "sim_devices", "twin")
TOP_LEVEL = {
    *PACKAGES,
    "tests",
    "benchmarks",
    "docs",
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "conftest.py",
    "pyvisa_twin.py",
    ".ci",
    ".gitignore",
}


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(line) for line in listing.stdout.splitlines()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    for path in tracked_files():
        if (ROOT / path).is_file():
            target = source / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / path).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(source)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    with zipfile.ZipFile(next(directory.glob("*.whl"))) as archive:
        return set(archive.namelist())


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file_of_the_five_packages(wheel):
    wanted = {
        path.as_posix()
        for path in tracked_files()
        if path.parts[0] in PACKAGES and path.suffix in {".py", ".toml", ".yaml"}
    }
    assert wanted <= wheel, sorted(wanted - wheel)


@pytest.mark.slow
def test_the_wheel_holds_nothing_but_the_five_packages_and_the_visa_entry(wheel):
    roots = {name.split("/")[0] for name in wheel}
    assert roots == {*PACKAGES, "pyvisa_twin.py", *(root for root in roots if root.endswith(".dist-info"))}


def test_the_top_level_holds_only_what_was_planned():
    assert {path.parts[0] for path in tracked_files()} <= TOP_LEVEL


def test_every_dependency_has_a_lower_and_an_upper_bound():
    extras = [entry for extra in PROJECT["project"]["optional-dependencies"].values() for entry in extra]
    for requirement in [*PROJECT["project"]["dependencies"], *extras]:
        if requirement.startswith("szilard["):
            continue
        assert ">=" in requirement, requirement
        assert "<" in requirement, requirement


def test_every_tested_version_lies_within_the_bounds():
    from packaging.requirements import Requirement

    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    for entry in PROJECT["project"]["dependencies"]:
        requirement = Requirement(entry)
        assert pins[requirement.name.lower()] in requirement.specifier, entry
