import numpy as np
import pytest

from twin.models.thermodynamic_board import Circuit, Imperfections

FACTOR = Circuit().factor


def test_arrays_travel_as_blocks_in_both_byte_orders(client, block):
    couplings = np.linspace(-8, 8, 28)
    for order, dtype in (("SWAP", "<f8"), ("NORM", ">f8")):
        client.write(f"FORM REAL,64;:FORM:BORD {order}")
        assert client.send(b"MOD:COUP " + block(couplings, dtype)) == []
        assert np.array_equal(client.block("MOD:COUP?", dtype), couplings)
        couplings = -couplings


def test_couplings_are_the_upper_triangle_row_by_row(client):
    client.write("MOD:CELL 4;COUP 12e-1,1.3,1.4,2.3,2.4,3.4")
    for i, j in ((1, 2), (1, 4), (2, 3), (3, 4)):
        assert float(client.ask(f"MOD:COUP:ELEM? {i},{j}")) == pytest.approx(i + j / 10)
        assert client.ask(f"MOD:COUP:ELEM? {j},{i}") == client.ask(f"MOD:COUP:ELEM? {i},{j}")
    assert client.send("MOD:COUP:ELEM 4,2,-7") == []
    assert list(client.values("MOD:COUP?")) == [1.2, 1.3, 1.4, 2.3, -7, 3.4]


def test_weights_are_cells_by_inputs_row_major(client):
    client.write("MOD:CELL 2;INP 3;WEIG 1.1,1.2,1.3,2.1,2.2,2.3")
    assert float(client.ask("MOD:WEIG:ELEM? 2,1")) == 2.1
    assert client.send("MOD:WEIG:ELEM 1,3,-4") == []
    assert list(client.values("MOD:WEIG?")) == [1.1, 1.2, -4, 2.1, 2.2, 2.3]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("MOD:COUP 1,2,3", 201),
        ("MOD:BIAS 1,2,3", -109),
        ("MOD:BIAS 1,2,3,4,5,6,7,8,9", -223),
        ("MOD:BIAS 1,2,3,4,5,6,7,17", -222),
        ("MOD:QUAR 0,0,0,0,0,0,0,-1", -222),
        ("MOD:BIAS:ELEM 9,1", -222),
        ("MOD:BIAS:ELEM 1,NAN", -141),
        ("MOD:COUP:ELEM 3,3,1", -224),
        ("MOD:COUP:ELEM 1,2,9", -222),
        ("MOD:LAY 4,3", -222),
        ("MOD:LAY 9,-1", -222),
        ("MOD:COPY 5,0", 205),
        ("MOD:SEL 64", -222),
        ("MOD:NAME 'a name that is much too long for a slot'", -223),
        ("MOD:CELL 257", -222),
        ("MOD:INP 1025", -222),
        ("MOD:UNIT NORM", -224),
        ("MOD:TOP RING", -224),
    ],
)
def test_what_is_refused_changes_nothing(client, message, error):
    client.write("MOD:BIAS:ELEM 1,3;:MOD:COUP:ELEM 1,2,3")
    before = client.ask("MOD:CAT?;BIAS?;COUP?;QUAR?;LAY?;*LRN?")
    assert client.send(message) == [error]
    assert client.ask("MOD:CAT?;BIAS?;COUP?;QUAR?;LAY?;*LRN?") == before


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("header", ["BIAS", "QUAD", "CUB", "QUAR", "WEIG"])
def test_a_block_with_a_value_that_is_not_finite_is_refused(client, block, header, number):
    client.write("FORM REAL,32;:FORM:BORD SWAP")
    values = np.zeros(8)
    values[5] = number
    assert client.send(b"MOD:%s " % header.encode() + block(values)) == [-224]
    assert client.ask("MOD:STAT?") == "EMPT"


def test_a_block_whose_length_is_no_whole_number_of_values_is_refused(client):
    client.write("FORM REAL,32")
    assert client.send(b"MOD:BIAS #15abcde") == [-161]


def test_a_slot_is_empty_then_a_shadow_then_live_then_dirty(client):
    client.write("OUTP ON")
    states = [client.ask("MOD:STAT?")]
    for message in ("MOD:BIAS:ELEM 1,1", "MOD:COMM;*WAI", "MOD:BIAS:ELEM 1,2", "MOD:COMM;*WAI", "MOD:CLE"):
        client.write(message)
        states.append(client.ask("MOD:STAT?"))
    assert states == ["EMPT", "SHAD", "LIVE", "DIRT", "LIVE", "EMPT"]


