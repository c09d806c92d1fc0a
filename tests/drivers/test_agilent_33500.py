"""The driver of the waveform generator: its registers, limits on every path, waveforms on the simulated instrument."""

import contextlib
import inspect
import math
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymeasure.instruments.agilent import agilent33500 as upstream
from pymeasure.test import expected_protocol

from drivers.agilent_33500 import Agilent33500
from drivers.agilent_33500_channel import Agilent33500Channel
from drivers.arrays import block
from drivers.errors import InstrumentError, InstrumentTimeoutError, OutputLimitError, ReplyError
from sim_devices.benches import Bench
from sim_devices.faults import Fault
from sim_devices.instruments.agilent_33500 import Agilent33500 as Persona
from sim_devices.visa import open_library
from twin.clock import VirtualClock

RESOURCE = "TCPIP0::awg::5025::SOCKET"
NO_ERROR = ("SYST:ERR?", '+0,"No error"')

REGISTERS = [
    ("shape", "PULS", "SOUR2:FUNC PULS", "PULSE"),
    ("shape", "SIN", "SOUR2:FUNC SIN", "sin"),
    ("frequency", 12345.6789, "SOUR2:FREQ 12345.6789", "+1.23456789000000E+04"),
    ("amplitude", 0.00125, "SOUR2:VOLT 0.00125", "+1.2500000000000E-03"),
    ("amplitude_unit", "VRMS", "SOUR2:VOLT:UNIT VRMS", "VRMS"),
    ("offset", -0.5, "SOUR2:VOLT:OFFS -0.5", "-5.0E-01"),
    ("voltage_high", 1.0, "SOUR2:VOLT:HIGH 1", "1"),
    ("voltage_low", -1.0, "SOUR2:VOLT:LOW -1", "-1"),
    ("phase", 90.0, "SOUR2:PHAS 90", "+9.0E+01"),
    ("square_dutycycle", 25.0, "SOUR2:FUNC:SQU:DCYC 25", "25"),
    ("ramp_symmetry", 50.0, "SOUR2:FUNC:RAMP:SYMM 50", "50"),
    ("pulse_period", 1e-3, "SOUR2:FUNC:PULS:PER 0.001", "1e-3"),
    ("pulse_hold", "DCYC", "SOUR2:FUNC:PULS:HOLD DCYC", "DCYCle"),
    ("pulse_width", 1e-7, "SOUR2:FUNC:PULS:WIDT 1e-07", "1e-7"),
    ("pulse_dutycycle", 10.0, "SOUR2:FUNC:PULS:DCYC 10", "10"),
    ("pulse_transition", 1e-8, "SOUR2:FUNC:PULS:TRAN:BOTH 1e-08", "1e-8"),
    ("output", True, "OUTP2 1", "ON"),
    ("output_load", 50.0, "OUTP2:LOAD 50", "+5.0E+01"),
    ("output_load", math.inf, "OUTP2:LOAD INF", "+9.9E+37"),
    ("burst_state", False, "SOUR2:BURS:STAT 0", "OFF"),
    ("burst_mode", "GAT", "SOUR2:BURS:MODE GAT", "GATED"),
    ("burst_period", 0.01, "SOUR2:BURS:INT:PER 0.01", "0.01"),
    ("burst_ncycles", 3, "SOUR2:BURS:NCYC 3", "+3.0E+00"),
    ("burst_ncycles", math.inf, "SOUR2:BURS:NCYC INF", "+9.9E+37"),
    ("trigger_source", "BUS", "TRIG2:SOUR BUS", "bus"),
    ("arb_file", "RAMP_1", 'SOUR2:FUNC:ARB "RAMP_1"', '"RAMP_1"'),
    ("arb_advance", "TRIG", "SOUR2:FUNC:ARB:ADV TRIG", "TRIGger"),
    ("arb_filter", "OFF", "SOUR2:FUNC:ARB:FILT OFF", "OFF"),
    ("arb_srate", 250e6, "SOUR2:FUNC:ARB:SRAT 250000000", "+2.5E+08"),
]


