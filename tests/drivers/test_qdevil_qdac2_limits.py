"""Whatever is asked of the driver, in any order, no protected output leaves its limits or is faster than its slew."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from drivers.errors import InstrumentError, OutputLimitError
from drivers.qdevil_qdac2 import Qdac2
from sim_devices.benches import Bench
from sim_devices.instruments.cabling import TriggerLine
from sim_devices.instruments.qdevil_qdac2 import Qdac2 as Persona
from sim_devices.visa import open_library
from twin.clock import VirtualClock

RESOURCE = "TCPIP0::qdac::5025::SOCKET"
TOLERANCE = 5e-6
"""V: what a few sums of voltages rounded to 1 uV may differ."""
REFUSALS = (OutputLimitError, InstrumentError, ValueError, RuntimeError)

channels = st.sampled_from((1, 2))
volts = st.one_of(st.floats(-1.2, 1.2), st.sampled_from((-0.5, 0.0, 0.8, 5.0, -10.0, math.nan)))
lists = st.lists(st.one_of(st.floats(-0.6, 0.9), st.floats(-3, 3)), min_size=1, max_size=6)
durations = st.one_of(st.floats(1e-3, 2.0), st.sampled_from((1e-6, 1e-3, 0.05)))
slews = st.one_of(st.floats(0.01, 1.5), st.sampled_from((0.1, 1.0, 1e6, math.inf)))
sources = st.sampled_from(("immediate", "bus", "hold", "int1", "int2", "ext1"))
counts = st.sampled_from((-1, 1, 2, 5))
waves = st.sampled_from(("sine", "triangle", "square"))
SETTINGS = {
    "frequency": st.floats(0.05, 20),
    "span": st.one_of(st.floats(0, 0.4), st.floats(0, 5)),
    "offset": st.one_of(st.floats(-0.3, 0.3), volts),
    "slew": slews,
    "count": counts,
    "trigger_source": sources,
    "continuous": st.booleans(),
    "delay": st.floats(0, 1),
    "polarity": st.sampled_from(("normal", "inverted")),
    "duty_cycle": st.floats(1, 99),
    "kind_of_levels": st.sampled_from(("symmetric", "positive", "negative")),
    "marker_end": st.sampled_from((0, 1, 2)),
    "scale": st.floats(-3, 3),
    "trace": st.sampled_from(("small", "large")),
}
DC_SETTINGS = {
    "voltage": volts,
    "triggered_voltage": volts,
    "slew": slews,
    "mode": st.sampled_from(("fixed", "list", "sweep")),
    "trigger_source": sources,
    "continuous": st.booleans(),
    "delay": st.floats(0, 0.5),
    "list_dwell": durations,
    "list_count": counts,
    "list_direction": st.sampled_from(("up", "down")),
    "list_trigger_mode": st.sampled_from(("auto", "step")),
    "sweep_start": volts,
    "sweep_stop": volts,
    "sweep_points": st.integers(2, 6),
    "sweep_dwell": durations,
    "sweep_count": counts,
    "sweep_generation": st.sampled_from(("step", "analog")),
    "voltage_range": st.sampled_from(("low", "high")),
    "marker_start": st.sampled_from((0, 1, 2)),
    "marker_step_start": st.sampled_from((0, 1, 2)),
}


class Outputs(RuleBasedStateMachine):
    """Two protected channels; after every step the outputs are looked at as far as time has gone."""

    @initialize()
    def connect(self):
        self.bench = Bench("dac", VirtualClock())
        self.line = TriggerLine()
        self.persona = Persona(self.bench.clock, self.bench.worker, trigger_inputs=(self.line,))
        self.bench.place(self.persona, RESOURCE)
        self.limits = {1: (-0.5, 0.8), 2: (-2.5, 2.5)}
        self.slews = {1: 1.0, 2: 20.0}
        self.allowed, self.fastest = dict(self.limits), dict(self.slews)
        self.seen = dict.fromkeys(self.limits, (self.bench.clock.now(), 0.0))
        self.driver = None
        self.reconnect()

    @rule()
    def reconnect(self):
        if self.driver is not None:
            self.driver.adapter.close()
        self.driver = Qdac2(RESOURCE, visa_library=open_library(self.bench), timeout=1000)
        for number, limits in self.limits.items():
            self.driver.channel(number).protect(limits=limits, slew=self.slews[number])

    def attempt(self, action):
        with contextlib.suppress(*REFUSALS):
            action()
        self.look()

    def look(self):
        now = self.bench.clock.now()
        for number, (before, value) in self.seen.items():
            output = self.persona.output(number)
            parts = [track.breaks(before, now) for track in output.tracks.values()]
            times = np.unique(np.concatenate([np.linspace(before, now, 50), *parts]))
            voltages = np.concatenate([[value], output.voltage(times)])
            low, high = self.allowed[number]
            assert voltages.min() >= low - TOLERANCE, f"channel {number}: {voltages.min()} V"
            assert voltages.max() <= high + TOLERANCE, f"channel {number}: {voltages.max()} V"
            lengths = np.concatenate([[0.0], np.diff(times)])
            excess = np.abs(np.diff(voltages)) - 1.00001 * self.fastest[number] * lengths
            assert excess.max() <= TOLERANCE, f"channel {number}: {excess.max()} V too much at {times[excess.argmax()]}"
            self.seen[number] = now, float(voltages[-1])

    @rule(duration=durations)
    def let_time_pass(self, duration):
        self.bench.clock.sleep(duration)
        self.look()

    @rule(number=channels, data=st.data(), name=st.sampled_from(sorted(DC_SETTINGS)))
    def set_dc(self, number, data, name):
        value = data.draw(DC_SETTINGS[name])
        self.attempt(lambda: setattr(self.driver.channel(number), name, value))

    @rule(
        number=channels,
        volts=st.sampled_from((-2.5, -0.5, 0.0, 0.3, 0.8, 2.0, 2.5)),
        part=st.sampled_from((0.0, 0.3, 1.0)),
    )
    def ramp(self, number, volts, part):
        self.attempt(lambda: self.bench.clock.sleep(part * self.driver.channel(number).ramp(volts)))

    @rule(number=channels, volts=st.floats(-1.0, 1.0), source=sources, mode=st.sampled_from(("fixed", "list", "sweep")))
    def arm(self, number, volts, source, mode):
        channel = self.driver.channel(number)

        def arm():
            channel.triggered_voltage = volts
            channel.set_list([volts, -volts])
            channel.sweep_start, channel.sweep_stop = volts, -volts
            channel.mode, channel.trigger_source = mode, source
            channel.start()

        self.attempt(arm)

    @rule(
        number=channels,
        scale=st.floats(-1, 1),
        slew=st.floats(0.05, 0.7),
        count=counts,
        name=st.sampled_from(("small", "large")),
    )
    def start_trace(self, number, scale, slew, count, name):
        awg = self.driver.channel(number).awg

        def start():
            self.driver.define_trace(name, np.repeat([3e-3, -2e-3], 20000))
            awg.trace, awg.scale, awg.slew, awg.count = name, scale, slew, count
            awg.start()

        self.attempt(start)

    @rule(number=channels, values=lists, binary=st.booleans(), append=st.booleans())
    def set_list(self, number, values, binary, append):
        channel = self.driver.channel(number)
        self.attempt(lambda: (channel.append_list if append else channel.set_list)(values, binary=binary))

    @rule(number=channels, action=st.sampled_from(("start", "abort", "hold", "start")))
    def act_dc(self, number, action):
        self.attempt(getattr(self.driver.channel(number), action))

    @rule(number=channels, wave=st.sampled_from(("sine", "triangle", "square", "awg")), data=st.data())
    def set_wave(self, number, wave, data):
        generator = getattr(self.driver.channel(number), wave)
        name = data.draw(st.sampled_from([name for name in SETTINGS if hasattr(type(generator), name)]))
        value = data.draw(SETTINGS[name])
        self.attempt(lambda: setattr(generator, name, value))

    @rule(number=channels, wave=waves, span=st.floats(0, 0.3), frequency=st.floats(0.05, 2), slew=st.floats(0.05, 0.7))
    def start_wave(self, number, wave, span, frequency, slew):
        generator = getattr(self.driver.channel(number), wave)

        def start():
            generator.slew, generator.span, generator.frequency = slew, span, frequency
            generator.start()

        self.attempt(start)

    @rule(number=channels, wave=st.sampled_from(("sine", "triangle", "square", "awg")), start=st.booleans())
    def act_wave(self, number, wave, start):
        generator = getattr(self.driver.channel(number), wave)
        self.attempt(generator.start if start else generator.abort)

    @rule(name=st.sampled_from(("small", "large")), values=lists)
    def define_trace(self, name, values):
        self.attempt(lambda: self.driver.define_trace(name, np.repeat(values, 4)))

    @rule(first=lists, dwell=durations, settled=st.booleans(), finish=st.booleans())
    def run_lists(self, first, dwell, settled, finish):
        def run():
            self.driver.load_lists({1: first, 2: first[::-1]}, dwell, 2, settled=settled)
            self.driver.start_lists()

        self.attempt(run)
        self.bench.clock.sleep(dwell)
        self.look()
        if finish:
            self.attempt(self.driver.finish_lists)

    @rule(
        action=st.sampled_from(
            (lambda d: d.fire(1), lambda d: d.fire(2), lambda d: d.bus_trigger(), lambda d: d.start_lists())
        )
    )
    def fire(self, action):
        self.attempt(lambda: action(self.driver))

    @rule(delay=st.floats(0, 0.5), edges=st.integers(1, 4))
    def trigger_from_outside(self, delay, edges):
        self.line.send(self.bench.clock.now() + delay * np.arange(edges))
        self.look()

    @rule(
        message=st.sampled_from(
            (
                "sour1:volt 5",
                ":SOURCE2:VOLT -9",
                "*RST",
                "*trg",
                "tint 1",
                "syst:err?;:sour1:volt 5",
                "sens:rang low\nsour1:volt 5",
            )
        ),
        as_bytes=st.booleans(),
    )
    def write_raw(self, message, as_bytes):
        self.attempt(
            lambda: self.driver.write_bytes(message.encode() + b"\n") if as_bytes else self.driver.write(message)
        )

    @rule()
    def reset(self):
        self.attempt(self.driver.reset)

    @rule()
    def stop_all(self):
        self.driver.stop_all()
        self.look()

    @rule(number=channels, low=st.floats(-1.5, 0.0), high=st.floats(0.0, 1.5), slew=st.floats(0.05, 5))
    def protect_anew(self, number, low, high, slew):
        """What already moves may go on within the limits it was begun with; stopped, it obeys the new ones."""
        self.limits[number], self.slews[number] = (low, high), slew
        self.driver.channel(number).protect(limits=(low, high), slew=slew)
        old = self.allowed[number]
        self.allowed[number] = min(low, old[0]), max(high, old[1])
        self.fastest[number] = max(slew, self.fastest[number])

    @rule(number=channels)
    def obey_new_limits(self, number):
        """Stop, come to rest and go to where the limits have their middle; from then on only the new limits hold."""
        self.driver.stop_all()
        self.bench.clock.sleep(500.0)
        self.look()
        channel = self.driver.channel(number)
        channel.voltage_range = "high"
        self.bench.clock.sleep(channel.ramp(sum(self.limits[number]) / 2))
        self.look()
        self.allowed[number], self.fastest[number] = self.limits[number], self.slews[number]

    def teardown(self):
        if hasattr(self, "bench"):
            self.bench.clock.sleep(3.0)
            self.look()
            self.driver.adapter.close()
            self.bench.close()


pytestmark = pytest.mark.slow
TestNoOutputLeavesItsLimitsOrIsFasterThanItsSlew = Outputs.TestCase
TestNoOutputLeavesItsLimitsOrIsFasterThanItsSlew.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
