import math

import numpy as np
import pytest
from bluesky.protocols import Readable, Stageable, Stoppable, Triggerable
from ophyd.utils import LimitError
from scipy.special import expit

from lab import open_station
from lab.devices.dot_charge import DotChargeSwitch, LevelsError
from lab.devices.driver_device import AcquisitionStoppedError
from protocols.ports import ActivationSwitch
from twin.models.gated_device import BOLTZMANN
from twin.models.quantum_dot import Sample

MIDDLE, LEVER_ARM = 0.01, 0.1
"""Drive at which the first electron is there half of the time, V, and what a volt of it does to its energy, eV/V."""
KT = BOLTZMANN * 0.1
TABLE = {
    "gate": "virtual_plunger",
    "span": (9.3e-3, 10.7e-3),
    "operating_point": {"barrier_left": 0.17, "virtual_sensor": 0.3},
    "readout": "threshold",
    "integration_time": 1e-4,
    "shot_interval": 2.5e-3,
    "tunnel_rate": 1.8e3,
    "memory": 0.02,
}


@pytest.fixture
def station():
    with open_station("twin", seed=2, devices=["dot"]) as opened:
        yield opened


@pytest.fixture
def dot(station):
    return station["dot"]


@pytest.fixture
def make(dot):
    """Make switches that are staged, and unstaged at the end."""
    made = []

    def switch(**changes):
        made.append(DotChargeSwitch(dot, name="switch", **{**TABLE, **changes}))
        made[-1].stage()
        return made[-1]

    yield switch
    for device in made:
        device.unstage()
        device.close()


def ask(switch, drive, shots):
    switch.drive.set(drive).wait(20)
    switch.shots.set(shots).wait(20)
    switch.trigger().wait(60)
    return switch.outcomes.get()


def expected(drive):
    """The occupied fraction at zero bias (Milburn and Basiri-Esfahani, section 4)."""
    return expit(LEVER_ARM * (drive - MIDDLE) / KT)


def test_a_dot_is_an_activation_switch(dot):
    switch = DotChargeSwitch(dot, name="switch", **TABLE)
    for protocol in (ActivationSwitch, Readable, Triggerable, Stageable, Stoppable):
        assert isinstance(switch, protocol)
    assert switch.drive.units == "V"
    assert switch.drive.get() == pytest.approx(MIDDLE)
    switch.close()


@pytest.mark.parametrize("readout", ["threshold", "bayes"])
def test_the_fraction_on_follows_the_drive_as_statistical_mechanics_says(make, readout):
    switch = make(readout=readout)
    for drive in (9.9e-3, 10e-3, 10.1e-3):
        outcomes = ask(switch, drive, 1500)
        assert outcomes.shape == (1500,)
        # of the time an electron comes or goes within a reading, which then tells either
        lost = TABLE["tunnel_rate"] * TABLE["integration_time"] * expected(drive) * (1 - expected(drive))
        error = 5 * switch.probability_standard_error.get() + lost * abs(1 - 2 * expected(drive))
        assert abs(switch.probability.get() - expected(drive)) < error


@pytest.mark.parametrize("readout", ["threshold", "bayes"])
def test_at_the_ends_of_its_span_the_switch_is_off_and_on(make, readout):
    switch = make(readout=readout)
    low, high = switch.span
    assert ask(switch, low, 200).mean() < -0.97
    assert ask(switch, high, 200).mean() > 0.97


def test_the_levels_are_those_of_the_sample(make, dot):
    switch = make()
    sample = Sample()
    volts = np.array(list(dot.actual_volts().values()))
    chain = sample.chain(volts, 0.0)
    empty, occupied = (chain.currents[(chain.charges == charges).all(axis=1).argmax()] for charges in ([0, 0], [1, 0]))
    reading = sample.sensor_noise(TABLE["integration_time"])
    assert switch.levels == (pytest.approx(empty, abs=5 * reading), pytest.approx(occupied, abs=5 * reading))
    assert switch.levels[0] - switch.levels[1] == pytest.approx(empty - occupied, abs=5 * reading)
    white = sample.parameters.sensor_amplifier.white_noise
    assert white < switch.noise_density < 3 * white


