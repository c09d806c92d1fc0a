import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from sim_devices.instruments.board_errors import BOARD_ERRORS
from sim_devices.scpi.errors import CORE_ERRORS
from twin.models.thermodynamic_board import Imperfections


def quadrature(stiffness, bias, temperature):
    """Mean and variance of one cell in equilibrium."""

    def weight(x):
        j2, j3, j4 = stiffness
        return np.exp(-(j2 * x**2 + j3 * x**3 + j4 * x**4 - bias * x) / temperature)

    norm, first, second = (quad(lambda x, k=k: x**k * weight(x), -6, 6)[0] for k in range(3))
    return first / norm, second / norm - (first / norm) ** 2


# ---- the run model ---------------------------------------------------------------------------------------------------


def test_the_run_model_end_to_end_gives_the_equilibrium_mean_and_variance(client, block):
    shots = 20000
    client.write("*RST;:FORM REAL,64;:FORM:BORD SWAP;:OUTP ON;:MOD:CELL 2;TOP ALL")
    for name, values in (("QUAD", [1, 0]), ("QUAR", [1, 1]), ("BIAS", [1, -2])):
        client.write(f"MOD:{name} ".encode() + block(values, "<f8"))
    assert client.ask("MOD:COMM;*OPC?") == "1"
    client.write("NOIS:STAT ON;:NOIS:TEMP 0.1;:SAMP:MODE RES;:SAMP:COUN 20000;:SAMP:TOBS 8;:INIT;*OPC")
    deadline = threading.Event()
    for _ in range(2000):
        if int(client.ask("*ESR?")) & 1:
            break
        deadline.wait(0.01)
    samples = client.block(f"DATA:REM? {shots}", "<f8").reshape(shots, 2)
    assert client.errors() == []
    for column, (stiffness, bias) in enumerate((((1, 0, 1), 1), ((0, 0, 1), -2))):
        mean, variance = quadrature(stiffness, bias, 0.1)
        assert samples[:, column].mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / shots) + 1e-3)
        assert samples[:, column].var() == pytest.approx(variance, rel=5 * np.sqrt(3 / shots) + 0.01)


def test_serial_sampling_agrees_with_quadrature_within_its_own_standard_error(powered):
    powered.write("MOD:BIAS:ELEM 1,1;:MOD:COMM;:SAMP:MODE SER;COUN 20000;TOBS 0.4;BURN 10;:SENS:FUNC 'STAT';:INIT;*WAI")
    mean, _ = quadrature((1, 0, 1), 1, 0.1)
    error = float(powered.ask("CALC:SERR?"))
    assert 0 < error < 0.01
    assert float(powered.ask("CALC:MEAN?")) == pytest.approx(mean, abs=5 * error + 1e-3)


def test_without_noise_a_cell_follows_the_equation_of_motion(powered):
    powered.write("MOD:BIAS:ELEM 1,1;:MOD:COMM;:NOIS OFF;:SAMP:COUN 1;TOBS 0.5;:INIT;*WAI")
    assert float(powered.ask("FETC?")) == pytest.approx(0.300791, abs=1e-3)
    powered.write("NOIS ON;NOIS:SOUR NONE;:INIT;*WAI")
    assert float(powered.ask("FETC?")) == pytest.approx(0.300791, abs=1e-3)


def test_fixed_inputs_are_a_row_of_the_table_or_a_vector_and_stepping_goes_on_by_a_row(powered):
    powered.write("MOD:WEIG:ELEM 1,1,-1;:MOD:COMM;:NOIS OFF;:SAMP:COUN 1;TOBS 1")
    reference = {}
    for bias in (0.5, -0.5, 1.0):
        powered.write(f"MOD:SEL 1;COPY 0,1;BIAS:ELEM 1,{bias};:MOD:COMM;:SAMP:MOD (@1);:INIT;*WAI")
        reference[bias] = powered.ask("FETC?")
    powered.write("SAMP:MOD (@0);:INP:TABL:DEF 2,1;:INP:TABL 0.5,-0.5;:INP:MODE FIX;:INIT;*WAI")
    assert powered.ask("FETC?") == reference[0.5]
    powered.write("INP:ROW 2;:INIT;*WAI")
    assert powered.ask("FETC?") == reference[-0.5]
    powered.write("INP:VECT 1;:INIT;*WAI")
    assert powered.ask("FETC?") == reference[1.0]
    powered.write("INP:ROW 1;MODE STEP")
    assert [powered.ask("READ?") for _ in range(3)] == [reference[0.5], reference[-0.5], reference[0.5]]


