import pytest

from lab.watch.words import measured, written


@pytest.mark.parametrize(
    ("value", "text"),
    [(40000.0, "40000"), (123456.7, "123500"), (0.1, "0.1"), (2e-7, "2e-07"), (1e12, "1e+12"), (None, "not known")],
)
def test_a_number_is_written_to_four_digits_and_with_an_exponent_only_where_it_is_far_from_one(value, text):
    assert written(value) == text


def test_a_value_that_is_not_known_has_no_units():
    assert measured(None, None, "V") == "not known"


def test_a_value_is_written_to_the_second_digit_of_its_error():
    assert measured(0.123456, 0.0123, "V") == "0.123 ± 0.012 V"
