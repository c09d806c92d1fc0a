from dataclasses import dataclass

import pytest

from sim_devices.benches import BenchOptionError
from sim_devices.benches.options import check_names, read_integer, read_table


@dataclass(frozen=True)
class Parameters:
    gain: float = 1.0
    bits: int = 0
    scheme: str = "ros2"

    def __post_init__(self):
        if self.gain <= 0:
            raise ValueError(f"gain must be positive, not {self.gain}")


def test_a_table_becomes_a_dataclass_with_defaults_for_what_is_left_out():
    assert read_table({"gain": 2, "scheme": "euler"}, "board", Parameters) == Parameters(gain=2.0, scheme="euler")
    assert type(read_table({"gain": 2}, "board", Parameters).gain) is float


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        ({"gian": 1}, "board.gian", "unknown option; allowed: gain, bits, scheme"),
        ({"gain": "high"}, "board.gain", "must be a finite number, not 'high'"),
        ({"gain": float("nan")}, "board.gain", "must be a finite number"),
        ({"gain": True}, "board.gain", "must be a finite number, not True"),
        ({"bits": 1.5}, "board.bits", "must be a whole number, not 1.5"),
        ({"scheme": 3}, "board.scheme", "must be a text such as 'ros2', not 3"),
        ({"gain": -1}, "board", "gain must be positive"),
        ([1], "board", "must be a table"),
    ],
)
def test_a_wrong_option_is_refused_with_its_key(table, key, text):
    with pytest.raises(BenchOptionError, match=text) as caught:
        read_table(table, "board", Parameters)
    assert caught.value.key == key
    assert str(caught.value).startswith(f"{key}: ")


@pytest.mark.parametrize("value", [0, 257, 1.0, True, "8", None])
def test_a_number_out_of_range_is_refused(value):
    with pytest.raises(BenchOptionError, match="cells: must be a whole number from 1 to 256"):
        read_integer(value, "cells", 1, 256)


def test_unknown_names_at_the_top_have_no_prefix():
    with pytest.raises(BenchOptionError, match=r"^oven: unknown option; allowed: board$"):
        check_names({"oven": {}}, "", ["board"])
