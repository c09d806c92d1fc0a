"""The manual of the board lists what the board understands, no more and no less."""

import re
from pathlib import Path

import pytest
import pyvisa

from sim_devices.instruments.board_errors import BOARD_ERRORS
from sim_devices.scpi.errors import CORE_ERRORS

MANUAL = Path(__file__).parents[2] / "docs" / "board.md"


@pytest.fixture
def board():
    manager = pyvisa.ResourceManager("@twin")
    with manager.open_resource("TCPIP0::board::inst0::INSTR", timeout=20000) as resource:
        yield resource
    manager.close()


def documented() -> set[str]:
    rows = [line.split("|")[1] for line in MANUAL.read_text().splitlines() if line.startswith("| `")]
    return {header.rstrip("?!") for cell in rows for header in re.findall(r"`([^`]+)`", cell)}


def example() -> list[str]:
    text = MANUAL.read_text().split("## From reset to data")[1].split("- **Reset")[0]
    return [re.split(r"\s{3,}", line.strip())[0] for line in text.splitlines() if line.startswith("    ")]


def test_the_manual_names_every_command_of_the_board_and_no_other(board):
    board.write("SYST:HELP:HEAD?")
    block = board.read_raw()
    lines = block[2 + int(block[1:2]) :].decode().split()
    assert documented() == {line.split("/")[0].rstrip("?").lstrip(":") for line in lines}


def test_the_manual_names_every_error_of_the_board_and_no_other():
    table = MANUAL.read_text().split("## Errors beside those of SCPI-99")[1]
    cells = [line.split("|")[1] for line in table.splitlines() if re.match(r"\| \d", line)]
    assert {int(number) for cell in cells for number in cell.split(",")} == {*CORE_ERRORS, *BOARD_ERRORS}


def test_the_example_of_the_manual_leads_to_data(board):
    for line in example():
        if line == "*ESR?":
            while not int(board.query(line)) & 1:
                pass
        elif line.endswith("?"):
            reply = board.query(line)
        else:
            board.write(line)
        assert board.query("SYST:ERR?").startswith("0,"), line
    means, errors = ([float(value) for value in part.split(",")] for part in reply.split(";"))
    assert means[0] > 0 > means[1]
    assert all(0 < error < 0.01 for error in errors)
