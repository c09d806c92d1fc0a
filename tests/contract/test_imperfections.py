"""Every imperfection that a station file may switch on, measured through the whole stack without noise."""

import math

import numpy as np
import pytest

from lab import open_station
from protocols.ports import BoardProgram

CELLS = 128
STATION = """
[station]
library = "twin"
[bench.board.imperfections]
{}
[instruments.board]
resource = "TCPIP0::board::5025::SOCKET"
driver = "thermodynamic_board"
[devices.board]
role = "thermodynamic_board"
instrument = "board"
"""


@pytest.fixture
def measure(tmp_path, station_name):
    """Return what the cells of an imperfect board settle to: (shots, cells) samples and the board time in tau."""
    if station_name != "twin":
        pytest.skip("imperfections are chosen on the twin")

    def run(imperfections, *, couplings=None, bias=1.0, weights=None, observation_time=20.0, shots=1):
        file = tmp_path / "imperfect.toml"
        file.write_text(STATION.format(imperfections))
        ones = np.ones(CELLS)
        program = BoardProgram(
            couplings=np.zeros((CELLS, CELLS)) if couplings is None else couplings,
            bias=bias * ones,
            weights=(ones if weights is None else weights)[:, np.newaxis],
            quadratic=ones,
            cubic=0 * ones,
            quartic=0 * ones,
        )
        settings = {
            "programs": [program], "input_table": [[0.0 if weights is None else -1.0]], "rows": (1, 1),
            "sampling": "reset", "observation_time": observation_time, "shots": shots, "readout": "samples",
            "temperature": 0.0,
        }  # fmt: skip
        with open_station(file, seed=1) as station:
            board = station["board"]
            board.stage()
            for name, value in settings.items():
                getattr(board, name).set(value).wait(60)
            begin = station.clock.now() / 1e-5
            board.trigger().wait(60)
            samples = np.asarray(board.samples.get(), float)[0, 0]
            board.unstage()
        return samples, begin

    return run


def assert_spread(deviations, size):
    """Compare a standard deviation with what was asked for, within five standard errors."""
    assert deviations.std() == pytest.approx(size, rel=5 / math.sqrt(2 * deviations.size))
    assert abs(deviations.mean()) < 5 * size / math.sqrt(deviations.size)


def pairs(coupling):
    """Couplings between cells 1 and 2, 3 and 4, and so on."""
    couplings = np.zeros((CELLS, CELLS))
    first = np.arange(0, CELLS, 2)
    couplings[first, first + 1] = couplings[first + 1, first] = coupling
    return couplings


def couplings_in_force(x):
    """What each cell of the pairs feels from the other, by the balance of forces 1 - 2 x_i - J_ij x_j = 0."""
    x = x.reshape(-1, 2)
    return (1 - 2 * x) / x[:, ::-1]


def test_a_board_without_imperfections_settles_where_its_forces_balance(measure):
    samples, _ = measure("", couplings=pairs(0.7))
    np.testing.assert_allclose(couplings_in_force(samples[0]), 0.7, atol=1e-5)


def test_an_offset_is_a_static_force(measure):
    samples, _ = measure("offset = 0.1")
    assert_spread(2 * samples[0] - 1, 0.1)


def test_a_drift_is_a_force_that_grows_as_the_square_root_of_time(measure):
    samples, begin = measure("drift = 0.001")
    assert begin > 0
    assert_spread(2 * samples[0] - 1, 0.001 * math.sqrt(begin))


def test_stiffness_mismatch_is_relative(measure):
    samples, _ = measure("stiffness_mismatch = 0.05")
    assert_spread(1 / (2 * samples[0]) - 1, 0.05)


def test_coupling_mismatch_is_relative_and_the_same_in_both_directions(measure):
    samples, _ = measure("coupling_mismatch = 0.05", couplings=pairs(0.7))
    there, back = couplings_in_force(samples[0]).T
    np.testing.assert_allclose(there, back, atol=1e-5)
    assert_spread(there / 0.7 - 1, 0.05)


def test_coupling_mismatch_is_that_of_the_input_weights_too(measure):
    samples, _ = measure("coupling_mismatch = 0.05", bias=0.0, weights=np.ones(CELLS))
    assert_spread(2 * samples[0] - 1, 0.05)


def test_reciprocity_error_is_half_the_difference_of_the_directions(measure):
    samples, _ = measure("reciprocity_error = 0.05", couplings=pairs(0.7))
    there, back = couplings_in_force(samples[0]).T
    np.testing.assert_allclose((there + back) / 2, 0.7, atol=1e-5)
    assert_spread((there - back) / 2 / 0.7, 0.05)


@pytest.mark.parametrize(
    ("bits", "of", "step"), [("coupling_bits = 6", "couplings", 0.25), ("weight_bits = 6", "weights", 0.25)]
)
def test_a_program_is_rounded_to_the_codes_of_its_converters(measure, bits, of, step):
    written = np.random.default_rng(2).uniform(-1.2, 1.2, CELLS)
    if of == "couplings":
        samples, _ = measure(bits, couplings=pairs(written[::2]))
        in_force, written = couplings_in_force(samples[0])[:, 0], written[::2]
    else:
        samples, _ = measure(bits, bias=0.0, weights=written)
        in_force = 2 * samples[0]
    np.testing.assert_allclose(in_force, step * np.round(written / step), atol=1e-4)


def test_a_bias_is_rounded_to_the_codes_of_its_converter(measure):
    samples, _ = measure("bias_bits = 6", bias=1.3)
    np.testing.assert_allclose(2 * samples[0], 1.5, rtol=1e-5)


def test_read_noise_is_added_to_every_sample(measure):
    samples, _ = measure("read_noise = 0.03", shots=50)
    assert_spread((samples - 0.5).ravel(), 0.03)


def test_samples_are_rounded_to_the_codes_of_their_converter(measure):
    samples, _ = measure("adc_bits = 5\nadc_range = 2.0\noffset = 0.3")
    codes = samples[0] / 0.125
    np.testing.assert_array_equal(codes, np.round(codes))
    assert len(np.unique(codes)) > 3


def test_fields_settle_exponentially_after_the_release(measure):
    samples, _ = measure("settling_time = 3.0", observation_time=1.0)
    expected = (1 - math.exp(-2)) / 2 - (math.exp(-1 / 3) - math.exp(-2)) / (2 - 1 / 3)
    np.testing.assert_allclose(samples[0], expected, rtol=1e-4)
