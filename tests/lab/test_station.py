import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import pytest
from pyvisa_sim.highlevel import SimVisaLibrary

from lab import open_station
from lab.station import CommunicationError, InstrumentConnectionError, SafeStateError, StationError, serve_bench
from lab.station_file import read_station
from sim_devices.visa import TwinVisaLibrary

IDENTITY = "Szilard,TB256,SN0001,1.0"
BOARD = '[devices.board]\nrole = "thermodynamic_board"\ninstrument = "board"\n'


@contextmanager
def board_at_a_socket(replies):
    """Serve answers to whole messages on a socket; yield its port and what was received."""
    received: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                client, _ = listener.accept()
                with client, client.makefile("rwb", buffering=0) as stream:
                    for line in stream:
                        received.append(line.decode().strip())
                        if received[-1] in replies:
                            stream.write(replies[received[-1]].encode() + b"\n")
        except OSError:
            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], received
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def bench_file(tmp_path, *ports, timeout="2 s"):
    tables = [
        f'[instruments.board{n}]\nresource = "TCPIP0::127.0.0.1::{port}::SOCKET"\ndriver = "thermodynamic_board"\n'
        f'identity = "Szilard,TB256"\ntimeout = "{timeout}"\n'
        for n, port in enumerate(ports)
    ]
    path = tmp_path / "bench.toml"
    path.write_text('[station]\nlibrary = "py"\n' + "".join(tables))
    return path


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def twin():
    with open_station("twin", seed=1) as station:
        yield station


def test_a_station_is_a_mapping_of_devices_by_the_names_of_its_file(twin):
    assert list(twin) == ["board", "switch", "model", "dot", "dot_switch", "photon", "photon_switch"]
    assert twin["board"].name == "board"
    assert len(twin) == 7
    assert "board" in twin
    with pytest.raises(KeyError, match="it has: board, switch, model, dot"):
        twin["oven"]


def test_a_station_says_what_it_is_for_the_record(twin):
    metadata = twin.metadata()
    assert metadata["station"] == "twin"
    assert metadata["station_mode"] == twin.mode == "twin"
    assert metadata["station_seed"] == 1
    assert metadata["instruments"]["board"]["identity"] == IDENTITY
    assert metadata["devices"]["board"] == "thermodynamic_board"
    assert metadata["devices"]["photon_switch"] == "photon_detection"
    assert metadata["bench"]["name"] == "laboratory"


def test_only_what_some_devices_need_is_opened():
    with open_station("twin", seed=1, devices=["dot_switch"]) as station:
        assert list(station) == ["dot", "dot_switch"]
        assert "board" not in station.identities
        assert len(station.identities) == 6
        assert set(station.metadata()["instruments"]) == set(station.identities)


def test_the_twin_has_a_clock_of_its_own(twin):
    before = twin.clock.now()
    twin.clock.sleep(1000.0)
    assert twin.clock.now() == pytest.approx(before + 1000.0)


@pytest.fixture
def wire(monkeypatch):
    """What is written to simulated instruments."""
    written: list[bytes] = []
    for library in (TwinVisaLibrary, SimVisaLibrary):
        monkeypatch.setattr(library, "write", recording(library.write, written))
    return written


def recording(write, written):
    def record(self, session, data):
        written.append(bytes(data))
        return write(self, session, data)

    return record


def messages(written):
    return b"".join(written).decode().splitlines()


@pytest.mark.parametrize("name", ["twin", "sim"])
def test_opening_and_closing_only_asks(wire, name):
    with open_station(name) as station:
        assert station.identities["board"] == IDENTITY
        assert "*IDN?" in messages(wire)
        assert [message for message in messages(wire) if "?" not in message.split()[0]] == []
        del wire[:]
    assert messages(wire) == ["SYST:LOCK:REL", "SYST:ERR?"]


@pytest.mark.parametrize("name", ["twin", "sim"])
def test_two_stations_share_nothing(name):
    with open_station(name, seed=1) as first, open_station(name, seed=1) as second:
        first["board"].shots.set(7).wait(5)
        assert first["board"].shots.get() == 7
        assert second["board"].shots.get() == 1000
        first.close()
        second["board"].shots.set(9).wait(5)
        assert second["board"].shots.get() == 9


