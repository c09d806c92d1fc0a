import gc
import threading
import time
import weakref

import numpy as np
import pytest
import pyvisa
from pyvisa.constants import AccessModes, BufferOperation, ResourceAttribute, StatusCode

from sim_devices import benches
from sim_devices.visa import open_library

IDENTITY = "Szilard,Probe,SN7,1.0"
SOCKET = "TCPIP0::probe::5025::SOCKET"
INSTR = "TCPIP0::probe::inst0::INSTR"
GPIB = "GPIB0::7::INSTR"
USB = "USB0::0x1234::0x5678::SN1::0::INSTR"
ASRL = "ASRL3::INSTR"
STREAMS = (SOCKET, ASRL)
MESSAGES = (INSTR, GPIB, USB)


@pytest.fixture
def manager(bench):
    manager = pyvisa.ResourceManager(open_library(bench))
    yield manager
    manager.close()


@pytest.fixture
def connect(manager):
    def open_resource(name=SOCKET, **settings):
        settings = {"write_termination": "\n", "timeout": 2000} | settings
        if name in STREAMS:
            settings.setdefault("read_termination", "\n")
        return manager.open_resource(name, **settings)

    return open_resource


def failure(function, *arguments):
    with pytest.raises(pyvisa.VisaIOError) as caught:
        function(*arguments)
    return StatusCode(caught.value.error_code)


@pytest.mark.parametrize("name", STREAMS + MESSAGES)
def test_every_kind_of_resource_answers_a_query(connect, name):
    device = connect(name)
    assert device.query("*IDN?").strip() == IDENTITY
    assert device.query(":samp:coun?").strip() == "10"


@pytest.mark.parametrize("name", STREAMS + MESSAGES)
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_block_of_every_byte_makes_the_round_trip(connect, name, big_endian):
    device = connect(name)
    device.write(f"FORM REAL,64;:FORM:BORD {'NORM' if big_endian else 'SWAP'}")
    values = np.random.default_rng(1).uniform(-1, 1, 30000)
    device.write_binary_values("DATA ", values, datatype="d", is_big_endian=big_endian)
    device.write("DATA?")
    device.read_termination = None
    raw = device.read_bytes(12 + values.nbytes - 1)
    assert np.array_equal(np.frombuffer(raw, ">f8" if big_endian else "<f8", offset=11), values)
    assert device.read_bytes(1) == b"\n"


def test_query_binary_values_reads_a_message_with_end(connect):
    device = connect(INSTR)
    device.write("FORM REAL,32;:FORM:BORD SWAP")
    values = np.arange(40000, dtype=np.float32)
    device.write_binary_values("DATA ", values, datatype="f")
    assert np.array_equal(device.query_binary_values("DATA?", "f", container=np.ndarray), values)
    assert device.query("SYST:ERR?").strip() == '0,"No error"'


def test_a_message_may_come_in_several_writes(connect):
    for name in STREAMS:
        device = connect(name)
        for part in (b"*I", b"DN", b"?", b"\n"):
            device.write_raw(part)
        assert device.read() == IDENTITY
    device = connect(GPIB, send_end=False)
    for part in (b"*I", b"DN", b"?", b"\n"):
        device.write_raw(part)
    assert device.read().strip() == IDENTITY


def test_end_alone_ends_a_message(connect):
    for name in MESSAGES:
        device = connect(name, write_termination="")
        assert device.query("*IDN?").strip() == IDENTITY


def test_a_read_says_why_it_stopped(connect, manager):
    def status_of(device, count):
        with device.ignore_warning(StatusCode.success_max_count_read):
            return manager.visalib.read(device.session, count)[1]

    stream, message = connect(SOCKET), connect(INSTR)
    for device in (stream, message):
        device.write("*IDN?")
        assert status_of(device, 5) == StatusCode.success_max_count_read
        assert device.last_status == StatusCode.success_max_count_read
    assert status_of(stream, 1000) == StatusCode.success_termination_character_read
    assert status_of(message, 1000) == StatusCode.success
    message.write("*IDN?")
    assert status_of(message, len(IDENTITY) + 1) == StatusCode.success


def test_a_message_interface_stops_at_an_enabled_termination_character_and_goes_on(connect, manager):
    device = connect(INSTR, read_termination=",")
    device.write("*IDN?")
    assert [device.read() for _ in range(3)] == ["Szilard", "Probe", "SN7"]
    device.read_termination = None
    assert device.read() == "1.0\n"


