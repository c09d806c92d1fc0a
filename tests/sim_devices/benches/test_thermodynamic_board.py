import threading
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


def test_several_boards_stand_beside_each_other_with_numbers_of_their_own():
    with benches.open("thermodynamic_board", options={"board": {"boards": 3}}) as bench:
        third = board(bench, SOCKET.replace("board", "board_3"))
        board(bench).write("SAMP:COUN 123")
        assert third.query("*IDN?;:SAMP:COUN?") == f"{IDENTITY.replace('SN0001', 'SN0003')};1000"


def test_boards_of_a_kind_agree_on_equal_seeds_unless_they_deviate():
    def means(imperfections):
        options = {"board": {"boards": 2, "imperfections": imperfections}}
        with benches.open("thermodynamic_board", options=options) as bench:
            boards = [board(bench), board(bench, SOCKET.replace("board", "board_2"))]
            return [each.query(RUN.replace("*RST", "*RST;:NOIS:SEED 7")) for each in boards]

    assert len(set(means({}))) == 1
    assert len(set(means({"offset": 0.1}))) == 2


def test_what_two_boards_do_at_once_takes_the_time_of_one():
    def duration(at_once):
        with benches.open("thermodynamic_board", options={"board": {"boards": 2}}) as bench:
            first, second = board(bench), board(bench, SOCKET.replace("board", "board_2"))
            before, start = RUN.split(":INIT")[0], "INIT"
            for each in (first, second):
                each.query(f"{before}*OPC?")
            begun, blocker = bench.clock.now(), threading.Event()
            bench.worker.submit(blocker.wait)
            for each in (first, second):
                each.write(start)
                assert int(each.query("STAT:OPER:COND?")) & 1 << 4
                if not at_once:
                    blocker.set()
                    each.query("*OPC?")
            blocker.set()
            first.query("*OPC?"), second.query("*OPC?")
            return bench.clock.now() - begun

    assert duration(at_once=True) == pytest.approx(duration(at_once=False) / 2)


def test_a_board_with_inductance_overshoots():
    """At a reduced mass of 1 a harmonic cell with bias 1 is at 0.61 after 3 units of time, not at 1/2."""

    def mean(inductance):
        with benches.open("thermodynamic_board", options={"board": {"circuit": {"inductance": inductance}}}) as bench:
            return float(board(bench).query(RUN.replace("TOBS 5", "TOBS 3")))

    assert mean(0.0) == pytest.approx(0.4988, abs=0.03)
    assert mean("0.1 H") == mean(0.1) == pytest.approx(0.6066, abs=0.03)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"oven": {}}, r"^oven: unknown option; allowed: board$"),
        ({"board": 3}, "^board: must be a table"),
        ({"board": {"cels": 3}}, r"^board\.cels: unknown option; allowed: boards, cells, inputs, circuit"),
        ({"board": {"cells": 257}}, r"^board\.cells: must be a whole number from 1 to 256, not 257"),
        (
            {"board": {"imperfections": {"adc_bit": 8}}},
            r"^board\.imperfections\.adc_bit: unknown option; allowed: coupl",
        ),
        ({"board": {"imperfections": {"adc_bits": -3}}}, r"^board\.imperfections: .*adc_bits"),
        ({"board": {"integrator": {"scheme": "leap"}}}, r"^board\.integrator: .*scheme.*ros2"),
        ({"board": {"integrator": {"step": "short"}}}, r"^board\.integrator\.step: must be a finite number"),
        ({"board": {"circuit": {"inductance": 1e-9}}}, r"^board\.circuit: .*reduced mass .* allowed are 0 and"),
        ({"board": {"circuit": {"resistance": float("inf")}}}, r"^board\.circuit\.resistance: must be .* \(ohm\)"),
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
