from dataclasses import dataclass, field

import pytest

from sim_devices.benches import BenchOptionError
from sim_devices.benches.options import check_names, in_unit, read_integer, read_quantity, read_table


@dataclass(frozen=True)
class Cable:
    resistance: float = in_unit(50.0, "ohm")
    channels: dict[str, int] = field(default_factory=lambda: {"gate": 1, "drain": 2})
    limits: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Bench:
    cable: Cable = Cable()


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


def test_nested_tables_keep_the_defaults_of_what_they_leave_out():
    table = {"cable": {"channels": {"drain": 7}, "limits": [-1, 2]}}
    assert read_table(table, "dot", Bench) == Bench(Cable(50.0, {"gate": 1, "drain": 7}, (-1.0, 2.0)))


def test_a_quantity_is_read_in_the_unit_of_its_field():
    def quantity(value, unit):
        assert (value, unit) == ("1 kohm", "ohm")
        return 1000.0

    assert read_table({"resistance": "1 kohm"}, "cable", Cable, quantity).resistance == 1000.0
    assert read_table({"resistance": 75}, "cable", Cable, quantity).resistance == 75.0
    assert read_quantity("75 ohm", "ohm") == 75.0


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        ({"cable": {"resistance": "1 V"}}, "dot.cable.resistance", "'1 V' is no quantity in ohm"),
        ({"cable": {"resistance": [1]}}, "dot.cable.resistance", r"must be a finite number \(ohm\)"),
        ({"cable": {"channels": {"source": 1}}}, "dot.cable.channels.source", "unknown option; allowed: gate, drain"),
        ({"cable": {"channels": {"gate": 1.5}}}, "dot.cable.channels.gate", "must be a whole number"),
        ({"cable": {"limits": [1]}}, "dot.cable.limits", "must be a list of 2 values"),
        ({"cable": {"limits": [1, "x"]}}, r"dot.cable.limits[1]", "must be a finite number"),
        ({"cable": 5}, "dot.cable", "must be a table"),
    ],
)
def test_a_wrong_nested_option_is_refused_with_its_key(table, key, text):
    with pytest.raises(BenchOptionError, match=text) as caught:
        read_table(table, "dot", Bench)
    assert caught.value.key == key


@pytest.mark.parametrize("value", [0, 257, 1.0, True, "8", None])
def test_a_number_out_of_range_is_refused(value):
    with pytest.raises(BenchOptionError, match="cells: must be a whole number from 1 to 256"):
        read_integer(value, "cells", 1, 256)


def test_unknown_names_at_the_top_have_no_prefix():
    with pytest.raises(BenchOptionError, match=r"^oven: unknown option; allowed: board$"):
        check_names({"oven": {}}, "", ["board"])
