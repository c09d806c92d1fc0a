import contextlib
import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.station_file import StationError, quantity, read_station, station_names

STATION = """
[station]
description = "a board"
library = "py"

[instruments.board]
resource = "TCPIP0::10.0.0.5::5025::SOCKET"
driver = "thermodynamic_board"
identity = "Szilard,TB256"
timeout = "20 ms"

[devices.board]
role = "thermodynamic_board"
instrument = "board"
limits.temperature = [0, 1.5]

[devices.switch]
role = "board_cell"
instrument = "board"
cell = 3
"""


@pytest.fixture
def station(tmp_path):
    """Write a station file with replacements and read it."""

    def read(*replacements: tuple[str, str], text: str = STATION):
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return read_station(path)

    return read


def test_a_station_file_is_read_with_its_quantities_in_si_units(station):
    definition = station()
    assert definition.name == "mine"
    instrument = definition.tables.instruments["board"]
    assert instrument.timeout == pytest.approx(0.02)
    assert instrument.identity == "Szilard,TB256"
    board, switch = definition.tables.devices.values()
    assert board.limits == {"temperature": [0.0, 1.5]}
    assert switch.cell == 3


def test_the_stations_of_the_package_are_known_by_name_and_can_be_read():
    assert station_names() == ["mismatched", "sim", "tcp", "twin", "two_boards"]
    for name in station_names():
        assert read_station(name).name == name


def test_the_example_of_a_bench_can_be_read():
    example = Path(read_station("twin").path).with_name("bench.example.toml")
    assert read_station(example).tables.devices["board"].limits == {"temperature": [0.0, 1.0]}


@pytest.mark.parametrize("name", ["twn", "", "nowhere/mine.toml", "/", "bench.example", "a\0b", "x" * 5000])
def test_a_station_that_is_not_there_is_an_error_that_lists_those_there(name):
    with pytest.raises(StationError, match="allowed: mismatched, sim, tcp, twin, two_boards, or the path") as caught:
        read_station(name)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('library = "py"', 'library = "py"\ncolour = 3', "station.colour: unknown key; allowed: description, library"),
        ('driver = "th', 'speed = 1\ndriver = "th', "instruments.board.speed: unknown key; allowed: resource, driver"),
        ("cell = 3", "row = 3", "devices.switch.row: unknown key; allowed: role, instrument, cell"),
        ("[station]", "[benhc]\n[station]", "benhc: unknown key; allowed: station, bench, instruments, devices"),
        ('timeout = "20 ms"', "timeout = 20", 'instruments.board.timeout: 20 is no quantity; .* such as "5 s"'),
        ('timeout = "20 ms"', 'timeout = "20 mV"', "instruments.board.timeout: '20 mV' is not a quantity in s"),
        ('timeout = "20 ms"', 'timeout = "20 parrots"', "unknown unit 'parrots'"),
        ('timeout = "20 ms"', 'timeout = "0 s"', "out of range; allowed: 1 ms to 1 h"),
        ('timeout = "20 ms"', 'timeout = "9**9**9**9 s"', "is no quantity"),
        ('timeout = "20 ms"', 'timeout = "1e999 s"', "not finite"),
        ("TCPIP0::10.0.0.5::5025::SOCKET", "10.0.0.5", "instruments.board.resource: '10.0.0.5' is no VISA resource"),
        ('driver = "thermodynamic_board"', 'driver = "oven"', "'oven' is not known; allowed: 'thermodynamic_board'"),
        ('role = "board_cell"', 'role = "oven"', "devices.switch.role: unknown role 'oven'; allowed: thermodynamic_b"),
        ('role = "board_cell"', "", "devices.switch.role: missing; allowed: thermodynamic_board, board_cell"),
        ('library = "py"', "", "station.library: missing"),
        ("cell = 3", "cell = 0", "devices.switch.cell: .*greater than or equal to 1, not 0"),
        ("cell = 3", 'cell = "3"', "devices.switch.cell: .*integer, not '3'"),
        ("[0, 1.5]", "[2, 1.5]", r"devices.board.limits.temperature: \[2, 1.5\] are no limits"),
        ("[0, 1.5]", "[0, nan]", "are no limits"),
        ("[0, 1.5]", "3", "are no limits"),
        (
            'instrument = "board"\ncell',
            'instrument = "bord"\ncell',
            "devices.switch.instrument: .*'bord'; allowed: board",
        ),
        ('instrument = "board"\nlimits', 'instrument = "x"\nlimits', "there is no instrument 'x'; allowed: board"),
        ("[devices.switch]", '[devices."a b"]', "devices.a b: no name for a device"),
        ('library = "py"', 'library = "py"\nbench = "x"', "allowed only with library = \"twin\", not 'py'"),
        ("[station]", "[station", "not a TOML file"),
        ('description = "a board"', "description = 7", "station.description: .*string, not 7"),
    ],
)
def test_what_is_wrong_in_a_station_file_is_named_with_its_key_and_what_is_allowed(station, old, new, message):
    with pytest.raises(StationError, match=message) as caught:
        station((old, new))
    assert "mine.toml" in str(caught.value)


