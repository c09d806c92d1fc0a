import os
import threading

from lab.filelock import hold, is_held, try_lock


def opened(path):
    return os.open(path, os.O_RDWR | os.O_CREAT)


def test_a_held_file_is_held_until_it_is_closed(tmp_path):
    descriptor = opened(tmp_path / "journal")
    assert not is_held(tmp_path / "journal")
    hold(descriptor)
    assert is_held(tmp_path / "journal")
    other = opened(tmp_path / "journal")
    assert not try_lock(other)
    os.close(descriptor)
    assert not is_held(tmp_path / "journal")
    os.close(other)


def test_a_file_that_is_not_there_is_not_held(tmp_path):
    assert not is_held(tmp_path / "nothing")


def test_one_who_only_looks_keeps_nobody_from_holding_a_file(tmp_path):
    looking, holding = opened(tmp_path / "journal"), opened(tmp_path / "journal")
    assert try_lock(looking, shared=True)
    assert not is_held(tmp_path / "journal"), "two may look at once"
    looked = threading.Timer(0.05, os.close, [looking])
    looked.start()
    hold(holding)
    looked.join()
    assert is_held(tmp_path / "journal")
    os.close(holding)