def test_a_raw_socket_without_termination_character_waits_for_the_count_and_times_out(connect):
    device = connect(SOCKET, read_termination=None, timeout=50)
    device.write("*IDN?")
    assert device.read_bytes(7) == b"Szilard"
    assert failure(device.read) == StatusCode.error_timeout


def test_a_stream_keeps_the_replies_to_several_messages(connect):
    device = connect(SOCKET)
    device.write_raw(b"*IDN?\nSAMP:COUN?\n")
    device.write("*OPC?")
    assert [device.read() for _ in range(3)] == [IDENTITY, "10", "1"]
    assert device.query("SYST:ERR?").startswith("0,")


def test_a_message_interface_reports_an_interrupted_and_an_unterminated_query(connect):
    device = connect(GPIB, timeout=30)
    device.write("*IDN?")
    device.write("SAMP:COUN?")
    assert device.read().strip() == "10"
    assert failure(device.read) == StatusCode.error_timeout
    assert [device.query("SYST:ERR?").split(",")[0] for _ in range(3)] == ["-410", "-420", "0"]


@pytest.mark.parametrize("name", [SOCKET, GPIB])
def test_a_time_out_comes_on_time(connect, name):
    device = connect(name, timeout=100)
    start = time.monotonic()
    assert failure(device.read) == StatusCode.error_timeout
    assert 0.08 < time.monotonic() - start < 3.0
    device.timeout = 0
    assert failure(device.read) == StatusCode.error_timeout
    device.timeout = None
    assert device.timeout == float("inf")
    assert device.query("*IDN?").strip() == IDENTITY


@pytest.mark.parametrize("name", [SOCKET, GPIB])
def test_a_read_waits_for_an_overlapped_operation(connect, probe, name):
    device = connect(name, timeout=5000)
    device.write("INIT;*OPC?")
    threading.Timer(0.1, probe.gate.set).start()
    assert device.read().strip() == "1"


@pytest.mark.parametrize("name", [SOCKET, GPIB])
def test_clear_forgets_a_query_that_never_ends(connect, probe, name):
    device = connect(name, timeout=30)
    device.write("INIT;*OPC?")
    assert failure(device.read) == StatusCode.error_timeout
    device.write("SAMP:COUN?")
    device.clear()
    device.timeout = 2000
    assert device.query("*IDN?").strip() == IDENTITY
    probe.gate.set()


def test_clear_forgets_half_a_message_and_an_unread_reply(connect):
    for name in (SOCKET, GPIB):
        device = connect(name, send_end=False) if name == GPIB else connect(name)
        device.write_raw(b"*IDN?\n")
        device.write_raw(b"NONSENSE")
        device.clear()
        device.write_raw(b"SAMP:COUN?\n")
        assert device.read().strip() == "10"


def test_flush_discards_what_has_arrived(connect):
    device = connect(SOCKET)
    device.write("*IDN?")
    device.read_bytes(3)
    device.flush(BufferOperation.discard_read_buffer)
    assert device.query("SAMP:COUN?") == "10"


def test_the_status_byte_tells_of_replies_and_errors(connect):
    for name in (SOCKET, GPIB):
        device = connect(name)
        assert device.read_stb() == 0
        device.write("*IDN?")
        assert device.stb == 16
        device.read_bytes(3)
        assert device.stb == 16
        device.read()
        assert device.stb == 0
        device.write("NONSENSE")
        assert device.stb == 4
        assert device.query("SYST:ERR?").startswith("-113,")
        assert device.stb == 0


def test_a_trigger_reaches_the_instrument(connect, probe):
    device = connect(GPIB)
    device.assert_trigger()
    assert probe.triggers == 1
    assert failure(device.visalib.assert_trigger, device.session, 7) == StatusCode.error_invalid_protocol


def test_resources_are_listed_and_found_in_any_spelling(bench, manager):
    assert set(manager.list_resources()) == {INSTR, GPIB, USB, ASRL}
    assert set(manager.list_resources("?*")) == set(bench.instruments)
    assert manager.list_resources("VXI?*") == ()
    assert manager.open_resource("TCPIP::probe::INSTR").resource_name == INSTR
    assert manager.open_resource("GPIB::7").resource_name == GPIB
    assert manager.open_resource("TCPIP::PROBE::5025::SOCKET").resource_name == SOCKET


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("TCPIP0::probe::5026::SOCKET", StatusCode.error_resource_not_found),
        ("GPIB0::8::INSTR", StatusCode.error_resource_not_found),
        ("nonsense", StatusCode.error_invalid_resource_name),
        ("", StatusCode.error_invalid_resource_name),
    ],
)
def test_a_resource_that_is_not_there_has_the_code_of_visa(manager, name, status):
    assert failure(manager.open_bare_resource, name) == status