def test_the_operation_register_shows_whether_the_selected_slot_is_live(client):
    client.write("OUTP ON;:MOD:COMM;*WAI")
    assert int(client.ask("STAT:OPER:COND?")) == 1 << 12
    client.write("MOD:SEL 1")
    assert int(client.ask("STAT:OPER:COND?")) == 0


def test_committing_an_empty_slot_puts_the_reset_program_on_the_switches(client):
    client.write("OUTP ON;:MOD:COMM;*WAI")
    assert list(client.values("MOD:QUAD:ACT?")) == [0.5] * 8
    assert not client.values("MOD:COUP:ACT?").any()


def test_commit_all_takes_every_written_slot_and_no_empty_one(client):
    client.write("OUTP ON;:MOD:SEL 3;BIAS:ELEM 1,1;:MOD:SEL 7;BIAS:ELEM 1,1;:MOD:COMM ALL;*WAI")
    assert [entry.split(",")[:2] for entry in client.ask("MOD:CAT?").strip('"').split('","')] == [
        ["3", "LIVE"],
        ["7", "LIVE"],
    ]


def test_a_list_of_slots_is_committed_together_or_not_at_all(client):
    client.write("OUTP ON;:MOD:CELL 1;SEL 3;BIAS 1;:MOD:SEL 5;BIAS 2;:MOD:SEL 7;CUB 1")
    assert client.send("MOD:COMM (@3:7)") == [202]
    assert '"3,SHAD' in client.ask("MOD:CAT?")
    assert client.send("MOD:COMM (@64)") == [-222]
    assert client.send("MOD:COMM (@3,5);*WAI") == []
    assert [entry.split(",")[1] for entry in client.ask("MOD:CAT?").strip('"').split('","')] == ["LIVE", "LIVE", "SHAD"]


def test_an_unbounded_cell_is_refused_at_commit_and_an_unstable_network_is_not(client):
    client.write("OUTP ON;:MOD:CELL 2;CUB 0,1")
    assert client.send("MOD:COMM") == [202]
    assert client.ask("MOD:STAT?") == "SHAD"
    assert client.send("MOD:QUAR 0,0.1;:MOD:COMM;*WAI") == []
    assert client.send("MOD:SEL 1;QUAD -4,-4;COUP 8;COMM;*WAI") == []


def test_commit_needs_the_rails(client):
    assert client.send("MOD:COMM") == [-221]
    assert client.send("OUTP ON;:MOD:COMM;*WAI") == []


def test_numbers_in_physical_units_may_have_the_suffix_of_their_unit(client):
    client.write("MOD:CELL 2;UNIT PHYS")
    client.write("MOD:BIAS 50MV,-1E5 UV;BIAS:ELEM 2,0.1 V;:MOD:WEIG:ELEM 1,1,20mV;:SAMP:RES:VAL 10MV")
    assert client.errors() == []
    client.write("MOD:UNIT MOD")
    np.testing.assert_allclose(client.values("MOD:BIAS?"), [1.0, 2.0])
    assert float(client.ask("MOD:WEIG:ELEM? 1,1")) == pytest.approx(0.4)
    assert float(client.ask("SAMP:RES:VAL?")) == pytest.approx(0.1)
    assert client.send("MOD:BIAS:ELEM 1,1V") == [-138]


def test_a_commit_takes_board_time_and_shows_while_it_settles(board, client, gate):
    client.write("OUTP ON;:MOD:COMM")
    assert int(client.ask("STAT:OPER:COND?")) == 1 << 12 | 1 << 8 | 1 << 1
    gate.set()
    assert client.ask("*OPC?") == "1"
    assert int(client.ask("STAT:OPER:COND?")) == 1 << 12
    assert board.clock.now() == pytest.approx(1.05e-3)


def test_changing_the_number_of_cells_empties_every_slot(client):
    client.write("MOD:SEL 2;BIAS:ELEM 1,1;:MOD:LAY 4,4")
    assert client.send("MOD:CELL 8") == []
    assert client.ask("MOD:STAT?") == "SHAD"
    assert client.send("MOD:CELL 5") == []
    assert client.ask("MOD:STAT?;LAY?;:SAMP:CELL?") == "EMPT;5;(@1:5)"


def test_layers_allow_neighbours_only(client):
    client.write("MOD:CELL 6;LAY 2,2,2;TOP LAY")
    assert client.send("MOD:COUP:ELEM 1,3,1;ELEM 4,6,1") == []
    assert client.send("MOD:COUP:ELEM 1,2,1") == [204]
    assert client.send("MOD:COUP:ELEM 1,5,1") == [204]
    assert client.send("MOD:LAY 3,3") == [204]
    assert client.send("MOD:TOP ALL;COUP:ELEM 1,5,1;:MOD:TOP LAY") == [204]
    assert client.ask("MOD:TOP?") == "ALL"


