import threading

import pytest
from ophyd.status import Status

from lab.devices.driver_device import AcquisitionStoppedError, DriverDevice


class Rig(DriverDevice):
    """A device that notes when it was made safe."""

    def __init__(self):
        self.made_safe = 0
        super().__init__(None, name="rig")

    def prepare_acquisition(self):
        pass

    def safety_steps(self):
        return [("outputs off", self._off)]

    def _off(self):
        self.made_safe += 1


@pytest.fixture
def rig():
    device = Rig()
    yield device
    device.close()


def hold(rig):
    """Keep the device's thread busy until the event is set."""
    released, begun = threading.Event(), threading.Event()

    def work():
        begun.set()
        released.wait(20)
        rig.go_on()

    status = rig.submit(work, Status())
    assert begun.wait(5)
    return status, released


def test_what_was_dropped_says_so(rig):
    under_way, released = hold(rig)
    dropped = rig.submit(lambda: None, Status())
    threading.Timer(0.05, released.set).start()
    rig.safe()
    for status in (under_way, dropped):
        with pytest.raises(AcquisitionStoppedError):
            status.wait(5)
    assert rig.made_safe == 2


def test_what_a_failure_has_ended_or_dropped_tells_that_failure(rig):
    def fail():
        raise OSError("the cable is out")

    failed = rig.submit(fail, Status())
    under_way, released = hold(rig)
    dropped = rig.submit(lambda: None, Status())
    threading.Timer(0.05, released.set).start()
    rig.safe()
    for status in (failed, under_way, dropped):
        with pytest.raises(OSError, match="the cable is out"):
            status.wait(5)


def test_a_failure_is_over_when_the_device_is_staged_anew(rig):
    failed = rig.submit(lambda: 1 / 0, Status())
    with pytest.raises(ZeroDivisionError):
        failed.wait(5)
    rig.stage()
    under_way, released = hold(rig)
    threading.Timer(0.05, released.set).start()
    rig.safe()
    with pytest.raises(AcquisitionStoppedError):
        under_way.wait(5)


def test_work_after_that_is_done_again(rig):
    rig.safe()
    done = []
    rig.submit(lambda: done.append(1), Status()).wait(5)
    assert done == [1]
