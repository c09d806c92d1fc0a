"""Where a program message ends, whatever the bytes and however they arrive."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_devices.scpi import ScpiError
from sim_devices.scpi.syntax import MESSAGE_LIMIT, TEXT_LIMIT, Framer, read_data

STREAM = b'A 1\n\nB #15a\n;"\xff,C "#9",2;D\n#E\n\'\n F #212\n\n\n\n\n\n\n\n\n\n\n\n\n*G?\n'
MESSAGES = [b"A 1\n", b'B #15a\n;"\xff,C "#9",2;D\n', b"#E\n", b"'\n", b"F #212\n\n\n\n\n\n\n\n\n\n\n\n\n", b"*G?\n"]


def frame(*pieces, end=False):
    framer = Framer()
    return [message for piece in pieces for message in framer.feed(piece, end=end and piece is pieces[-1])]


def test_newlines_in_blocks_do_not_end_a_message_and_those_in_strings_do():
    assert frame(STREAM) == MESSAGES


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_messages_do_not_depend_on_how_the_bytes_arrive(cuts):
    bounds = [0, *sorted(cuts), len(STREAM)]
    assert frame(*(STREAM[low:high] for low, high in itertools.pairwise(bounds))) == MESSAGES


def test_end_completes_a_message_without_newline():
    assert frame(b"*IDN", b"?", end=True) == [b"*IDN?"]
    assert frame(b"DATA #14ab", end=True) == [b"DATA #14ab"]
    assert frame(b"DATA #3", end=True) == [b"DATA #3"]


def test_nothing_is_kept_after_end():
    framer = Framer()
    assert list(framer.feed(b'DATA #3100ab"', end=True)) == [b'DATA #3100ab"']
    assert framer.empty
    assert list(framer.feed(b"*IDN?\n")) == [b"*IDN?\n"]


def test_a_complete_message_is_passed_on_without_a_copy():
    message = b"DATA #9000000005\n\n\n\n\n\n"
    (framed,) = frame(message)
    assert framed is message


@pytest.mark.parametrize("announced", [MESSAGE_LIMIT, 999_999_999])
def test_a_block_that_is_too_long_is_refused_before_it_arrives(announced):
    first, second = frame(b"DATA #9%09dabc" % announced, b"def\n*IDN?\n")
    assert isinstance(first, ScpiError)
    assert first.number == -223
    assert second == b"*IDN?\n"


def test_text_that_is_too_long_is_refused_and_the_next_message_is_taken():
    framer = Framer()
    messages = [message for _ in range(TEXT_LIMIT // 65536 + 2) for message in framer.feed(b"A" * 65536)]
    messages += framer.feed(b"AAA\n*IDN?\n")
    assert [message.number if isinstance(message, ScpiError) else message for message in messages] == [-363, b"*IDN?\n"]
    long = b"A" * (TEXT_LIMIT + 1) + b"\n*IDN?\n"
    messages = frame(long)
    assert [message.number if isinstance(message, ScpiError) else message for message in messages] == [-363, b"*IDN?\n"]


def test_a_large_block_in_small_pieces_is_one_message():
    payload = bytes(range(256)) * 4096
    message = b"DATA #9%09d%s\n" % (len(payload), payload)
    assert frame(*(message[start : start + 1000] for start in range(0, len(message), 1000))) == [message]


def test_parameters_are_cut_at_commas_outside_strings_brackets_and_blocks():
    data, position = read_data(b"1, 'a,;''b' ,(@1,2:3),#12,; ,#HFF ; NEXT", 0)
    assert [bytes(token) for token in data] == [b"1", b"'a,;''b'", b"(@1,2:3)", b",;", b"#HFF"]
    assert position == 35


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (b'"abc', -151),
        (b"(@1:3", -171),
        (b"#14ab", -161),
        (b"#3", -161),
        (b"#0abc", -161),
        (b"#12abc", -103),
        (b"1 #12ab", -103),
        (b'"",' * 70000, -223),
    ],
)
def test_data_that_does_not_end_properly_is_an_error(data, number):
    with pytest.raises(ScpiError) as caught:
        read_data(data, 0)
    assert caught.value.number == number