BODIES = """
[station]
library = "twin"

[instruments.dac]
resource = "TCPIP0::qdac::5025::SOCKET"
driver = "qdevil_qdac2"
[instruments.meter]
resource = "TCPIP0::dmm::5025::SOCKET"
driver = "keysight_34465a"
[instruments.sensor]
resource = "TCPIP0::dmm2::5025::SOCKET"
driver = "keysight_34465a"
[instruments.scope]
resource = "TCPIP0::scope::5555::SOCKET"
driver = "rigol_ds1000z"
[instruments.smu]
resource = "GPIB0::24::INSTR"
driver = "keithley_2400"
[instruments.board]
resource = "TCPIP0::board::5025::SOCKET"
driver = "thermodynamic_board"

[devices.dot]
role = "quantum_dot"
dac = "dac"
ammeter = "meter"
sensor_meter = "sensor"
digitizer = "scope"
bias_source = "smu"
current_gain = "100 MV/A"
current_range = "10 nA"
sensor_gain = "1e7 V/A"
sensor_range = "100 nA"
trace_range = "4 nA"
sensor_bandwidth = "40 kHz"
bias_attenuation = 1e-3
bias_limits = ["-10 mV", "10 mV"]
[devices.dot.gates.plunger]
channel = 2
limits = ["-300 mV", "0.3 V"]
slew = "100 mV/s"

[devices.dot_switch]
role = "dot_charge"
instrument = "dot"
gate = "plunger"
span = ["9 mV", "11 mV"]
integration_time = "100 us"
shot_interval = "2 ms"
tunnel_rate = "2 kHz"
memory = 0.02

[devices.board]
role = "thermodynamic_board"
instrument = "board"
[devices.switch]
role = "board_cell"
instrument = "board"
[devices.other]
role = "board_cell"
instrument = "board"
cell = 2
"""


def test_cables_and_gates_are_read_with_their_units(station):
    dot = station(text=BODIES).tables.devices["dot"]
    assert dot.current_gain == pytest.approx(1e8)
    assert dot.sensor_bandwidth == pytest.approx(4e4)
    assert dot.bias_limits == pytest.approx([-0.01, 0.01])
    gate = dot.gates["plunger"]
    assert (gate.limits, gate.slew, gate.safe) == (pytest.approx([-0.3, 0.3]), pytest.approx(0.1), 0.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("channel = 2", "channel = 25", "devices.dot.gates.plunger.channel: .*less than or equal to 24, not 25"),
        ("channel = 2", "chanel = 2", "gates.plunger.chanel: unknown key; allowed: channel, limits, slew, safe"),
        ('"-300 mV", "0.3 V"', '"-300 mV"', "gates.plunger.limits: .* are no limits; write two quantities"),
        ('"-300 mV", "0.3 V"', '"0.3 V", "-300 mV"', "the lower one comes first"),
        ('"-300 mV", "0.3 V"', "-0.3, 0.3", "is no quantity"),
        ('slew = "100 mV/s"', 'slew = "100 mV"', "gates.plunger.slew: '100 mV' is not a quantity in V/s"),
        ('dac = "dac"', 'dac = "dca"', "devices.dot.dac: there is no instrument 'dca'; allowed: board, dac"),
        ('instrument = "dot"', 'instrument = "board"', "dot_switch.instrument: there is no device of role quantum_dot"),
        ('"9 mV", "11 mV"', "9, 11", "devices.dot_switch.span: 9 is no quantity"),
    ],
)
def test_what_is_wrong_in_the_wiring_of_dots_is_named(station, old, new, message):
    with pytest.raises(StationError, match=message):
        station((old, new), text=BODIES)


