"""One instrument, one base name: whoever looks for its driver, its simulation or their tests can guess the files."""

from pathlib import Path

import pytest

from lab.station_tables import DRIVERS

ROOT = Path(__file__).parents[2]
FILES = (
    "sim_devices/definitions/{}.yaml",
    "sim_devices/instruments/{}.py",
    "drivers/{}.py",
    "tests/sim_devices/instruments/test_{}.py",
    "tests/drivers/test_{}.py",
)


@pytest.mark.parametrize("name", DRIVERS)
def test_every_instrument_has_its_five_files(name):
    assert [path for path in (ROOT / file.format(name) for file in FILES) if not path.is_file()] == []


def test_every_definition_is_of_an_instrument_that_a_station_may_have():
    assert {path.stem for path in (ROOT / "sim_devices" / "definitions").glob("*.yaml")} == set(DRIVERS)


def test_the_page_of_the_instruments_names_every_one():
    page = (ROOT / "docs" / "instruments.md").read_text()
    assert [name for name in DRIVERS if f"| `{name}` |" not in page] == []
