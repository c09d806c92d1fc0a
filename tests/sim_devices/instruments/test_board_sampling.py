import numpy as np
import pytest

from twin.models.thermodynamic_board import Circuit


def test_times_are_whole_periods_of_the_clock(client):
    for header, sent, taken in (("TOBS", 0.2, 0.2), ("TOBS", 0.011, 1 / 120), ("BURN", 0.004, 0), ("BURN", 5.0, 5.0)):
        assert client.send(f"SAMP:{header} {sent}") == []
        assert float(client.ask(f"SAMP:{header}?")) == pytest.approx(taken, rel=1e-12)


@pytest.mark.parametrize("time", ["0", "1e-3", "-1", "0.0083"])
def test_an_observation_time_below_the_clock_period_is_refused(client, time):
    assert client.send(f"SAMP:TOBS {time}") == [231]
    assert client.ask("SAMP:TOBS?") == "+1.000000E+01"


def test_times_and_temperature_follow_the_unit(client):
    circuit = Circuit()
    client.write("SAMP:TOBS 0.5;:NOIS:TEMP 0.1;:MOD:UNIT PHYS")
    assert float(client.ask("SAMP:TOBS?")) == pytest.approx(0.5 * circuit.time_constant)
    assert float(client.ask("NOIS:TEMP?")) == pytest.approx(0.1 * circuit.factor("temperature"))
    assert client.send("SAMP:TOBS 20US;:SAMP:RES:VAL 0.1,0,0,0,0,0,0,0;:SAMP:THR 50MV") == []
    assert client.send("NOIS:TEMP MAX") == []
    client.write("MOD:UNIT MOD")
    assert client.ask("SAMP:TOBS?;THR?;:NOIS:TEMP?") == "+2.000000E+00;+5.000000E-01;+4.000000E+00"
    assert client.values("SAMP:RES:VAL?") == pytest.approx([1, 0, 0, 0, 0, 0, 0, 0])
    assert client.send("SAMP:TOBS 20US") == [-138]


def test_the_predicted_time_is_that_of_the_run_model(client):
    client.write("SAMP:COUN 100;TOBS 3;:SAMP:RES:TIME 2;:SAMP:BURN 7;:SAMP:MOD (@0:3)")
    reset = 4 * 100 * (5e-5 + 1 / 12e6)
    serial = 4 * (7e-5 + 100 * 3e-5)
    assert float(client.ask("SAMP:TIME?")) == pytest.approx(reset)
    assert float(client.ask("SAMP:MODE SER;TIME?")) == pytest.approx(serial)
    assert float(client.ask("TRIG:SOUR TIM;TIM 2;DEL 1;:SAMP:TIME?")) == pytest.approx(serial + 3)
    client.write("INP:TABL:DEF 5,1;:INP:MODE SWE;:SAMP:ROWS 2,3;:TRIG:SOUR IMM;DEL 0")
    assert float(client.ask("SAMP:TIME?")) == pytest.approx(3 * serial)


def test_a_run_advances_the_clock_by_the_predicted_time(board, powered):
    powered.write("SAMP:COUN 100;TOBS 3")
    predicted, before = float(powered.ask("SAMP:TIME?")), board.clock.now()
    assert powered.ask("INIT;*OPC?") == "1"
    assert board.clock.now() - before == pytest.approx(predicted)


