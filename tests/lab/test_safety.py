"""No path to an output avoids the limits of the station file, and whatever ends a plan leaves the outputs safe."""

from importlib import resources

import numpy as np
import pytest
from bluesky.utils import FailedStatus
from click.testing import CliRunner

import protocols
from drivers.errors import OutputLimitError
from lab import open_station
from lab.catalogue import Catalogue
from lab.cli import main
from lab.station_file import StationError
from sim_devices.scpi import ScpiError


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """The twin with limits tighter than those of its instruments."""
    text = (resources.files("lab") / "stations" / "twin.toml").read_text()
    text = text.replace(
        'role = "thermodynamic_board"\n',
        'role = "thermodynamic_board"\nlimits = { bias = [-1.0, 1.0], couplings = [-0.5, 0.5], temperature = [0,1] }\n',
        1,
    )
    text = text.replace('role = "quantum_dot"\n', 'role = "quantum_dot"\nexcitation_limit = "20 uV"\n')
    path = tmp_path_factory.mktemp("limits") / "limited.toml"
    path.write_text(text)
    with open_station(path, seed=1) as opened:
        yield opened
        opened.safe()


PATHS = {
    "bias of one cell": lambda s: s["board"].driver.set_bias_element(1, 1.1),
    "coupling of two cells": lambda s: s["board"].driver.set_coupling_element(1, 2, -0.6),
    "program": lambda s: s["board"].driver.program(0, bias=np.full(s["board"].driver.cells, 1.1)),
    "programs": lambda s: s["board"].driver.load({0: {"couplings": np.full((2, 2), 0.6) - 0.6 * np.eye(2)}}),
    "temperature": lambda s: setattr(s["board"].driver, "temperature", 1.1),
    "gate": lambda s: setattr(s["dot"].driver.dac.channel(2), "voltage", 9.9),
    "gate in range of the DAC": lambda s: setattr(s["dot"].driver.dac.channel(2), "voltage", 0.31),
    "raw message to the DAC": lambda s: s["dot"].driver.dac.write("sour2:volt 0.31"),
    "bias": lambda s: setattr(s["dot"].driver.bias_source, "source_voltage", 10.1),
    "raw message to the source": lambda s: s["dot"].driver.bias_source.write(":SOUR:VOLT 10.1"),
    "excitation": lambda s: setattr(s["dot"].driver.lock_in, "sine_voltage", 2.1),
    "raw message to the lock-in": lambda s: s["dot"].driver.lock_in.write("SLVL 2.1"),
    "high level of a pulse": lambda s: setattr(s["photon"].driver.awg.ch_1, "voltage_high", 1.1),
    "amplitude of pulses": lambda s: setattr(s["photon"].driver.awg.ch_2, "amplitude", 4.0),
    "offset of pulses": lambda s: setattr(s["photon"].driver.awg.ch_1, "offset", 1.5),
    "raw message to the AWG": lambda s: s["photon"].driver.awg.write("SOUR1:VOLT 4"),
    "raw level": lambda s: s["photon"].driver.awg.write("*CLS;:SOURCE1:VOLTAGE:HIGH 1.1"),
    "raw set-up": lambda s: s["photon"].driver.awg.write("APPL:SIN 1e3,4"),
    "raw recall": lambda s: s["photon"].driver.awg.write("*RCL 1"),
    "raw switch": lambda s: s["photon"].driver.awg.write_bytes(b"OUTP1 ON\n"),
}


@pytest.mark.parametrize("path", PATHS)
def test_the_drivers_below_a_device_meet_its_limits_too(station, path):
    with pytest.raises(OutputLimitError):
        PATHS[path](station)


def test_a_switch_meets_the_limits_of_the_board_it_is_a_cell_of(station, make_engine):
    engine = make_engine(station=station)
    with pytest.raises(FailedStatus) as failure:
        engine(protocols.switch_curve(station["switch"], drive=[1.2], shots=10))
    assert "bias" in str(failure.value.__cause__)
    assert all(device.at_rest for device in station.values())


def test_an_excitation_that_the_lock_in_cannot_go_down_to_is_refused_by_the_station_file(tmp_path):
    text = (resources.files("lab") / "stations" / "twin.toml").read_text()
    path = tmp_path / "least.toml"
    path.write_text(text.replace('role = "quantum_dot"\n', 'role = "quantum_dot"\nexcitation_limit = "1 nV"\n'))
    with pytest.raises(StationError, match=r"devices.dot.excitation_limit: 1e-09 V is less than 4e-08 V"):
        open_station(path, devices=["dot"])


def test_an_open_interlock_stops_a_run_within_one_acquisition(make_engine, tmp_path):
    with open_station("twin", seed=1, devices=["board"]) as twin:
        board = twin.bench.instruments["TCPIP0::board::5025::SOCKET"]
        engine = make_engine(station=twin)

        def opened(name, document):
            if name == "event" and document["seq_num"] == 3:
                board.open_interlock()

        engine.subscribe(opened)
        with pytest.raises(FailedStatus) as failure:
            engine(protocols.train_in_situ(twin["board"], task="xor", epochs=40, seed=3))
        assert "nterlock" in str(failure.value.__cause__)
        assert twin["board"].at_rest
    run = Catalogue(engine.journal.directory).find("last")
    assert run.state == "fail"
    assert run.read("learning").sizes["event"] == 3


def test_an_error_event_of_the_dac_stops_a_run_within_one_acquisition(make_engine):
    with open_station("twin", seed=1, devices=["dot"]) as twin:
        dac = twin.bench.instruments["TCPIP0::qdac::5025::SOCKET"]
        engine = make_engine(station=twin)

        def beyond(name, document):
            if name == "event" and document["seq_num"] == 3:
                dac.report(ScpiError(-222, "channel 2 is over its limit"))

        engine.subscribe(beyond)
        with pytest.raises(FailedStatus) as failure:
            engine(protocols.charge_stability(twin["dot"], points=(31, 11)))
        assert "channel 2 is over its limit" in str(failure.value.__cause__)
        assert twin["dot"].at_rest
    run = Catalogue(engine.journal.directory).find("last")
    assert run.state == "fail"
    (stream,) = run.streams
    assert run.read(stream).sizes["event"] == 3


def test_an_exception_in_a_subscriber_leaves_the_outputs_safe(make_engine):
    with open_station("twin", seed=1, devices=["board"]) as twin:
        engine = make_engine(station=twin)

        def broken(name, document):
            if name == "event":
                raise ZeroDivisionError("in a callback")

        engine.subscribe(broken)
        with pytest.raises(ZeroDivisionError):
            engine(protocols.train_in_situ(twin["board"], task="xor", epochs=40, seed=3))
        assert twin["board"].at_rest


def test_making_safe_by_hand_says_what_was_safe_already():
    done = CliRunner().invoke(main, ["safe", "--station", "twin"])
    assert done.exit_code == 0
    assert "board: was safe already" in done.stdout.splitlines()
    assert "photon: was safe already" in done.stdout.splitlines()