def test_safe_says_what_it_did_and_can_be_repeated(twin):
    done = twin.safe()
    assert list(done) == list(twin)
    assert "outputs off" in done["board"]
    assert "gates at their safe voltages" in done["dot"]
    assert "pulses off" in done["photon"]
    assert twin.safe() == done


def test_safe_goes_on_to_the_other_devices_when_one_refuses(twin, monkeypatch):
    def stuck():
        raise RuntimeError("outputs stuck")

    monkeypatch.setattr(twin["board"], "safe", stuck)
    asked = []
    monkeypatch.setattr(twin["switch"], "safe", lambda: asked.append("switch") or [])
    with pytest.raises(SafeStateError) as caught:
        twin.safe()
    assert "outputs stuck - device board" in str(caught.value)
    assert asked == ["switch"]


def test_a_station_closed_while_staged_leaves_its_outputs_off(wire):
    with open_station("twin") as station:
        station["board"].stage()
        del wire[:]
    assert any("OUTP 0" in message for message in messages(wire))


def test_closing_twice_does_no_harm(twin):
    twin.close()
    twin.close()


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1", True])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(StationError, match=r"seed: .* whole number from 0"):
        open_station("twin", seed=seed)


def test_options_of_a_bench_are_checked_by_the_bench_and_named(tmp_path):
    path = tmp_path / "mine.toml"
    text = read_station("twin").path.read_text()
    path.write_text(text + "[bench.board.imperfections]\nadc_bitts = 12\n")
    with pytest.raises(StationError, match=r"mine.toml: bench.board.imperfections.adc_bitts: .*adc_bits"):
        open_station(path)
    path.write_text(text.replace('bench = "laboratory"', 'bench = "kitchen"'))
    with pytest.raises(StationError, match=r"station.bench: .*'kitchen'.*thermodynamic_board"):
        open_station(path)


@pytest.mark.parametrize("library", ["/no/such/visa.so", "@nonsense"])
def test_a_library_that_cannot_be_loaded_is_an_error_of_the_file(tmp_path, library):
    path = bench_file(tmp_path, 5025)
    path.write_text(path.read_text().replace('"py"', f'"{library}"'))
    with pytest.raises(StationError, match=r'station.library: .* allowed: "twin", "py"'):
        open_station(path)


def test_limits_of_a_device_are_those_of_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    text = read_station("twin").path.read_text()
    path.write_text(text.replace("[devices.switch]", "limits.temperature = [0, 0.5]\n[devices.switch]"))
    with open_station(path) as station:
        station["board"].temperature.check_value(0.4)
        with pytest.raises(ValueError, match=r"0\.5"):
            station["board"].temperature.check_value(0.6)
    path.write_text(text.replace("[devices.switch]", "limits.colour = [0, 0.5]\n[devices.switch]"))
    with pytest.raises(StationError, match=r"devices.board.limits: .*'colour'.*temperature"):
        open_station(path)


def test_instruments_that_do_not_answer_are_all_named(tmp_path):
    ports = unused_port(), unused_port()
    with pytest.raises(CommunicationError) as caught:
        open_station(bench_file(tmp_path, *ports))
    assert "2 of 2 instruments" in str(caught.value)
    assert len(caught.value.exceptions) == 2
    for number, (port, error) in enumerate(zip(ports, caught.value.exceptions, strict=True)):
        assert isinstance(error, ConnectionError)
        assert error.__notes__ == [f"instrument board{number} at TCPIP0::127.0.0.1::{port}::SOCKET"]
        assert error.__notes__[0] in str(caught.value)
        assert "nothing listens there" in str(error)