def test_attributes_have_the_values_of_their_interface(connect, manager):
    device = connect(SOCKET)
    assert device.get_visa_attribute(ResourceAttribute.tcpip_port) == 5025
    assert device.interface_type == pyvisa.constants.InterfaceType.tcpip
    assert device.resource_class == "SOCKET"
    assert connect(GPIB).primary_address == 7
    assert connect(USB).manufacturer_id == 0x1234
    serial = connect(ASRL, baud_rate=115200)
    assert serial.baud_rate == 115200
    assert serial.interface_number == 3


def test_wrong_attributes_are_refused(connect):
    device, baud_rate = connect(SOCKET), ResourceAttribute.asrl_baud_rate
    assert failure(device.get_visa_attribute, baud_rate) == StatusCode.error_nonsupported_attribute
    assert failure(device.set_visa_attribute, ResourceAttribute.tcpip_port, 1) == StatusCode.error_attribute_read_only
    for attribute, state in [(ResourceAttribute.timeout_value, -1), (ResourceAttribute.termchar, 256)]:
        assert failure(device.set_visa_attribute, attribute, state) == StatusCode.error_nonsupported_attribute_state
    message = connect(GPIB)
    suppress = ResourceAttribute.suppress_end_enabled
    assert failure(message.set_visa_attribute, suppress, True) == StatusCode.error_nonsupported_attribute_state
    assert device.query("*IDN?") == IDENTITY


def test_a_stream_that_does_not_suppress_end_returns_what_there_is(connect):
    device = connect(SOCKET, read_termination=None)
    device.set_visa_attribute(ResourceAttribute.suppress_end_enabled, False)
    assert device.query("*IDN?") == IDENTITY + "\n"


def test_closing_one_session_does_not_disturb_another(connect):
    first, second = connect(SOCKET), connect(SOCKET)
    first.write("NONSENSE")
    first.write("*IDN?")
    second.write("*IDN?")
    handle = first.session
    first.close()
    assert second.read() == IDENTITY
    assert second.query("SYST:ERR?").startswith("0,")
    assert failure(second.visalib.read, handle, 10) == StatusCode.error_invalid_object
    assert failure(second.visalib.close, handle) == StatusCode.error_invalid_object


def test_an_exclusive_lock_keeps_others_out_until_it_is_given_back(connect):
    first, second = connect(SOCKET), connect(SOCKET)
    with first.lock_context():
        assert first.query("*IDN?") == IDENTITY
        assert failure(second.write, "*IDN?") == StatusCode.error_resource_locked
        assert failure(second.lock_excl, 20) == StatusCode.error_timeout
        assert second.lock_state == AccessModes.exclusive_lock
        assert second.timeout == 2000
    assert second.query("*IDN?") == IDENTITY
    assert failure(first.unlock) == StatusCode.error_session_not_locked


def test_a_shared_lock_admits_those_who_know_the_key(connect):
    first, second, third = connect(SOCKET), connect(SOCKET), connect(SOCKET)
    key = first.lock()
    assert second.lock(requested_key=key) == key
    assert second.query("*IDN?") == IDENTITY
    assert failure(third.write, "*IDN?") == StatusCode.error_resource_locked
    assert failure(third.lock, 20, "another key") == StatusCode.error_invalid_access_key
    first.close()
    second.unlock()
    assert third.query("*IDN?") == IDENTITY


def test_a_resource_can_be_opened_locked(connect, manager):
    first = manager.open_resource(SOCKET, access_mode=AccessModes.exclusive_lock)
    assert (
        failure(manager.open_bare_resource, SOCKET, AccessModes.exclusive_lock, 20) == StatusCode.error_resource_locked
    )
    first.close()
    connect(SOCKET, access_mode=AccessModes.exclusive_lock).close()


def test_a_waiting_lock_is_granted_when_the_holder_closes(connect):
    first, second = connect(SOCKET), connect(SOCKET)
    first.lock_excl()
    threading.Timer(0.05, first.close).start()
    second.lock_excl(5000)
    assert second.query("*IDN?") == IDENTITY


