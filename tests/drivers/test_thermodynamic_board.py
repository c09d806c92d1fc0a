import threading

import numpy as np
import pytest
from pymeasure.adapters import ProtocolAdapter
from pymeasure.instruments.common_base import DynamicProperty
from pymeasure.test import expected_protocol

from drivers.arrays import block
from drivers.errors import InstrumentError, InstrumentTimeoutError, ReplyError
from drivers.thermodynamic_board import RunShape, ThermodynamicBoard

NO_ERROR = ("SYST:ERR?", '0,"No error"')
ENCODING = [("FORM?", "REAL,32"), ("FORM:BORD?", "SWAP")]
ASCII = [("FORM?", "ASC"), ("FORM:BORD?", "NORM")]


def floats(values):
    return block(np.asarray(values, "<f4").tobytes())


CONTROLS = [
    ("outputs_enabled", True, "OUTP 1", "1"),
    ("communication_timeout", 5.0, "SYST:COMM:TIM 5", "+5.000000E+00"),
    ("protection_temperature", 60.0, "OUTP:PROT:TEMP 60", "+6.000000E+01"),
    ("saturation_limit", 0.25, "OUTP:PROT:SAT 0.25", "+2.500000E-01"),
    ("interlock_latch", False, "INT:LATC 0", "0"),
    ("event_enable", 61, "*ESE 61", "61"),
    ("service_enable", 32, "*SRE 32", "32"),
    ("slot", 63, "MOD:SEL 63", "63"),
    ("cells", 256, "MOD:CELL 256", "256"),
    ("inputs", 0, "MOD:INP 0", "0"),
    ("unit", "physical", "MOD:UNIT PHYS", "PHYS"),
    ("topology", "layered", "MOD:TOP LAY", "LAY"),
    ("layers", [8], "MOD:LAY 8", "8"),
    ("layers", [4, 4], "MOD:LAY 4,4", "4,4"),
    ("model_name", "xor, 2-2-1", 'MOD:NAME "xor, 2-2-1"', '"xor, 2-2-1"'),
    ("input_mode", "sweep", "INP:MODE SWE", "SWE"),
    ("input_row", 3, "INP:ROW 3", "3"),
    ("dwell", 100, "INP:DWEL 100", "100"),
    ("noise_enabled", True, "NOIS 1", "1"),
    ("noise_source", "none", "NOIS:SOUR NONE", "NONE"),
    ("temperature", 0.1, "NOIS:TEMP 0.1", "+1.000000E-01"),
    ("noise_seed", 4294967295, "NOIS:SEED 4294967295", "4294967295"),
    ("sampling", "serial", "SAMP:MODE SER", "SER"),
    ("shots", 20000, "SAMP:COUN 20000", "20000"),
    ("observation_time", 1 / 3, "SAMP:TOBS 0.333333333", "+3.33333333E-01"),
    ("burn_in", 100.0, "SAMP:BURN 100", "+1.000000E+02"),
    ("reset_time", 2.0, "SAMP:RES:TIME 2", "+2.000000E+00"),
    ("reset_mode", "clamp", "SAMP:RES:MODE CLAM", "CLAM"),
    ("run_time_limit", 60.0, "SAMP:TIME:LIM 60", "+6.000000E+01"),
    ("slots", (0, 1, 2, 7), "SAMP:MOD (@0:2,7)", "(@0:2,7)"),
    ("rows", (1, 32), "SAMP:ROWS 1,32", "1,32"),
    ("read_cells", (1, 2, 3), "SAMP:CELL (@1:3)", "(@1:3)"),
    ("function", "statistics", 'SENS:FUNC "STAT"', '"STAT"'),
    ("capture_count", 4096, "CAPT:COUN 4096", "4096"),
    ("capture_rate", 12e6, "CAPT:RATE 12000000", "+1.200000E+07"),
    ("capture_cells", (1,), "CAPT:CELL (@1)", "(@1)"),
    ("statistics_enabled", True, "CALC 1", "1"),
    ("highest_moment", "covariance", "CALC:MOM COV", "COV"),
    ("histogram_cell", 2, "CALC:HIST:CELL 2", "2"),
    ("histogram_bins", 64, "CALC:HIST:BINS 64", "64"),
    ("histogram_range", (-1.0, 1.0), "CALC:HIST:RANG -1,1", "-1,1"),
    ("projection_count", 10, "CALC:PROJ:DEF 10", "10"),
    ("trigger_count", 3, "TRIG:COUN 3", "3"),
    ("trigger_source", "bus", "TRIG:SOUR BUS", "BUS"),
    ("data_format", "REAL,64", "FORM REAL,64", "REAL,64"),
    ("byte_order", "little", "FORM:BORD SWAP", "SWAP"),
]