def test_whatever_a_library_raises_is_no_communication(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise Exception("could not connect: Name or service not known")  # noqa: TRY002 - as pyvisa-py does

    monkeypatch.setattr("drivers.thermodynamic_board.ThermodynamicBoard", refuse)
    with pytest.raises(CommunicationError) as caught:
        open_station(bench_file(tmp_path, 5025))
    assert "could not connect: Name or service not known - instrument board0 at TCPIP0::" in str(caught.value)


def test_a_switch_is_one_of_the_cells_of_its_board(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(read_station("twin").path.read_text().replace("cell = 1", "cell = 257"))
    with pytest.raises(StationError, match=r"devices\.switch\.cell: 257 is not allowed; from 1 to 256"):
        open_station(path)


def test_a_mute_and_a_wrong_instrument_are_told_apart(tmp_path):
    wrong = {"*IDN?": "Acme,Kettle,1,1"}
    with board_at_a_socket({}) as (mute_port, _), board_at_a_socket(wrong) as (wrong_port, received):
        with pytest.raises(CommunicationError) as caught:
            open_station(bench_file(tmp_path, mute_port, wrong_port, timeout="200 ms"))
        mute, other = caught.value.exceptions
        assert "no reply to '*IDN?'" in str(mute)
        assert "'Acme,Kettle,1,1', not 'Szilard,TB256'" in str(other)
        assert received == ["*IDN?"]


def test_who_holds_an_instrument_is_named(tmp_path):
    replies = {"*IDN?": IDENTITY, "SYST:LOCK:REQ?": "0", "SYST:LOCK:OWN?": '"10.0.0.7:40000"'}
    with board_at_a_socket(replies) as (port, _), pytest.raises(CommunicationError) as caught:
        open_station(bench_file(tmp_path, port))
    assert "held by 10.0.0.7:40000" in str(caught.value)


def test_the_lock_is_given_back_at_closing(tmp_path):
    replies = {"*IDN?": IDENTITY, "SYST:LOCK:REQ?": "1", "SYST:ERR?": '0,"No error"'}
    with board_at_a_socket(replies) as (port, received):
        with open_station(bench_file(tmp_path, port)) as station:
            assert station.mode == "hardware"
            assert dict(station) == {}
            assert station.seed is None
        assert received[-2:] == ["SYST:LOCK:REL", "SYST:ERR?"]


def test_one_failure_closes_what_had_been_opened(tmp_path):
    replies = {"*IDN?": IDENTITY, "SYST:LOCK:REQ?": "1", "SYST:ERR?": '0,"No error"'}
    with board_at_a_socket(replies) as (port, received):
        with pytest.raises(CommunicationError, match="1 of 2"):
            open_station(bench_file(tmp_path, port, unused_port()))
        assert "SYST:LOCK:REL" in received


def test_a_served_bench_is_a_station_over_tcp_with_one_owner_at_a_time(tmp_path):
    with ExitStack() as stack:
        server = stack.enter_context(serve_bench("twin", port=0, seed=3))
        path = bench_file(tmp_path, next(port for _, port in server.addresses.values()))
        path.write_text(path.read_text().replace("board0", "board") + BOARD)
        with open_station(path) as station:
            station["board"].shots.set(5).wait(5)
            assert station["board"].shots.get() == 5
            with pytest.raises(CommunicationError) as caught:
                open_station(path)
            assert "held by 127.0.0.1:" in str(caught.value)
        with open_station(path) as station:
            assert station["board"].shots.get() == 5


def test_an_instrument_without_a_lock_has_one_owner_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    meter = {"*IDN?": "Keysight Technologies,34465A,MY1,1", "SYST:ERR?": '0,"No error"'}
    with board_at_a_socket(meter) as (port, received):
        path = tmp_path / "meter.toml"
        resource = f"TCPIP0::127.0.0.1::{port}::SOCKET"
        table = f'resource = "{resource}"\ndriver = "keysight_34465a"\nidentity = "Keysight"'
        path.write_text(f'[station]\nlibrary = "py"\n[instruments.meter]\n{table}\n')
        with open_station(path):
            asked = list(received)
            with pytest.raises(CommunicationError) as caught:
                open_station(path)
            assert f"held by process {os.getpid()} on this machine" in str(caught.value)
            assert received == asked
        open_station(path).close()


def test_only_a_station_of_the_twin_can_be_served():
    with pytest.raises(StationError, match='library = "twin"'), serve_bench("tcp", port=0):
        pass


def test_failures_can_be_split_like_any_exception_group():
    group = CommunicationError("1 of 1", [InstrumentConnectionError("no")])
    assert isinstance(group.subgroup(ConnectionError), CommunicationError)
    assert group.subgroup(ValueError) is None


def test_importing_lab_imports_nothing_heavy_and_keeps_ophyd_from_epics():
    script = (
        "import sys, os, lab; assert os.environ['OPHYD_CONTROL_LAYER'] == 'dummy'; "
        "print([name for name in ('numpy', 'ophyd', 'bluesky', 'pyvisa', 'pydantic', 'h5py') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert outcome.stdout.strip() == "[]"
