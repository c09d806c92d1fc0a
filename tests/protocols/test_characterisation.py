import numpy as np
import pytest
from scipy.integrate import quad

from protocols import activation_curve, trajectory
from protocols.arguments import ArgumentError


def quadrature(stiffness, bias, temperature):
    def weight(x, power=0):
        return x**power * np.exp(-(np.polyval([stiffness[2], stiffness[1], stiffness[0], -bias, 0.0], x)) / temperature)

    norm, first, second = (
        quad(weight, -4, 4, args=(power,), points=[-0.7, 0, 0.7], limit=200)[0] for power in range(3)
    )
    positive = quad(weight, 0, 4, points=[0.7])[0] / norm
    return first / norm, second / norm - (first / norm) ** 2, positive


@pytest.mark.slow
def test_means_and_variances_agree_with_quadrature(board, engine):
    result = engine.run(activation_curve(board, drive=(-2, -1, 0, 1, 2), shots=4000))
    for index, bias in enumerate(result["drive"]):
        mean, variance, _ = quadrature((1, 0, 1), bias, 0.1)
        assert abs(result["mean"][index] - mean) < 5 * result["mean_standard_error"][index] + 2e-3
        assert (
            abs(result["variance"][index] - variance) < 5 * result["variance_standard_error"][index] + 0.01 * variance
        )
    assert result["samples"] == 20000
    assert result["board_seconds"] > 0


@pytest.mark.slow
def test_a_bistable_cell_switches_along_a_logistic_function(board, engine):
    drive = tuple(np.linspace(-0.3, 0.3, 9).tolist())
    result = engine.run(
        activation_curve(
            board, drive=drive, stiffness=(-0.5, 0.0, 0.5), shots=3000, temperature=0.2, observation_time=20
        )
    )
    for index, bias in enumerate(drive):
        *_, probability = quadrature((-0.5, 0, 0.5), bias, 0.2)
        error = result["probability_standard_error"][index]
        assert abs(result["probability"][index] - probability) < 5 * error + 5e-3
    fit = result["fit"]
    assert abs(fit["offset"]) < 5 * fit["offset_standard_error"] + 2e-3
    assert 0.05 < fit["width"] < 0.5
    assert fit["width_standard_error"] < 0.1 * fit["width"]


def test_serial_sampling_reports_wider_errors_than_independent_shots_would_have(board, engine):
    result = engine.run(
        activation_curve(board, drive=(0.0,), shots=2000, sampling="serial", observation_time=0.1, burn_in=1.0)
    )
    naive = np.sqrt(result["variance"][0] / 2000)
    assert 1.5 * naive < result["mean_standard_error"][0] < 6 * naive
    assert abs(result["mean"][0]) < 5 * result["mean_standard_error"][0]


def test_a_cell_that_is_not_bistable_has_no_switching_probability(board, engine):
    result = engine.run(activation_curve(board, drive=(0.0,), shots=10, observation_time=0.2))
    assert not {"probability", "fit"} & result.keys()


def test_more_drives_than_program_slots_take_more_runs(board, engine):
    drive = tuple(np.linspace(-16, 16, 130).tolist())
    result = engine.run(activation_curve(board, drive=drive, shots=2, observation_time=0.1))
    assert [name for name, _ in board.log].count("trigger") == 3
    assert result["drive"] == list(drive)
    assert np.all(np.diff(result["mean"])[::40] > -1)


# one trajectory


def test_a_trajectory_starts_at_rest_and_goes_to_the_minimum_of_the_energy(board, engine):
    result = engine.run(
        trajectory(board, drive=(-3.0, 3.0), stiffness=(1, 0, 0), temperature=1e-4, observation_time=0.02, shots=100)
    )
    events = [doc["data"] for name, doc in engine.documents if name == "event"]
    for event, bias in zip(events, (-3.0, 3.0), strict=True):
        exact = bias / 2 * (1 - np.exp(-2 * event["moment"]))
        # the double takes steps of 0.02 in a scheme of order 2; fluctuations are below 5 sqrt(kT / 2)
        assert np.abs(event["activity"] - exact).max() < 0.02 + 5 * np.sqrt(1e-4 / 2)
        assert event["moment"][[0, -1]] == pytest.approx([0.02, 2.0])
    assert result["duration"] == pytest.approx(2.0)
    assert result["samples"] == 200
    assert np.sign(result["final_activity"]).tolist() == [-1, 1]


def test_a_bistable_cell_changes_its_sign_and_a_driven_one_does_not(board, engine):
    arguments = {"stiffness": (-0.5, 0.0, 0.5), "temperature": 0.3, "observation_time": 0.5, "shots": 400}
    result = engine.run(trajectory(board, drive=(0.0, 3.0), **arguments))
    assert result["sign_changes"][0] > 5
    assert result["sign_changes"][1] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drive": (17.0,)}, "drive"),
        ({"shots": 0}, "shots"),
        ({"shots": 10**6 + 1}, "shots"),
        ({"observation_time": 0.0}, "observation_time"),
        ({"stiffness": (1, 1, 0)}, "J3 without J4"),
    ],
)
def test_a_trajectory_that_cannot_be_taken_is_refused_before_anything_is_sent(board, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        next(trajectory(board, **arguments))
    assert board.log == []
