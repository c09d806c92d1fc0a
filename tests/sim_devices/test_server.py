import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import pyvisa

from sim_devices.benches import Bench
from sim_devices.faults import Fault
from sim_devices.server import ServerAddressError, serve

SOCKET = "TCPIP0::probe::5025::SOCKET"
IDENTITY = b"Szilard,Probe,SN7,1.0\n"


class Client:
    """A raw socket that reads lines."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, data):
        self.send(data + b"\n")
        return self.lines.readline()

    def gone(self):
        """Whether the server has closed the connection."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self):
        self.lines.close()
        self.socket.close()


@pytest.fixture
def server(bench):
    with serve(bench, port=0, patience=0.5) as opened:
        yield opened


@pytest.fixture
def connect(server):
    with contextlib.ExitStack() as stack:

        def open_client():
            return stack.enter_context(contextlib.closing(Client(server.addresses[SOCKET])))

        yield open_client


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.005)


def test_a_raw_socket_asks_and_is_answered(connect):
    client = connect()
    assert client.ask(b"*IDN?") == IDENTITY
    assert client.ask(b"SAMP:COUN 12;COUN?;*OPC?") == b"12;1\n"
    assert client.ask(b"NONSENSE;:SYST:ERR?").startswith(b"-113,")


def test_only_this_machine_can_connect_unless_an_address_is_given(server):
    assert {host for host, _ in server.addresses.values()} == {"127.0.0.1"}


def test_every_instrument_has_one_port(server, bench):
    assert list(server.addresses) == [SOCKET]
    assert len(bench.instruments) > 1


def test_messages_in_one_packet_are_answered_in_order(connect):
    client = connect()
    client.send(b"*IDN?\nSAMP:COUN?\n*OPC?\n" * 1000)
    assert [client.lines.readline() for _ in range(3000)] == [IDENTITY, b"10\n", b"1\n"] * 1000


def test_a_message_in_many_packets_is_one_message(connect):
    client = connect()
    for byte in b"*IDN?\n":
        client.send(bytes([byte]))
    assert client.lines.readline() == IDENTITY


def test_a_block_of_every_byte_makes_the_round_trip(connect):
    client = connect()
    payload = bytes(range(256)) * 4096
    client.send(b"FORM INT,16;:DATA #9%09d%b\nDATA?\n" % (len(payload), payload))
    assert client.lines.read(12 + len(payload)) == b"#9%09d%b\n" % (len(payload), payload)
    assert client.ask(b"SYST:ERR?").startswith(b"0,")


def test_a_deferred_reply_is_pushed_when_the_operation_completes(connect, probe):
    client, other = connect(), connect()
    client.send(b"INIT;*OPC?\n")
    assert other.ask(b"*IDN?") == IDENTITY
    client.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)
    client.socket.settimeout(10)
    probe.gate.set()
    assert client.socket.recv(10) == b"1\n"


def test_clients_do_not_see_each_others_errors_or_replies(connect):
    first, second = connect(), connect()
    first.send(b"NONSENSE\n*IDN?\n")
    assert second.ask(b"SYST:ERR?").startswith(b"0,")
    assert first.lines.readline() == IDENTITY
    assert first.ask(b"SYST:ERR?").startswith(b"-113,")


def test_one_client_owns_the_instrument_until_it_releases_it_or_leaves(connect):
    first, second = connect(), connect()
    assert first.ask(b"SYST:LOCK:REQ?") == b"1\n"
    assert second.ask(b"SYST:LOCK:REQ?") == b"0\n"
    name = "{}:{}".format(*first.socket.getsockname())
    assert second.ask(b"SYST:LOCK:OWN?") == b'"%b"\n' % name.encode()
    assert second.ask(b"SAMP:COUN 77;:SAMP:COUN?;:SYST:ERR?").startswith(b"10;110,")
    first.close()
    until(lambda: second.ask(b"SYST:LOCK:REQ?") == b"1\n")
    assert second.ask(b"SAMP:COUN 77;:SAMP:COUN?") == b"77\n"


