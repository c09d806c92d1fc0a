import numpy as np
import pytest

from lab.figures.style import in_units, in_units_short, new_figure, prefix, save_figure, scaled, with_error


@pytest.mark.parametrize(
    ("largest", "factor", "units"),
    [(3e-10, 1e12, "pA"), (1e-9, 1e9, "nA"), (0.02, 1e3, "mA"), (5.0, 1.0, "A"), (2e4, 1e-3, "kA"), (0.0, 1.0, "A")],
)
def test_values_have_the_prefix_that_suits_the_largest(largest, factor, units):
    assert prefix([-largest, 0.0], "A") == (pytest.approx(factor), units)
    values, printed = scaled([largest, np.nan], "A")
    assert values[0] == pytest.approx(factor * largest)
    assert printed == units


def test_pure_numbers_have_no_prefix():
    assert prefix([1e-9], "") == (1.0, "")


def test_a_value_is_written_to_the_second_digit_of_its_error():
    assert with_error(0.123456, 0.0123) == "0.123 ± 0.012"
    assert with_error(12.3456, 2.34) == "12.3 ± 2.3"
    assert with_error(1.0, 0.0) == "1.000 ± 0.000"
    assert in_units(2.0004e-3, 6e-7, "eV") == "2.00040 ± 0.00060 meV"
    assert in_units(0.1, 0.002, "") == "0.1000 ± 0.0020"
    assert in_units_short(1.1e-3, "s") == "1.1 ms"


@pytest.mark.parametrize(("name", "file"), [("a", "a.png"), ("a.svg", "a.svg")])
def test_a_picture_lies_where_it_is_said_to(tmp_path, name, file):
    written = save_figure(new_figure(1, 1), tmp_path / name)
    assert written == tmp_path / file
    assert [path.name for path in tmp_path.iterdir()] == [file]