def test_equal_seed_and_acquisition_number_give_equal_data(open_board, connect):
    replies = []
    for _ in range(2):
        client = connect(open_board())
        client.write("OUTP ON;:NOIS ON;NOIS:SEED 5;:MOD:COMM;:SAMP:COUN 20;TOBS 1")
        replies.append([client.ask("READ?") for _ in range(2)])
        client.write("NOIS:SEED 5")
        assert client.ask("READ?") == replies[-1][0]
        client.write("NOIS:SEED 6")
        assert client.ask("READ?") != replies[-1][0]
    assert replies[0] == replies[1]
    assert replies[0][0] != replies[0][1]


def test_saturated_cells_are_reported_at_the_end_and_their_data_kept(powered):
    powered.write("MOD:QUAD -4;QUAR 0;BIAS 16;COMM;:SAMP:COUN 10;TOBS 5")
    assert powered.send("INIT;*WAI") == [233]
    assert powered.ask("STAT:QUES:COND?;:CALC:MEAN?") == "512;+1.600000E+01"
    assert powered.send("OUTP:PROT:SAT 1;:INIT;*WAI") == []
    assert powered.ask("STAT:QUES:COND?") == "0"


# ---- while a run is active -------------------------------------------------------------------------------------------


def test_a_run_is_overlapped_and_shows_in_the_operation_register(powered, gate):
    powered.write("SAMP:COUN 10;:INIT;*OPC")
    assert int(powered.ask("STAT:OPER:COND?")) == 1 << 12 | 1 << 4
    assert int(powered.ask("*ESR?")) & 1 == 0
    assert powered.ask("DATA:POIN?") == "0"
    gate.set()
    assert powered.ask("*OPC?") == "1"
    assert int(powered.ask("*ESR?")) & 1
    assert int(powered.ask("STAT:OPER:COND?")) == 1 << 12


def test_the_shots_an_active_run_has_made_can_be_asked_for(board, powered):
    shots = 2**20
    powered.write(f"SENS:FUNC STAT;:SAMP:COUN {shots};TOBS 100;:INIT")
    seen = []
    while len(set(seen)) < 4:
        seen.append(int(powered.ask("DATA:POIN?")))
    assert seen == sorted(seen)
    assert 0 <= seen[-1] <= shots
    powered.write("ABOR")
    assert powered.ask("DATA:POIN?") == "0"


def test_settings_of_an_active_run_are_locked_and_questions_answered(powered, gate):
    powered.write("INIT")
    for message in ("SAMP:COUN 5", "MOD:QUAD 1", "MOD:COMM", "*RCL 0", "INP:MODE FIX", "TRIG:SOUR BUS", "SYST:PRES"):
        assert powered.send(message) == [-221]
    assert powered.send("INIT") == [-213]
    assert powered.ask("SAMP:COUN?") == "1000"
    gate.set()


def test_fetch_waits_for_the_run_and_what_follows_waits_with_it(powered, gate):
    powered.write("SAMP:COUN 3;:INIT;FETC?;:SAMP:COUN 4")
    with pytest.raises(TimeoutError):
        powered.session.read(100, 0.02)
    assert powered.session.errors.pop()[0] in (0, -420)
    gate.set()
    assert powered.read().count(b",") == 2
    assert powered.ask("SAMP:COUN?") == "4"


def test_abort_ends_a_run_at_once_and_keeps_nothing(board, powered, connect, gate):
    other = connect(board, "other:2")
    powered.write("INIT;*OPC?")
    other.write("ABOR")
    assert powered.read() == b"1\n"
    assert powered.send("CALC:MEAN?") == [241]
    assert powered.send("SAMP:COUN 5;:INIT") == []
    gate.set()
    assert powered.ask("*OPC?;:CALC:COUN?") == "1;5"


def test_abort_stops_the_integration_itself(board, powered):
    powered.write("SENS:FUNC 'STAT';:SAMP:COUN MAX;TOBS 100;TIME:LIM MAX;:INIT")
    powered.write("ABOR;:SAMP:COUN 1;TOBS 1;:INIT")
    assert powered.ask("*OPC?;:CALC:COUN?") == "1;1"


def test_a_run_waits_for_the_bus_trigger(powered):
    assert powered.send("*TRG") == [-211]
    powered.write("TRIG:SOUR BUS;:SAMP:COUN 2;:INIT")
    assert int(powered.ask("STAT:OPER:COND?")) == 1 << 12 | 1 << 5
    assert powered.send("*TRG") == []
    assert powered.send("*TRG;*WAI") in ([-211], [])
    assert powered.ask("*OPC?;:CALC:COUN?") == "1;2"
    powered.write("INIT;:ABOR")
    assert powered.send("*TRG") == [-211]


def test_a_run_waits_for_as_many_bus_triggers_as_it_counts(powered):
    powered.write("TRIG:SOUR BUS;COUN 3;:SAMP:COUN 2;:INIT")
    assert powered.send("*TRG;*TRG") == []
    assert int(powered.ask("STAT:OPER:COND?")) == 1 << 12 | 1 << 5
    assert powered.send("*TRG") == []
    assert powered.ask("*OPC?;:CALC:COUN?") == "1;6"


