import math
import threading
from concurrent.futures import ThreadPoolExecutor

import bluesky.plans as bp
import numpy as np
import pytest
from bluesky.protocols import Configurable, Readable, Stageable, Stoppable, Triggerable
from event_model import DocumentNames, schema_validators
from ophyd.utils import LimitError
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from drivers.keysight_readings import MEASURING, WAITING
from lab import open_station
from lab.devices.driver_device import AcquisitionStoppedError
from lab.devices.quantum_dot import GateMoveError, make_quantum_dot
from lab.signals import ChoiceError, ValueTypeError
from protocols import ports
from twin.models.quantum_dot import Sample

CONDUCTING = {"barrier_left": 0.6, "barrier_right": 0.6, "virtual_plunger_2": 0.0}
"""Open barriers, and the second dot empty."""
SENSING = {"barrier_left": 0.17, "virtual_sensor": 0.3, "virtual_plunger": 0.01}
"""Where the first electron comes and goes about a thousand times a second, and the point contact sees it best."""
DAC_CODE, METER_DIGIT = 2e-5, 1e-5
"""V."""
FIRST_PEAKS = (0.01, 0.03, 0.05)
"""Where the virtual plunger brings the first electrons into resonance: (n + 1/2) E_C over its lever arm, V."""


@pytest.fixture
def station():
    with open_station("twin", seed=1, devices=["dot"]) as opened:
        yield opened


@pytest.fixture
def dot(station):
    return station["dot"]


@pytest.fixture
def staged(dot):
    dot.stage()
    yield dot
    dot.unstage()


@pytest.fixture
def sample():
    return Sample()


@pytest.fixture
def sent(dot, monkeypatch):
    """What goes over the wire from now on."""
    messages = []
    library = dot.driver.dac.adapter.connection.visalib
    write = library.write
    monkeypatch.setattr(library, "write", lambda session, data: messages.append(data) or write(session, data))
    return messages


def put(dot, **values):
    for name, value in values.items():
        getattr(dot, name).set(value).wait(20)


def take(dot, **values):
    put(dot, **values)
    dot.trigger().wait(60)


def volts_of(dot):
    """Voltages of all gates in the order of the sample, shape (1, gates)."""
    return np.array([list(dot.actual_volts().values())])


def swept(dot, name, values):
    """Voltages of all gates at every step of a sweep, shape (points, gates)."""
    volts = np.repeat(volts_of(dot), len(values), axis=0)
    for gate, steps in dot.wiring.moved(name, values, dot.volts).items():
        volts[:, list(dot.wiring.gates).index(gate)] = steps
    return volts


# ---- what it is ------------------------------------------------------------------------------------------------------


def test_dots_keep_the_protocols_of_bluesky_and_of_the_plans(dot):
    for protocol in (Readable, Triggerable, Stageable, Stoppable, Configurable, ports.QuantumDot):
        assert isinstance(dot, protocol)


def test_constructing_and_reading_the_device_sets_nothing(dot, station, sent):
    device = make_quantum_dot(dot.driver, dot.wiring, name="other", clock=station.clock)
    device.read()
    device.read_configuration()
    device.close()
    units = [unit for message in sent for unit in message.decode().strip().split(";")]
    assert len(units) > len(dot.wiring.gates)
    assert all(unit.endswith("?") for unit in units)


def test_count_gives_valid_documents_and_leaves_the_bias_off(dot, engine):
    documents = []
    engine.subscribe(lambda name, document: documents.append((name, document)))
    engine(bp.count([dot], num=2))
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    assert [name for name, _ in documents] == ["start", "descriptor", "event", "event", "stop"]
    assert not dot.driver.outputs_enabled


@pytest.mark.parametrize(("measurement", "points", "samples"), [("sweep", 7, 0), ("trace", 0, 400)])
def test_results_have_the_shape_of_what_is_measured_next(staged, measurement, points, samples):
    put(staged, measurement=measurement, sweep_values=np.zeros(7), trace_points=400)
    for _ in range(2):
        shapes = {name: np.shape(getattr(staged, name).get()) for name in ("current", "sensor_current", "trace")}
        assert shapes == {"current": (points,), "sensor_current": (points,), "trace": (samples,)}
        assert staged.describe()["dot_current"]["shape"] == [points]
        staged.trigger().wait(60)


# ---- gates -----------------------------------------------------------------------------------------------------------


