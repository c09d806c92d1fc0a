"""The driver of the QDAC-II on its persona: what it brings about, and what it keeps from happening."""

import math

import numpy as np
import pytest

from drivers.errors import OutputLimitError
from drivers.qdevil_qdac2 import Qdac2
from sim_devices.benches import Bench
from sim_devices.instruments.qdevil_qdac2 import Qdac2 as Persona
from sim_devices.visa import open_library
from twin.clock import VirtualClock

RESOURCE = "TCPIP0::qdac::5025::SOCKET"


@pytest.fixture
def bench():
    with Bench("dac", VirtualClock()) as bench:
        bench.place(Persona(bench.clock, bench.worker), RESOURCE)
        yield bench


@pytest.fixture
def persona(bench):
    return bench.instruments[RESOURCE]


@pytest.fixture
def connect(bench):
    drivers = []

    def open_driver():
        drivers.append(Qdac2(RESOURCE, visa_library=open_library(bench), timeout=1000))
        return drivers[-1]

    yield open_driver
    for driver in drivers:
        driver.adapter.close()


@pytest.fixture
def dac(connect):
    return connect()


@pytest.fixture
def channel(dac):
    """Channel 1, from -0.5 to 1 V at 1 V/s at most."""
    dac.channel(1).protect(limits=(-0.5, 1.0), slew=1.0)
    return dac.channel(1)


def wave(generator, span=0.2, frequency=0.5, slew=0.5, offset=0.0):
    generator.slew, generator.span, generator.frequency, generator.offset = slew, span, frequency, offset
    return generator


def refused(what="allowed"):
    return pytest.raises(OutputLimitError, match=what)


def test_a_ramp_arrives_when_it_says(channel, bench):
    duration = channel.ramp(0.5)
    assert duration == pytest.approx(0.5)
    assert channel.slew == 1.0
    bench.clock.sleep(duration / 2)
    assert channel.actual_voltage == pytest.approx(0.25)
    bench.clock.sleep(duration / 2)
    assert channel.actual_voltage == pytest.approx(0.5, abs=1e-9)


def test_a_chosen_slew_is_kept(channel):
    channel.slew = 0.1
    assert channel.ramp(0.5) == pytest.approx(5.0)
    with refused():
        channel.slew = 1.1
    assert channel.slew == 0.1


@pytest.mark.parametrize(
    "attempt",
    [
        lambda channel: channel.ramp(1.1),
        lambda channel: setattr(channel, "voltage", -0.6),
        lambda channel: setattr(channel, "triggered_voltage", 1.1),
        lambda channel: channel.set_list([0, 1.1, 0]),
        lambda channel: channel.set_list([0, 1.1, 0], binary=False),
        lambda channel: channel.append_list([-0.6]),
        lambda channel: setattr(channel, "sweep_start", 1.1),
        lambda channel: setattr(channel, "sweep_stop", -0.6),
        lambda channel: setattr(channel, "slew", math.inf),
        lambda channel: setattr(channel.sine, "offset", 1.1),
        lambda channel: setattr(channel.sine, "span", 1.1),
        lambda channel: setattr(channel.square, "slew", 1.1),
        lambda channel: channel.sine.start(),
        lambda channel: channel.parent.load_lists({1: [0.0, 1.1]}, 10.0),
    ],
)
def test_what_is_beyond_a_limit_is_refused_and_not_sent(channel, persona, attempt):
    before = {name: dict(value) if isinstance(value, dict) else value for name, value in persona.settings.items()}
    with refused():
        attempt(channel)
    assert persona.settings == before
    assert 1 not in persona.lists


def test_a_voltage_counts_together_with_a_waveform(channel, bench):
    wave(channel.sine, span=0.4).slew = 0.7
    channel.sine.start()
    channel.ramp(0.8)
    with refused("0.61 to 1.01 V"):
        channel.ramp(0.81)
    with refused():
        channel.set_list([0.9])
    channel.sine.abort()
    assert channel.ramp(1.0) == pytest.approx(1.0), "a waveform that has come to rest leaves all its room"


def test_a_waveform_counts_from_where_the_voltage_is_and_goes(channel, bench):
    channel.ramp(0.9)
    with refused():
        wave(channel.sine, span=0.25).start()
    assert channel.sine.cycles_left == 0
    bench.clock.sleep(0.9)
    channel.ramp(0.0)
    with refused():
        channel.sine.start()


