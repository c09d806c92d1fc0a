"""`pytest --station NAME|FILE` keeps the promises of tests/contract on that station; plain `pytest` runs everything.

It stands at the top because pytest must know the option before it knows where the tests are.
"""

from pathlib import Path

import pytest

CONTRACT = Path(__file__).parent / "tests" / "contract"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--station",
        metavar="NAME|FILE",
        default=None,
        help="run only tests/contract, on this station: twin, tcp, sim or a station file of a real bench",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out everything but the contract where a station is named."""
    if config.getoption("--station") is None:
        return None
    inside = collection_path.is_relative_to(CONTRACT) or CONTRACT.is_relative_to(collection_path)
    return None if inside else True