def test_a_gate_goes_as_fast_as_its_slew_and_has_arrived_when_it_is_done(staged, station):
    begin = station.clock.now()
    staged.gate("barrier_left").set(0.5).wait(20)
    assert station.clock.now() - begin == pytest.approx(0.5, abs=1e-6)
    assert staged.driver.dac.channel(1).slew == 1.0
    assert staged.driver.dac.channel(1).actual_voltage == pytest.approx(0.5, abs=2e-5)
    assert staged.gate("barrier_left").get() == pytest.approx(0.5, abs=2e-5)


def test_a_virtual_gate_moves_without_the_others(staged):
    put(staged, barrier_left=0.4, virtual_plunger_2=0.02, virtual_sensor=0.1)
    put(staged, virtual_plunger=0.05)
    assert staged.gate("virtual_plunger").get() == pytest.approx(0.05, abs=5e-5)
    for name, volts in {"barrier_left": 0.4, "virtual_plunger_2": 0.02, "virtual_sensor": 0.1}.items():
        assert staged.gate(name).get() == pytest.approx(volts, abs=5e-5), name
    assert staged.gate("plunger").get() < 0.04


def test_the_limits_of_a_virtual_gate_are_those_of_the_gates_it_moves(staged):
    low, high = staged.gate("virtual_plunger").limits
    put(staged, virtual_plunger=high)
    assert staged.gate("plunger").get() == pytest.approx(0.3, abs=1e-3)
    with pytest.raises(LimitError, match="virtual_plunger"):
        staged.gate("virtual_plunger").set(high + 1e-3)
    assert low < 0 < high


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("plunger", 0.31, LimitError),
        ("plunger", math.nan, LimitError),
        ("plunger", "0.1", ValueTypeError),
        ("virtual_plunger", 1.0, LimitError),
        ("bias", 0.011, LimitError),
        ("integration_time", 1.5, LimitError),
        ("excitation", 6e-5, LimitError),
        ("trace_points", 12_000_001, LimitError),
        ("measurement", "everything", ChoiceError),
        ("sweep_gate", "oven", ChoiceError),
        ("sweep_values", [], ValueTypeError),
        ("sweep_values", [[0.0]], ValueTypeError),
        ("sweep_values", "0.1", ValueTypeError),
        ("sweep_values", [0.0, math.inf], LimitError),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(dot, sent, name, value, error):
    assert dot.volts
    sent.clear()
    with pytest.raises(error, match=f"dot_{name}"):
        getattr(dot, name).set(value)
    assert not sent


@pytest.mark.parametrize(
    ("gate", "values"), [("plunger", [0.0, 0.31]), ("virtual_plunger", [-1.0, 0.0]), ("bias", [0.0, 0.02])]
)
def test_a_sweep_beyond_a_limit_fails_and_the_gates_stay(staged, gate, values):
    put(staged, plunger=0.1, sweep_gate=gate, sweep_values=values)
    with pytest.raises(LimitError):
        staged.trigger().wait(20)
    assert staged.gate("plunger").get() == pytest.approx(0.1, abs=2e-5)


def test_there_is_no_gate_by_another_name(dot):
    with pytest.raises(KeyError, match="no gate 'oven'; it has: barrier_left, plunger"):
        dot.gate("oven")


def test_the_limits_of_a_gate_belong_to_its_wiring(dot):
    with pytest.raises(LimitError, match="limits of their wiring"):
        dot.limit("plunger", -1, 1)


def test_a_gate_that_does_not_arrive_is_an_error(staged, monkeypatch):
    monkeypatch.setattr(staged.driver.dac.channel(2), "ramp", lambda volts: 0.1)
    with pytest.raises(GateMoveError, match=r"plunger is at .* and not at 0\.1 V"):
        staged.gate("plunger").set(0.1).wait(20)


# ---- sweeps ----------------------------------------------------------------------------------------------------------


def test_the_current_has_its_peaks_where_an_electron_costs_nothing(staged, sample):
    values = np.linspace(0.0, 0.06, 241)
    put(staged, **CONDUCTING)
    take(staged, bias=1e-5, sweep_gate="virtual_plunger", sweep_values=values)
    current = staged.current.get()
    for peak in FIRST_PEAKS:
        near = np.abs(values - peak) < 0.005
        assert abs(values[near][current[near].argmax()] - peak) <= values[1] - values[0]
    noise = sample.current_noise(staged.integration_time.get())
    assert np.abs(current[np.abs(values - 0.02) < 0.002]).max() < 5 * noise + METER_DIGIT / 1e8
    assert current.max() > 20 * noise


