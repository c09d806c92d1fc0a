import time

import pytest
import pyvisa

from sim_devices import benches
from sim_devices.benches import BenchOptionError
from sim_devices.visa import open_library

SOCKET = "TCPIP0::board::5025::SOCKET"
INSTR = "TCPIP0::board::inst0::INSTR"
IDENTITY = "Szilard,TB256,SN0001,1.0"
RUN = (
    "*RST;:OUTP ON;:MOD:CELL 1;:MOD:QUAD 1;:MOD:BIAS 1;:MOD:COMM;*WAI;"
    ":NOIS:STAT ON;TEMP 0.1;:SAMP:MODE RES;COUN 2000;TOBS 5;:INIT;*WAI;:CALC:MEAN?"
)


def board(bench, name=SOCKET):
    manager = pyvisa.ResourceManager(open_library(bench))
    return manager.open_resource(name, read_termination="\n", write_termination="\n", timeout=60000)


def test_plain_pyvisa_finds_the_board_and_runs_it():
    manager = pyvisa.ResourceManager("@twin")
    assert INSTR in manager.list_resources()
    device = manager.open_resource(INSTR, timeout=60000)
    assert device.query("*IDN?").strip() == IDENTITY
    mean = float(device.query(RUN))
    assert device.query("SYST:ERR?").strip() == '0,"No error"'
    assert mean == pytest.approx(0.5, abs=0.04)
    manager.close()


def test_both_names_lead_to_one_board():
    with benches.open("thermodynamic_board") as bench:
        stream, messages = board(bench), board(bench, INSTR)
        stream.write("SAMP:COUN 123")
        assert messages.query("SAMP:COUN?") == "123"


def test_equal_seeds_give_equal_data_on_separate_benches():
    def mean(seed):
        with benches.open("thermodynamic_board", seed=seed) as bench:
            return board(bench).query(RUN)

    assert mean(5) == mean(5)
    assert mean(5) != mean(6)


def test_options_reach_the_board():
    options = {"board": {"cells": 16, "inputs": 4, "circuit": {"clock_frequency": 6e6}, "imperfections": {"offset": 3}}}
    with benches.open("thermodynamic_board", options=options) as bench:
        device = board(bench)
        assert device.query("MOD:CELL? MAX;:MOD:INP? MAX;:SAMP:CLOC?") == "16;4;+6.000000E+06"
        assert abs(float(device.query(RUN)) - 0.5) > 0.1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"oven": {}}, r"^oven: unknown option; allowed: board$"),
        ({"board": 3}, "^board: must be a table"),
        ({"board": {"cels": 3}}, r"^board\.cels: unknown option; allowed: cells, inputs, circuit"),
        ({"board": {"cells": 257}}, r"^board\.cells: must be a whole number from 1 to 256, not 257"),
        (
            {"board": {"imperfections": {"adc_bit": 8}}},
            r"^board\.imperfections\.adc_bit: unknown option; allowed: coupl",
        ),
        ({"board": {"imperfections": {"adc_bits": -3}}}, r"^board\.imperfections: .*adc_bits"),
        ({"board": {"integrator": {"scheme": "leap"}}}, r"^board\.integrator: .*scheme.*ros2"),
        ({"board": {"integrator": {"step": "short"}}}, r"^board\.integrator\.step: must be a finite number"),
        ({"board": {"circuit": {"resistance": float("inf")}}}, r"^board\.circuit\.resistance: must be a finite number"),
    ],
)
def test_a_wrong_option_is_refused_with_its_key_and_what_is_allowed(options, text):
    with pytest.raises(BenchOptionError, match=text):
        benches.open("thermodynamic_board", options=options)


def test_a_bench_closes_at_once_while_its_board_runs():
    bench = benches.open("thermodynamic_board")
    device = board(bench)
    device.write(RUN.replace("COUN 2000", "COUN 16000000").removesuffix(";*WAI;:CALC:MEAN?"))
    assert int(device.query("STAT:OPER:COND?")) & 1 << 4
    start = time.monotonic()
    bench.close()
    bench.worker.shutdown(wait=True)
    assert time.monotonic() - start < 10, "the run of 16 million shots takes longer than that"
