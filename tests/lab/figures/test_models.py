from typing import Any

import numpy as np
import pytest

from lab.figures import draw
from lab.figures.models import STAGES

Z = np.linspace(0, 1, 250)
TARGET = np.cos(2 * np.pi * Z)
FUNCTION = {"final_loss": 1e-3, "inputs": Z[:, np.newaxis], "target": TARGET, "outputs": (TARGET + 0.03)[:, np.newaxis]}
EPOCHS = [{"epoch": epoch, "loss": loss} for epoch, loss in ((1, 0.5), (2, -0.01), (3, 0.02))]
COSINE = {"task": "cosine", "sampling": "reset", "shots": [1000]}


def classes(size: int = 40) -> dict[str, Any]:
    labels = np.arange(size) % 10
    predictions = np.where(np.arange(size) < 36, labels, 0)
    return {
        "final_loss": 0.3,
        "test_accuracy": 0.925,
        "labels": labels,
        "predictions": predictions,
        "accuracy_by_shots": np.array([0.8, 0.9, 0.925]),
    }


def test_a_function_is_drawn_with_its_error_and_the_learning_curve_leaves_out_what_no_logarithm_has(stored, panels):
    run = stored("train_model_based", {"epochs": EPOCHS, "evaluation": [FUNCTION]}, plan_args=COSINE)
    axes = panels(draw(run))
    assert set(axes) == {"training loss", "output y", "error of y"}
    assert np.allclose(axes["error of y"].lines[0].get_ydata(), 0.03)
    drawn = axes["training loss"].lines[0].get_ydata()
    assert np.isnan(drawn).tolist() == [False, True, False]
    assert axes["training loss"].get_yscale() == "log"


def test_the_accuracy_by_shots_stands_between_the_lines_of_the_baselines(stored, panels):
    baselines = [
        {"baseline": name, "test_accuracy": value} for name, value in (("logistic", 0.88), ("small_network", 0.91))
    ]
    streams = {"epochs": EPOCHS, "evaluation": [classes()], "baselines": baselines}
    figure = draw(stored("train_model_based", streams, plan_args={**COSINE, "task": "iris", "shots": [1, 20, 1000]}))
    assert "92.5% of 40 test examples right" in figure.get_suptitle()
    accuracy = panels(figure)["accuracy on test examples"]
    assert [text.get_text() for text in accuracy.get_xticklabels()] == ["1", "20", "1000"]
    entries = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert entries == ["logistic", "small network", "board"]
    (points,) = accuracy.containers
    assert points[0].get_ydata().tolist() == [0.8, 0.9, 0.925]


def test_without_baselines_the_accuracy_is_drawn_alone(stored, panels):
    streams = {"epochs": EPOCHS, "evaluation": [classes()]}
    figure = draw(stored("train_model_based", streams, plan_args={**COSINE, "task": "iris", "shots": [1, 20, 1000]}))
    assert len(panels(figure)["accuracy on test examples"].get_legend().get_texts()) == 1


def transfer_streams(measure: str) -> dict[str, Any]:
    values = dict(zip(STAGES, (1e-3, 2e-2, 2e-3, 4e-3) if measure == "loss" else (0.95, 0.9, 0.94, 0.93), strict=True))
    steps = [
        {"method": method, "step": step, measure: value, "samples": 1000 * step}
        for method in ("genetic", "feedback")
        for step, value in enumerate((0.9 * values["deployed"], values[method]), start=1)
    ]
    outputs = FUNCTION["outputs"]
    return {
        "epochs": EPOCHS,
        "learning": steps,
        "stages": [{"stage": stage, measure: value, "outputs": outputs} for stage, value in values.items()],
        "evaluation": [FUNCTION if measure == "loss" else classes()],
    }


@pytest.mark.parametrize("measure", ["loss", "accuracy"])
def test_a_transfer_shows_its_stages_and_how_the_board_recovered(stored, panels, measure):
    arguments = {"task": "cosine" if measure == "loss" else "digits", "shots": 1000}
    figure = draw(stored("transfer", transfer_streams(measure), plan_args=arguments))
    axes = panels(figure)
    course = axes[measure]
    assert [len(line.get_xdata()) for line in course.lines[:2]] == [3, 3]
    levels = [line.get_ydata()[0] for line in course.lines[2:]]
    assert levels == ([1e-3, 2e-3] if measure == "loss" else [0.95])
    if measure == "loss":
        assert len(axes["output y"].lines) == 1 + len(STAGES)
    else:
        heights = [bar.get_height() for bar in axes["accuracy on test examples"].patches]
        assert heights == [0.95, 0.9, 0.94, 0.93]