@pytest.mark.parametrize("gate", ["virtual_plunger", "bias"])
def test_a_sweep_reads_both_currents_as_the_sample_has_them(staged, sample, gate):
    aperture = 0.02
    put(staged, **CONDUCTING, virtual_sensor=0.3, virtual_plunger=0.005, bias=5e-4, integration_time=aperture)
    if gate == "bias":
        values = bias = np.linspace(-1e-3, 1e-3, 21)
        volts = np.repeat(volts_of(staged), len(bias), axis=0)
    else:
        values, bias = np.linspace(0.0, 0.03, 61), 5e-4
        volts = swept(staged, gate, values)
    take(staged, sweep_gate=gate, sweep_values=values)
    for result, model, noise, gain in (
        (staged.current, sample.current, sample.current_noise, 1e8),
        (staged.sensor_current, sample.sensor_current, sample.sensor_noise, 1e7),
    ):
        expected = model(volts, bias)
        # the gates are where they were sent within a code of the DAC, and a reading within a digit of the meter
        coarse = np.max([np.abs(model(volts + step, bias) - expected) for step in (-DAC_CODE, DAC_CODE)], axis=0)
        assert (np.abs(result.get() - expected) < 5 * noise(aperture) + coarse + METER_DIGIT / gain).all()


def test_a_sweep_leaves_the_gate_at_its_last_value(staged):
    take(staged, sweep_gate="plunger", sweep_values=np.linspace(0.1, -0.1, 11))
    assert staged.gate("plunger").get() == staged.volts["plunger"] == pytest.approx(-0.1, abs=2e-5)


def test_the_conductance_is_the_derivative_of_the_current_by_the_bias(staged, sample):
    values = np.concatenate([np.full(12, 0.02), [0.0095, 0.0098, 0.01, 0.0102, 0.0105]])
    put(staged, **CONDUCTING)
    take(staged, measurement="conductance", sweep_gate="virtual_plunger", sweep_values=values)
    conductance = staged.conductance.get()
    spread = conductance[1:12].std(ddof=1)
    volts, step = swept(staged, "virtual_plunger", values[12:]), 1e-7
    expected = (sample.current(volts, step) - sample.current(volts, -step)) / (2 * step)
    assert np.abs(conductance[12:] - expected).max() < 5 * spread + 0.01 * expected.max()
    assert expected.max() > 20 * spread


def test_the_lock_in_excites_the_sample_only_while_a_conductance_is_measured(dot, monkeypatch):
    lock_in = dot.driver.lock_in
    assert lock_in.sine_voltage == 1.0
    dot.stage()
    assert lock_in.sine_voltage == 0.004
    seen = []
    monkeypatch.setattr(dot, "_send", lambda targets: seen.append(lock_in.sine_voltage) or 1 / 0)
    put(dot, measurement="conductance", excitation=2e-6)
    with pytest.raises(ZeroDivisionError):
        dot.trigger().wait(20)
    monkeypatch.undo()
    assert seen == [pytest.approx(0.2)]
    assert lock_in.sine_voltage == 0.004
    dot.unstage()


def test_a_reading_is_averaged_as_long_as_the_meters_can(staged):
    put(staged, integration_time=2e-5)
    assert staged.integration_time.get() == 2e-4
    staged.trigger().wait(20)


@pytest.mark.parametrize(
    ("measurement", "settings"),
    [
        ("sweep", {"sweep_gate": "plunger", "sweep_values": np.linspace(0.0, 0.1, 50)}),
        ("sweep", {"sweep_gate": "bias", "sweep_values": np.linspace(0.0, 1e-3, 5)}),
        ("conductance", {"sweep_gate": "plunger", "sweep_values": np.linspace(0.0, 0.1, 5)}),
        ("trace", {"trace_points": 30_000, "trace_interval": 1e-5}),
    ],
)
def test_the_time_of_a_measurement_is_the_time_that_passes(staged, station, measurement, settings):
    put(staged, measurement=measurement, plunger=-0.1, **settings)
    begin = station.clock.now()
    staged.trigger().wait(60)
    assert staged.run_time.get() == pytest.approx(station.clock.now() - begin, rel=2e-3, abs=2e-3)


# ---- traces ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sensing(staged):
    put(staged, **SENSING, measurement="trace", trace_points=100_000, trace_interval=1e-5)
    return staged


def tell_filter(dot, sample):
    """Tell the filter of the device what the sample is."""
    chain = sample.chain(volts_of(dot)[0], 0.0)
    empty, occupied = ((chain.charges == charges).all(axis=1).argmax() for charges in ([0, 0], [1, 0]))
    levels = chain.currents[empty], chain.currents[occupied]
    rates = chain.rates[empty, occupied], chain.rates[occupied, empty]
    noise = sample.parameters.sensor_amplifier.white_noise
    put(
        dot, level_empty=levels[0], level_occupied=levels[1], noise_density=noise, rate_in=rates[0], rate_out=rates[1]
    )  # fmt: skip
    return levels, rates


