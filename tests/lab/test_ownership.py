import subprocess
import sys

import pytest

from lab.ownership import OwnedError, own

HOLD = "import sys; from lab.ownership import own; own(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def resource(tmp_path):
    return f"TCPIP0::{tmp_path.name}::5025::SOCKET"


@pytest.fixture
def holder(resource):
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD, resource], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_is_told_who_holds_an_instrument(resource, holder):
    with pytest.raises(OwnedError, match=f"process {holder.pid} "):
        own(resource.lower())


def test_the_lock_of_a_killed_process_is_no_obstacle(resource, holder):
    holder.kill()
    holder.wait()
    own(resource)()
