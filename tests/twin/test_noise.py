import numpy as np
import pytest

from twin.noise import generator, random_walk, stream_key


def test_a_key_is_two_words_and_depends_on_every_part_of_the_address():
    keys = [
        stream_key(1, "board", 0),
        stream_key(2, "board", 0),
        stream_key(1, "board2", 0),
        stream_key(1, "board", 1),
        stream_key(1, "board", 0, "read-out"),
        stream_key(-1, "board", 2**70),
    ]
    assert len(set(keys)) == len(keys)
    assert all(0 <= word < 2**32 for key in keys for word in key)


def test_a_key_is_the_same_on_every_machine():
    assert stream_key(1, "board", 0) == (690247057, 3729046965)


def test_names_and_numbers_are_not_run_together():
    assert stream_key(1, "a", 11) != stream_key(11, "a", 1)


def test_equal_addresses_draw_equal_numbers():
    draws = [generator(3, "board", 4, "offset").standard_normal(5) for _ in range(2)]
    np.testing.assert_array_equal(*draws)


def test_a_random_walk_spreads_as_the_square_root_of_time():
    walk = {time: random_walk(time, 20000, 7, "board") for time in (1e2, 1e4, 1e6)}
    for time, values in walk.items():
        assert values.var() == pytest.approx(time, rel=5 * np.sqrt(2 / 20000))


def test_increments_of_a_random_walk_are_independent():
    early, late = random_walk(1000.0, 20000, 7, "board"), random_walk(1700.0, 20000, 7, "board")
    step = late - early
    assert step.var() == pytest.approx(700.0, rel=5 * np.sqrt(2 / 20000))
    assert abs(np.corrcoef(early, step)[0, 1]) < 5 / np.sqrt(20000)


def test_a_random_walk_is_the_same_in_whatever_order_it_is_asked_for():
    times = (5.0, 1e9, 0.0, 17.25)
    forward = [random_walk(time, 3, 1, "board") for time in times]
    backward = [random_walk(time, 3, 1, "board") for time in reversed(times)][::-1]
    np.testing.assert_array_equal(forward, backward)
    np.testing.assert_array_equal(forward[2], 0.0)