def test_a_client_that_reads_nothing_is_dropped_and_others_are_served_meanwhile(connect, probe):
    stalled, other = connect(), connect()
    stalled.send(b"FORM REAL,32;:DATA #9000400000" + bytes(400000) + b"\n")
    stalled.socket.setblocking(False)
    slowest = 0.0
    deadline = time.monotonic() + 10
    while len(probe.sessions) > 1:
        assert time.monotonic() < deadline, "the stalled client was not dropped"
        with contextlib.suppress(BlockingIOError, ConnectionError):
            stalled.socket.send(b"DATA?\n" * 20)
        start = time.monotonic()
        assert other.ask(b"*IDN?") == IDENTITY
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < 1.0


def test_a_flood_of_garbage_harms_nobody_else(connect):
    flood, other = connect(), connect()
    stop = threading.Event()

    def pour():
        garbage = bytes(range(1, 256)) * 200
        with contextlib.suppress(OSError):
            while not stop.is_set():
                flood.send(garbage)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        slowest = 0.0
        for _ in range(20):
            start = time.monotonic()
            assert other.ask(b"*IDN?") == IDENTITY
            slowest = max(slowest, time.monotonic() - start)
    finally:
        stop.set()
        thread.join()
    assert slowest < 1.0
    assert other.ask(b"SYST:ERR?").startswith(b"0,")


def test_a_hostile_length_is_refused_and_the_next_message_is_understood(connect):
    client = connect()
    client.send(b"DATA #9999999999\n")
    assert client.ask(b"SYST:ERR?").startswith(b"-")
    assert client.ask(b"*IDN?") == IDENTITY


def test_a_message_without_end_is_bounded(connect):
    client, other = connect(), connect()
    with contextlib.suppress(OSError):
        for _ in range(80):
            client.send(b"A" * (1 << 18))
    assert other.ask(b"*IDN?") == IDENTITY
    assert client.ask(b"\n*IDN?") == IDENTITY
    assert client.ask(b"SYST:ERR?").startswith(b"-363,")


def test_a_client_that_vanishes_leaves_nothing_behind(connect, server, probe):
    client = connect()
    client.send(b"INIT;*OPC?\nSAMP:CO")
    until(lambda: probe.pending)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    until(lambda: not probe.sessions)
    probe.gate.set()
    assert connect().ask(b"*IDN?") == IDENTITY


def test_more_clients_than_allowed_are_turned_away(bench):
    with serve(bench, port=0, clients=2) as server:
        clients = [Client(server.addresses[SOCKET]) for _ in range(3)]
        assert [client.ask(b"*IDN?") for client in clients[:2]] == [IDENTITY] * 2
        assert clients[2].gone()
        clients[0].close()
        until(lambda: len(bench.instruments[SOCKET].sessions) == 1)
        late = Client(server.addresses[SOCKET])
        assert late.ask(b"*IDN?") == IDENTITY
        for client in [*clients, late]:
            client.close()


def test_close_returns_at_once_whatever_the_clients_do(bench, probe):
    server = serve(bench, port=0, patience=60)
    idle, waiting, stalled = (Client(server.addresses[SOCKET]) for _ in range(3))
    assert idle.ask(b"*IDN?") == IDENTITY
    waiting.send(b"INIT;*OPC?\n")
    stalled.send(b"FORM REAL,32;:DATA #9004000000" + bytes(4000000) + b"\n" + b"DATA?\n" * 20)
    until(lambda: len(probe.sessions) == 3 and len(probe.data) == 1000000)
    start = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - start < 2.0
    assert idle.gone()
    assert not probe.sessions
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.addresses[SOCKET], timeout=1)
    for client in (idle, waiting, stalled):
        client.close()


def test_the_bench_survives_its_server_and_can_be_served_again_on_the_same_port(bench):
    with serve(bench, port=0) as server:
        address = server.addresses[SOCKET]
        first = Client(address)
        assert first.ask(b"SAMP:COUN 5;COUN?") == b"5\n"
    with serve(bench, port=address[1]) as server:
        client = Client(server.addresses[SOCKET])
        assert client.ask(b"SAMP:COUN?") == b"5\n"
        client.close()
    first.close()


