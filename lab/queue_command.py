"""`lab queue`: a station behind bluesky-queueserver, brought up for one machine."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, cast

import click

from lab.arguments import LARGEST_SEED, Integer
from lab.terminal import say

CONTROL_PORT = 60615
"""Where clients of a queue server look for it unless told otherwise."""
PATIENCE = 120.0
"""Seconds that a worker may take to open a station; the first time kernels are compiled."""
CLOSING = 60.0
"""Seconds that a server may take to abort what runs and to close the station."""
ANSWER = 2
"""Seconds that a server may take to answer."""
LOOK = 1.0
"""Seconds between two looks at whether the station is open."""
CLOSED = "the station was closed, or its worker has died; outputs are made safe; to open it again"


class QueueError(RuntimeError):
    """The queue server did not come up, or refused."""


class QueueInUseError(ValueError):
    """Another queue server answers there."""


@click.group("queue", short_help="Serve a station to bluesky-queueserver.")
def queue() -> None:
    """Serve plans and devices of a station to bluesky-queueserver (`pip install szilard[queue]`)."""


@queue.command()
@click.option("--station", default="twin", show_default=True, help="Name or file of the station.")
@click.option("--seed", type=Integer(0, LARGEST_SEED), default=0, show_default=True, help="Seed of a twin.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs are stored.  [default: $LAB_RUNS or ./runs]",
)
@click.option(
    "--redis",
    metavar="HOST:PORT",
    help="A Redis server, which keeps the queue when this ends.  [default: a stand-in in this process]",
)
@click.option(
    "--port", type=Integer(1, 65535), default=CONTROL_PORT, show_default=True, help="Where clients reach the queue."
)
def start(station: str, seed: int, directory: Path | None, redis: str | None, port: int) -> None:
    """Bring up a queue server with the station open, on this machine only, until Ctrl-C.

    What is in the queue is then added, started, paused and aborted with `qserver`.
    """
    from lab.attended import ignore_ends, terminable, wait_for_interrupt
    from lab.station_file import read_station

    read_station(station)
    with terminable(), served_queue(station, seed=seed, directory=directory, redis=redis, port=port) as address:
        client = "qserver" if port == CONTROL_PORT else f"qserver -a {address}"
        say(f"the queue of station {station} is at {address}; in another terminal:")
        add = '{"name": "activation_curve", "args": ["board"], "kwargs": {"drive": [-1, 0, 1]}}'
        for line in (f"queue add plan '{add}'", "queue start", "re pause deferred", "re resume", "re abort", "status"):
            click.echo(f"{client} {line}")
        sys.stdout.flush()
        closing = threading.Event()
        threading.Thread(target=_tell, args=[address, client, closing], name="tell of the station", daemon=True).start()
        wait_for_interrupt()
        closing.set()
        say("closing the queue; what runs is aborted, outputs are made safe")
        ignore_ends()
    say("the queue is closed")


def _tell(address: str, client: str, closing: threading.Event) -> None:
    """Say when the station is no longer open, and when it is again."""
    was = True
    while not closing.wait(LOOK):
        with suppress(QueueError):
            is_open = ask(address, "status")["worker_environment_exists"]
            if is_open != was and not closing.is_set():
                say("the station is open again" if is_open else f"{CLOSED}: {client} environment open")
            was = is_open


@contextmanager
def served_queue(
    station: str, *, seed: int = 0, directory: Path | None = None, redis: str | None = None, port: int = CONTROL_PORT
) -> Iterator[str]:
    """Bring up a queue server with its worker open, and close both in the end: what runs is aborted, outputs are safe.

    Yields
    ------
    str
        Address of the control socket, on loopback.

    Raises
    ------
    ImportError
        If the queue server is not installed.
    QueueError
        If it does not come up, or the station cannot be opened.
    """
    try:
        import bluesky_queueserver  # noqa: F401
    except ImportError as error:
        raise ImportError("a queue needs bluesky-queueserver: pip install szilard[queue]") from error
    address = f"tcp://127.0.0.1:{port}"
    with suppress(QueueError):
        ask(address, "ping")
        raise QueueInUseError(f"a queue server answers at {address} already; choose another --port, or end that one")
    environment = os.environ | {"LAB_QUEUE_STATION": _absolute(station), "LAB_QUEUE_SEED": str(seed)}
    if directory is not None:
        environment["LAB_RUNS"] = str(directory.absolute())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-queue-")))
        place = redis or stack.enter_context(_redis())
        permissions = stack.enter_context(resources.as_file(resources.files("lab.queue") / "permissions.yaml"))
        command = [
            *(sys.executable, "-m", "lab.queue.server", address),
            *("--startup-module", "lab.queue.startup", "--redis-addr", place, "--zmq-publish-console", "OFF"),
            *("--existing-plans-devices", str(folder / "plans_and_devices.yaml"), "--keep-re"),
            *("--user-group-permissions", str(permissions)),
        ]
        log = stack.enter_context((folder / "log").open("w+"))
        manager = stack.enter_context(
            subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        )
        stack.callback(_end, manager, address)
        _open_environment(manager, address, folder / "log")
        yield address


def _absolute(station: str) -> str:
    return str(Path(station).absolute()) if Path(station).is_file() else station


@contextmanager
def _redis() -> Iterator[str]:
    """Run a stand-in for Redis in this process."""
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, name="redis stand-in", daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def ask(address: str, method: str, **parameters: Any) -> dict[str, Any]:
    """Ask a queue server.

    Raises
    ------
    QueueError
        If it does not answer.
    """
    import zmq

    with zmq.Context() as context, context.socket(zmq.REQ) as control:
        control.setsockopt(zmq.LINGER, 0)
        control.connect(address)
        control.send_json({"method": method, "params": parameters})
        if not control.poll(ANSWER * 1000):
            raise QueueError(f"the queue server at {address} does not answer within {ANSWER} s")
        return cast("dict[str, Any]", control.recv_json())


def _open_environment(manager: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Wait until the server answers, and open the station in its worker."""
    say("starting the queue server; the first time the physics of a twin is compiled, which takes a minute")
    deadline, asked = time.monotonic() + PATIENCE, False
    while time.monotonic() < deadline and manager.poll() is None:
        with suppress(QueueError):
            status = ask(address, "status")
            if status.get("worker_environment_exists"):
                return
            if asked and status["manager_state"] == "idle":
                break
            asked = asked or ask(address, "environment_open").get("success", False)
        threading.Event().wait(0.2)
    told = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raise QueueError("the queue server did not come up: " + " | ".join(told[-5:])[-800:])