def test_sparse_couplings_are_records_of_eight_bytes(client, block):
    record = np.dtype([("i", "<u2"), ("j", "<u2"), ("value", "<f4")])
    client.write("FORM REAL,32;:FORM:BORD SWAP;:MOD:TOP SPAR")
    records = np.array([(1, 2, 0.5), (7, 8, -3)], record)
    assert client.send(b"MOD:COUP " + block(records, record)) == []
    assert np.array_equal(client.block("MOD:COUP?", record), records)
    client.write("FORM ASC")
    assert list(client.values("MOD:COUP?")) == [1, 2, 0.5, 7, 8, -3]
    assert client.send("MOD:COUP 2,3,1") == []
    assert client.values("MOD:COUP?").tolist() == [2, 3, 1]
    assert client.send("MOD:COUP 2,1,1") == [-222]
    assert client.send("MOD:COUP 2,9,1") == [-222]
    assert client.send("MOD:COUP 2,3,1,2,3,1") == [-224]
    assert client.send("MOD:COUP 2,3") == [-109]
    assert client.send("MOD:COUP 2,3,9") == [-222]
    assert client.values("MOD:COUP?").tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    ("header", "kind", "value"),
    [
        ("COUP", "coupling", 2.0),
        ("BIAS", "bias", -16.0),
        ("WEIG", "weight", 8.0),
        ("QUAD", "quadratic", 4.0),
        ("CUB", "cubic", -2.0),
        ("QUAR", "quartic", 4.0),
    ],
)
def test_physical_units_are_model_units_times_the_factor_of_the_circuit(client, header, kind, value):
    size = {"COUP": 1, "WEIG": 2}.get(header, 2)
    client.write("MOD:CELL 2;UNIT PHYS")
    sent = np.full(size, value * FACTOR(kind))
    assert client.send(f"MOD:{header} " + ",".join(f"{number:.9g}" for number in sent)) == []
    assert client.values(f"MOD:{header}?") == pytest.approx(sent, rel=1e-8)
    limit = client.ask(f"MOD:{header}:LIM? MAX")
    client.write("MOD:UNIT MOD")
    assert client.values(f"MOD:{header}?") == pytest.approx(np.full(size, value), rel=1e-8)
    assert float(limit) == pytest.approx(float(client.ask(f"MOD:{header}:LIM?")) * FACTOR(kind))


def test_the_checksum_is_that_of_the_live_image(client):
    client.write("OUTP ON;:MOD:BIAS:ELEM 1,1;:MOD:COMM;*WAI")
    live = client.ask("MOD:CRC?")
    client.write("MOD:BIAS:ELEM 1,2")
    assert client.ask("MOD:CRC?") == live
    client.write("MOD:COMM;*WAI")
    assert client.ask("MOD:CRC?") != live
    client.write("MOD:BIAS:ELEM 1,1;:MOD:COMM;*WAI")
    assert client.ask("MOD:CRC?") == live != "#H00000000"


def test_a_copy_is_a_shadow_of_its_own(client):
    client.write("OUTP ON;:MOD:BIAS:ELEM 1,1;:MOD:COMM;:MOD:COPY 0,5;SEL 5")
    assert client.ask("MOD:STAT?;BIAS:ELEM? 1") == "SHAD;+1.000000E+00"
    client.write("MOD:BIAS:ELEM 1,2;:MOD:SEL 0")
    assert client.ask("MOD:STAT?;BIAS:ELEM? 1") == "LIVE;+1.000000E+00"


def test_actual_values_are_those_of_the_converters(open_board, connect):
    client = connect(open_board(imperfections=Imperfections(coupling_bits=4, bias_bits=5, weight_bits=6)))
    assert client.ask("MOD:RES?") == "4,5,6"
    client.write("MOD:CELL 2;COUP 3.3;BIAS 1.4,0;:OUTP ON;:MOD:COMM;*WAI")
    assert client.values("MOD:COUP:ACT?").tolist() == [3.0]
    assert client.values("MOD:BIAS:ACT?").tolist() == [1.0, 0.0]
    assert client.values("MOD:COUP?").tolist() == [3.3]
    assert client.ask("MOD:VER?") == "0,1"
    assert client.errors() == []


def test_actual_values_need_a_committed_slot(client):
    assert client.send("MOD:COUP:ACT?") == [203]


def test_a_name_belongs_to_its_slot(client):
    client.write("MOD:NAME 'cosine';SEL 1")
    assert client.ask("MOD:NAME?") == '""'
    assert client.ask("MOD:SEL 0;NAME?") == '"cosine"'
