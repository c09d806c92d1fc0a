"""The lock-in's driver: what it sends, and what it makes of a simulated instrument with a known signal."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pymeasure.instruments import srs
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, InstrumentTimeoutError, OutputLimitError, OverloadError
from drivers.srs_sr830 import SR830
from sim_devices.benches import Bench
from sim_devices.instruments import srs_sr830
from sim_devices.visa import open_library
from twin.clock import VirtualClock

SOUND = [("*ESR?", "0"), ("ERRS?", "0")]


class Divider:
    def phasor(self, frequency, amplitude, starts, aperture, acquisition):
        return np.tile([0.1 * amplitude, 0.05 * amplitude], (len(starts), 1))

    def mean(self, starts, aperture, acquisition):
        return np.full(len(starts), 0.25)


@pytest.fixture
def bench():
    with ThreadPoolExecutor(1) as worker, Bench("lock-in", VirtualClock()) as bench:
        bench.persona = srs_sr830.SR830(bench.clock, worker, voltage_input=Divider(), aux_inputs={3: Divider()})
        bench.place(bench.persona, "GPIB0::8::INSTR")
        yield bench


@pytest.fixture
def lock_in(bench):
    driver = SR830("GPIB0::8::INSTR", visa_library=open_library(bench), timeout=500)
    driver.pause = bench.clock.sleep
    yield driver
    driver.adapter.close()


def test_constructing_sends_nothing():
    with expected_protocol(SR830, []):
        pass


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ([("*ESR?", "32"), ("ERRS?", "0")], 32),
        ([("*ESR?", "16"), ("ERRS?", "0")], 16),
        ([("*ESR?", "0"), ("ERRS?", "64")], 64),
    ],
)
def test_bits_of_the_status_bytes_raise(replies, code):
    with expected_protocol(SR830, [("SYNC 1", None), *replies]) as lock_in, pytest.raises(InstrumentError) as raised:
        lock_in.filter_synchronous = True
    assert raised.value.code == code


def test_bits_that_are_no_errors_do_not_raise():
    with expected_protocol(SR830, [("SYNC 1", None), ("*ESR?", "192"), ("ERRS?", "0")]) as lock_in:
        lock_in.filter_synchronous = True


def test_a_reading_is_taken_again_where_an_overload_is_over():
    with expected_protocol(SR830, [("OUTP? 1", "9.9"), ("LIAS?", "4"), ("OUTP? 1", "1.5"), ("LIAS?", "0")]) as lock_in:
        assert lock_in.x == 1.5


@pytest.mark.parametrize(("status", "error"), [("1", OverloadError), ("6", OverloadError), ("8", InstrumentError)])
def test_a_reading_that_stays_overloaded_or_unlocked_raises(status, error):
    with (
        expected_protocol(SR830, [("SNAP? 1,2", "1,2"), ("LIAS?", status)] * 2) as lock_in,
        pytest.raises(error, match=r"overloaded|locked"),
    ):
        _ = lock_in.xy


def test_the_expansion_is_sent_as_its_index():
    with expected_protocol(SR830, [("OEXP 2,-10.50,1", None), *SOUND]) as lock_in:
        lock_in.set_scaling("Y", -10.5, 10)


@pytest.mark.parametrize(
    "call",
    [
        lambda lock_in: setattr(lock_in, "sine_voltage", 5.1),
        lambda lock_in: setattr(lock_in, "frequency", 2e5),
        lambda lock_in: setattr(lock_in, "phase", float("nan")),
        lambda lock_in: setattr(lock_in, "harmonic", 1.5),
        lambda lock_in: setattr(lock_in, "aux_out_2", 11),
        lambda lock_in: setattr(lock_in, "channel1", "Y"),
        lambda lock_in: lock_in.set_scaling("X", 106),
        lambda lock_in: lock_in.set_scaling("X", 0, 5),
    ],
)
def test_values_beyond_their_range_are_refused_not_truncated(call):
    with expected_protocol(SR830, []) as lock_in, pytest.raises(ValueError, match=r"\S"):
        call(lock_in)


@pytest.mark.parametrize(
    "call",
    [
        lambda lock_in: setattr(lock_in, "sine_voltage", 0.2),
        lambda lock_in: lock_in.write("SLVL0.200"),
        lambda lock_in: lock_in.ask("slvl 0.2;OUTP? 1"),
        lambda lock_in: lock_in.write_bytes(b"SLVL 0.2\n"),
        lambda lock_in: setattr(lock_in, "aux_out_1", -0.1),
        lambda lock_in: lock_in.write("AUXV4,3"),
        lambda lock_in: lock_in.write("SLVL MAX"),
        lambda lock_in: lock_in.reset(),
        lambda lock_in: lock_in.load_setup(1),
    ],
)
def test_an_output_beyond_its_limits_is_refused_before_anything_is_sent(call):
    with expected_protocol(SR830, []) as lock_in:
        lock_in.sine_limit, lock_in.aux_limits = 0.1, (0.0, 2.0)
        with pytest.raises(OutputLimitError):
            call(lock_in)


def test_outputs_within_their_limits_are_set(lock_in, bench):
    lock_in.sine_limit, lock_in.aux_limits = 0.1, (0.0, 2.0)
    lock_in.sine_voltage, lock_in.aux_out_1 = 0.1, 1.5
    assert (lock_in.sine_voltage, lock_in.aux_out_1) == (0.1, 1.5)
    assert bench.persona.aux_output(1).voltage(np.array([bench.clock.now()])) == 1.5


SETTINGS = {
    "sine_voltage": 0.5,
    "frequency": 137.25,
    "phase": -45.5,
    "harmonic": 3,
    "time_constant": 0.3,
    "sensitivity": 0.5,
    "filter_slope": 24,
    "filter_synchronous": True,
    "input_config": "A - B",
    "input_grounding": "Ground",
    "input_coupling": "DC",
    "input_notch_config": "Both",
    "reference_source": "External",
    "reference_source_trigger": "POS EDGE",
    "reserve": "High Reserve",
    "sample_frequency": 64,
    "channel1": "Aux In 2",
    "channel2": "Y Noise",
    "aux_out_1": 1.25,
    "aux_out_4": -10.5,
    "dac2": 3.0,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_reaches_the_instrument(lock_in, name):
    setattr(lock_in, name, SETTINGS[name])
    assert getattr(lock_in, name) == SETTINGS[name]


BROKEN = ("channel1", "channel2")
"""What pymeasure's own class cannot read back."""


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in BROKEN])
def test_pymeasures_own_class_finds_the_same_settings_at_the_simulated_instrument(bench, name):
    plain = srs.SR830("GPIB0::8::INSTR", visa_library=open_library(bench), timeout=500)
    setattr(plain, name, SETTINGS[name])
    assert getattr(plain, name) == SETTINGS[name]
    assert plain.snap("X", "Y")[1] == plain.y
    plain.adapter.close()


