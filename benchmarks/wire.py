"""How fast the wire is: short queries and 4 MB blocks, in process and over TCP, against pyvisa-sim and a bare echo.

Run ``python benchmarks/wire.py`` for a table, ``--json`` for one line, ``--quick`` for a short look. Each figure is the
best of several rounds. The bare echo is a server that answers the same bytes without looking at them: the limit that
this machine sets to any server in Python. Rows of one table were taken in the same minute; compare them with each
other.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyvisa
from measuring import Column, Row, make_parser, print_json, print_table

from sim_devices.benches import Bench
from sim_devices.scpi import Instrument, Numbers, command, query
from sim_devices.server import serve
from sim_devices.visa import open_library

IDENTITY = "Szilard,Memory,SN1,1.0"
STREAM, MESSAGES = "TCPIP0::memory::5025::SOCKET", "TCPIP0::memory::inst0::INSTR"
BLOCK = np.random.default_rng(1).uniform(-1, 1, 1 << 20).astype("<f4")
REPLY = b"#9%09d%b\n" % (BLOCK.nbytes, BLOCK.tobytes())
PYVISA_SIM = f"""
spec: "1.0"
devices:
  memory:
    eom: {{TCPIP SOCKET: {{q: "\\n", r: "\\n"}}}}
    dialogues: [{{q: "*IDN?", r: "{IDENTITY}"}}]
resources:
  {STREAM}: {{device: memory}}
"""
ECHO = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(*listener.getsockname(), flush=True)
connection, _ = listener.accept()
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
reply, long_reply = {reply!r}, b"x" * {length}
while message := connection.recv(4096):
    connection.sendall(reply if message[:1] == b"*" else long_reply)
"""


class Memory(Instrument):
    """Keeps an array."""

    def __init__(self) -> None:
        super().__init__(IDENTITY)
        self.values = BLOCK

    @command("DATA", Numbers())
    def set_values(self, _: Any, values: np.ndarray) -> None:
        """Keep an array."""
        self.values = values

    @query("DATA?")
    def get_values(self, _: Any) -> np.ndarray:
        """Give it back."""
        return self.values


def make_bench() -> Bench:
    """Put a memory on a bench."""
    bench = Bench("memory", SimpleNamespace(now=time.monotonic))
    bench.place(Memory(), STREAM, MESSAGES)
    return bench


def rate(action: Callable[[], object], repeats: int, rounds: int = 5) -> float:
    """Return how often a second something can be done."""
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            action()
        best = max(best, repeats / (time.perf_counter() - start))
    return best


@contextmanager
def process(*arguments: str) -> Iterator[tuple[str, int]]:
    """Run a server in another process and give its address."""
    with subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        host, port = server.stdout.readline().split()
        try:
            yield host, int(port)
        finally:
            server.terminate()


@contextmanager
def connection(address: tuple[str, int]) -> Iterator[socket.socket]:
    """Connect a raw socket."""
    with socket.create_connection(address) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield raw


@contextmanager
def resource(library: Any, name: str) -> Iterator[Any]:
    """Open a resource with pyvisa."""
    manager = pyvisa.ResourceManager(library)
    try:
        yield manager.open_resource(name, read_termination="\n", write_termination="\n", timeout=30000)
    finally:
        manager.close()


def measure_visa(device: Any, repeats: int) -> dict[str, float]:
    """Time queries and blocks of a device that was opened with pyvisa."""
    result = {"queries": rate(lambda: device.query("*IDN?"), repeats)}
    device.write("FORM REAL,32;:FORM:BORD SWAP")
    device.read_termination = None
    message = b"DATA " + REPLY

    def send() -> None:
        device.write_raw(message)
        device.write("*OPC?")
        device.read_bytes(2)

    def receive() -> None:
        device.write("DATA?")
        assert len(device.read_bytes(len(REPLY), chunk_size=len(REPLY))) == len(REPLY)

    return result | {"sent": rate(send, 3) * BLOCK.nbytes / 1e6, "received": rate(receive, 3) * BLOCK.nbytes / 1e6}


def measure_socket(raw: socket.socket, repeats: int) -> dict[str, float]:
    """Time queries and blocks over a raw socket."""
    buffer = memoryview(bytearray(1 << 20))

    def ask() -> None:
        raw.sendall(b"*IDN?\n")
        raw.recv_into(buffer)

    def receive() -> None:
        raw.sendall(b"DATA?\n")
        left = len(REPLY)
        while left:
            left -= raw.recv_into(buffer)

    return {"queries": rate(ask, repeats), "received": rate(receive, 3) * BLOCK.nbytes / 1e6}


def measure_sending(raw: socket.socket) -> dict[str, float]:
    """Time blocks that a raw socket sends."""
    raw.sendall(b"FORM REAL,32;:FORM:BORD SWAP\n")
    message = b"DATA " + REPLY + b"*OPC?\n"

    def send() -> None:
        raw.sendall(message)
        assert raw.recv(10) == b"1\n"

    return {"sent": rate(send, 3) * BLOCK.nbytes / 1e6}


def measure(repeats: int) -> dict[str, Row]:
    """Take every row of the table, queries so many times."""
    rows: dict[str, Row] = {}
    with ExitStack() as stack:
        library = open_library(stack.enter_context(make_bench()))
        rows["in process, stream"] = measure_visa(stack.enter_context(resource(library, STREAM)), repeats)
        device = library.resource_manager.open_resource(MESSAGES, write_termination="\n")  # type: ignore[union-attr]
        rows["in process, messages"] = measure_visa(device, repeats)
    with process(__file__, "--serve") as (host, port):
        with connection((host, port)) as raw:
            rows["TCP, raw socket"] = measure_sending(raw) | measure_socket(raw, repeats)
        with resource("@py", f"TCPIP0::{host}::{port}::SOCKET") as device:
            device.visalib.sessions[device.session].interface.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            rows["TCP, pyvisa-py"] = measure_visa(device, repeats)
    echo = ECHO.format(reply=IDENTITY.encode() + b"\n", length=len(REPLY))
    with process("-c", echo) as address, connection(address) as raw:
        rows["TCP, bare echo"] = measure_socket(raw, repeats)
    with tempfile.TemporaryDirectory() as folder:
        definition = Path(folder) / "memory.yaml"
        definition.write_text(PYVISA_SIM)
        with resource(f"{definition}@sim", STREAM) as device:
            rows["pyvisa-sim"] = {"queries": rate(lambda: device.query("*IDN?"), repeats)}
    for row in rows.values():
        row["seconds"] = 1 / row["queries"]
        row["us"] = 1e6 / row["queries"]
        row["ratio"] = rows["in process, stream"]["queries"] / row["queries"]
    return rows


def serve_until_killed() -> None:
    """Serve a memory and print its address."""
    with make_bench() as bench, serve(bench, port=0) as server:
        print(*server.addresses[STREAM], flush=True)
        sys.stdin.read()


def main() -> None:
    """Print the table, or one line of JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_until_killed()
        return
    rows = measure(50 if arguments.quick else 5000)
    if arguments.json:
        print_json(rows)
        return
    columns = [
        Column("queries", "*IDN? /s", ".0f"),
        Column("us", "us", ".1f"),
        Column("ratio", "ratio", ".1f"),
        Column("sent", "4 MB to, MB/s", ".0f"),
        Column("received", "4 MB from, MB/s", ".0f"),
    ]
    print_table("", rows, columns)


if __name__ == "__main__":
    main()