def test_a_closed_bench_drops_its_clients(bench, connect):
    client = connect()
    assert client.ask(b"*IDN?") == IDENTITY
    bench.close()
    assert client.gone()
    assert connect().gone()


def test_a_port_in_use_is_said_in_plain_words(bench, server):
    _, port = server.addresses[SOCKET]
    with pytest.raises(ServerAddressError, match=f"cannot listen on 127.0.0.1 port {port}: another program") as caught:
        serve(bench, port=port)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [
        ("203.0.113.7", 0, "this machine has no such address"),
        ("no.such.host.invalid", 0, "is no address"),
        ("a" * 300, 0, "is no address"),
        ("127.0.0.1", 65536, "a port is a whole number from 0 to 65535, not 65536"),
        ("127.0.0.1", -1, "a port is a whole number"),
    ],
)
def test_an_address_that_cannot_be_is_said_in_plain_words(bench, host, port, text):
    with pytest.raises(ServerAddressError, match=text):
        serve(bench, host, port)


def test_a_reserved_port_is_said_in_plain_words(bench, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ServerAddressError, match=r"cannot listen on 127.0.0.1 port 80: ports below 1024 are reserved"):
        serve(bench, port=80)


def test_ports_follow_each_other_and_none_stays_open_when_one_is_taken(bench, second_bench):
    other = second_bench.instruments[SOCKET]
    both = Bench("both", bench.clock)
    both.place(bench.instruments[SOCKET], SOCKET)
    both.place(other, "TCPIP0::second::5025::SOCKET")
    with serve(both, port=0) as server:
        base = server.addresses["TCPIP0::second::5025::SOCKET"][1] - 1
    with socket.create_server(("127.0.0.1", base + 1)), pytest.raises(ServerAddressError, match=str(base + 1)):
        serve(both, port=base)
    with serve(both, port=base) as server:
        assert [port for _, port in server.addresses.values()] == [base, base + 1]
    both.worker.shutdown()


def test_faults_reach_clients_over_tcp(connect, bench):
    client = connect()
    bench.inject(
        SOCKET, [Fault("slow", "*IDN?", delay=0.1), Fault("identity", "*IDN?", identity="X"), Fault("dropped", "*RST")]
    )
    start = time.monotonic()
    assert client.ask(b"*IDN?") == b"X\n"
    assert time.monotonic() - start > 0.09
    client.send(b"*RST\n")
    assert client.gone()


def test_pyvisa_py_drives_the_served_instrument(server):
    host, port = server.addresses[SOCKET]
    manager = pyvisa.ResourceManager("@py")
    device = manager.open_resource(f"TCPIP0::{host}::{port}::SOCKET", read_termination="\n", write_termination="\n")
    assert device.query("*IDN?").encode() + b"\n" == IDENTITY
    assert device.query("SAMP:COUN 31;COUN?") == "31"
    manager.close()


SERVER = """
    import signal, sys, time
    from types import SimpleNamespace
    from sim_devices.benches import Bench
    from sim_devices.scpi import Instrument
    from sim_devices.server import serve

    bench = Bench("alone", SimpleNamespace(now=time.monotonic))
    bench.place(Instrument("Szilard,Alone,1,1"), "TCPIP0::alone::5025::SOCKET")
    with bench, serve(bench, port=0) as server:
        print(*server.addresses["TCPIP0::alone::5025::SOCKET"], flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    print("closed", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_server_in_another_process_answers_every_query_and_stops():
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})\n"
    with subprocess.Popen(
        [sys.executable, "-c", block + textwrap.dedent(SERVER)], stdout=subprocess.PIPE, text=True
    ) as process:
        host, port = process.stdout.readline().split()
        client = Client((host, int(port)))
        client.socket.settimeout(30)
        for _ in range(2000):
            client.socket.sendall(b"*IDN?\n")
            assert client.socket.recv(100) == b"Szilard,Alone,1,1\n"
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        assert process.stdout.read() == "closed\n"
        assert time.monotonic() - start < 2.0
        client.close()
    assert process.returncode == 0
