import pytest

from lab import open_station
from lab.station import StationError
from lab.station_file import read_station

TWIN = read_station("twin").path.read_text()


@pytest.fixture
def opened(tmp_path):
    """Open some devices of the twin's station file with replacements in it."""
    stations = []

    def open_with(*replacements, devices):
        text = TWIN
        for old, new in replacements:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        path = tmp_path / "mine.toml"
        path.write_text(text)
        stations.append(open_station(path, seed=1, devices=devices))
        return stations[-1]

    yield open_with
    for station in stations:
        station.close()


def refused(opened, *replacements, devices):
    with pytest.raises(StationError) as caught:
        opened(*replacements, devices=devices)
    return str(caught.value).partition("mine.toml: ")[2]


def test_every_role_of_the_twin_makes_its_device():
    classes = {
        "board": "ThermodynamicBoard",
        "switch": "BoardCellSwitch",
        "model": "BoardModel",
        "dot": "QuantumDot",
        "dot_switch": "DotChargeSwitch",
        "photon": "PhotonKernel",
        "photon_switch": "PhotonSwitch",
    }
    with open_station("twin", seed=1) as station:
        assert {name: type(device).__name__ for name, device in station.items()} == classes
        assert station["dot_switch"].body is station["dot"]
        assert station["photon_switch"].body is station["photon"]
        assert station["switch"].body is station["model"].body is station["board"]


def test_a_switch_brings_the_device_it_stands_on(opened):
    assert set(opened(devices=["photon_switch"])) == {"photon", "photon_switch"}


def test_what_a_table_says_arrives_at_the_device(opened):
    station = opened(
        ('bias_limits = ["-10 mV", "10 mV"]', 'bias_limits = ["-2 mV", "3 mV"]'),
        ("excitation_attenuation = 1e-5", "excitation_attenuation = 1e-4"),
        ('slew = "1 V/s" }\nbarrier_2', 'slew = "100 mV/s", safe = "50 mV" }\nbarrier_2'),
        ('readout = "threshold"', 'readout = "bayes"'),
        ('threshold = "50 mV"', 'threshold = "30 mV"'),
        ("pulses = 10", "pulses = 12"),
        devices=["dot_switch", "photon_switch"],
    )
    dot = station["dot"]
    assert dot.bias.limits == (-2e-3, 3e-3)
    assert dot.excitation.limits == pytest.approx((4e-7, 5e-4))
    assert dot.excitation.get() == pytest.approx(1e-5)
    assert (dot.wiring.gates["barrier_right"].slew, dot.wiring.gates["barrier_right"].safe) == (0.1, 0.05)
    assert station["dot_switch"].readout == "bayes"
    assert station["photon"].threshold.get() == 0.03
    assert station["photon_switch"].pulses == 12


@pytest.mark.parametrize(
    ("device", "old", "new", "message"),
    [
        (
            "dot_switch",
            'gate = "virtual_plunger"',
            'gate = "oven"',
            "devices.dot_switch.gate: there is no gate 'oven'; allowed: barrier_left, plunger, ",
        ),
        (
            "dot_switch",
            'virtual_sensor = "0.3 V" }',
            'oven = "0.3 V" }',
            "devices.dot_switch.operating_point.oven: there is no gate 'oven'; allowed: barrier_left",
        ),
        (
            "photon_switch",
            "least_clicks = 2",
            "least_clicks = 11",
            "devices.photon_switch.least_clicks: 11 is not allowed; from 1 to 10, its pulses",
        ),
        (
            "photon_switch",
            "least_clicks = 2\nefficiency = 0.88",
            "least_clicks = 10\nefficiency = 0.2",
            "devices.photon_switch.least_clicks: photon_switch: 10 clicks of 10 pulses hardly ever come",
        ),
        ("photon", 'period = "10 us"', 'period = "2 us"', "devices.photon.period: 2e-06 s is too short for the modes"),
        ("photon", 'gate_time = "1 us"', 'gate_time = "20 us"', "devices.photon.gate_time: 2e-05 s is too long"),
        ("photon", 'amplitude = "1 V"', 'amplitude = "-1 V"', "devices.photon.amplitude: -1 V is not allowed"),
        (
            "dot",
            "plunger = { channel = 2",
            "plunger = { channel = 1",
            "devices.dot.gates.plunger.channel: 1 is that of 'barrier_left' already",
        ),
        (
            "dot",
            'limits = ["-0.3 V", "0.3 V"]',
            'limits = ["0.1 V", "0.3 V"]',
            "devices.dot.gates.plunger.safe: 0 V is outside its limits, 0.1 to 0.3 V",
        ),
        (
            "dot",
            'virtual_sensor = { of = "sensor"',
            'virtual_sensor = { of = "oven"',
            "devices.dot.virtual_gates.virtual_sensor.of: there is no gate 'oven'; allowed: barrier_left",
        ),
        (
            "dot",
            'bias_limits = ["-10 mV", "10 mV"]',
            'bias_limits = ["1 mV", "10 mV"]',
            "devices.dot.bias_limits: [0.001, 0.01] V leave out 0 V",
        ),
        ("switch", "cell = 1\n", "cell = 257\n", "devices.switch.cell: 257 is not allowed; from 1 to 256"),
        (
            "board",
            '[devices.board]\nrole = "thermodynamic_board"\n',
            '[devices.board]\nrole = "thermodynamic_board"\nlimits.heat = [0.0, 1.0]\n',
            "devices.board.limits: board has no limits of 'heat'; there are those of ",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_key_and_what_is_allowed(opened, device, old, new, message):
    assert refused(opened, (old, new), devices=[device]).startswith(message)