MEASUREMENTS = [
    ("id", "*IDN?", "Szilard,TB256,SN0001,1.0", "Szilard,TB256,SN0001,1.0"),
    ("capability", "SYST:CAP?", "cells=256;slots=64", "cells=256;slots=64"),
    ("capability", "SYST:CAP?", '"cells=256;slots=64"', "cells=256;slots=64"),
    ("uptime", "SYST:UPT?", "12", 12),
    ("board_temperature", "SYST:TEMP?", "+2.500000E+01", [25.0]),
    ("lock_granted", "SYST:LOCK:REQ?", "0", False),
    ("lock_granted", "SYST:LOCK:REQ?", "on", True),
    ("lock_owner", "SYST:LOCK:OWN?", "'NONE'", "NONE"),
    ("lock_owner", "SYST:LOCK:OWN?", '"127.0.0.1:4242"', "127.0.0.1:4242"),
    ("error_count", "SYST:ERR:COUN?", "3", 3),
    ("event_status", "*ESR?", "1", 1),
    ("event_status", "*ESR?", "+1.7E+01", 17),
    ("operation_condition", "STAT:OPER:COND?", "16", 16),
    ("questionable_condition", "STAT:QUES:COND?", "512", 512),
    ("protection_tripped", "OUTP:PROT:STAT?", "1", True),
    ("interlock_closed", "INT?", "1", True),
    ("interlock_sources", "INT:SOUR?", '"LID,TEMP"', ("LID", "TEMP")),
    ("interlock_sources", "INT:SOUR?", '""', ()),
    ("model_state", "MOD:STAT?", "LIVE", "LIVE"),
    ("checksum", "MOD:CRC?", "#H0000BEEF", 0xBEEF),
    ("resolution", "MOD:RES?", "8,12,0", [8, 12, 0]),
    ("input_table_shape", "INP:TABL:DEF?", "3,2", (3, 2)),
    ("input_table_points", "INP:TABL:POIN?", "1437", 1437),
    ("run_time", "SAMP:TIME?", "+1.200833E-01", 0.1200833),
    ("sample_clock", "SAMP:CLOC?", "+1.200000E+07", 12e6),
    ("count", "CALC:COUN?", "1000", 1000),
    ("points", "DATA:POIN?", "1000", 1000),
    ("calibration_valid", "CAL:VAL?", "1", True),
    ("calibration_date", "CAL:DATE?", '"2025-01-01"', "2025-01-01"),
    ("calibration_temperature", "CAL:TEMP?", "+2.000000E+01", 20.0),
    ("actual_temperature", "NOIS:TEMP:ACT?", "+1.000000E+00,+9.900000E-01", [1.0, 0.99]),
    ("actual_temperature", "NOIS:TEMP:ACT?", "+1.000000E+00", [1.0]),
    ("dwell", "INP:DWEL?", "COUN", None),
    ("dwell", "INP:DWEL?", "+5.0E+00", 5),
]


@pytest.mark.parametrize(("name", "value", "command", "reply"), CONTROLS, ids=[row[2] for row in CONTROLS])
def test_every_register_is_set_checked_and_read_as_the_manual_says(name, value, command, reply):
    query = command.split(" ")[0] + "?"
    with expected_protocol(ThermodynamicBoard, [(command, None), NO_ERROR, (query, reply)]) as board:
        setattr(board, name, value)
        read = getattr(board, name)
    assert read == pytest.approx(value) if isinstance(value, float) else read == value


