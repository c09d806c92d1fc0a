import pytest

from drivers.replies import meant, names, on_or_off, unquoted, whole


@pytest.mark.parametrize(
    ("reply", "text"),
    [('"a b"', "a b"), ("'a b'", "a b"), (' "a"\r', "a"), ("a", "a"), ('""', ""), ('"', '"'), ("\"it's'", "\"it's'")],
)
def test_quotes_that_belong_together_are_taken_off(reply, text):
    assert unquoted(reply) == text


@pytest.mark.parametrize("reply", ['"LID,TEMP"', "'LID','TEMP'", '"LID", "TEMP"', " LID,TEMP"])
def test_names_are_quoted_one_by_one_together_or_not_at_all(reply):
    assert names(reply) == ("LID", "TEMP")


@pytest.mark.parametrize("reply", ["", '""', "''"])
def test_an_empty_list_has_no_names(reply):
    assert names(reply) == ()


@pytest.mark.parametrize("reply", ["12", "+12", " 12 ", "12.0", "+1.2E+01", "1.200000e1"])
def test_a_whole_number_is_understood_however_it_is_written(reply):
    assert whole(reply) == 12


@pytest.mark.parametrize("reply", ["1.5", "INF", "NAN", "1,2", "", "ON"])
def test_what_is_no_whole_number_is_refused(reply):
    with pytest.raises(ValueError, match=r"\S"):
        whole(reply)


@pytest.mark.parametrize("reply", ["1", "ON", "on", "On", '"ON"', "'on'", "+1", "1.0", "+1.000000E+00", " ON "])
def test_what_is_on_is_understood_in_words_and_numbers(reply):
    assert on_or_off(reply) == 1
    off = reply.upper().replace("ON", "off").replace("1.000000", "0.000000").replace("1.0", "0.0").replace("1", "0")
    assert on_or_off(off) == 0


@pytest.mark.parametrize("reply", ["OM", "", "TRUE", "1,0"])
def test_what_is_neither_on_nor_off_is_refused(reply):
    with pytest.raises((ValueError, KeyError)):
        on_or_off(reply)


@pytest.mark.parametrize("reply", ["REAL,64", "real, 64", '"REAL,+64"', " 'Real,64' "])
def test_a_word_with_a_number_is_understood_with_sign_blanks_and_quotes(reply):
    assert meant(reply, ["REAL,32", "REAL,64"]) == "REAL,64"
