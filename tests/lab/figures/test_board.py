import re
from typing import Any

import numpy as np
import pytest

from lab.figures import draw


def sweep(**columns: Any) -> list[dict[str, float]]:
    drive = np.linspace(-2, 2, 9)
    point = {
        "drive": drive,
        "mean": np.tanh(drive),
        "mean_standard_error": 0 * drive + 0.02,
        "variance": 1 / (1 + drive**2),
    }
    columns = point | {key: values(drive) for key, values in columns.items()}
    return [{key: float(values[index]) for key, values in columns.items()} for index in range(len(drive))]


def learning(epochs: int = 3, steps: int = 4) -> dict[str, list[dict[str, Any]]]:
    return {
        "learning": [
            {"step": step + 1, "epoch": 1 + step // steps, "loss": 1.0 / (1 + step), "accuracy": 0.5}
            for step in range(epochs * steps)
        ],
        "epochs": [
            {"epoch": epoch + 1, "loss": 1.0 / (1 + epoch), "train_accuracy": 0.9, "test_accuracy": 0.8}
            for epoch in range(epochs)
        ],
    }


def classes(labels: Any, predictions: Any, inputs: int) -> dict[str, Any]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    probabilities = np.eye(10)[predictions] * 0.9 + 0.01
    pixels = np.linspace(-0.5, 0.5, len(labels) * inputs).reshape(-1, inputs)
    return {"labels": labels, "predictions": predictions, "probabilities": probabilities, "inputs": pixels}


def test_an_activation_curve_shows_points_with_errors_and_units(stored, panels):
    run = stored("activation_curve", {"primary": sweep()}, plan_args={"stiffness": [1, 0, 1], "temperature": 0.1})
    axes = panels(draw(run))
    assert set(axes) == {"mean (model units)", "variance (model units²)"}
    mean = axes["mean (model units)"]
    assert mean.get_xlabel() == "drive (model units)"
    assert np.allclose(mean.lines[0].get_ydata(), np.tanh(np.linspace(-2, 2, 9)))
    assert len(mean.containers) == 1


def test_a_bistable_cell_shows_its_sigmoid(stored, panels):
    points = sweep(
        probability=lambda drive: 1 / (1 + np.exp(-(drive - 0.25) / 0.5)),
        probability_standard_error=lambda drive: 0 * drive + 0.01,
    )
    run = stored("activation_curve", {"primary": points}, plan_args={"stiffness": [-1, 0, 1], "temperature": 0.1})
    legend = panels(draw(run))["probability of +1"].get_legend().get_texts()[0].get_text()
    assert re.fullmatch(r"offset 0\.250 ± 0\.0\d\d\nwidth 0\.500 ± 0\.0\d\d", legend)


def test_training_on_digits_shows_curves_confusion_and_digits(stored, panels):
    labels = np.arange(40) % 10
    predictions = labels.copy()
    predictions[[3, 14]] = 8
    streams = learning() | {"evaluation": [classes(labels, predictions, 64)]}
    figure = draw(stored("train_in_situ", streams, plan_args={"task": "digits", "seed": 7}))
    axes = panels(figure)
    assert [len(line.get_xdata()) for line in axes["accuracy"].lines] == [3, 3]
    assert axes["training loss"].lines[0].get_xdata()[-1] == pytest.approx(3.0)
    counts = sum(int(text.get_text()) for text in axes["class"].texts)
    assert counts == 40
    titles = [axis.get_title() for axis in figure.get_axes()]
    assert "3 read as\n8 (91%)" in titles
    assert "4 read as\n8 (91%)" in titles
    assert "0 (91%)" in titles
    assert "95.0% of 40" in figure.get_suptitle()
    assert "seed 7" in figure.get_supxlabel()


@pytest.mark.parametrize("wrong", [0, 40])
def test_digits_all_read_right_or_all_wrong_can_be_drawn(stored, wrong):
    labels = np.arange(40) % 10
    predictions = (labels + (wrong > 0)) % 10
    streams = learning() | {"evaluation": [classes(labels, predictions, 64)]}
    draw(stored("train_in_situ", streams, plan_args={"task": "digits"})).canvas.draw()


def test_training_on_two_classes_shows_curves_and_confusion(stored, panels):
    streams = learning() | {"evaluation": [classes([0, 1, 1, 0], [0, 1, 0, 0], 2)]}
    axes = panels(draw(stored("train_in_situ", streams, plan_args={"task": "xor"})))
    assert set(axes) == {"accuracy", "training loss", "class"}


def test_training_cut_short_shows_its_series(stored, panels):
    figure = draw(stored("train_in_situ", {"learning": learning()["learning"]}, plan_args={"task": "xor"}))
    assert panels(figure)["loss"].get_xlabel() == "step"


def test_a_genetic_run_shows_losses_and_the_function(stored, panels):
    z = np.linspace(0, 1, 25)
    streams = {
        "learning": [
            {"generation": n + 1, "loss": 0.5 / (n + 1), "losses": np.array([0.5, 0.6, np.inf])} for n in range(20)
        ],
        "evaluation": [
            {"final_loss": 0.03, "inputs": z[:, None], "target": np.cos(z), "outputs": np.sin(z)[:, None]},
        ],
    }
    axes = panels(draw(stored("train_genetic", streams, plan_args={"task": "cosine", "observation_time": 1.0})))
    assert axes["loss"].get_yscale() == "log"
    assert set(axes["loss"].lines[0].get_ydata()) == {0.6}
    assert np.allclose(axes["output y"].lines[0].get_ydata(), np.cos(z))
    assert np.allclose(axes["output y"].lines[1].get_ydata(), np.sin(z))


def test_an_evaluation_shows_what_it_was_where_trained(stored, panels):
    event = classes([0, 1, 2], [0, 1, 1], 4) | {
        "loss": 0.2,
        "trained_loss": 0.1,
        "accuracy": 0.67,
        "trained_accuracy": 1.0,
        "agreement": 0.67,
    }
    figure = draw(stored("evaluate", {"evaluation": [event]}, plan_args={"run": "0123456789"}))
    assert [patch.get_height() for patch in panels(figure)["loss"].patches] == [0.1, 0.2]
    assert "01234567" in figure.get_suptitle()