def test_a_closed_point_contact_tells_no_levels_and_leaves_the_bias_off(dot):
    switch = DotChargeSwitch(dot, name="switch", **{**TABLE, "operating_point": {"barrier_left": 0.17}})
    with pytest.raises(LevelsError, match="cannot be told apart; a reading scatters by"):
        switch.stage()
    assert not switch.staged
    assert not dot.staged
    assert not dot.driver.outputs_enabled
    assert all(abs(volts) < 2e-5 for volts in dot.actual_volts().values())
    switch.close()


def test_an_operating_point_beyond_a_limit_is_refused(dot):
    switch = DotChargeSwitch(dot, name="switch", **{**TABLE, "operating_point": {"barrier_left": 1.3}})
    with pytest.raises(LimitError, match="dot_barrier_left"):
        switch.stage()
    switch.close()


def test_more_shots_than_fit_into_a_trace_are_taken_in_several(make, station):
    switch = make()
    begin = station.clock.now()
    outcomes, times = ask(switch, MIDDLE, 1000), switch.shot_times.get()
    assert outcomes.shape == times.shape == (1000,)
    assert set(np.unique(outcomes)) == {-1, 1}
    assert times[0] == 0
    gaps = np.diff(times)
    assert gaps.min() == pytest.approx(TABLE["shot_interval"], rel=1e-6)
    assert np.sum(gaps > 1.001 * TABLE["shot_interval"]) <= 3
    assert switch.run_time.get() >= times[-1]
    assert switch.run_time.get() == pytest.approx(station.clock.now() - begin, rel=0.01)
    assert switch.on_count.get() == np.sum(outcomes == 1)
    assert switch.off_count.get() == np.sum(outcomes == -1)


def test_shots_are_never_closer_than_their_interval(make, station):
    switch = make(shot_interval=2.0, operating_point={"barrier_left": 0.1, "virtual_sensor": 0.3}, tunnel_rate=10.0)
    begin = station.clock.now()
    ask(switch, MIDDLE, 3)
    assert np.diff(switch.shot_times.get()).min() >= 2.0
    assert station.clock.now() - begin >= 6.0


def test_one_shot_is_enough(make):
    switch = make()
    assert ask(switch, MIDDLE, 1).shape == switch.shot_times.get().shape == (1,)


@pytest.mark.parametrize("readout", ["threshold", "bayes"])
def test_a_shot_remembers_the_one_before_as_little_as_its_datasheet_says(make, readout):
    switch = make(readout=readout)
    outcomes = ask(switch, MIDDLE, 4000)
    memory = np.corrcoef(outcomes[:-1], outcomes[1:])[0, 1]
    assert abs(memory) < switch.memory + 5 / math.sqrt(len(outcomes))


def test_shots_in_quick_succession_remember_as_the_rates_say(make):
    interval = 3e-4
    switch = make(shot_interval=interval)
    outcomes = ask(switch, MIDDLE, 4000)
    memory = np.corrcoef(outcomes[:-1], outcomes[1:])[0, 1]
    sample_rate = TABLE["tunnel_rate"]
    assert memory == pytest.approx(math.exp(-sample_rate * interval), abs=0.1)


def test_stop_ends_a_count_and_the_next_one_works(make):
    switch = make()
    switch.shots.set(200_000).wait(20)
    stopped = []
    status = switch.trigger()
    status.watch(lambda **progress: stopped or stopped.append(switch.stop()))
    with pytest.raises(AcquisitionStoppedError):
        status.wait(60)
    assert ask(switch, MIDDLE, 10).shape == (10,)


def test_drives_are_within_what_the_gates_bear(dot):
    switch = DotChargeSwitch(dot, name="switch", **TABLE)
    low, high = dot.gate("virtual_plunger").limits
    assert switch.drive.limits == (pytest.approx(low), pytest.approx(high))
    with pytest.raises(LimitError):
        switch.drive.set(high + 0.01)
    switch.close()


def test_dots_that_are_staged_already_stay_staged(dot):
    dot.stage()
    switch = DotChargeSwitch(dot, name="switch", **TABLE)
    switch.stage()
    switch.unstage()
    assert dot.driver.outputs_enabled
    dot.unstage()
    switch.close()
