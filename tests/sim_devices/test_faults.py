import time

import pytest
import pyvisa
from pyvisa.constants import StatusCode

from sim_devices.faults import Fault, FaultError, FaultInjector
from sim_devices.visa import open_library

IDENTITY = "Szilard,Probe,SN7,1.0"
SOCKET = "TCPIP0::probe::5025::SOCKET"
GPIB = "GPIB0::7::INSTR"


@pytest.fixture(params=[SOCKET, GPIB])
def device(request, bench):
    manager = pyvisa.ResourceManager(open_library(bench))
    resource = manager.open_resource(request.param, write_termination="\n", timeout=2000)
    resource.read_termination = "\n"
    yield resource
    manager.close()


def failure(function, *arguments):
    with pytest.raises(pyvisa.VisaIOError) as caught:
        function(*arguments)
    return StatusCode(caught.value.error_code)


def test_a_mute_instrument_hears_but_does_not_answer(device, bench):
    bench.inject(SOCKET, [Fault("mute", "SAMPle:COUNt?")])
    device.timeout = 50
    assert failure(device.query, "SAMP:COUN 20;:SAMP:COUN?") == StatusCode.error_timeout
    device.timeout = 2000
    assert device.query("*IDN?") == IDENTITY
    bench.inject(SOCKET, [])
    assert device.query("SAMP:COUN?") == "20"


def test_a_mute_reply_leaves_no_error_behind(device, bench):
    bench.inject(SOCKET, [Fault("mute", "*IDN?")])
    device.timeout = 50
    assert failure(device.query, "*IDN?") == StatusCode.error_timeout
    device.timeout = 2000
    assert device.query("SYST:ERR?") == '0,"No error"'


def test_a_slow_reply_comes_after_its_delay(device, bench):
    bench.inject(SOCKET, [Fault("slow", "*IDN?", delay=0.4)])
    start = time.monotonic()
    assert device.query("*IDN?") == IDENTITY
    assert 0.39 < time.monotonic() - start < 5.0
    start = time.monotonic()
    assert device.query("SAMP:COUN?") == "10"
    assert time.monotonic() - start < 0.3


def test_a_reply_slower_than_the_time_out_is_forgotten_by_clear(device, bench):
    bench.inject(SOCKET, [Fault("slow", "*IDN?", delay=0.2)])
    device.timeout = 40
    assert failure(device.query, "*IDN?") == StatusCode.error_timeout
    device.clear()
    bench.inject(SOCKET, [])
    device.timeout = 2000
    assert device.query("SAMP:COUN?") == "10"
    device.timeout = 300
    assert failure(device.read) == StatusCode.error_timeout


def test_a_garbled_reply_has_its_length_and_its_end_but_wrong_bytes(device, bench):
    bench.inject(SOCKET, [Fault("garbled", "*IDN?")], seed=3)
    device.write("*IDN?")
    device.read_termination = None
    garbled = device.read_bytes(len(IDENTITY) + 1)
    wrong = sum(a != b for a, b in zip(garbled[:-1], IDENTITY.encode(), strict=True))
    assert 1 <= wrong <= 1 + len(IDENTITY) // 4
    assert garbled.endswith(b"\n")
    device.read_termination = "\n"
    assert device.query("SAMP:COUN?") == "10"


def test_equal_seeds_garble_equally(bench):
    def replies(seed):
        bench.inject(SOCKET, [Fault("garbled", rate=0.5)], seed)
        session = bench.connect(SOCKET, "test", on_output=lambda: None)
        received = []
        for _ in range(20):
            session.write(b"*IDN?\n")
            received.append(session.take())
        return received

    assert replies(4) == replies(4)
    assert replies(4) != replies(5)
    assert 0 < replies(4).count(IDENTITY.encode() + b"\n") < 20


def test_an_error_of_the_chosen_number_is_queued_after_the_command(device, bench):
    bench.inject(SOCKET, [Fault("error", "SAMPle:COUNt", code=-240)])
    device.write("SAMP:COUN 30")
    assert device.query("SYST:ERR?").startswith('-240,"Hardware error')
    assert device.query("SYST:ERR?") == '0,"No error"'
    assert device.query("SAMP:COUN?") == "30"