@pytest.mark.parametrize(("name", "query", "reply", "value"), MEASUREMENTS, ids=[row[1] for row in MEASUREMENTS])
def test_every_reading_is_asked_as_the_manual_says(name, query, reply, value):
    with expected_protocol(ThermodynamicBoard, [(query, reply)]) as board:
        assert getattr(board, name) == value


def properties():
    members = {name: getattr(ThermodynamicBoard, name) for name in dir(ThermodynamicBoard) if name[0] != "_"}
    return {name: member for name, member in members.items() if isinstance(member, property)}


@pytest.mark.parametrize("name", properties())
def test_the_docstring_of_a_property_begins_with_its_verb_and_ends_as_a_sentence(name):
    member = properties()[name]
    verbs = ("Control", "Get", "Measure", "Set") if member.fset else ("Get", "Measure")
    assert member.__doc__.strip().split()[0] in verbs
    assert member.__doc__.strip().endswith(".")


def test_every_property_of_the_board_has_a_line_in_the_tables_here():
    inherited = {"complete", "status", "options", "next_error"}
    assert set(properties()) - inherited == {row[0] for row in CONTROLS} | {row[0] for row in MEASUREMENTS}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shots", 0),
        ("shots", 10**12),
        ("shots", 1.5),
        ("cells", 257),
        ("slots", [64]),
        ("slots", [-1]),
        ("rows", (0, 1)),
        ("temperature", float("nan")),
        ("temperature", -1),
        ("observation_time", float("inf")),
        ("model_name", 'a"b'),
        ("model_name", ""),
        ("model_name", "é"),
        ("function", "everything"),
        ("layers", [2.5]),
        ("histogram_range", (float("nan"), 1)),
        ("data_format", "REAL,16"),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(name, value):
    with expected_protocol(ThermodynamicBoard, []) as board, pytest.raises(ValueError, match=r"\S"):
        setattr(board, name, value)


def test_a_program_is_one_message_of_blocks():
    couplings = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]])
    message = (
        b"MOD:SEL 5;:MOD:COUP " + floats([1, 2, 3]) + b";:MOD:BIAS " + floats([0, 1, 0]) + b";:MOD:WEIG "
        b"" + floats([1, 2, 3, 4, 5, 6]) + b"\n"
    )
    with expected_protocol(ThermodynamicBoard, [*ENCODING, (message, None), NO_ERROR]) as board:
        board.program(5, couplings=couplings, bias=[0, 1, 0], weights=np.arange(1, 7).reshape(3, 2))


def test_programs_are_loaded_with_one_message_each_and_committed_together():
    exchange = [
        *ASCII,
        (b"MOD:SEL 0;:MOD:BIAS 0.5,-0.5\n", None),
        (b"MOD:SEL 1;:MOD:BIAS 1,2\n", None),
        NO_ERROR,
        NO_ERROR,
        ("*CLS;:MOD:COMM (@0:1);*OPC", None),
        ("*ESR?", "0"),
        ("*ESR?", "1"),
        NO_ERROR,
    ]
    with expected_protocol(ThermodynamicBoard, exchange) as board:
        board.load({0: {"bias": [0.5, -0.5], "weights": np.zeros((2, 0))}, 1: {"bias": [1, 2]}})


def test_of_programs_of_which_one_is_refused_none_is_committed():
    exchange = [
        *ASCII,
        (b"MOD:SEL 0;:MOD:BIAS 0.5\n", None),
        (b"MOD:SEL 1;:MOD:BIAS 17\n", None),
        ("SYST:ERR?", '-222,"Data out of range"'),
        NO_ERROR,
    ]
    with expected_protocol(ThermodynamicBoard, exchange) as board, pytest.raises(InstrumentError, match="-222"):
        board.load({0: {"bias": [0.5]}, 1: {"bias": [17]}})