def test_a_trace_shows_two_levels_as_far_apart_as_those_of_the_sample(sensing, sample):
    levels, _ = tell_filter(sensing, sample)
    sensing.trigger().wait(60)
    trace = sensing.trace.get()
    occupied = uniform_filter1d(trace, 21) < sum(levels) / 2
    found = [trace[minimum_filter1d(here, 61)] for here in (~occupied, occupied)]
    for level, samples in zip(levels, found, strict=True):
        assert len(samples) > 10_000
        assert samples.mean() == pytest.approx(level, abs=5 * sample.sensor_noise(1.0))
    assert found[0].mean() - found[1].mean() == pytest.approx(levels[0] - levels[1], rel=0.03)


def test_the_filter_follows_the_charge(sensing, sample):
    _, (rate_in, rate_out) = tell_filter(sensing, sample)
    sensing.trigger().wait(60)
    trace, occupation = sensing.trace.get(), sensing.occupation.get()
    hindsight = np.convolve(trace, np.full(11, 1 / 11), "same") < np.median(trace)
    assert np.corrcoef(hindsight, occupation)[0, 1] > 0.85
    # the occupied fraction of a telegraph scatters by its number of independent times
    expected = rate_in / (rate_in + rate_out)
    error = math.sqrt(2 * expected * (1 - expected) / ((rate_in + rate_out) * len(trace) * 1e-5))
    assert abs(occupation.mean() - expected) < 5 * error


@pytest.mark.parametrize("told", [{}, {"level_empty": 1e-9, "noise_density": 1e-25}])
def test_a_filter_that_was_not_told_everything_says_nothing(sensing, told):
    take(sensing, trace_points=1000, **told)
    assert np.isnan(sensing.occupation.get()).all()
    assert np.isfinite(sensing.trace.get()).all()


def test_the_interval_of_a_trace_is_what_the_digitizer_makes_of_it(sensing):
    put(sensing, trace_interval=1.3e-5)
    assert sensing.trace_interval.get() == 1e-5
    sensing.trigger().wait(60)
    assert sensing.trace_interval.get() == pytest.approx(1e-5, rel=1e-9)


# ---- safety ----------------------------------------------------------------------------------------------------------


def test_staging_switches_the_bias_on_at_0_v_and_unstaging_leaves_everything_safe(dot):
    dot.stage()
    assert dot.driver.bias_source.source_enabled
    assert dot.driver.bias_source.source_voltage == 0
    put(dot, **CONDUCTING, bias=2e-3)
    assert dot.driver.bias_source.source_voltage == pytest.approx(2.0)
    dot.unstage()
    assert not dot.driver.bias_source.source_enabled
    assert dot.driver.bias_source.source_voltage == 0
    assert all(abs(volts) < 2e-5 for volts in dot.actual_volts().values())


def test_stop_ends_a_measurement_and_the_next_one_works(staged):
    put(staged, measurement="conductance", sweep_gate="plunger", sweep_values=np.linspace(0, 0.1, 60_000))
    begun = threading.Event()
    status = staged.trigger()
    status.watch(lambda **_: begun.set())
    assert begun.wait(20)
    staged.stop()
    with pytest.raises((AcquisitionStoppedError, GateMoveError)):
        status.wait(20)
    take(staged, measurement="sweep", sweep_values=np.linspace(0, 0.1, 5))
    assert np.isfinite(staged.current.get()).all()


@pytest.mark.parametrize(("measurement", "begins"), [("sweep", "start_lists"), ("trace", "arm")])
def test_a_stop_before_the_measurement_has_begun_is_not_lost(staged, monkeypatch, measurement, begins):
    instrument = staged.driver.dac if measurement == "sweep" else staged.driver.digitizer
    begin = getattr(instrument, begins)

    def stopped_just_before(*arguments, **options):
        staged.stopped.set()
        return begin(*arguments, **options)

    monkeypatch.setattr(instrument, begins, stopped_just_before)
    put(staged, measurement=measurement, trace_points=1000)
    with pytest.raises(AcquisitionStoppedError):
        staged.trigger().wait(4)
    assert staged.driver.dac.channel(1).mode == "fixed"
    assert not staged.driver.ammeter.operation_condition & (MEASURING | WAITING)


def test_stop_ends_a_record_of_the_digitizer(staged):
    staged.driver.digitizer.run()
    assert staged.driver.digitizer.trigger_status != "stopped"
    staged.stop()
    assert staged.driver.digitizer.trigger_status == "stopped"


