"""How values are written into a reply."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_devices.scpi import Block, DataFormat, Quoted, ScpiError
from sim_devices.scpi.response import ASCII_VALUES, channel_list, encode, nr3

TEXT = DataFormat()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (5, b"5"),
        (-5, b"-5"),
        (True, b"1"),
        (np.bool_(False), b"0"),
        (np.int64(7), b"7"),
        (1.25e-3, b"+1.250000E-03"),
        (0.1, b"+1.000000E-01"),
        (np.float64(-2.0), b"-2.000000E+00"),
        (np.float32(0.1), b"+1.000000E-01"),
        (1 / 3, b"+3.3333333333333331E-01"),
        (0.123456789, b"+1.23456789E-01"),
        (math.nan, b"+9.91E+37"),
        (math.inf, b"+9.9E+37"),
        (-math.inf, b"-9.9E+37"),
        ("RES", b"RES"),
        (Quoted('a"b'), b'"a""b"'),
        ((1, 0.5, "A"), b"1,+5.000000E-01,A"),
        ([(1, Quoted("x")), (2, Quoted("y"))], b'1,"x",2,"y"'),
        (np.array([[1.0, 2.0], [0.1, 1 / 3]]), b"+1.000000E+00,+2.000000E+00,+1.000000E-01,+3.3333333333333331E-01"),
        (np.array([0.1, np.nan, -np.inf], "f4"), b"+1.000000E-01,+9.91E+37,-9.9E+37"),
        (np.array([np.finfo("f4").max], "f4"), b"+3.40282347E+38"),
        (np.array([1, 2], ">u4"), b"1,2"),
        (np.array([], float), b""),
        (Block(b"a\nb"), b"#9000000003a\nb"),
        (Block(np.array([1, 258], "u2")), b"#9000000004\x00\x01\x01\x02"),
    ],
)
def test_values_are_written_in_the_forms_of_488(value, written):
    assert encode(value, TEXT) == written


@pytest.mark.parametrize("value", [None, object(), {1: 2}, 1j])
def test_a_value_without_form_is_a_type_error(value):
    with pytest.raises(TypeError):
        encode(value, TEXT)


@pytest.mark.parametrize("name", ["INT,16", "INT,32", "REAL,32", "REAL,64"])
def test_blocks_have_the_type_and_byte_order_of_the_format(name):
    values = np.array([[1.0, -2.0], [3.0, 4.0]]).T
    for swapped in (False, True):
        data_format = DataFormat(name, swapped)
        written = encode(values, data_format)
        assert written[:11] == b"#9%09d" % (4 * data_format.dtype.itemsize)
        assert np.frombuffer(written[11:], data_format.dtype).tolist() == [1.0, 3.0, -2.0, 4.0]


def test_numbers_beyond_the_integers_of_a_block_are_clipped():
    written = encode(np.array([1e9, -1e9, 0.6, np.nan, np.inf]), DataFormat("INT,16"))
    assert np.frombuffer(written[11:], ">i2").tolist() == [32767, -32768, 1, 0, 32767]


def test_arrays_are_written_as_text_up_to_a_length():
    with pytest.raises(ScpiError, match="REAL,32"):
        encode(np.zeros(ASCII_VALUES + 1, np.int8), TEXT)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_written_with_as_many_digits_as_it_needs(value):
    assert float(nr3(value)) == value


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_single_precision_needs_nine_digits(values):
    array = np.array(values, np.float32)
    texts = encode(array, TEXT).decode().split(",") if values else []
    assert np.array_equal(np.array(texts, float).astype(np.float32), array)
    assert all(len(text) <= len("+1.23456789E+00") for text in texts)


def test_neighbours_in_a_channel_list_are_ranges():
    assert channel_list((1, 2, 3, 7, 9, 10, 2)) == "(@1:3,7,9:10,2)"