def test_no_property_is_dynamic():
    assert not [name for name, member in properties().items() if isinstance(member, DynamicProperty)]


@pytest.mark.parametrize(
    "parameters",
    [
        {"couplings": [[0, 1], [2, 0]]},
        {"couplings": [[1, 1], [1, 0]]},
        {"couplings": np.zeros((2, 3))},
        {"bias": [np.nan]},
        {"damping": [1]},
        {"bias": [1, 2], "slot": 64},
    ],
)
def test_a_program_that_cannot_be_is_not_sent(parameters):
    with pytest.raises(ValueError, match=r"\S"), expected_protocol(ThermodynamicBoard, ENCODING) as board:
        board.program(**{"slot": 0, **parameters})


def test_parameters_are_read_back_in_their_shapes():
    exchange = [
        *ASCII,
        ("MOD:COUP?", "1,2,3"),
        NO_ERROR,
        ("MOD:WEIG?", "1,2,3,4,5,6"),
        NO_ERROR,
        ("MOD:CELL?", "3"),
        ("MOD:BIAS?", "0,1,0"),
        NO_ERROR,
    ]
    with expected_protocol(ThermodynamicBoard, exchange) as board:
        assert board.parameter("couplings").tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
        assert board.parameter("weights").shape == (3, 2)
        assert board.parameter("bias").tolist() == [0, 1, 0]


def test_the_full_scale_is_asked_from_the_board():
    exchange = [("MOD:COUP:LIM? MIN", "-8.000000E+00"), ("MOD:COUP:LIM? MAX", "+8.000000E+00")]
    with expected_protocol(ThermodynamicBoard, exchange) as board:
        assert board.limits("couplings") == (-8, 8)


def test_tables_and_projections_are_defined_and_filled_in_one_message():
    exchange = [
        *ENCODING,
        (b"INP:TABL:DEF 2,3;:INP:TABL " + floats(range(6)) + b"\n", None),
        NO_ERROR,
        (b"CALC:PROJ:DEF 2;:CALC:PROJ " + floats(range(6)) + b"\n", None),
        NO_ERROR,
        ("CALC:PROJ:DEF 0", None),
        NO_ERROR,
    ]
    with expected_protocol(ThermodynamicBoard, exchange) as board:
        board.set_input_table(np.arange(6).reshape(2, 3))
        board.set_projections(np.arange(6).reshape(2, 3))
        board.set_projections(None)


RUN = [
    ("INP:MODE?", "SWE"),
    ("SAMP:ROWS?", "1,3"),
    ("INP:DWEL?", "COUN"),
    ("SAMP:COUN?", "4"),
    ("SAMP:MOD?", "(@0:1)"),
    ("TRIG:COUN?", "1"),
    ("SAMP:CELL?", "(@1:2)"),
    ("SAMP:TIME?", "+1.000000E-03"),
    NO_ERROR,
    ("*CLS;:INIT;*OPC", None),
]


def test_a_run_polls_the_event_register_and_shapes_what_it_fetches():
    moments = np.arange(12.0)
    samples = np.arange(48.0)
    exchange = [
        *RUN,
        ("*ESR?", "0"),
        ("*ESR?", "1"),
        NO_ERROR,
        *ENCODING,
        ("CALC:MEAN?;:CALC:VAR?;:CALC:SERR?", b";".join([floats(moments)] * 3) + b"\n"),
        NO_ERROR,
        ("FETC?", floats(samples) + b"\n"),
        NO_ERROR,
        ("CALC:COV?", floats(np.arange(18)) + b"\n"),
        NO_ERROR,
    ]
    with expected_protocol(ThermodynamicBoard, exchange) as board:
        assert board.run() == RunShape(2, 3, 4, 2)
        mean, _, error = board.moments()
        fetched = board.samples()
        covariance = board.covariance()
    np.testing.assert_array_equal(mean, moments.reshape(2, 3, 2))
    np.testing.assert_array_equal(error, mean)
    np.testing.assert_array_equal(fetched, samples.reshape(2, 3, 4, 2))
    assert covariance.shape == (2, 3, 2, 2)
    assert covariance[0, 0].tolist() == [[0, 1], [1, 2]]


