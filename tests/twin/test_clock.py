import threading
import time

import pytest

from twin.clock import FlowingClock, VirtualClock


def test_a_virtual_clock_moves_only_when_it_is_moved():
    clock = VirtualClock()
    clock.sleep(3600.0)
    clock.sleep(0.5)
    assert clock.now() == 3600.5


def test_a_day_of_virtual_time_costs_nothing():
    begin = time.perf_counter()
    VirtualClock().sleep(86400.0)
    assert time.perf_counter() - begin < 0.1


def test_no_sleep_on_a_virtual_clock_is_lost_between_threads():
    clock = VirtualClock()
    threads = [threading.Thread(target=lambda: [clock.sleep(1.0) for _ in range(1000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.now() == 8000.0


@pytest.mark.parametrize("duration", [-1.0, float("nan"), float("inf")])
def test_time_that_cannot_pass_is_refused(duration):
    clock = VirtualClock()
    with pytest.raises(ValueError, match="cannot pass"):
        clock.sleep(duration)
    assert clock.now() == 0.0


def test_sleeping_until_a_time_that_has_passed_does_nothing():
    clock = VirtualClock(10.0)
    clock.sleep_until(4.0)
    assert clock.now() == 10.0
    clock.sleep_until(12.5)
    assert clock.now() == 12.5


def test_a_time_that_never_comes_is_refused():
    with pytest.raises(ValueError, match="never comes"):
        VirtualClock().sleep_until(float("inf"))


def test_a_flowing_clock_goes_with_the_wall_and_can_be_moved_on():
    clock = FlowingClock()
    begin = clock.now()
    clock.sleep(3600.0)
    assert 3600.0 <= clock.now() - begin < 3700.0
    clock.sleep_until(7200.0)
    assert 7200.0 <= clock.now() < 7300.0
    later = clock.now()
    time.sleep(0.002)  # noqa: TID251 - it is the clock on the wall that is tested
    assert clock.now() > later


@pytest.mark.parametrize("make", [VirtualClock, FlowingClock])
def test_a_clock_can_be_set_back(make):
    clock = make()
    clock.sleep(3600.0)
    clock.set(5.0)
    assert 5.0 <= clock.now() < 60.0
    with pytest.raises(ValueError, match="must be finite"):
        clock.set(float("nan"))