def test_a_switch_is_found_by_its_own_name_or_by_what_it_stands_on(station):
    definition = station(text=BODIES)
    assert definition.device_for("dot_switch", "ActivationSwitch") == "dot_switch"
    assert definition.device_for("dot", "ActivationSwitch") == "dot_switch"
    assert definition.device_for("dot", "QuantumDot") == "dot"
    with pytest.raises(StationError, match=r"devices.board: switch, other stand on it; allowed: dot_switch, switch"):
        definition.device_for("board", "ActivationSwitch")
    with pytest.raises(StationError, match=r"devices.photon: is no PhotonKernel; allowed: none"):
        definition.device_for("photon", "PhotonKernel")


def test_a_model_is_found_by_its_own_name_or_by_its_board_and_stands_on_nothing_else(station):
    model = '[devices.ideal]\nrole = "board_model"\ninstrument = "board"\n'
    definition = station(text=BODIES + model)
    assert definition.device_for("ideal", "BoardModel") == definition.device_for("board", "BoardModel") == "ideal"
    assert definition.device_for("board", "Board") == "board"
    assert list(definition.needed_for(["ideal"]).tables.devices) == ["board", "ideal"]
    with pytest.raises(StationError, match=r"devices.ideal.instrument: there is no device of role thermodynamic_board"):
        station((model, model.replace('"board"\n', '"dot"\n')), text=BODIES + model)


def test_what_some_devices_need_is_a_station_of_its_own(station):
    needed = station(text=BODIES).needed_for(["dot_switch"])
    assert list(needed.tables.devices) == ["dot", "dot_switch"]
    assert list(needed.tables.instruments) == ["dac", "meter", "sensor", "scope", "smu"]
    assert list(station(text=BODIES).needed_for(["switch", "board"]).tables.instruments) == ["board"]


def test_a_byte_order_mark_before_a_station_file_is_no_part_of_it(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(STATION, encoding="utf-8-sig")
    assert set(read_station(path).tables.devices) == {"board", "switch"}


def test_all_wrong_keys_are_named_at_once(station):
    with pytest.raises(StationError) as caught:
        station(("cell = 3", "cell = 0\nrow = 1"), ('timeout = "20 ms"', "timeout = 20"))
    for key in ("devices.switch.cell", "devices.switch.row", "instruments.board.timeout"):
        assert f"{key}: " in str(caught.value)


def test_an_instrument_stands_in_a_station_once(station):
    again = STATION + STATION[STATION.index("[instruments.board]") : STATION.index("[devices.board]")].replace(
        "instruments.board", "instruments.other"
    ).replace("TCPIP0::10.0.0.5", "tcpip::10.0.0.5")
    with pytest.raises(StationError, match=r"instruments.other.resource: is that of 'board' already"):
        station(text=again)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 100_000, b"x = 1\n" * 300_000, b""])
def test_a_file_that_is_no_station_file_is_refused(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(StationError, match=r"mine\.toml"):
        read_station(path)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("500 1/s", "1/s", 500.0), ("2 kHz", "1/s", 2000.0), ("3/s", "1/s", None), ("1 Mohm", "ohm", 1e6)],
)
def test_a_rate_is_a_quantity_too(text, unit, value):
    if value is None:
        with pytest.raises(ValueError, match="is no quantity"):
            quantity(text, unit)
    else:
        assert quantity(text, unit) == pytest.approx(value)


@given(st.text(max_size=120))
def test_no_text_hangs_or_breaks_the_reading_of_a_quantity(text):
    begun = time.monotonic()
    with contextlib.suppress(ValueError):
        assert math.isfinite(quantity(text, "s"))
    assert time.monotonic() - begun < 2


@given(st.floats(1e-6, 1e6), st.sampled_from([("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("minute", 60.0)]))
def test_quantities_are_converted_whatever_unit_they_are_written_in(value, unit):
    name, factor = unit
    assert quantity(f"{value!r} {name}", "s") == pytest.approx(value * factor, rel=1e-12)