@pytest.mark.parametrize(("name", "value", "command", "reply"), REGISTERS, ids=[row[2] for row in REGISTERS])
def test_every_register_is_set_checked_and_read_as_the_manual_says(name, value, command, reply):
    query = command.split(" ")[0].removesuffix(":BOTH") + "?"
    with expected_protocol(Agilent33500, [(command, None), NO_ERROR, (query, reply)]) as awg:
        setattr(awg.ch_2, name, value)
        assert getattr(awg.channels[2], name) == value


@pytest.mark.parametrize("name", sorted({row[0] for row in REGISTERS}))
def test_every_register_of_the_instrument_is_that_of_its_first_channel(name):
    value, command, reply = next(row[1:] for row in REGISTERS if row[0] == name)
    command = command.replace("2", "1", 1)
    query = command.split(" ")[0].removesuffix(":BOTH") + "?"
    with expected_protocol(Agilent33500, [(command, None), NO_ERROR, (query, reply)]) as awg:
        setattr(awg, name, value)
        assert getattr(awg, name) == value


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Agilent33500, upstream.Agilent33500), (Agilent33500Channel, upstream.Agilent33500Channel)],
)
def test_nothing_of_the_class_of_pymeasure_goes_past_the_errors_of_the_instrument(ours, theirs):
    names = {
        name for name, member in vars(theirs).items() if isinstance(member, property) or inspect.isfunction(member)
    }
    inherited = {name for name in names if name[0] != "_" and getattr(ours, name) is getattr(theirs, name)}
    assert inherited == set()
    assert issubclass(ours, theirs)


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("pulse_hold", "WIDTH", "SOUR1:FUNC:PULS:HOLD WIDT"),
        ("burst_mode", "TRIGGERED", "SOUR1:BURS:MODE TRIG"),
        ("arb_advance", "SRATE", "SOUR1:FUNC:ARB:ADV SRAT"),
        ("arb_filter", "NORMAL", "SOUR1:FUNC:ARB:FILT NORM"),
        ("trigger_source", "EXTERNAL", "TRIG1:SOUR EXT"),
        ("output", "on", "OUTP1 1"),
        ("output", "OFF", "OUTP1 0"),
        ("output_load", "INF", "OUTP1:LOAD INF"),
        ("output_load", "1000", "OUTP1:LOAD 1000"),
        ("burst_ncycles", "INF", "SOUR1:BURS:NCYC INF"),
    ],
)
def test_the_other_spellings_of_pymeasure_are_taken(name, value, command):
    with expected_protocol(Agilent33500, [(command, None), NO_ERROR]) as awg:
        setattr(awg, name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", "SINE"),
        ("frequency", math.nan),
        ("amplitude", 41),
        ("offset", 11),
        ("burst_ncycles", 0),
        ("burst_ncycles", 1.5),
        ("output_load", 0.5),
        ("output_load", "high"),
        ("output", "yes"),
    ],
)
def test_a_value_that_is_never_allowed_is_refused_before_it_is_sent(name, value):
    with expected_protocol(Agilent33500, []) as awg, pytest.raises(ValueError, match=r"\S"):
        setattr(awg, name, value)


def test_connecting_writes_nothing():
    with expected_protocol(Agilent33500, []):
        pass


def test_a_queued_error_raises_where_it_was_caused():
    exchange = [
        ("SOUR1:FREQ 100000000", None),
        ("SYST:ERR?", '-222,"Data out of range"'),
        ("SYST:ERR?", '0, "No error"'),
    ]
    with expected_protocol(Agilent33500, exchange) as awg, pytest.raises(InstrumentError) as raised:
        awg.frequency = 1e8
    assert (raised.value.code, raised.value.command) == (-222, "SOUR1:FREQ 100000000")


def test_a_reply_of_no_meaning_is_a_reply_error():
    with expected_protocol(Agilent33500, [("SOUR1:FUNC?", "HUH")]) as awg, pytest.raises(ReplyError, match="FUNC"):
        _ = awg.shape


