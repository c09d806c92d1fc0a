import pytest

from twin import compute
from twin.compute import Cancelled, run_sliced


def test_what_was_cancelled_before_it_began_does_not_run():
    def kernel(_begin, _end):
        raise AssertionError

    with pytest.raises(Cancelled):
        run_sliced(kernel, 10, cancelled=lambda: True)


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        compute.set_threads(0)
