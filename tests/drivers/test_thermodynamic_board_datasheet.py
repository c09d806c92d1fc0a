"""The driver against the board's datasheet, through pyvisa-sim: what it sends must be what the manual lists."""

from importlib.resources import as_file, files

import pytest

from drivers.errors import InstrumentError
from drivers.thermodynamic_board import ThermodynamicBoard

RESOURCE = "TCPIP0::board::5025::SOCKET"


@pytest.fixture
def board(tmp_path):
    with as_file(files("sim_devices") / "definitions" / "thermodynamic_board.yaml") as datasheet:
        own = tmp_path / datasheet.name
        own.write_text(datasheet.read_text())
    driver = ThermodynamicBoard(RESOURCE, visa_library=f"{own}@sim", timeout=500)
    yield driver
    driver.adapter.close()


REGISTERS = {
    "outputs_enabled": True,
    "protection_temperature": 60.0,
    "saturation_limit": 0.25,
    "interlock_latch": False,
    "event_enable": 61,
    "service_enable": 32,
    "cells": 16,
    "inputs": 0,
    "slot": 63,
    "unit": "physical",
    "topology": "sparse",
    "model_name": "digits",
    "input_mode": "sweep",
    "noise_enabled": True,
    "noise_source": "none",
    "temperature": 0.125,
    "noise_seed": 4294967295,
    "sampling": "serial",
    "shots": 20000,
    "observation_time": 5.0,
    "burn_in": 50.0,
    "reset_time": 4.0,
    "reset_mode": "clamp",
    "run_time_limit": 60.0,
    "capture_count": 64,
    "capture_rate": 6e6,
    "function": "statistics",
    "statistics_enabled": False,
    "highest_moment": "variance",
    "histogram_cell": 3,
    "histogram_bins": 16,
    "projection_count": 10,
    "trigger_source": "bus",
    "byte_order": "little",
}


@pytest.mark.parametrize("name", REGISTERS)
def test_a_register_of_the_datasheet_is_set_and_read_through_the_driver(board, name):
    setattr(board, name, REGISTERS[name])
    assert getattr(board, name) == REGISTERS[name]


READINGS = {
    "id": "Szilard,TB256,SN0001,1.0",
    "lock_granted": True,
    "lock_owner": "NONE",
    "error_count": 0,
    "board_temperature": [pytest.approx(25, abs=10)],
    "operation_condition": 0,
    "questionable_condition": 0,
    "protection_tripped": False,
    "interlock_closed": True,
    "interlock_sources": (),
    "model_state": "EMPT",
    "checksum": 0,
    "resolution": [0, 0, 0],
    "layers": [8],
    "input_table_points": 0,
    "slots": (0,),
    "rows": (1, 1),
    "read_cells": tuple(range(1, 9)),
    "capture_cells": (1,),
    "run_time": pytest.approx(0.1200833),
    "sample_clock": 12e6,
    "count": 0,
    "points": 0,
    "histogram_range": (-1, 1),
    "calibration_valid": True,
}


@pytest.mark.parametrize("name", READINGS)
def test_a_reading_of_the_datasheet_is_understood_by_the_driver(board, name):
    assert getattr(board, name) == READINGS[name]


def test_arrays_and_full_scales_of_the_datasheet_are_understood_by_the_driver(board):
    assert board.parameter("couplings").shape == (8, 8)
    assert board.parameter("quadratic").tolist() == [0.5] * 8
    assert board.parameter("weights").shape == (8, 1)
    assert [board.limits(name) for name in ("couplings", "bias", "quartic")] == [(-8, 8), (-16, 16), (0, 4)]
    assert board.input_table().size == 0


def test_single_elements_are_set_as_the_datasheet_says(board):
    board.set_bias_element(2, 0.25)
    board.set_coupling_element(1, 8, -0.5)
    board.clear_program()
    board.abort()


def test_what_the_datasheet_refuses_raises(board):
    with pytest.raises(InstrumentError) as raised:
        board.execute("SAMP:COUN 0")
    assert raised.value.code == -200
    assert board.shots == 1000