def test_an_input_table_travels_as_a_block(client, block):
    table = np.linspace(-1, 1, 12)
    client.write("FORM REAL,64;:FORM:BORD SWAP;:MOD:INP 4;:INP:TABL:DEF 3,4")
    assert client.send(b"INP:TABL " + block(table, "<f8")) == []
    assert np.array_equal(client.block("INP:TABL?", "<f8"), table)
    assert np.array_equal(client.block("INP:TABL? 2,1", "<f8"), table[4:8])
    assert client.ask("INP:TABL:POIN?;DEF?") == "3;3,4"
    client.write("FORM ASC;:INP:ROW 3")
    assert client.values("INP:VECT?") == pytest.approx(table[8:])


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("INP:TABL 0,0,0", -109),
        ("INP:TABL 0,0,0,0,0", -223),
        ("INP:TABL 0,0,0,1.1", -222),
        ("INP:TABL? 2,2", 212),
        ("INP:TABL:DEF 0,1", -222),
        ("INP:TABL:DEF 65537,1", -222),
        ("INP:TABL:DEF 1,1025", -222),
        ("INP:TABL:DEF 65536,1024", -225),
        ("INP:ROW 3", 212),
        ("INP:VECT 1,1", -223),
        ("INP:VECT 2", -222),
        ("SAMP:ROWS 0,1", -222),
        ("SAMP:MOD (@64)", -222),
        ("SAMP:CELL (@9)", -222),
        ("SAMP:COUN 1e12", -222),
        ("SAMP:COUN 0", -222),
        ("SAMP:RES:VAL 1,2", -109),
        ("SAMP:RES:VAL 17", -222),
        ("SAMP:RES:MODE RAND", -224),
        ("SAMP:THR 17", -222),
        ("TRIG:SOUR EXT", -224),
        ("CALC:PROJ 1", -221),
        ("CALC:HIST:RANG 1,0", -222),
        ("NOIS:SOUR THER", -224),
        ("NOIS:TEMP 5", -222),
        ("SENS:FUNC SAMP", -104),
        ("MOD:DAMP 1", -113),
        ("INP:DWEL 0", -222),
        ("OUTP:SYNC ON", -113),
        ("TRIG:COUN 1000001", -222),
        ("INIT:CONT ON", -113),
    ],
)
def test_what_is_refused_changes_nothing(client, message, error):
    client.write("INP:TABL:DEF 2,2;:INP:TABL 0.1,0.2,0.3,0.4")
    before = client.ask("*LRN?;INP:TABL?;VECT?;:SAMP:RES:VAL?")
    assert client.send(message) == [error]
    assert client.ask("*LRN?;INP:TABL?;VECT?;:SAMP:RES:VAL?") == before


def test_a_sweep_needs_a_table(client):
    for mode in ("SWE", "STEP"):
        assert client.send(f"INP:MODE {mode}") == [211]
    assert client.ask("INP:MODE?") == "OFF"
    assert client.send("INP:TABL 1") == [211]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("SAMP:MOD (@0,1)", 203),
        ("MOD:BIAS:ELEM 1,1", 203),
        ("INP:TABL:DEF 2,1;:INP:MODE SWE;:SAMP:ROWS 2,2", 212),
        ("INP:TABL:DEF 2,1;:INP:MODE SWE;:INP:TABL:CLE", 211),
        ("INP:TABL:DEF 2,2;:INP:MODE SWE", -221),
        ("SAMP:COUN MAX;CELL (@1);:MOD:COPY 0,1;COPY 0,2;COPY 0,3;COPY 0,4;COMM ALL;:SAMP:MOD (@0:4)", 232),
        ("SENS:FUNC 'STAT';:SAMP:COUN MAX;TOBS 1000", 232),
        ("SENS:FUNC 'STAT';:SAMP:TIME:LIM MAX;:SAMP:COUN MAX;TOBS MAX", 232),
        ("MOD:CELL 8;COMM;:INP:TABL:DEF 65536,1;:INP:MODE SWE;:SAMP:ROWS 1,65536;MODE SER;BURN MAX;TIME:LIM MAX", 232),
        ("SENS:FUNC 'CAPT';:CAPT:COUN MAX;:MOD:COPY 0,1;COMM ALL;:SAMP:MOD (@0,1)", 232),
        ("CALC:PROJ:DEF 1;:CALC:PROJ 1,2,3", -221),
        ("OUTP OFF", -221),
    ],
)
def test_a_run_that_cannot_be_is_refused_and_counts_for_nothing(board, powered, settings, error):
    assert powered.send(settings) == []
    assert powered.send("INIT") == [error]
    assert board.acquisitions == 0
    assert int(powered.ask("STAT:OPER:COND?")) & 1 << 4 == 0


