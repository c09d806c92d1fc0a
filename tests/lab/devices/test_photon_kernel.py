import math
import threading

import bluesky.plans as bp
import numpy as np
import pytest
from bluesky.protocols import Configurable, Readable, Stageable, Stoppable, Triggerable
from event_model import DocumentNames, schema_validators
from ophyd.utils import LimitError

from drivers.errors import MissingReadingsError
from drivers.keysight_readings import MEASURING, WAITING
from lab import open_station
from lab.devices.driver_device import AcquisitionStoppedError
from lab.devices.photon_kernel import PhotonKernel, PulseTiming, TimingError
from lab.signals import ValueTypeError
from protocols import ports
from twin.models.photon_kernel import PhotonPath

GATE, THRESHOLD, PERIOD = 1e-6, 0.05, 1e-5
TIMING = {"modes": 16, "bin_time": 4e-8, "period": PERIOD, "amplitude": 1.0, "gate_time": GATE}


@pytest.fixture
def station():
    with open_station("twin", seed=1, devices=["photon"]) as opened:
        yield opened


@pytest.fixture
def photon(station):
    return station["photon"]


@pytest.fixture
def staged(photon):
    photon.stage()
    yield photon
    photon.unstage()


@pytest.fixture
def sent(photon, monkeypatch):
    """What goes over the wire from now on."""
    messages = []
    library = photon.driver.awg.adapter.connection.visalib
    write = library.write
    monkeypatch.setattr(library, "write", lambda session, data: messages.append(data) or write(session, data))
    return messages


def attempt(photon, **values):
    for name, value in values.items():
        getattr(photon, name).set(value).wait(20)
    photon.trigger().wait(60)
    return photon.click_probability.get(), photon.click_probability_standard_error.get()


def overlap(x, w):
    n = max(len(x), len(w))
    x, w = (np.pad(v, (0, n - len(v))) for v in (x, w))
    return (x @ w) ** 2 / (x @ x) / (w @ w)


def click_probability(f):
    return PhotonPath().click_probability(f, GATE, THRESHOLD)


def test_a_photon_kernel_keeps_the_protocols_of_bluesky_and_of_the_plans(photon):
    for protocol in (Readable, Triggerable, Stageable, Stoppable, Configurable, ports.PhotonKernel):
        assert isinstance(photon, protocol)
    assert photon.modes == 16


def test_constructing_and_reading_the_device_sends_nothing(photon, sent):
    device = PhotonKernel(photon.driver, PulseTiming(**TIMING), name="other", threshold=THRESHOLD)
    device.read()
    device.read_configuration()
    device.close()
    assert not sent
    assert not photon.driver.outputs_enabled
    assert sent


def test_count_gives_valid_documents_and_leaves_the_pulses_off(photon, engine):
    documents = []
    engine.subscribe(lambda name, document: documents.append((name, document)))
    engine(bp.count([photon], num=2))
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    assert [name for name, _ in documents] == ["start", "descriptor", "event", "event", "stop"]
    assert not photon.driver.outputs_enabled


@pytest.mark.parametrize(
    ("x", "w"),
    [
        ([1.0], [1.0]),
        ([1.0, 0.0], [0.0, 1.0]),
        ([1.0, 0.0], [1.0, 1.0]),
        ([0.3, -0.7, 0.2], [0.5, 0.1, -0.4]),
        ([1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]),
        ([1.0], np.ones(16)),
    ],
)
def test_clicks_say_how_much_the_vectors_overlap(staged, x, w):
    probability, error = attempt(staged, shots=20_000, inputs=x, weights=w)
    assert abs(probability - click_probability(overlap(x, w))) < 5 * error


def test_only_the_direction_of_a_vector_matters(staged):
    x, w = np.array([0.3, -0.7, 0.2]), np.array([0.5, 0.1, -0.4])
    for scale in (1e-3, -20.0):
        probability, error = attempt(staged, shots=20_000, inputs=scale * x, weights=w)
        assert abs(probability - click_probability(overlap(x, w))) < 5 * error


def test_without_light_only_dark_counts_are_left(staged):
    _, error = attempt(staged, shots=20_000, light=False)
    assert staged.clicks.get() < 20_000 * (click_probability(0.0) + 5 * error)
    assert not staged.driver.outputs_enabled
    probability, error = attempt(staged, light=True)
    assert abs(probability - click_probability(1.0)) < 5 * error


def test_gates_that_the_counter_times_count_the_dark_rate(staged):
    gates, gate = 2000, 5e-3
    attempt(staged, light=False, shots=gates, gate_time=gate)
    counts, detector = staged.counts.get(), PhotonPath().parameters
    expected = detector.dark_rate * detector.passed(THRESHOLD) * gate + detector.noise_counts(THRESHOLD) * gate
    assert counts.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected / gates))
    assert counts.var(ddof=1) == pytest.approx(expected, rel=5 * math.sqrt((2 + 1 / expected) / gates))
    assert staged.run_time.get() == pytest.approx(gates * gate)


