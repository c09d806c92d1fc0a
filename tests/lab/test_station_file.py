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
    assert station_names() == ["sim", "tcp", "twin"]
    for name in station_names():
        assert read_station(name).name == name


def test_the_example_of_a_bench_can_be_read(tmp_path):
    example = Path(read_station("twin").path).with_name("bench.example.toml")
    assert read_station(example).tables.devices["board"].limits == {"temperature": [0.0, 1.0]}


@pytest.mark.parametrize("name", ["twn", "", "nowhere/mine.toml", "/", "bench.example", "a\0b", "x" * 5000])
def test_a_station_that_is_not_there_is_an_error_that_lists_those_there(name):
    with pytest.raises(StationError, match="allowed: sim, tcp, twin, or the path") as caught:
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