def test_reset_ends_a_run(powered, gate):
    powered.write("INIT")
    assert powered.send("*RST") == []
    assert powered.ask("OUTP?;:STAT:OPER:COND?;:MOD:STAT?;*OPC?") == "0;0;EMPT;1"
    gate.set()


def test_only_the_owner_of_the_lock_may_change_or_run(board, powered, connect):
    other = connect(board, "other:2")
    assert powered.ask("SYST:LOCK:REQ?") == "1"
    for message in ("SAMP:COUN 5", "MOD:BIAS 1", "INIT", "READ?", "ABOR", "OUTP OFF", "TEST:RUN? 1"):
        assert other.send(message) == [110]
    assert other.ask("SAMP:COUN?") == "1000"
    assert powered.send("SYST:LOCK:REL") == []
    assert other.send("SAMP:COUN 5") == []


def test_a_fault_of_the_physics_is_an_error_of_the_session_and_not_the_end(board, powered, monkeypatch):
    def fail(*_, **__):
        raise ArithmeticError("broken")

    monkeypatch.setattr(board.model, "simulate", fail)
    assert powered.send("INIT;*WAI") == [-310]
    monkeypatch.undo()
    assert powered.send("INIT;*WAI") == []


def test_closing_the_board_ends_its_run(board, powered, gate):
    powered.write("INIT")
    board.close()
    assert board.sessions == []
    gate.set()


# ---- state -----------------------------------------------------------------------------------------------------------


def test_save_and_recall_bring_back_settings_programs_and_inputs(powered):
    powered.write("MOD:CELL 3;BIAS 1,2,3;NAME 'kept';:SAMP:COUN 7;:INP:TABL:DEF 1,1;:INP:TABL 0.5;:MOD:COMM;*SAV 4")
    powered.write("*RST")
    assert powered.send("*RCL 4") == []
    assert powered.ask("MOD:CELL?;STAT?;NAME?;:SAMP:COUN?;:INP:TABL:POIN?;:OUTP?;:NOIS?") == '3;SHAD;"kept";7;1;0;0'
    assert powered.values("MOD:BIAS?").tolist() == [1, 2, 3]
    assert powered.send("*RCL 5") == [-224]


def test_learned_settings_are_accepted_again(powered):
    powered.write("SAMP:COUN 7;TOBS 0.5;MOD (@0,3:5);:CALC:HIST:RANG -2,3;:MOD:UNIT PHYS")
    learned = powered.ask("*LRN?")
    powered.write("SAMP:COUN 8;:MOD:UNIT MOD;:SAMP:TOBS 3")
    assert powered.send(learned) == []
    assert powered.ask("*LRN?") == learned


def test_preset_is_the_reset_state(powered):
    powered.write("SAMP:COUN 7;:SYST:PRES")
    assert powered.ask("SAMP:COUN?;:OUTP?;:MOD:STAT?") == "1000;0;EMPT"


@pytest.mark.slow
def test_the_self_test_passes_and_says_what_it_measured(client):
    assert client.ask("*TST?") == "0"
    assert client.ask("TEST:RUN? 5;RES?").startswith('0;"5:PASS:ADC gain within')
    assert client.ask("TEST:RUN? ALL;RES?").count("PASS") == 5
    assert client.send("TEST:RUN? 2") == [-224]


def test_a_failed_self_test_says_which(open_board, connect):
    client = connect(open_board(imperfections=Imperfections(offset=3.0)))
    assert client.ask("TEST:RUN? 4") == "4"
    assert client.errors() == [261]


def test_every_error_of_the_table_has_its_text_and_its_event_bit(client):
    for number, (text, bit) in {**CORE_ERRORS, **BOARD_ERRORS}.items():
        client.write(f"*CLS;DIAG:INJ {number}")
        assert int(client.ask("*ESR?")) == bit
        assert client.ask("SYST:ERR?").startswith(f'{number},"{text}')
    assert client.send("DIAG:INJ 0") == [-224]


# ---- whatever comes --------------------------------------------------------------------------------------------------