def test_safe_goes_on_when_an_instrument_fails_and_names_it(dot, monkeypatch):
    dot.stage()
    put(dot, plunger=0.1, bias=1e-3)

    def fail():
        raise OSError("the cable is out")

    monkeypatch.setattr(dot.driver.ammeter, "abort", fail)
    with pytest.raises(ExceptionGroup, match="dot could not be made safe") as caught:
        dot.safe()
    assert caught.value.exceptions[0].__notes__ == ["dot: measurement ended"]
    assert not dot.driver.outputs_enabled
    assert abs(dot.gate("plunger").get()) < 2e-5
    monkeypatch.undo()
    assert (
        dot.safe()
        == dot.safe()
        == [
            "measurement ended",
            "bias off",
            "excitation at its least",
            "gates at their safe voltages",
        ]
    )
    dot.unstage()


def test_a_gate_that_fails_does_not_keep_the_others_or_the_bias_from_safety(dot, monkeypatch):
    dot.stage()
    put(dot, barrier_left=0.2, plunger=0.1, sensor=0.3, bias=1e-3)

    def fail(*_):
        raise OSError("the cable is out")

    dac, source = type(dot.driver.dac.channel(1)), type(dot.driver.bias_source)
    ramp = dac.ramp
    monkeypatch.setattr(dac, "ramp", lambda gate, volts: fail() if gate.id == 1 else ramp(gate, volts))
    monkeypatch.setattr(source, "source_voltage", property(lambda _: 1.0, fail))
    with pytest.raises(ExceptionGroup, match="dot could not be made safe"):
        dot.safe()
    volts = dot.actual_volts()
    assert abs(volts["plunger"]) < 2e-5
    assert abs(volts["sensor"]) < 2e-5
    assert volts["barrier_left"] == pytest.approx(0.2, abs=DAC_CODE)
    assert not dot.driver.outputs_enabled
    monkeypatch.undo()
    dot.unstage()


class HeldClock:
    """Lets time pass on the device's thread only when told to."""

    def __init__(self, clock):
        self.clock, self.waiting, self.go_on = clock, threading.Event(), threading.Event()

    def sleep(self, seconds):
        if threading.current_thread() is not threading.main_thread():
            self.waiting.set()
            assert self.go_on.wait(20)
        self.clock.sleep(seconds)


def test_after_safe_nothing_follows_that_was_on_its_way(dot, monkeypatch):
    dot.stage()
    clock = HeldClock(dot.clock)
    monkeypatch.setattr(dot, "clock", clock)
    on_their_way = [dot.gate("barrier_left").set(0.5), dot.gate("barrier_right").set(0.4), dot.bias.set(1e-3)]
    assert clock.waiting.wait(20)
    threading.Timer(0.05, clock.go_on.set).start()
    dot.safe()
    for status in on_their_way:
        with pytest.raises(AcquisitionStoppedError):
            status.wait(20)
    assert all(abs(volts) < 2e-5 for volts in dot.actual_volts().values())
    assert dot.driver.bias_source.source_voltage == 0
    dot.unstage()


def test_safe_ends_the_way_to_several_voltages(dot, monkeypatch):
    dot.stage()
    clock = HeldClock(dot.clock)
    monkeypatch.setattr(dot, "clock", clock)
    with ThreadPoolExecutor(1) as pool:
        placing = pool.submit(dot.do, lambda: dot.place({"barrier_left": 0.5, "barrier_right": 0.4}))
        assert clock.waiting.wait(20)
        threading.Timer(0.05, clock.go_on.set).start()
        dot.safe()
        with pytest.raises(AcquisitionStoppedError):
            placing.result(20)
    assert all(abs(volts) < 2e-5 for volts in dot.actual_volts().values())
    dot.unstage()


def test_a_gate_moves_again_after_safe(dot):
    dot.safe()
    put(dot, plunger=0.1)
    assert dot.gate("plunger").get() == pytest.approx(0.1, abs=DAC_CODE)


# ---- side by side ----------------------------------------------------------------------------------------------------


def test_dots_of_two_stations_measure_at_the_same_time_and_share_nothing():
    def measured(_):
        with open_station("twin", seed=4, devices=["dot"]) as station:
            dot = station["dot"]
            dot.stage()
            put(dot, **CONDUCTING)
            take(dot, bias=1e-4, sweep_gate="plunger", sweep_values=np.linspace(0, 0.05, 101))
            return dot.current.get(), dot.sensor_current.get(), station.clock.now()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(measured, range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
