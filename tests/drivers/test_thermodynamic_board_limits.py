import numpy as np
import pytest

from drivers.errors import OutputLimitError
from drivers.thermodynamic_board import ThermodynamicBoard
from sim_devices import benches, visa

PHYSICAL = ("MOD:UNIT PHYS", b"MOD:UNIT PHYS\n")


@pytest.fixture
def board():
    with benches.open("thermodynamic_board", seed=1) as bench:
        driver = ThermodynamicBoard("TCPIP0::board::5025::SOCKET", visa_library=visa.open_library(bench), timeout=5000)
        driver.protect(bias=(-4.0, 4.0), temperature=(0.0, 1.0))
        yield driver
        driver.adapter.close()


@pytest.mark.parametrize("unit", ["model", "physical"])
def test_limits_hold_in_any_unit(board, unit):
    board.unit = unit
    largest = board.limits("bias")[1] / 4
    board.set_bias_element(1, largest)
    with pytest.raises(OutputLimitError, match="bias from"):
        board.set_bias_element(1, 1.01 * largest)
    with pytest.raises(OutputLimitError, match="bias from"):
        board.program(0, bias=np.array([0.0, -1.01 * largest]))
    hottest = board.values("NOIS:TEMP? MAX")[0] / 4
    board.temperature = hottest
    with pytest.raises(OutputLimitError, match="temperature from"):
        board.temperature = 1.01 * hottest


@pytest.mark.parametrize("message", PHYSICAL)
def test_units_that_a_raw_message_has_changed_are_minded(board, message):
    board.set_bias_element(1, 1.0)
    board.execute(message)
    with pytest.raises(OutputLimitError, match=r"-0\.2 to 0\.2 is allowed"):
        board.set_bias_element(1, 1.0)


def test_what_has_no_limits_passes(board):
    board.admit("couplings", [1e9])