def test_the_catalogue_is_a_list_of_names():
    exchange = [
        ("SOUR1:DATA:VOL:CAT?", '"INT:\\BUILTIN\\EXP_RISE.arb","A", "B"'),
        ("SOUR1:DATA:VOL:CAT?", '""'),
        ("SOUR1:DATA:VOL:FREE?", "+999000"),
    ]
    with expected_protocol(Agilent33500, exchange) as awg:
        assert awg.ch_1.catalog == ("INT:\\BUILTIN\\EXP_RISE.arb", "A", "B")
        assert awg.ch_1.catalog == ()
        assert awg.ch_1.free_memory == 999_000


# waveforms

POINTS = np.array([-1, -0.5, 0, 0.25, 0.5, 1, 0, 0])


def test_a_waveform_is_one_message_with_a_block():
    codes = block(np.array([-32767, -16384, 0, 8192, 16384, 32767, 0, 0], "<i2").tobytes())
    message = b"FORM:BORD SWAP;:SOUR2:DATA:ARB:DAC WRITE," + codes + b"\n"
    with expected_protocol(Agilent33500, [(message, None), NO_ERROR]) as awg:
        awg.upload(2, "WRITE", POINTS)
    with expected_protocol(Agilent33500, [(message, None), NO_ERROR]) as awg:
        awg.ch_2.data_arb("WRITE", [-32767, -16384, 0, 8192, 16384, 32767, 0, 0])
    with expected_protocol(Agilent33500, [(message, None), NO_ERROR]) as awg:
        awg.ch_2.data_arb("WRITE", codes[4:], "binary")
    floats = b"FORM:BORD SWAP;:SOUR1:DATA:ARB WRITE," + block(POINTS.astype("<f4").tobytes()) + b"\n"
    with expected_protocol(Agilent33500, [(floats, None), NO_ERROR]) as awg:
        awg.data_arb("WRITE", POINTS, "float")


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("A", np.zeros(7), "DAC"),
        ("A", np.zeros((2, 8)), "DAC"),
        ("A", np.append(np.zeros(8), 1.01), "DAC"),
        ("A", np.append(np.zeros(8), np.nan), "float"),
        ("A", np.zeros(8), "int"),
        ("1A", np.zeros(8), "DAC"),
        ("A,B", np.zeros(8), "DAC"),
        ("THIRTEEN_LONG", np.zeros(8), "DAC"),
        ("", np.zeros(8), "DAC"),
    ],
)
def test_a_waveform_that_is_none_is_refused_before_it_is_sent(name, values, kind):
    with expected_protocol(Agilent33500, []) as awg, pytest.raises(ValueError, match="waveform"):
        awg.upload(1, name, values, kind)


# on the twin


@pytest.fixture
def bench():
    with Bench("awg", VirtualClock()) as opened:
        opened.place(Persona(opened.clock, opened.worker, loads={2: math.inf}), RESOURCE)
        yield opened


@pytest.fixture
def persona(bench):
    return bench.instruments[RESOURCE]


@pytest.fixture
def awg(bench):
    driver = Agilent33500(RESOURCE, visa_library=open_library(bench), timeout=500)
    yield driver
    driver.adapter.close()


@pytest.mark.parametrize("kind", ["DAC", "float"])
def test_a_waveform_of_many_points_comes_out_as_it_was_uploaded(awg, persona, kind):
    points = np.sin(np.linspace(0, 20, 65_536))
    awg.upload(1, "SINES", points, kind)
    awg.arbitrary(1, "SINES")
    awg.arb_srate = 1e6
    awg.levels = awg.ch_1.levels = (-0.5, 1.5)
    awg.output = True
    pulse = persona.pulse(1)
    assert (pulse.on, pulse.interval, pulse.period) == (True, pytest.approx(1e-6), pytest.approx(65_536e-6))
    assert np.abs(pulse.values - (0.5 + points)).max() < 1 / 32767
    assert awg.ch_1.catalog[-1] == "SINES"
    assert awg.ch_1.free_memory == 1_000_000 - 65_536


