"""Self tests of the thermodynamic board: each measures something whose value is known."""

from collections.abc import Callable, Mapping

import numpy as np

from twin.models.thermodynamic_board import Program, Record, Schedule, ThermodynamicBoard

CELLS = 8
SHOTS = 1 << 16
ESTIMATE_SHOTS = 1 << 14
OBSERVATION = 1.0
"""Time of one shot, in model units."""


def _measure(
    model: ThermodynamicBoard,
    *,
    temperature: float,
    bias: float = 0.0,
    start: float = 0.0,
    shots: int = 64,
    cells: int = CELLS,
) -> Record:
    """Run uncoupled cells of stiffness 1; the noise is that of acquisition 0, which no INITiate uses."""
    cells = min(cells, model.cells)
    zeros = np.zeros(cells)
    program = Program(
        couplings=np.zeros((cells, cells)),
        bias=np.full(cells, bias),
        weights=np.zeros((cells, 0)),
        quadratic=np.ones(cells),
        cubic=zeros,
        quartic=zeros,
    )
    return model.simulate(
        [program],
        np.zeros((1, 0)),
        Schedule("reset", shots, OBSERVATION, start=np.full(cells, start)),
        temperature=temperature,
        seed=model.noise_seed,
        acquisition=0,
        keep_samples=False,
    )


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max())


def adc_offset(model: ThermodynamicBoard) -> tuple[bool, str]:
    """Check that cells at rest read 0 within 0.05."""
    offset = _largest(_measure(model, temperature=0.0).mean)
    return offset < 0.05, f"ADC offset {offset:.3g}"


def adc_gain(model: ThermodynamicBoard) -> tuple[bool, str]:
    """Check that a bias of 4 moves a cell to 2 (1 - exp(-2 t)) within 5 %."""
    expected = 2.0 * -np.expm1(-2.0 * OBSERVATION)
    deviation = _largest(_measure(model, temperature=0.0, bias=4.0).mean / expected - 1.0)
    return deviation < 0.05, f"ADC gain within {deviation:.3g}"


def noise_level(model: ThermodynamicBoard) -> tuple[bool, str]:
    """Check that the variance at kT = 1 is (1 - exp(-4 t)) / 2 within 20 %."""
    expected = 0.5 * -np.expm1(-4.0 * OBSERVATION)
    deviation = _largest(_measure(model, temperature=1.0, shots=SHOTS).variance / expected - 1.0)
    return deviation < 0.2, f"noise level within {deviation:.3g}"


def noise_correlation(model: ThermodynamicBoard) -> tuple[bool, str]:
    """Check that uncoupled cells correlate by less than 0.02."""
    covariance = np.asarray(_measure(model, temperature=1.0, shots=SHOTS).covariance)[0, 0]
    deviation = np.sqrt(np.diag(covariance))
    correlation = _largest(np.triu(covariance / np.outer(deviation, deviation), 1))
    return correlation < 0.02, f"noise cross-correlation {correlation:.3g}"


def noise_covariance(model: ThermodynamicBoard, temperature: float, cells: int) -> np.ndarray:
    """Return the covariance of the noise of the first cells, in units of kT: their temperatures on the diagonal.

    A cell of stiffness 1 released at 0 has the variance kT (1 - exp(-4 t)) / 2 after the time t.
    """
    record = _measure(model, temperature=temperature, shots=ESTIMATE_SHOTS, cells=cells)
    return np.asarray(record.covariance)[0, 0] * 2.0 / -np.expm1(-4.0 * OBSERVATION)


def relaxation(model: ThermodynamicBoard) -> tuple[bool, str]:
    """Check that a cell released at 1 is at exp(-2 t) within 0.05."""
    deviation = _largest(_measure(model, temperature=0.0, start=1.0).mean - np.exp(-2.0 * OBSERVATION))
    return deviation < 0.05, f"relaxation within {deviation:.3g}"


MEASUREMENTS: Mapping[int, Callable[[ThermodynamicBoard], tuple[bool, str]]] = {
    4: adc_offset,
    5: adc_gain,
    7: noise_level,
    8: noise_correlation,
    9: relaxation,
}
"""Self tests by their number."""