def test_readings_are_those_of_the_signal(lock_in):
    x, y = 0.1, 0.05
    assert lock_in.x == pytest.approx(x)
    assert lock_in.y == pytest.approx(y)
    assert lock_in.magnitude == pytest.approx(np.hypot(x, y), rel=1e-5)
    assert lock_in.theta == pytest.approx(np.degrees(np.arctan2(y, x)), rel=1e-5)
    assert lock_in.xy == pytest.approx([x, y])
    assert lock_in.snap("R", "Frequency", "Aux In 3") == pytest.approx([np.hypot(x, y), 1000, 0.25], abs=1e-3)
    assert (lock_in.aux_in_3, lock_in.adc1) == pytest.approx((0.25, 0), abs=1e-3)
    assert lock_in.id == "Stanford_Research_Systems,SR830,s/n30001,ver1.07"
    assert lock_in.lia_status == lock_in.err_status == 0


def test_a_refusal_of_the_instrument_raises_and_the_next_command_is_sound(lock_in):
    lock_in.frequency = 60e3
    with pytest.raises(InstrumentError) as raised:
        lock_in.harmonic = 2
    assert raised.value.code == 16
    assert lock_in.harmonic == 1
    with pytest.raises(InstrumentError, match="unknown command"):
        lock_in.ask("NONS?")
    assert lock_in.x == pytest.approx(0.1)


