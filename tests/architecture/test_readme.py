"""What the README shows works as it is printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.slow
def test_the_first_plan_of_the_readme_runs_as_printed(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == ""
    assert "board_drive" in outcome.stdout


@pytest.mark.slow
def test_every_lab_command_of_the_readme_exists():
    from lab.cli import main

    assert set(re.findall(r"^lab (\w+)", README, re.MULTILINE)) <= set(main.commands)


def test_every_plan_that_readme_and_docs_run_exists():
    import protocols

    root = Path(__file__).parents[2]
    text = README + "".join(page.read_text() for page in (root / "docs").glob("*.md"))
    assert set(re.findall(r"lab run ([a-z]\w*)", text)) <= set(protocols.__all__)


def test_every_link_of_readme_and_docs_leads_somewhere():
    root = Path(__file__).parents[2]
    for page in (root / "README.md", *(root / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


def test_every_folder_and_file_the_readme_names_is_there():
    root = Path(__file__).parents[2]
    for name in re.findall(r"`((?:\w+/)+[\w.]*)`", README):
        assert (root / name).exists() or name == "runs/", name
