"""Who may import whom is a promise, so breaking it must fail, and say which rule."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("drivers", "lab", "protocols", "sim_devices", "twin")

TRESPASSES = {
    "twin/noise.py": ("import pyvisa", "twin is physics"),
    "twin/kernels/jit.py": ("import twin.clock", "twin.kernels sees numpy, numba and math only"),
    "sim_devices/visa.py": ("import drivers", "sim_devices imports the twin and nothing above the wire"),
    "drivers/scpi.py": ("import sim_devices", "drivers cannot know where the instrument is"),
    "protocols/characterisation.py": ("import lab.station", "protocols see devices only through ports"),
    "lab/cli.py": ("import twin.clock", "lab reaches simulated instruments only where a station is opened"),
}


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=directory, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
def test_the_layers_hold():
    outcome = lint_imports(ROOT)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.slow
@pytest.mark.parametrize("module", TRESPASSES)
def test_an_import_against_the_layers_fails_and_names_the_rule(module, tmp_path):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    statement, rule = TRESPASSES[module]
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{statement}\n")
    outcome = lint_imports(tmp_path)
    assert outcome.returncode != 0
    assert f"{rule}" in outcome.stdout
    assert "BROKEN" in outcome.stdout