def test_waveforms_share_the_slew_with_the_voltage(channel):
    channel.ramp(0.1)
    wave(channel.sine, slew=0.5).start()
    assert channel.slew == pytest.approx(0.5)
    wave(channel.triangle, slew=0.3, span=0.1).start()
    assert channel.slew == pytest.approx(0.2)
    with refused("allowed is more than 0"):
        wave(channel.square, slew=0.2, span=0.01).start()
    assert channel.square.cycles_left == 0


@pytest.mark.parametrize(("name", "span", "slope"), [("sine", 0.4, 0.2 * math.pi), ("triangle", 0.6, 0.6)])
def test_a_waveform_that_is_faster_than_its_slew_is_refused(channel, name, span, slope):
    generator = wave(getattr(channel, name), span=span, slew=0.99 * slope)
    with refused("rises by"):
        generator.start()
    generator.slew = 1.01 * slope
    generator.start()


def test_the_levels_of_a_one_sided_square_wave_count_with_the_whole_span(channel):
    wave(channel.square, span=0.7)
    with refused():
        channel.square.kind_of_levels = "negative"


def test_settings_of_a_waveform_that_may_run_are_refused(channel, bench):
    wave(channel.sine).start()
    with refused("may be running"):
        channel.sine.offset = 0.1
    channel.sine.abort()
    channel.sine.offset = 0.1
    assert bench.clock.now() <= 0.5


def test_a_trace_counts_with_its_scale_and_offset(dac, channel):
    dac.define_trace("ramp", np.linspace(0, 0.4, 1000))
    channel.awg.trace, channel.awg.slew = "ramp", 0.5
    with refused():
        channel.awg.scale = -2
    channel.awg.scale = 2
    with refused():
        channel.awg.offset = 0.3
    channel.awg.count = -1
    channel.awg.slew = 0.9
    dac.channel(2).awg.trace = "ramp"
    assert channel.awg.trace == "ramp"
    with refused("allowed"):
        channel.ramp(1.0)
        channel.awg.start()


def test_a_trace_in_use_and_a_trace_of_others_are_refused(dac, channel, connect):
    dac.define_trace("pulse", np.repeat([0.002, 0.0], 4000))
    channel.awg.trace, channel.awg.slew, channel.awg.count = "pulse", 0.9, -1
    channel.awg.start()
    with refused("may be running"):
        dac.define_trace("pulse", [5.0])
    with refused("may be running"):
        dac.remove_traces()
    other = connect()
    other.channel(1).protect(limits=(-0.5, 1.0), slew=1.0)
    with refused("could put out"):
        other.channel(1).ramp(0.1)


def test_what_waits_for_a_trigger_counts_when_it_is_armed_and_when_it_is_fired(dac, channel):
    channel.triggered_voltage = 0.9
    channel.trigger_source = "int1"
    channel.start()
    with refused():
        wave(channel.sine, span=0.25).start()
    channel.protect(limits=(-0.5, 0.5), slew=1.0)
    with refused("a trigger in fixed mode"):
        dac.fire(1)
    with refused("a trigger in fixed mode"):
        dac.bus_trigger()
    assert channel.voltage == 0.0


@pytest.mark.parametrize("mode", ["list", "sweep"])
def test_what_a_mode_would_put_out_counts_at_the_start(dac, channel, mode, connect):
    other = connect().channel(1)
    other.set_list([0.0, 2.0])
    other.sweep_start = 2.0
    channel.mode = mode
    with refused(f"a start in {mode} mode"):
        channel.start()


def test_the_slew_is_not_changed_under_a_list(channel):
    channel.mode = "list"
    with refused("fixed mode"):
        channel.slew = 0.5
    channel.mode = "fixed"
    channel.slew = 0.5


def test_the_range_changes_only_where_nothing_is_cut(dac):
    channel = dac.channel(1)
    channel.protect(limits=(-5, 5), slew=100.0)
    channel.ramp(3.0)
    with refused("low range"):
        channel.voltage_range = "low"
    channel.ramp(0.0)
    dac.ask("*opc?")
    channel.voltage_range = "low"
    with refused("-2 to 2 V is allowed"):
        channel.ramp(2.5)
    channel.mode = "list"
    with refused("fixed mode"):
        channel.voltage_range = "high"