def test_another_identity_answers(device, bench):
    bench.inject(SOCKET, [Fault("identity", identity="Acme,Toaster,1,1")])
    assert device.query("*IDN?") == "Acme,Toaster,1,1"
    assert device.query("SAMP:COUN?") == "10"


def test_a_dropped_connection_is_lost_and_can_be_opened_again(device, bench):
    bench.inject(SOCKET, [Fault("dropped", "SAMPle:COUNt", count=1)])
    assert device.query("*IDN?") == IDENTITY
    assert failure(device.write, "SAMP:COUN 30") == StatusCode.error_connection_lost
    assert failure(device.read) == StatusCode.error_connection_lost
    name = device.resource_name
    manager = pyvisa.ResourceManager(device.visalib)
    device.close()
    again = manager.open_resource(name, read_termination="\n", write_termination="\n")
    assert again.query("SAMP:COUN?") == "10"
    again.write("SAMP:COUN 30")
    assert again.query("SAMP:COUN?") == "30"


def test_a_count_limits_how_often_a_fault_strikes(device, bench):
    bench.inject(SOCKET, [Fault("identity", identity="X", count=2)])
    assert [device.query("*IDN?") for _ in range(3)] == ["X", "X", IDENTITY]


def test_a_fault_strikes_a_deferred_reply(device, bench, probe):
    bench.inject(SOCKET, [Fault("garbled", "*OPC?")], seed=1)
    device.write("INIT;*OPC?")
    probe.gate.set()
    device.read_termination = None
    assert device.read_bytes(2) not in (b"1\n", b"")


def test_a_fault_that_arrives_late_and_leaves_early_harms_no_other_exchange(device, bench):
    device.write("*IDN?")
    bench.inject(SOCKET, [Fault("mute", "SAMP:COUN?")])
    assert device.read() == IDENTITY
    device.write("SAMP:COUN?")
    bench.inject(SOCKET, [])
    assert device.query("*ESE?") == "0"


def test_a_block_is_one_message_for_the_faults(device, bench):
    bench.inject(SOCKET, [Fault("error", "DATA", code=-240)])
    device.write("FORM REAL,32")
    device.write_binary_values("DATA ", [1.0] * 5000 + [3.2e-9] * 5000, datatype="f", is_big_endian=True)
    assert [device.query("SYST:ERR?").split(",")[0] for _ in range(2)] == ["-240", "0"]


@pytest.mark.parametrize(
    ("command", "message", "strikes"),
    [
        ("*", b"anything\n", True),
        ("*IDN?", b"*idn?\n", True),
        ("*IDN?", b"*OPC?\n", False),
        ("SAMPle:COUNt?", b":SAMPLE:COUN?\n", True),
        ("SAMPle:COUNt?", b"samp:count? MAX\n", True),
        ("SAMPle:COUNt?", b"SAMP:COUN 5\n", False),
        ("SAMPle:COUNt", b"SAMP:COUN?\n", False),
        ("SAMPle:COUNt", b"*CLS; :SAMP:COUN 5\n", True),
        ("MODel:BIAS[:DATA]", b"MOD:BIAS 1,2\n", True),
        ("MODel:BIAS[:DATA]", b"MOD:BIAS:DATA 1,2\n", True),
        ("MODel:BIAS[:DATA]", b"MOD:BIASED 1,2\n", False),
        ("samp:coun", b"SAMP:COUN 1\n", True),
    ],
)
def test_a_fault_finds_its_command_in_any_spelling(command, message, strikes):
    injector = FaultInjector()
    injector.arm([Fault("mute", command)], "0")
    assert bool(injector.draw(message)) is strikes


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"kind": "sleepy"}, "no fault named 'sleepy'; there are: mute, slow"),
        ({"kind": "mute", "rate": 1.5}, "rate must lie between 0 and 1"),
        ({"kind": "mute", "rate": float("nan")}, "rate must lie between 0 and 1"),
        ({"kind": "mute", "count": -1}, "count must be 0 or more"),
        ({"kind": "slow", "delay": -0.1}, "delay must be"),
        ({"kind": "error", "code": 0}, "code must be"),
        ({"kind": "mute", "command": " "}, "command must be"),
    ],
)
def test_a_wrong_fault_is_refused(arguments, text):
    with pytest.raises(FaultError, match=text):
        Fault(**arguments)
