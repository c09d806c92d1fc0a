"""`pytest --station NAME|FILE` keeps the promises of tests/contract on that station; plain `pytest` runs everything."""

from pathlib import Path

import pytest

CONTRACT = Path(__file__).parent / "contract"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--station",
        metavar="NAME|FILE",
        default=None,
        help="run only tests/contract, on this station: twin, tcp, sim or a station file of a real bench",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.getoption("--station") is None:
        return None
    inside = collection_path.is_relative_to(CONTRACT) or CONTRACT.is_relative_to(collection_path)
    return None if inside else True
