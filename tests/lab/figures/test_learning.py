import numpy as np
import pytest

from lab.figures import draw


def epochs(count, **arrays):
    return [
        {"epoch": epoch + 1, "error": 1 / (1 + epoch), "error_standard_error": 0.02}
        | {key: np.asarray(value) * epoch for key, value in arrays.items()}
        for epoch in range(count)
    ]


def evaluation(rows):
    return {
        "final_error": 0.02,
        "final_error_standard_error": 0.004,
        "inputs": np.array(rows, dtype=float),
        "wanted": np.array([1, -1]),
        "probability": np.array([0.97, 0.01]),
        "probability_standard_error": np.array([0.01, 0.01]),
    }


def test_learning_shows_error_weights_and_the_truth_table(stored, panels):
    streams = {"learning": epochs(30, weights=[-1.0], bias=[0.1]), "evaluation": [evaluation([(-1,), (1,)])]}
    figure = draw(stored("learn_gate", streams, plan_args={"gate": "NOT", "rule": "sampled", "shots": 200}))
    axes = panels(figure)
    shown = axes["error probability"].lines
    assert len(shown[0].get_ydata()) == 30
    assert shown[1].get_ydata()[0] == pytest.approx(np.mean(1 / np.arange(1, 11)))
    band = axes["error probability"].collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(np.mean(1 / np.arange(1, 11)) + 0.02 / np.sqrt(10))
    assert [line.get_label() for line in axes["weights and biases"].lines[:2]] == ["w", "b"]
    assert [patch.get_height() for patch in axes["probability of +1"].patches] == [1.0, 0.0]
    assert axes["probability of +1"].lines[0].get_ydata().tolist() == [0.97, 0.01]
    assert "learn gate, NOT, sampled, 200 shots: final error 0.0200 ± 0.0040" in figure.get_suptitle()


def test_a_photon_kernel_has_weights_only_and_several_inputs(stored, panels):
    streams = {"learning": epochs(3, weights=[0.7, -0.7]), "evaluation": [evaluation([(-1, 1), (1, 1)])]}
    axes = panels(draw(stored("learn_kernel", streams, plan_args={"gate": "XOR", "method": "gradient"})))
    assert [line.get_label() for line in axes["weights"].lines[:2]] == ["w1", "w2"]
    assert [tick.get_text() for tick in axes["probability of +1"].get_xticklabels()] == ["−1\n+1", "+1\n+1"]


def test_learning_that_was_cut_shows_its_series(stored, panels):
    axes = panels(draw(stored("learn_gate", {"learning": epochs(3, weights=[-1.0])})))
    assert axes["error"].get_xlabel() == "epoch"