def test_results_of_another_size_than_the_run_are_a_reply_error():
    exchange = [*RUN, ("*ESR?", "1"), NO_ERROR, *ENCODING, ("CALC:MEAN?", floats(range(11)) + b"\n"), NO_ERROR]
    with expected_protocol(ThermodynamicBoard, exchange) as board:
        board.run()
        with pytest.raises(ReplyError, match="11 values of mean"):
            board.mean()


def test_a_refused_run_raises_the_boards_error():
    exchange = [*RUN, ("*ESR?", "17"), ("SYST:ERR?", '203,"Model not committed"'), NO_ERROR]
    with expected_protocol(ThermodynamicBoard, exchange) as board, pytest.raises(InstrumentError) as raised:
        board.run()
    assert (raised.value.code, raised.value.command) == (203, "INIT")


def test_a_run_that_does_not_end_is_aborted_at_its_deadline():
    exchange = [*RUN, ("*ESR?", "0"), ("ABOR", None), NO_ERROR]
    with expected_protocol(ThermodynamicBoard, exchange) as board, pytest.raises(InstrumentTimeoutError, match="INIT"):
        board.run(deadline=-1.0)


def test_another_thread_may_abort_while_a_run_is_polled():
    class Busy(ProtocolAdapter):
        finished = False
        reply = None

        def _write_bytes(self, content, **kwargs):
            if content.startswith(b"ABOR"):
                self.finished = True
            answers = {b"*ESR?": b"%d" % self.finished, b"SYST:ERR?": b'0,"No error"', b"DATA:POIN?": b"5"}
            if b"?" in content:
                self.reply = answers[content]

        def _write(self, command, **kwargs):
            self._write_bytes(command.encode())

        def _read(self, **kwargs):
            return self.reply.decode()

    board = ThermodynamicBoard(Busy())
    run = threading.Thread(target=board.complete_operation, args=("INIT",))
    run.start()
    board.abort()
    run.join(5)
    assert not run.is_alive()


def test_an_error_from_before_an_operation_raises_after_it():
    exchange = [
        ("SYST:ERR?", '103,"Over-temperature, outputs off"'),
        NO_ERROR,
        ("*CLS;:OUTP 0;*OPC", None),
        ("*ESR?", "1"),
        ("SYST:ERR?", '101,"Interlock open"'),
        NO_ERROR,
    ]
    with expected_protocol(ThermodynamicBoard, exchange) as board, pytest.raises(InstrumentError) as raised:
        board.switch_outputs(False)
    assert (raised.value.code, raised.value.__notes__) == (103, ['then 101, "Interlock open"'])


def test_shutdown_switches_the_outputs_off_whatever_fails_before():
    refused = [("SYST:ERR?", '110,"Session does not own the lock"'), NO_ERROR]
    exchange = [
        ("ABOR", None),
        *refused,
        ("NOIS 0", None),
        *refused,
        NO_ERROR,
        ("*CLS;:OUTP 0;*OPC", None),
        ("*ESR?", "1"),
        NO_ERROR,
    ]
    with expected_protocol(ThermodynamicBoard, exchange) as board, pytest.raises(InstrumentError, match="110"):
        board.shutdown()
    assert board.isShutdown


def test_shutdown_leaves_no_run_no_noise_and_no_outputs():
    exchange = [
        ("ABOR", None),
        NO_ERROR,
        ("NOIS 0", None),
        NO_ERROR,
        NO_ERROR,
        ("*CLS;:OUTP 0;*OPC", None),
        ("*ESR?", "1"),
        NO_ERROR,
    ]
    with expected_protocol(ThermodynamicBoard, exchange) as board:
        board.shutdown()
    assert board.isShutdown