def test_two_benches_in_one_process_share_nothing(bench, second_bench):
    first, second = (pyvisa.ResourceManager(open_library(item)) for item in (bench, second_bench))
    mine = first.open_resource(SOCKET, read_termination="\n")
    theirs = second.open_resource(SOCKET, read_termination="\n")
    mine.lock_excl()
    mine.write("SAMP:COUN 99")
    assert theirs.query("*IDN?") == "Szilard,Other,SN8,1.0"
    assert theirs.query("SAMP:COUN?") == "10"
    first.close()
    assert theirs.query("*OPC?") == "1"
    second.close()


def test_two_libraries_of_one_bench_are_two_programs_at_one_instrument(bench):
    first, second = open_library(bench), open_library(bench)
    assert first is not second
    managers = [pyvisa.ResourceManager(library) for library in (first, second)]
    ours, theirs = (manager.open_resource(SOCKET, read_termination="\n") for manager in managers)
    ours.lock_excl()
    ours.write("SAMP:COUN 99")
    assert theirs.query("SAMP:COUN?") == "99"
    for manager in managers:
        manager.close()


def test_a_closed_manager_closes_its_sessions_only(bench):
    library = open_library(bench)
    manager = pyvisa.ResourceManager(library)
    manager.open_resource(SOCKET)
    manager.close()
    assert failure(library.open, 1, SOCKET) == StatusCode.error_invalid_object
    again = pyvisa.ResourceManager(library)
    assert again.open_resource(SOCKET, read_termination="\n").query("*IDN?") == IDENTITY
    again.close()


@pytest.mark.parametrize("name", [SOCKET, GPIB])
def test_a_closed_bench_is_a_lost_connection(bench, connect, name):
    device = connect(name, timeout=5000)
    threading.Timer(0.05, bench.close).start()
    start = time.monotonic()
    assert failure(device.read) == StatusCode.error_connection_lost
    assert time.monotonic() - start < 3
    assert failure(device.write, "*IDN?") == StatusCode.error_connection_lost
    assert failure(device.read_stb) == StatusCode.error_connection_lost
    assert failure(device.clear) == StatusCode.error_connection_lost
    device.close()


@pytest.mark.parametrize("name", [SOCKET, GPIB])
def test_threads_with_a_session_each_get_their_own_replies(connect, name):
    wrong = []

    def ask(count):
        device = connect(name)
        replies = [device.query(f"*ESE {count};*ESE?").strip() for _ in range(300)]
        wrong.extend(reply for reply in replies if reply != str(count))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_pymeasure_drives_an_instrument_and_closing_one_leaves_the_other(bench):
    from pymeasure.adapters import VISAAdapter
    from pymeasure.instruments import Instrument, SCPIMixin

    class Driver(SCPIMixin, Instrument):
        count = Instrument.control("SAMP:COUN?", "SAMP:COUN %d", """Control the count.""", cast=int)

    library = open_library(bench)
    first, second = (
        Driver(VISAAdapter(name, visa_library=library, read_termination="\n", write_termination="\n"), "probe")
        for name in (SOCKET, GPIB)
    )
    assert first.id == IDENTITY
    first.count = 17
    assert first.check_errors() == []
    first.adapter.close()
    assert second.count == 17
    second.adapter.close()


def test_the_twin_is_found_by_its_name(bench, monkeypatch):
    opened = []
    monkeypatch.setattr(benches, "open", lambda name: opened.append(name) or bench)
    manager = pyvisa.ResourceManager("@twin")
    assert manager.open_resource(SOCKET, read_termination="\n").query("*IDN?") == IDENTITY
    assert pyvisa.ResourceManager("@twin") is manager
    manager.close()
    assert opened == [benches.DEFAULT]
    with pytest.raises(ConnectionResetError):
        bench.connect(SOCKET, "late")


def test_an_unknown_bench_is_refused_with_the_names_there_are():
    with pytest.raises(
        benches.BenchNameError, match=r"no bench named 'nonsense'; there are: laboratory, thermodynamic_board"
    ):
        pyvisa.ResourceManager("nonsense@twin")


def test_a_library_nobody_holds_goes_away(bench):
    library = open_library(bench)
    reference = weakref.ref(library)
    manager = pyvisa.ResourceManager(library)
    manager.open_resource(SOCKET).close()
    manager.close()
    del library, manager
    gc.collect()
    assert reference() is None
    assert bench.connect(SOCKET, "still there") is not None
