import numpy as np
import pytest

from lab.figures import draw
from protocols.switch_calibration import SwitchCalibration


@pytest.fixture
def points():
    drive = np.linspace(-2, 2, 9)
    p = 1 / (1 + np.exp(-(0.5 + 2 * drive)))
    return [
        {"drive": x, "probability": y + 0.01, "probability_standard_error": 0.01} for x, y in zip(drive, p, strict=True)
    ]


@pytest.fixture
def calibration():
    return SwitchCalibration(
        switch="switch",
        unit="mV",
        centre=0.0,
        half_width=2.0,
        degree=1,
        coefficients=[0.5, 4.0, 0.0, 0.0, 0.0, 0.0],
        floor=0.0,
        loss=0.0,
        covariance=np.diag([0.01, 0.04, *[0.0] * 6]).tolist(),
        deviance=7.0,
        p_value=0.4,
        drive_limits=[-5.0, 5.0],
    )


def test_a_switching_curve_shows_binomial_errors_and_the_fit(stored, panels, points, calibration):
    streams = {"primary": points, "calibration": [{**calibration.as_dict(), **calibration.summary()}]}
    axes = panels(draw(stored("switch_curve", streams, plan_args={"shots": 500})))
    curve = next(line for line in axes["probability of +1"].lines if len(line.get_xdata()) == 300)
    assert curve.get_ydata()[0] == pytest.approx(1 / (1 + np.exp(3.5)))
    residuals = axes["residual / error"].lines[-1].get_ydata()
    assert residuals == pytest.approx(np.ones(9))
    said = axes["probability of +1"].texts[0].get_text()
    assert "slope 2.00 ± 0.10" in said
    assert "offset -0.250 ± 0.05" in said


def test_a_curve_without_a_fit_shows_its_points(stored, panels, points):
    axes = panels(draw(stored("switch_curve", {"primary": points})))
    assert axes["residual / error"].get_xlabel().startswith("drive")
    assert list(axes["probability of +1"].texts) == []


def test_the_memory_of_a_switch_is_compared_with_none(stored, panels):
    event = {
        "autocorrelation": np.array([0.3, 0.1, 0.0]),
        "autocorrelation_standard_error": 0.01,
        "datasheet_memory": 0.4,
        "memory": 0.3,
    }
    figure = draw(stored("switching_times", {"primary": [event]}, plan_args={"shots": 1000}))
    axes = panels(figure)["correlation of the outcomes"]
    points = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    assert points.get_xdata().tolist() == [1, 2, 3]
    assert points.get_ydata().tolist() == [0.3, 0.1, 0.0]
    assert figure.get_suptitle().startswith("memory of a switch: 0.300 ± 0.010")