def _end(manager: "subprocess.Popen[bytes]", address: str) -> None:
    """Abort what runs, close the worker, and end the server; if that fails, they end when the server's input does."""
    if manager.poll() is not None:
        _end_orphans(manager.pid)
        return
    with suppress(QueueError, subprocess.TimeoutExpired):
        _close(address, deadline=time.monotonic() + CLOSING)
        manager.wait(10)
    assert manager.stdin is not None
    manager.stdin.close()
    try:
        manager.wait(10)
    except subprocess.TimeoutExpired:
        manager.kill()


def _end_orphans(group: int) -> None:
    """End what a server that died has left behind: its worker by itself, in good order, then its manager."""
    from lab.queue.orphan import PATIENCE

    say("the queue server has died; its worker makes the outputs safe")
    threading.Event().wait(PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _close(address: str, deadline: float) -> None:
    """Abort what runs, close the worker, and have the server end.

    Raises
    ------
    QueueError
        If it does not do so in time.
    """
    if ask(address, "status").get("manager_state") in ("executing_queue", "paused"):
        ask(address, "queue_stop")
        ask(address, "re_pause", option="immediate")
        _wait_until(address, lambda status: status["manager_state"] == "paused", deadline)
        ask(address, "re_abort")
        _wait_until(address, lambda status: status["manager_state"] == "idle", deadline)
    ask(address, "environment_close")
    _wait_until(address, lambda status: not status.get("worker_environment_exists"), deadline)
    ask(address, "manager_stop", option="safe_off")


def _wait_until(address: str, reached: Callable[[dict[str, Any]], bool], deadline: float) -> None:
    while not reached(ask(address, "status")):
        if time.monotonic() > deadline:
            raise QueueError(f"the queue server at {address} does not do what it was asked to")
        threading.Event().wait(0.1)