RUN = "OUTP ON;:NOIS ON;:INP:TABL:DEF 4,1;:MOD:INP 1;:MOD:COMM;:INP:MODE {};:SAMP:ROWS 2,{};MOD (@0:{});:INIT;*WAI"
SETTINGS = st.one_of(
    st.builds("MOD:CELL {}".format, st.integers(1, 6)),
    st.builds("MOD:INP {}".format, st.integers(0, 3)),
    st.builds("MOD:SEL {}".format, st.integers(0, 3)),
    st.builds("MOD:BIAS:ELEM {},{}".format, st.integers(1, 6), st.floats(-17, 17)),
    st.builds("MOD:COUP:ELEM {},{},{}".format, st.integers(1, 6), st.integers(1, 6), st.floats(-9, 9)),
    st.builds("MOD:CUB {0},{0}".format, st.floats(-2, 2)),
    st.builds("MOD:UNIT {}".format, st.sampled_from(["MOD", "PHYS"])),
    st.builds("MOD:TOP {}".format, st.sampled_from(["ALL", "LAY", "SPAR"])),
    st.builds("MOD:LAY {},{}".format, st.integers(1, 4), st.integers(1, 4)),
    st.builds("MOD:COPY {},{}".format, st.integers(0, 3), st.integers(0, 3)),
    st.builds("INP:TABL:DEF {},{}".format, st.integers(1, 4), st.integers(0, 3)),
    st.builds("INP:MODE {}".format, st.sampled_from(["OFF", "FIX", "STEP", "SWE"])),
    st.builds("INP:ROW {}".format, st.integers(1, 4)),
    st.builds("SAMP:COUN {}".format, st.integers(1, 20)),
    st.builds("SAMP:TOBS {}".format, st.floats(0, 2)),
    st.builds("SAMP:MODE {}".format, st.sampled_from(["RES", "SER"])),
    st.builds("SAMP:BURN {}".format, st.floats(0, 2)),
    st.builds("SAMP:ROWS {},{}".format, st.integers(1, 4), st.integers(1, 4)),
    st.builds("SAMP:CELL (@1:{})".format, st.integers(1, 6)),
    st.builds("SAMP:MOD (@0:{})".format, st.integers(0, 3)),
    st.builds("SAMP:THR {}".format, st.sampled_from(["OFF", "0", "0.1"])),
    st.builds("SENS:FUNC '{}'".format, st.sampled_from(["SAMP", "CAPT", "STAT"])),
    st.builds("CAPT:COUN {}".format, st.integers(16, 40)),
    st.builds("CALC:PROJ:DEF {}".format, st.integers(0, 2)),
    st.builds("CALC:MOM {}".format, st.sampled_from(["MEAN", "VAR", "COV"])),
    st.builds("NOIS:TEMP {}".format, st.floats(0, 4)),
    st.builds("NOIS:SEED {}".format, st.integers(0, 9)),
    st.sampled_from(["OUTP ON", "OUTP OFF", "NOIS ON", "MOD:COMM", "MOD:COMM ALL", "MOD:CLE", "INP:TABL:CLE"]),
    st.sampled_from(["INIT", "ABOR", "*TRG", "TRIG:SOUR BUS", "TRIG:SOUR IMM", "*SAV 1", "*RCL 1", "DATA:REM? 1"]),
    st.sampled_from(["FETC?", "READ?", "CALC:MEAN?", "CALC:PROJ:MEAN?"]),
    st.just("INIT;*WAI"),
    st.builds(RUN.format, st.sampled_from(["OFF", "SWE"]), st.integers(1, 2), st.integers(0, 1)),
)


def check_invariants(board):
    programs = board.programs
    assert (programs.cells, programs.inputs) == (board.cells, board.inputs)
    assert (programs.selected, programs.topology) == (board.slot, board.topology)
    assert sum(programs.layers) == board.cells
    for slot in programs.slots:
        for image in filter(None, (slot.shadow, slot.live)):
            assert {name: values.size for name, values in image.items()} == {
                name: programs.size(name) for name in image
            }
            assert all(np.isfinite(values).all() for values in image.values())
        assert (slot.program is None) == (slot.live is None)
    assert board.outputs_on or not board.noise_on
    assert max(board.read_cells + board.capture_cells) <= board.cells
    assert board.histogram_cell <= board.cells
    assert board.start.size in (1, board.cells)
    assert bool(board.projection_count) == (board.projections is not None)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(SETTINGS, min_size=10, max_size=40))
def test_whatever_is_sent_the_state_stays_whole_and_reset_restores_it(open_board, connect, messages):
    board = open_board(cells=6, inputs=3)
    client, helper = connect(board), connect(board, "helper:2")
    fresh = client.ask("*LRN?")
    for message in ["OUTP ON;:MOD:COMM;:SAMP:COUN 10;TOBS 1;MODE RES", *messages]:
        client.write(message)
        if message != "INIT":
            helper.write("*TRG")
            assert helper.ask("*OPC?") == "1"
        client.session.take()
        with board.lock:
            check_invariants(board)
    client.session.clear()
    assert set(client.errors()) <= {*BOARD_ERRORS, *CORE_ERRORS, *range(-499, 0)} - {-310}
    assert client.send("ABOR;*RST") == []
    assert client.ask("*OPC?;*LRN?") == "1;" + fresh
    assert client.ask("MOD:CAT?;:INP:TABL:POIN?;:OUTP?;:DATA:POIN?;:STAT:OPER:COND?") == '"";0;0;0;0'