def test_a_name_that_is_taken_raises_until_memory_is_cleared(awg):
    awg.upload(1, "A", np.zeros(8))
    with pytest.raises(InstrumentError) as raised:
        awg.upload(1, "A", np.ones(8))
    assert raised.value.code == -221
    awg.data_volatile_clear()
    awg.upload(1, "A", np.ones(8))
    with pytest.raises(InstrumentError) as raised:
        awg.arbitrary(1, "B")
    assert raised.value.code == -224


def test_every_register_of_the_driver_can_be_read_from_the_twin_and_set_again(awg):
    for name in sorted({row[0] for row in REGISTERS}):
        for channel in awg.channels.values():
            setattr(channel, name, getattr(channel, name))
    awg.ext_trig_out, awg.sync_output = False, True
    assert (awg.ext_trig_out, awg.sync_output) == (False, True)
    awg.display = "in use"
    awg.clear_display()
    awg.beep()
    awg.phase_sync()
    assert awg.check_errors() == []


def test_a_burst_on_command_is_waited_for(awg, bench):
    awg.burst_state, awg.burst_ncycles, awg.trigger_source = True, 100, "BUS"
    awg.trigger()
    awg.wait_for_trigger(5)
    assert bench.clock.now() == pytest.approx(0.1)
    awg.trigger()
    awg.wait_for_trigger(5)
    assert bench.clock.now() == pytest.approx(0.2)


def test_waiting_ends_with_its_time_or_on_demand(awg, bench):
    gate = threading.Event()
    awg.burst_state, awg.trigger_source = True, "BUS"
    bench.worker.submit(gate.wait, 20)
    awg.trigger()
    awg.wait_for_trigger(should_stop=lambda: True)
    with pytest.raises(InstrumentTimeoutError, match=r"within 0\.05 s"):
        awg.wait_for_trigger(0.05)
    gate.set()
    awg.wait_for_trigger(5)


def test_shutting_down_switches_both_outputs_off(awg, persona):
    awg.ch_1.output = awg.ch_2.output = True
    awg.shutdown()
    assert (persona.on[1], persona.on[2]) == (False, False)


def test_shutdown_switches_the_second_output_off_where_the_first_one_raises():
    no_error = ("SYST:ERR?", '+0,"No error"')
    exchange = [("OUTP1 0", None), ("SYST:ERR?", '-240,"Hardware error"'), no_error, ("OUTP2 0", None), no_error]
    with expected_protocol(Agilent33500, exchange) as awg, pytest.raises(InstrumentError, match="-240"):
        awg.shutdown()
    assert awg.isShutdown


@pytest.mark.parametrize("kind", ["garbled", "mute"])
def test_after_a_lost_answer_the_next_one_is_understood(awg, bench, kind):
    assert awg.id.startswith("Agilent")
    bench.inject(RESOURCE, [Fault(kind, count=1)])
    with pytest.raises((ReplyError, InstrumentTimeoutError)):
        _ = awg.frequency
    assert awg.frequency == 1000


# limits


@pytest.fixture
def guarded(awg):
    channel = awg.ch_1
    channel.levels = (0.1, 0.9)
    channel.protect((0.0, 1.0))
    channel.output = True
    return channel


TOO_FAR = [
    ("amplitude", 1.1),
    ("offset", 0.7),
    ("offset", 0.3),
    ("voltage_high", 1.001),
    ("voltage_low", -0.001),
    ("levels", (-0.1, 0.5)),
    ("levels", (0.5, 1.1)),
    ("output_load", 100.0),
    ("output_load", "INF"),
    ("amplitude_unit", "VRMS"),
    ("voltage_high", math.nan),
]


@pytest.mark.parametrize(("name", "value"), TOO_FAR)
def test_no_setting_takes_an_output_beyond_its_limits(guarded, persona, name, value):
    before = persona.output(1).present
    with pytest.raises(ValueError, match=r"output 1|finite"):
        setattr(guarded, name, value)
    assert persona.output(1).present is before


def test_settings_within_the_limits_are_taken(guarded):
    guarded.amplitude = 1.0
    guarded.voltage_high = 0.5
    guarded.offset = 0.75
    guarded.levels = (0.0, 1.0)
    guarded.output_load = 40.0
    assert guarded.levels == pytest.approx((0.0, (40 / 90) / 0.5))


