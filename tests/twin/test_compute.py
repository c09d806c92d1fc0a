import threading

import numpy as np
import pytest

from twin import compute
from twin.compute import Call, Cancelled, Piece, PlaceError, piecewise, run_sliced


class Elsewhere:
    """An executor that does every piece of a call here, and remembers what was asked of it."""

    description = "elsewhere"

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.closed = False

    def run(self, call: Call) -> list[object]:
        self.calls.append(call)
        return [call.here(**piece.arguments) for piece in call.cut(call.arguments, 2)]

    def close(self) -> None:
        self.closed = True


def halves(arguments, pieces):
    for part in compute.slices(len(arguments["numbers"]), pieces):
        yield Piece({**arguments, "numbers": arguments["numbers"][part]}, (part,))


@piecewise(halves)
def scale(numbers, *, by=2):
    """Scale numbers."""
    return np.asarray(numbers) * by


@pytest.fixture
def elsewhere(monkeypatch):
    executor = Elsewhere()
    monkeypatch.setattr(compute, "open_executor", lambda _: executor)
    return executor


def test_what_was_cancelled_before_it_began_does_not_run():
    def kernel(_begin, _end):
        raise AssertionError

    with pytest.raises(Cancelled):
        run_sliced(kernel, 10, cancelled=lambda: True)


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        compute.set_threads(0)


def test_kernels_use_one_thread_where_other_threads_have_work():
    slices = []
    before = compute.threads()
    with compute.one_thread():
        assert compute.threads() == 1
        run_sliced(lambda begin, end: slices.append((begin, end)), 100, cancelled=lambda: False)
    assert slices == [(0, 100)]
    assert compute.threads() == before


@pytest.mark.parametrize(("items", "count", "sizes"), [(10, 3, [3, 3, 4]), (2, 5, [1, 1]), (4, 0, [4])])
def test_slices_are_contiguous_and_nearly_equal(items, count, sizes):
    cut = compute.slices(items, count)
    assert [part.stop - part.start for part in cut] == sizes
    assert np.concatenate([np.arange(items)[part] for part in cut]).tolist() == list(range(items))


def test_a_piecewise_function_is_itself_on_the_threads_of_this_machine():
    assert scale([1, 2, 3], by=3).tolist() == [3, 6, 9]
    assert scale.__name__ == "scale"
    assert scale.__doc__ == "Scale numbers."
    with pytest.raises(TypeError, match="wrong"):
        scale([1], wrong=1)


def test_a_piecewise_function_goes_where_its_thread_was_told_to_compute(elsewhere):
    with compute.use("elsewhere") as executor:
        assert executor is elsewhere
        assert [part.tolist() for part in scale(np.arange(5), by=3)] == [[0, 3], [6, 9, 12]]
    assert elsewhere.calls[0].arguments["by"] == 3
    assert elsewhere.calls[0].function is scale
    assert elsewhere.closed
    assert scale([1]).tolist() == [2]
    assert len(elsewhere.calls) == 1


def test_a_piece_is_whole_where_it_is_done(elsewhere):
    with compute.use("elsewhere"):
        scale(np.arange(4))
    assert len(elsewhere.calls) == 1


def test_other_threads_are_not_told_where_this_one_computes(elsewhere):
    results = []
    with compute.use("elsewhere"):
        other = threading.Thread(target=lambda: results.append(scale([1])))
        other.start()
        other.join()
    assert [result.tolist() for result in results] == [[2]]
    assert not elsewhere.calls


@pytest.mark.parametrize("place", ["", "cluster", "GPU", "threads 2"])
def test_a_place_that_is_none_is_refused(place):
    with pytest.raises(PlaceError, match=r"allowed; threads, gpu or the address"):
        compute.open_executor(place)


def test_threads_say_how_many_they_are():
    before = compute.threads()
    try:
        compute.set_threads(3)
        assert compute.open_executor().description == "3 threads"
        compute.set_threads(1)
        assert compute.open_executor("threads").description == "1 thread"
    finally:
        compute.set_threads(before)