def test_a_reset_is_refused_while_an_output_would_jump(dac, channel, bench):
    bench.clock.sleep(channel.ramp(0.5))
    with refused("at rest at 0 V"):
        dac.reset()
    bench.clock.sleep(channel.ramp(0.0))
    dac.reset()
    channel.ramp(0.5)
    assert channel.slew == 1.0, "a reset takes the slew away, so it is set again"


def test_a_driver_that_connects_later_takes_over_what_runs(channel, connect, bench):
    wave(channel.sine, span=0.4, slew=0.7).start()
    later = connect().channel(1)
    later.protect(limits=(-0.5, 1.0), slew=1.0)
    with refused("0.61 to 1.01 V"):
        later.ramp(0.81)
    later.ramp(0.5)
    assert later.slew == pytest.approx(0.3)


def test_lists_run_together_and_their_steps_leave(dac, persona, bench):
    edges = []
    persona.trigger_outputs[2].listen(edges.extend)
    for number in (1, 2):
        dac.channel(number).protect(limits=(-1, 1), slew=1.0)
    first, second = np.linspace(0, 0.3, 4), np.linspace(0, -0.3, 4)
    dac.load_lists({1: first, 2: second}, 0.2, 2)
    assert not edges
    dac.start_lists()
    assert edges == pytest.approx(0.2 * np.arange(4))
    late = np.array(edges) + 0.19
    np.testing.assert_allclose(persona.output(1).voltage(late), first, atol=1e-6)
    np.testing.assert_allclose(persona.output(2).voltage(late), second, atol=1e-6)
    assert bench.clock.now() == 0.0
    bench.clock.sleep(0.8)
    dac.finish_lists()
    assert [dac.channel(number).mode for number in (1, 2)] == ["fixed", "fixed"]
    np.testing.assert_allclose(persona.output(1).voltage(np.linspace(0.8, 5, 50)), 0.3, atol=1e-6)
    dac.fire(13)
    assert len(edges) == 4


def test_lists_may_be_started_again(dac, persona, bench):
    dac.load_lists({1: [0.1, 0.2]}, 1.0)
    for _ in range(2):
        begin = bench.clock.now()
        dac.start_lists()
        np.testing.assert_allclose(persona.output(1).voltage(begin + np.array([0.5, 1.5])), [0.1, 0.2], rtol=1e-6)
        bench.clock.sleep(2.0)


def test_a_list_that_its_slew_cannot_follow_is_refused_unless_that_is_wanted(dac, channel):
    with refused(r"value 2 of a list, 0.3 V, is 0.3 V away"):
        dac.load_lists({1: [0.0, 0.3]}, 0.1)
    with refused(r"value 1 of a list, 0.5 V"):
        dac.load_lists({1: [0.5, 0.5]}, 0.1)
    assert channel.mode == "fixed"
    dac.load_lists({1: [0.0, 0.3]}, 0.1, settled=False)
    assert channel.mode == "list"


def test_limits_that_change_after_loading_hold_at_the_start(dac, channel):
    dac.load_lists({1: [0.0, 0.9]}, 1.0)
    channel.protect(limits=(-0.5, 0.5), slew=1.0)
    with refused():
        dac.start_lists()


def test_stopping_everything_leaves_outputs_where_they_are(dac, channel, persona, bench):
    dac.load_lists({2: [0.1, 0.2, 0.3]}, 1.0)
    dac.start_lists()
    channel.ramp(0.8)
    bench.clock.sleep(0.4)
    dac.stop_all()
    later = bench.clock.now() + np.array([0.0, 10.0])
    np.testing.assert_allclose(persona.output(1).voltage(later), 0.4, atol=1e-6)
    np.testing.assert_allclose(persona.output(2).voltage(later), 0.1, atol=1e-6)
    assert channel.mode == dac.channel(2).mode == "fixed"
    with pytest.raises(RuntimeError, match="no lists"):
        dac.start_lists()


def test_a_channel_without_limits_does_what_it_is_told(dac, bench):
    channel = dac.channel(7)
    assert channel.ramp(9.5) == pytest.approx(9.5 / 2e7)
    bench.clock.sleep(1e-3)
    assert channel.actual_voltage == 9.5
    channel.square.span = 1.0
    channel.square.start()
    assert channel.square.cycles_left == -1
