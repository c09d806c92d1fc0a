import numpy as np
import pytest

from sim_devices.instruments.source_outputs import REMEMBERED, HeldSine, HeldVoltage, Terminal


def test_a_voltage_is_held_from_its_setting_to_the_next():
    held = HeldVoltage().then(1.0, 2.0).then(3.0, -1.0)
    assert held.voltage(np.array([[-5.0, 0.99, 1.0], [2.99, 3.0, 100.0]])).tolist() == [[0, 0, 2], [2, -1, -1]]


def test_a_setting_replaces_those_that_are_not_before_it():
    held = HeldVoltage().then(1.0, 2.0).then(1.0, 5.0)
    assert held.voltage(np.array([0.5, 1.0, 2.0])).tolist() == [0, 5, 5]
    assert len(held.times) == 2


def test_a_record_is_never_changed():
    before = HeldVoltage().then(1.0, 2.0)
    before.then(2.0, 9.0)
    assert before.voltage(np.array([5.0])) == 2.0


def test_what_lies_far_back_is_forgotten():
    held = HeldVoltage()
    for step in range(1, REMEMBERED + 11):
        held = held.then(float(step), float(step))
    assert len(held.times) == REMEMBERED
    assert held.voltage(np.array([0.0, 1e9])).tolist() == [11, REMEMBERED + 10]


def test_a_sine_has_the_amplitude_and_frequency_that_were_set():
    sine = HeldSine(HeldVoltage(voltages=(0.5,)).then(1.0, 2.0), HeldVoltage(voltages=(50.0,)))
    before, after = np.linspace(0, 1, 1000, endpoint=False), np.linspace(1, 2, 1000, endpoint=False)
    assert np.std(sine.voltage(before)) == pytest.approx(0.5)
    assert np.std(sine.voltage(after)) == pytest.approx(2.0)
    assert np.argmax(np.abs(np.fft.rfft(sine.voltage(before)))) == 50


def test_a_terminal_shows_its_latest_record():
    terminal = Terminal(HeldVoltage())
    terminal.record = HeldVoltage(voltages=(3.0,))
    assert terminal.voltage(np.zeros(2)).tolist() == [3, 3]