def test_an_output_whose_levels_were_set_elsewhere_is_not_switched_on(awg, persona):
    awg.ch_1.protect((-0.01, 0.01))
    for attempt in (True, "ON", 1):
        with pytest.raises(OutputLimitError, match=r"would give -0\.05 V"):
            awg.output = attempt
    with pytest.raises(OutputLimitError):
        awg.shape = "SQU"
    assert not persona.on[1]
    awg.output = False
    awg.ch_1.levels = (-0.01, 0.01)
    awg.output = True
    assert persona.on[1]


def test_levels_that_the_instrument_changes_itself_switch_the_output_off(guarded, persona, bench):
    def jump(channel, shape):
        persona.levels[channel] = (4.0, 0.5)
        return shape

    checked = type(persona).shape._check
    type(persona).shape._check = lambda _, channel, shape: jump(channel, shape)
    try:
        with pytest.raises(OutputLimitError, match="would give"):
            guarded.shape = "SQU"
    finally:
        type(persona).shape._check = checked
    assert not persona.on[1]


def test_an_error_that_leaves_other_levels_behind_switches_the_output_off():
    levels = [("SOUR1:VOLT:LOW?", "-1"), ("SOUR1:VOLT:HIGH?", "1")]
    moved = [("SOUR1:VOLT:LOW?", "-5"), ("SOUR1:VOLT:HIGH?", "5")]
    exchange = [
        *levels,
        ("SOUR1:VOLT:OFFS 4.5", None),
        ("SYST:ERR?", '-221,"Settings conflict; offset changed"'),
        NO_ERROR,
        *moved,
        ("OUTP1 0", None),
        NO_ERROR,
    ]
    with expected_protocol(Agilent33500, exchange) as awg:
        awg.ch_1.protect((-4, 6))
        with pytest.raises(OutputLimitError, match="would give -5 V"):
            awg.offset = 4.5


@pytest.mark.parametrize("limits", [(1, 1), (1, 0), (math.nan, 1), (0, math.inf), (-21, 0)])
def test_limits_that_leave_nothing_are_refused(awg, limits):
    with pytest.raises(ValueError, match=r"nothing|finite|range"):
        awg.ch_1.protect(limits)
    assert awg.ch_1.limits is None


def test_limits_are_those_of_their_channel_and_can_be_taken_away(guarded, awg):
    awg.ch_2.amplitude = 5.0
    guarded.protect(None)
    guarded.amplitude = 5.0
    assert guarded.amplitude == 5.0


VOLTS = st.floats(-3, 3, allow_nan=False)
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["offset", "voltage_high", "voltage_low", "amplitude"]), VOLTS),
    st.tuples(st.just("levels"), st.tuples(VOLTS, VOLTS)),
    st.tuples(st.just("shape"), st.sampled_from(["SIN", "SQU", "DC", "ARB", "PULS"])),
    st.tuples(st.just("output_load"), st.sampled_from([50.0, 10.0, 1000.0, math.inf])),
    st.tuples(st.just("amplitude_unit"), st.sampled_from(["VPP", "VRMS", "DBM"])),
    st.tuples(st.just("output"), st.booleans()),
    st.tuples(st.just("burst_state"), st.booleans()),
)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, min_size=5, max_size=25))
def test_whatever_is_set_in_whatever_order_a_limited_output_stays_within_its_limits(awg, persona, bench, actions):
    awg.reset()
    channel, low, high = awg.ch_1, -0.5, 1.5
    channel.protect((low, high))
    channel.levels = (-0.25, 0.75)
    channel.output = True
    for name, value in actions:
        with contextlib.suppress(ValueError, InstrumentError):
            setattr(channel, name, value)
        bench.clock.sleep(1.0)
        shown = persona.load[1]
        scale = 1.0 if math.isinf(shown) else shown / (shown + 50)
        voltage = persona.output(1).voltage(bench.clock.now() + np.arange(0, 1e-3, 1e-5)) * 2 * scale
        assert low - 1e-8 <= voltage.min()
        assert voltage.max() <= high + 1e-8