def test_an_overload_raises_until_the_range_is_found(lock_in):
    lock_in.sensitivity = 1e-3
    with pytest.raises(OverloadError, match="output"):
        _ = lock_in.x
    lock_in.quick_range()
    assert lock_in.sensitivity == 0.2
    assert lock_in.x == pytest.approx(0.1)


def test_no_range_is_found_for_a_signal_beyond_the_largest(lock_in, bench):
    lock_in.sine_voltage = 5
    bench.clock.sleep(10)
    lock_in.set_scaling("X", 0, 100)
    with pytest.raises(OverloadError, match="largest"):
        lock_in.quick_range()


def test_the_automatic_functions_are_waited_for(lock_in, bench):
    lock_in.auto_gain()
    assert lock_in.sensitivity == 0.2
    lock_in.auto_phase()
    bench.clock.sleep(5)
    assert lock_in.theta == pytest.approx(0, abs=0.01)
    lock_in.auto_reserve()
    lock_in.auto_offset("X")
    assert lock_in.x == pytest.approx(0, abs=1e-4)
    offset, expansion = lock_in.get_scaling("X")
    assert offset == pytest.approx(100 * np.hypot(0.1, 0.05) / 0.2, abs=0.01)
    assert expansion == 1
    assert lock_in.output_conversion("X")(lock_in.x) == pytest.approx(np.hypot(0.1, 0.05), abs=1e-4)


def test_a_command_that_takes_too_long_is_given_up():
    exchange = [("AGAN", None), ("*STB?", "1"), ("*STB?", "1")]
    with expected_protocol(SR830, exchange) as lock_in:
        lock_in.pause = lambda _: None
        with pytest.raises(InstrumentTimeoutError, match="AGAN"):
            lock_in.complete("AGAN", deadline=-1)
        lock_in.ask("*STB?")


def test_a_buffer_comes_in_one_transfer(lock_in, bench):
    lock_in.sample_frequency = 512
    lock_in.start_buffer()
    bench.clock.sleep(30)
    lock_in.pause_buffer()
    assert lock_in.buffer_count == 15361
    data = lock_in.get_buffer(2)
    assert data.dtype == np.float32
    assert data == pytest.approx(np.full(15361, 0.05))
    assert lock_in.get_buffer(1, 100, 103) == pytest.approx([0.1] * 3)
    assert lock_in.get_buffer(1, 5, 5).size == 0
    with pytest.raises(InstrumentError, match="not allowed"):
        lock_in.get_buffer(1, 0, 16000)
    lock_in.reset_buffer()
    assert lock_in.buffer_count == 0


def test_buffers_are_filled_and_measured(lock_in):
    lock_in.sample_frequency = 512
    lock_in.start_scan()
    first, second = lock_in.fill_buffer(50)
    assert (len(first), len(second)) == (50, 50)
    lock_in.reset_buffer()
    assert lock_in.buffer_measure(20) == pytest.approx((0.1, 0, 0.05, 0), abs=1e-6)


def test_filling_a_buffer_ends_where_it_is_stopped_or_nothing_is_stored(lock_in):
    with pytest.raises(InstrumentTimeoutError, match="not stored"):
        lock_in.fill_buffer(10, timeout=0.01)
    lock_in.start_scan()
    first, _ = lock_in.fill_buffer(1000, has_aborted=lambda: True)
    assert 0 < len(first) < 1000
    stop = threading.Event()
    stop.set()
    assert lock_in.buffer_measure(2000, stop) == (0, 0, 0, 0)


def test_set_ups_are_stored_and_recalled(lock_in):
    lock_in.frequency = 77
    lock_in.save_setup(2)
    lock_in.reset()
    assert lock_in.frequency == 1000
    lock_in.load_setup(2)
    assert lock_in.frequency == 77
