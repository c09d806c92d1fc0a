import json

import pytest

from lab.follow import Follower
from lab.journal import JOURNAL, JournalError


def line(number):
    return json.dumps({"name": "event", "doc": {"seq_num": number}}).encode() + b"\n"


def numbers(documents):
    return [doc["seq_num"] for _, doc in documents]


def test_before_there_is_a_journal_there_are_no_documents(tmp_path):
    assert Follower(tmp_path).documents() == []


def test_each_document_is_handed_out_once(tmp_path):
    follower, journal = Follower(tmp_path), tmp_path / JOURNAL
    journal.write_bytes(line(1) + line(2))
    assert numbers(follower.documents()) == [1, 2]
    assert follower.documents() == []
    with journal.open("ab") as more:
        more.write(line(3))
    assert numbers(follower.documents()) == [3]


@pytest.mark.parametrize("cut", range(1, len(line(2))))
def test_a_line_is_left_alone_until_it_is_whole_wherever_it_is_cut(tmp_path, cut):
    follower, journal = Follower(tmp_path), tmp_path / JOURNAL
    journal.write_bytes(line(1) + line(2)[:cut])
    assert numbers(follower.documents()) == [1]
    with journal.open("ab") as more:
        more.write(line(2)[cut:])
    assert numbers(follower.documents()) == [2]


def test_a_damaged_line_is_reported_once_and_what_follows_is_read(tmp_path):
    follower = Follower(tmp_path)
    (tmp_path / JOURNAL).write_bytes(line(1) + b"{damaged\n" + line(3))
    assert numbers(follower.documents()) == [1]
    with pytest.raises(JournalError, match="line 2 is damaged"):
        follower.documents()
    assert numbers(follower.documents()) == [3]


def test_a_long_journal_comes_in_pieces_even_with_lines_longer_than_a_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.follow.MOST_BYTES", 10)
    follower = Follower(tmp_path)
    (tmp_path / JOURNAL).write_bytes(b"".join(map(line, range(20))))
    found = []
    while documents := follower.documents():
        found += numbers(documents)
    assert found == list(range(20))
