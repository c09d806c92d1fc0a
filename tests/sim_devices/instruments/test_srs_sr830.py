"""The lock-in at signals of known amplitude, phase and noise."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim_devices.instruments.srs_sr830 import MOST_POINTS, SR830
from twin.clock import VirtualClock
from twin.models.lock_in import OutputFilter
from twin.noise import generator

COMMAND_ERROR, EXECUTION_ERROR = 32, 16


class Sample:
    """Multiplies the sine by a factor that may change at a time, and adds white noise; 0.25 V at direct current."""

    def __init__(self, factor=0.1, noise=0.0):
        self.factor = factor
        self.noise = noise
        self.change = (math.inf, factor)

    def phasor(self, frequency, amplitude, starts, aperture, acquisition):
        factor = np.where(starts < self.change[0], self.factor, self.change[1]) * amplitude
        signal = np.stack([np.real(factor), np.imag(factor)], axis=1)
        spread = self.noise / math.sqrt(2 * aperture)
        return signal + spread * generator(1, "sample", acquisition, "noise").standard_normal(signal.shape)

    def mean(self, starts, aperture, acquisition):
        return np.full(len(starts), 0.25)


@pytest.fixture
def worker():
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def place(connect, worker):
    def place(sample=None, **cables):
        client = connect(SR830(VirtualClock(), worker, voltage_input=sample or Sample(), **cables))
        client.refuses = lambda message: client.write(message) or int(client.ask("*ESR?"))
        return client

    return place


def numbers(client, query):
    return [float(value) for value in client.ask(query).split(",")]


def test_the_outputs_are_the_response_to_the_sine(place):
    client = place(Sample(0.1 * np.exp(0.5j)))
    client.write("SLVL 2")
    client.board.clock.sleep(10)
    expected = [0.2 * np.cos(0.5), 0.2 * np.sin(0.5), 0.2, np.degrees(0.5), 1000.0]
    assert numbers(client, "SNAP?1,2,3,4,9") == pytest.approx(expected, rel=1e-5)
    assert [float(client.ask(f"OUTP?{n}")) for n in range(1, 5)] == pytest.approx(expected[:4], rel=1e-5)


def test_the_reference_phase_turns_x_and_y(place):
    client = place(Sample(0.1j))
    client.write("PHAS90.00")
    client.board.clock.sleep(10)
    assert numbers(client, "SNAP?1,2") == pytest.approx([0.1, 0.0], abs=1e-7)
    assert client.ask("PHAS 450;PHAS?") == "+9.000000E+01"


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_change_of_the_amplitude_is_followed_with_time_constant_and_slope(place, order):
    client = place()
    client.write(f"OFLT 10;OFSL {order - 1}")
    client.board.clock.sleep(100)
    client.write("SLVL 2")
    elapsed = 0.0
    for step in (0.3, 0.7, 1.5):
        client.board.clock.sleep(step)
        elapsed += step
        missing = math.exp(-elapsed) * sum(elapsed**j / math.factorial(j) for j in range(order))
        assert float(client.ask("OUTP? 1")) == pytest.approx(0.2 - 0.1 * missing, rel=1e-5)


def test_a_change_of_the_sample_comes_in_when_it_happened_not_when_it_is_looked_at(place):
    sample = Sample()
    client = place(sample)
    client.write("OFLT 10;OFSL 0")
    client.board.clock.sleep(100)
    client.ask("OUTP? 1")
    sample.change = (103.0, 0.3)
    client.board.clock.sleep(5)
    assert float(client.ask("OUTP? 1")) == pytest.approx(0.3 - 0.2 * math.exp(-2), rel=1e-5)


def test_an_output_does_not_depend_on_how_often_it_was_read(place):
    def value(readings):
        client = place()
        client.write("OFLT 10;SLVL 3")
        for _ in range(readings):
            client.board.clock.sleep(2 / readings)
            reply = client.ask("OUTP? 1")
        return float(reply)

    assert value(1) == pytest.approx(value(40), rel=1e-5)


@pytest.mark.parametrize(("index", "slope"), [(6, 0), (6, 3), (8, 1)])
def test_noise_comes_out_with_the_bandwidth_of_the_filter(place, index, slope):
    client = place(Sample(0.1, noise=1e-6))
    output = OutputFilter((1e-2, 1e-1)[index == 8], slope + 1)
    client.write(f"OFLT {index};OFSL {slope};SRAT 0;SENS 26;STRT")
    client.board.clock.sleep(16 * 399.5)
    client.write("PAUS")
    client.write("TRCB? 1,0,400")
    points = np.frombuffer(client.read(), "<f4").astype(float)
    expected = 1e-6 * math.sqrt(output.noise_bandwidth)
    assert points.mean() == pytest.approx(0.1, abs=5 * expected / math.sqrt(400))
    assert points.std() == pytest.approx(expected, rel=5 / math.sqrt(800))


def test_points_closer_than_the_time_constant_are_correlated(place):
    client = place(Sample(0.0, noise=1e-6))
    client.write("OFLT 8;OFSL 0;SRAT 10;STRT")
    client.board.clock.sleep(16000 / 64)
    client.write("PAUS;TRCB? 1,0,16000")
    points = np.frombuffer(client.read(), "<f4").astype(float)
    lag = round(0.1 * 64)
    expected = math.exp(-lag / 6.4)
    independent = len(points) / 12.8
    assert np.corrcoef(points[:-lag], points[lag:])[0, 1] == pytest.approx(expected, abs=5 / math.sqrt(independent))


def test_a_harmonic_of_a_linear_sample_is_silent(place):
    client = place()
    client.write("HARM2")
    client.board.clock.sleep(10)
    assert float(client.ask("OUTP? 3")) == pytest.approx(0, abs=1e-9)


def test_without_its_reference_nothing_is_detected(place):
    client = place()
    client.write("FMOD 0")
    client.board.clock.sleep(10)
    assert float(client.ask("OUTP? 3")) == pytest.approx(0, abs=1e-9)
    assert int(client.ask("LIAS?")) & 8
    assert client.refuses("FREQ 100") == EXECUTION_ERROR


def test_the_sine_output_has_the_amplitude_and_frequency_that_are_set(place):
    client = place()
    client.write("SLVL 0.5;FREQ 50")
    voltage = client.board.output().voltage(np.linspace(0, 1, 1000, endpoint=False))
    assert voltage.std() == pytest.approx(0.5)
    assert np.argmax(np.abs(np.fft.rfft(voltage))) == 50
    assert client.ask("SLVL0.1234;SLVL?") == "+1.240000E-01"


def test_currents_are_detected_at_the_current_input(place):
    client = place(current_input=Sample(2e-7))
    client.write("ISRC 2")
    client.board.clock.sleep(10)
    assert float(client.ask("OUTP? 1")) == pytest.approx(2e-7)
    client.write("SENS 23;LIAS?")
    client.read()
    assert int(client.ask("LIAS?")) & 4


def test_overloads_of_input_and_output_stay_until_they_are_read(place):
    client = place(Sample(0.5))
    assert client.ask("LIAS?") == "0"
    client.write("SENS 24")
    assert client.ask("LIAS? 2") == "1"
    client.write("SENS 26")
    assert client.ask("LIAS?") == "4"
    assert client.ask("LIAS?") == "0"
    client.write("SLVL 5")
    client.board.clock.sleep(10)
    assert int(client.ask("LIAS?")) & 1
    assert float(client.ask("OUTP? 1")) == pytest.approx(1.09)


def test_offset_and_expansion_act_as_in_the_display(place):
    client = place()
    client.write("SENS 24;OEXP 1,40,1")
    assert float(client.ask("OUTP? 1")) == pytest.approx(0.1 - 0.4 * 0.2)
    assert client.ask("OEXP? 1") == "40.00,1"
    assert client.ask("LIAS?") == "0"
    client.write("OEXP 1,-10,1")
    assert client.ask("LIAS? 2") == "1"
    client.write("AOFF 1")
    assert float(client.ask("OUTP? 1")) == pytest.approx(0, abs=1e-5)


def test_the_automatic_functions_find_sensitivity_and_phase(place):
    client = place(Sample(0.013 * np.exp(1j)))
    client.write("AGAN;APHS")
    assert client.ask("SENS?") == "21"
    assert float(client.ask("PHAS?")) == pytest.approx(57.3, abs=0.01)
    client.board.clock.sleep(10)
    assert float(client.ask("OUTP? 4")) == pytest.approx(0, abs=0.01)


def test_auxiliary_terminals_are_read_and_set(place):
    client = place(aux_inputs={2: Sample()})
    assert [float(client.ask(f"OAUX?{n}")) for n in (1, 2)] == pytest.approx([0, 0.25], abs=1 / 3000)
    client.board.clock.sleep(1)
    client.write("AUXV3,-1.5")
    assert client.board.aux_output(3).voltage(np.array([0.5, 1.5])).tolist() == [0, -1.5]
    assert float(client.ask("AUXV? 3")) == -1.5


def test_displays_show_what_is_chosen(place):
    client = place(Sample(0.1, noise=1e-6), aux_inputs={1: Sample(), 4: Sample()})
    client.write("OFLT 4;DDEF 1,1,0;DDEF 2,1,0")
    assert numbers(client, "SNAP? 10,11") == pytest.approx([0.1, 0.0], abs=1e-2)
    client.write("DDEF 1,3,0;DDEF 2,4,0")
    assert numbers(client, "SNAP? 10,11") == pytest.approx([0.25, 0.25], abs=1 / 3000)
    client.write("DDEF 1,2,0;SRAT 13;STRT")
    client.board.clock.sleep(20)
    client.write("PAUS")
    independent = 512 / 8 / 2
    assert float(client.ask("OUTR? 1")) == pytest.approx(1e-6, rel=5 / math.sqrt(2 * independent))


def test_a_single_shot_ends_when_the_memory_is_full(place):
    client = place()
    client.write("SEND 0;SRAT 13;STRT")
    assert int(client.ask("*STB?")) & 1 == 0
    client.board.clock.sleep(1000)
    assert client.ask("SPTS?") == str(MOST_POINTS)
    assert int(client.ask("*STB?")) & 1 == 1


def test_a_loop_keeps_the_latest_points(place):
    sample = Sample()
    sample.change = (50_000.0, 0.2)
    client = place(sample)
    client.write("OFLT 4;SRAT 13;STRT")
    client.board.clock.sleep(100_000)
    assert client.ask("SPTS?") == str(MOST_POINTS)
    client.write(f"PAUS;TRCB?1,0,{MOST_POINTS}")
    assert np.frombuffer(client.read(), "<f4") == pytest.approx(0.2, rel=1e-6)


def test_asking_for_the_points_lets_time_pass_while_data_are_stored(place):
    client = place()
    client.write("SRAT 0;STRT")
    assert [client.ask("SPTS?") for _ in range(3)] == ["2", "3", "4"]
    assert client.board.clock.now() == 48.0
    client.write("PAUS")
    assert client.ask("SPTS?") == "4"
    client.write("REST")
    assert client.ask("SPTS?") == "0"


def test_triggers_start_storing_or_store_a_point(place):
    client = place()
    client.write("TSTR1;SRAT 4;STRT")
    client.board.clock.sleep(10)
    assert client.ask("SPTS?") == "0"
    client.write("TRIG")
    client.board.clock.sleep(3.5)
    client.write("PAUS")
    assert client.ask("SPTS?") == "4"
    client.write("REST;TSTR0;SRAT14.000000;STRT;TRIG;TRIG")
    assert client.ask("SPTS?") == "2"
    assert int(client.ask("LIAS?")) & 64


def test_a_buffer_is_the_same_in_all_its_formats(place):
    client = place(Sample(0.1 + 0.02j))
    client.write("SLVL 2;OFLT 10;SRAT 6;STRT")
    client.board.clock.sleep(3.1)
    client.write("PAUS;TRCB? 2,3,5")
    floats = np.frombuffer(client.read(), "<f4")
    text = client.ask("TRCA? 2,3,5")
    assert text.endswith(",")
    assert [float(value) for value in text.split(",")[:-1]] == pytest.approx(floats, rel=1e-5)
    client.write("TRCL? 2,3,5")
    mantissa, exponent = np.frombuffer(client.read(), "<i2").reshape(5, 2).T
    assert mantissa * 2.0 ** (exponent - 124.0) == pytest.approx(floats, rel=1e-4)
    assert client.refuses("TRCB? 1,10,100") == EXECUTION_ERROR


def test_every_reply_to_a_message_has_its_own_end(place):
    client = place()
    client.write("FREQ?;HARM?")
    assert client.read() == b"+1.000000E+03\n1\n"


def test_long_time_constants_are_for_low_frequencies(place):
    client = place()
    assert client.refuses("OFLT 14") == EXECUTION_ERROR
    assert client.refuses("FREQ 10;OFLT 15") == 0
    assert int(client.ask("LIAS?")) & 16
    client.write("FREQ 1000")
    assert client.ask("OFLT?") == "13"
    assert int(client.ask("LIAS?")) & 48 == 48


def test_set_ups_are_stored_and_recalled(place):
    client = place()
    client.write("SENS 10;OEXP 2,5,2;DDEF 1,1,0;SSET3;*RST")
    assert client.ask("SENS?") == "26"
    client.write("RSET3")
    assert [client.ask(query) for query in ("SENS?", "OEXP? 2", "DDEF? 1")] == ["10", "5.00,2", "1,0"]
    assert client.refuses("RSET4") == EXECUTION_ERROR


def test_a_reset_puts_the_standard_sine_out(place):
    client = place()
    client.write("SLVL 5;AUXV 1,3;*RST")
    assert float(client.ask("SLVL?")) == 1
    assert client.board.aux_output(1).voltage(np.array([1.0])) == 0


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("NONS 1", COMMAND_ERROR),
        (":SYST:ERR?", COMMAND_ERROR),
        ("FORM ASC", COMMAND_ERROR),
        ("SENS", COMMAND_ERROR),
        ("SENS 27", EXECUTION_ERROR),
        ("SLVL 0", EXECUTION_ERROR),
        ("HARM 103", EXECUTION_ERROR),
        ("DDEF 1,0,1", EXECUTION_ERROR),
        ("AUXV 1,11", EXECUTION_ERROR),
    ],
)
def test_what_cannot_be_sets_a_bit_of_the_standard_event_status(place, message, status):
    client = place()
    assert client.refuses(message) == status
    assert client.ask("*ESR?") == "0"


def test_status_bytes_are_summed_up_where_they_are_enabled(place):
    client = place()
    client.write("SENS 0;OUTP? 1")
    client.read()
    assert int(client.ask("*STB?")) & 8 == 0
    client.write("LIAE 2,1")
    assert int(client.ask("*STB?")) & 8 == 8
    assert client.ask("LIAE?;") == "4"
    assert client.ask("*STB? 3") == "1"
    client.write("SENS 26;*CLS")
    assert int(client.ask("*STB?")) & 8 == 0