def test_projections_of_unread_cells_are_refused(client):
    client.write("MOD:CELL 3;:OUTP ON;:MOD:COMM;:CALC:PROJ:DEF 1;:CALC:PROJ 1,0,1;:SAMP:CELL (@1,2)")
    assert client.send("INIT") == [-221]
    assert client.send("CALC:PROJ 1,1,0;:INIT;*WAI") == []


def test_the_capture_rate_is_the_clock_over_a_power_of_two(client):
    assert client.ask("CAPT:RATE 3.1MHZ;RATE?") == "+3.000000E+06"
    assert client.ask("CAPT:RATE MIN;RATE?") == client.ask("CAPT:RATE? MIN")


def test_every_trigger_takes_its_shots_at_its_time(powered):
    powered.write("SAMP:COUN 4;TOBS 1;:TRIG:SOUR TIM;TIM 2;COUN 3;:INP:TABL:DEF 2,1;:INP:MODE SWE;:SAMP:ROWS 1,2")
    pass_time = 8 * (2e-5 + 1e-5 + 1 / 12e6)
    assert float(powered.ask("SAMP:TIME?")) == pytest.approx(3 * (2 + pass_time))
    assert powered.ask("INIT;*OPC?;:CALC:COUN?;:DATA:POIN?") == "1;12;24"
    stamps = powered.block("DATA:TIM? 1,24", ">f8").reshape(2, 3, 4)
    assert stamps[1] - stamps[0] == pytest.approx(np.full((3, 4), pass_time / 2))
    assert stamps[:, 1:] - stamps[:, :-1] == pytest.approx(np.full((2, 2, 4), 2 + pass_time))
    assert stamps.max() == pytest.approx(3 * (2 + pass_time))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("SAMP:MODE SER;:TRIG:COUN 2;:INIT", -221),
        ('SENS:FUNC "CAPT";:TRIG:COUN 2;:INIT', -221),
        ('SENS:FUNC "STAT";:SAMP:COUN MAX;:TRIG:COUN MAX;:INIT', 232),
    ],
)
def test_triggers_that_a_run_cannot_take_are_refused(powered, message, error):
    assert powered.send(message) == [error]
    assert powered.ask("*RST;:TRIG:COUN?") == "1"


def test_a_sweep_dwells_as_long_as_it_is_told_and_otherwise_for_the_count(powered):
    powered.write("SAMP:COUN 4;TOBS 1;:INP:TABL:DEF 2,1;:INP:MODE SWE;:SAMP:ROWS 1,2")
    assert powered.ask("INP:DWEL?;:INIT;*OPC?;:DATA:POIN?") == "COUN;1;8"
    assert powered.ask("INP:DWEL 3;:INIT;*OPC?;:DATA:POIN?") == "1;6"
    assert powered.ask("INP:MODE OFF;:INIT;*OPC?;:DATA:POIN?") == "1;4"


def test_the_noise_is_measured_on_request(powered):
    assert float(powered.ask("NOIS:TEMP 0.5;TEMP:ACT?")) == pytest.approx(0.5, abs=0.5 * 5 * np.sqrt(2 / 2**14))
    powered.write("MOD:CELL 3")
    assert powered.values("NOIS:TEMP:ACT?").size == 3
    assert powered.values("NOIS:TEMP:ACT? (@2:3)").size == 2
    assert abs(float(powered.ask("NOIS:CORR? 1,3"))) < 5 / np.sqrt(2**14)
    assert float(powered.ask("NOIS:CORR? 2,2")) == pytest.approx(1.0)
    kelvin, asked = powered.ask("MOD:UNIT PHYS;:NOIS:TEMP:ACT? (@1);:NOIS:TEMP?").split(";")
    assert float(kelvin) == pytest.approx(float(asked), rel=0.1)
    assert powered.ask("NOIS OFF;NOIS:TEMP:ACT? (@1);:NOIS:CORR? 1,2") == "+0.000000E+00;+0.000000E+00"
    assert powered.send("NOIS:TEMP:ACT? (@4)") == [-222]