def test_results_belong_together(staged):
    attempt(staged, shots=500, inputs=[1.0], weights=[1.0, 1.0])
    counts = staged.counts.get()
    assert counts.shape == (500,)
    assert staged.clicks.get() == np.count_nonzero(counts)
    assert staged.click_probability.get() == staged.clicks.get() / 500
    assert staged.run_time.get() == pytest.approx(500 * PERIOD)


def test_counts_have_the_shape_of_the_next_trigger(staged):
    for shots in (7, 9):
        staged.shots.set(shots).wait(20)
        assert staged.counts.get().shape == tuple(staged.counts.describe()["photon_counts"]["shape"]) == (shots,)
        staged.trigger().wait(20)
        assert staged.counts.get().shape == (shots,)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("inputs", [0.0, 0.0], LimitError),
        ("inputs", [1.0, math.nan], LimitError),
        ("inputs", np.ones(17), ValueTypeError),
        ("inputs", [], ValueTypeError),
        ("inputs", [[1.0]], ValueTypeError),
        ("weights", "up", ValueTypeError),
        ("light", 1, ValueTypeError),
        ("shots", 0, LimitError),
        ("shots", 1_000_001, LimitError),
        ("shots", 1.5, ValueTypeError),
        ("gate_time", 1e-7, LimitError),
        ("gate_time", 2e-6, LimitError),
        ("threshold", 5.1, LimitError),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(photon, sent, name, value, error):
    with pytest.raises(error, match=f"photon_{name}"):
        getattr(photon, name).set(value)
    assert not sent


def test_pulses_are_shaped_only_when_a_vector_has_changed(staged, sent):
    attempt(staged, shots=10)
    sent.clear()
    attempt(staged, shots=10)
    before = sum(map(len, sent))
    sent.clear()
    attempt(staged, weights=[1.0, 1.0])
    assert sum(map(len, sent)) > before + 16


@pytest.mark.parametrize(
    ("key", "value"), [("period", 2.5e-6), ("modes", 300), ("gate_time", 2e-5), ("amplitude", 0.0)]
)
def test_pulses_that_do_not_fit_into_their_period_are_refused_with_their_key(key, value):
    with pytest.raises(TimingError) as caught:
        PulseTiming(**{**TIMING, key: value})
    assert isinstance(caught.value, ValueError)
    assert caught.value.key == ("period" if key == "modes" else key)


def test_stop_ends_a_count_and_the_next_one_works(staged, monkeypatch):
    """The gates never open, as without a trigger from the AWG."""
    counting = threading.Event()
    counts = staged.driver.counter.counts
    monkeypatch.setattr(staged.driver.awg, "phase_sync", lambda: setattr(staged.driver.awg, "ext_trig_out", False))
    monkeypatch.setattr(staged.driver.counter, "counts", lambda *arguments: counting.set() or counts(*arguments))
    staged.shots.set(1_000_000).wait(20)
    status = staged.trigger()
    assert counting.wait(20)
    staged.stop()
    with pytest.raises((AcquisitionStoppedError, MissingReadingsError)):
        status.wait(4)
    monkeypatch.undo()
    staged.driver.awg.ext_trig_out = True
    attempt(staged, shots=10)


def test_a_stop_before_the_count_has_begun_is_not_lost(staged, monkeypatch):
    monkeypatch.setattr(staged.driver.awg, "phase_sync", staged.stop)
    with pytest.raises(AcquisitionStoppedError):
        staged.trigger().wait(4)
    assert not staged.driver.counter.operation_condition & (MEASURING | WAITING)


def test_unstaging_leaves_the_pulses_off(photon):
    photon.stage()
    attempt(photon, shots=10)
    assert photon.driver.outputs_enabled
    photon.unstage()
    assert not photon.driver.outputs_enabled


def test_safe_goes_on_when_an_instrument_fails_and_can_be_repeated(photon, monkeypatch):
    photon.stage()
    attempt(photon, shots=10)

    def fail():
        raise OSError("the cable is out")

    monkeypatch.setattr(photon.driver.counter, "abort", fail)
    with pytest.raises(ExceptionGroup, match="photon could not be made safe") as caught:
        photon.safe()
    assert caught.value.exceptions[0].__notes__ == ["photon: counting ended"]
    assert not photon.driver.outputs_enabled
    monkeypatch.undo()
    assert photon.safe() == photon.safe() == ["counting ended", "pulses off"]
    photon.unstage()


def test_a_channel_that_fails_does_not_keep_the_other_from_going_dark(photon, monkeypatch):
    photon.stage()
    photon.trigger().wait(20)
    channels = photon.driver.awg.channels
    kind = type(channels[1])
    output = kind.output

    def refuse(channel, on):
        if channel.id == 1:
            raise OSError("the cable is out")
        output.__set__(channel, on)

    monkeypatch.setattr(kind, "output", property(output.__get__, refuse))
    with pytest.raises(ExceptionGroup, match="photon could not be made safe"):
        photon.safe()
    assert [bool(channels[number].output) for number in (1, 2)] == [True, False]
    monkeypatch.undo()
    photon.unstage()
