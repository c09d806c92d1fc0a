import numpy as np
import pytest

from lab.watch.charts import Charts
from lab.watch.graphs import figure


def declared(stream, hinted, keys, start=None):
    charts = Charts(start or {})
    charts.declare(stream, {"data_keys": keys, "hints": {stream: {"fields": hinted}}})
    return charts


def events(charts, stream, rows):
    for number, data in enumerate(rows, start=1):
        charts.add(stream, {"seq_num": number, "data": data})


def test_a_learning_curve_has_its_standard_errors_and_a_name_on_each_axis():
    charts = declared("learning", ["epoch", "error", "error_standard_error"], {"error": {"units": ""}})
    events(charts, "learning", [{"epoch": e, "error": 0.5 / e, "error_standard_error": 0.01} for e in (1, 2, 3)])
    (chart,) = charts.view()
    assert chart["x"]["label"] == "epoch"
    assert chart["y"] == {"label": "error", "log": False}
    (trace,) = chart["traces"]
    assert trace["y"] == [0.5, 0.25, pytest.approx(1 / 6)]
    assert trace["error"] == pytest.approx([0.01] * 3)


def test_a_loss_over_decades_is_drawn_on_a_logarithmic_axis_with_its_moving_mean():
    charts = declared("learning", ["step", "loss"], {"loss": {}})
    events(charts, "learning", [{"step": s, "loss": 1.0 / s} for s in range(1, 101)])
    (chart,) = charts.view()
    assert chart["y"]["log"]
    assert [trace["faint"] for trace in chart["traces"]] == [True, False]


def test_a_loss_that_reaches_zero_is_not():
    charts = declared("learning", ["step", "loss"], {"loss": {}})
    events(charts, "learning", [{"step": 1, "loss": 100.0}, {"step": 2, "loss": 0.0}])
    assert not charts.view()[0]["y"]["log"]


def test_what_is_known_by_epoch_stands_at_the_step_the_epoch_ended_at():
    charts = declared("learning", ["step", "loss"], {"loss": {}})
    charts.declare("epochs", {"data_keys": {"test_accuracy": {}}, "hints": {"e": {"fields": ["test_accuracy"]}}})
    events(charts, "learning", [{"step": s, "loss": 1.0} for s in range(1, 46)])
    events(charts, "epochs", [{"epoch": 1, "test_accuracy": 0.9}])
    assert charts.view()[1]["traces"][0]["x"] == [45]


def test_an_epoch_of_one_step_is_not_drawn_twice():
    charts = declared("learning", ["step", "loss"], {"loss": {}})
    charts.declare("epochs", {"data_keys": {"loss": {}}, "hints": {"e": {"fields": ["loss", "test_loss"]}}})
    for number in range(1, 6):
        charts.add("learning", {"seq_num": number, "data": {"step": number, "loss": 1.0 / number}})
        charts.add("epochs", {"seq_num": number, "data": {"epoch": number, "loss": 1.0 / number, "test_loss": 1.0}})
    assert [trace["name"] for trace in charts.view()[0]["traces"]] == ["loss", "test loss by epoch"]


def test_points_under_their_moving_mean_take_no_place_in_the_legend():
    charts = declared("learning", ["step", "loss"], {"loss": {}})
    events(charts, "learning", [{"step": s, "loss": 1.0 / s} for s in range(1, 101)])
    drawn = figure(charts.view()[0], "a run")
    assert [(trace["mode"], trace["showlegend"]) for trace in drawn["data"]] == [("markers", False), ("lines", True)]


@pytest.mark.parametrize(("decades", "dtick"), [(2, "D2"), (5, 1)])
def test_an_axis_of_many_decades_has_a_label_at_each(decades, dtick):
    charts = declared("learning", ["step", "loss"], {"loss": {}})
    events(charts, "learning", [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 10.0**-decades}])
    assert figure(charts.view()[0], "a run")["layout"]["yaxis"]["dtick"] == dtick


def test_lines_of_a_scan_become_a_map_and_the_latest_line():
    keys = {"bias": {"units": "V"}, "gate": {"units": "V"}, "current": {"units": "A"}}
    charts = declared("primary", ["bias"], keys)
    gate = np.linspace(0.0, 1.0, 11)
    events(charts, "primary", [{"bias": b, "gate": gate, "current": np.sin(20 * gate) * b} for b in (1.0, 2.0, 3.0)])
    table, line = charts.view()
    assert table["map"]["y"] == [1.0, 2.0, 3.0]
    assert np.shape(table["map"]["z"]) == (3, 11)
    assert table["map"]["label"] == "current (A)"
    assert line["traces"][0]["name"] == "bias (V) = 3"


def test_numbers_of_a_scan_are_drawn_against_what_was_varied():
    start = {"hints": {"dimensions": [[["voltage"], "primary"]]}}
    charts = declared("primary", ["voltage", "current"], {"voltage": {"units": "V"}, "current": {"units": "A"}}, start)
    events(charts, "primary", [{"voltage": v, "current": 2 * v} for v in (0.1, 0.2)])
    (chart,) = charts.view()
    assert chart["x"]["label"] == "voltage (V)"
    assert chart["traces"][0]["x"] == [0.1, 0.2]


def test_a_scan_downwards_is_drawn_whole():
    start = {"hints": {"dimensions": [[["voltage"], "primary"]]}}
    charts = declared("primary", ["voltage", "current"], {}, start)
    events(charts, "primary", [{"voltage": v, "current": v} for v in (3.0, 2.0, 1.0)])
    assert charts.view()[0]["traces"][0]["x"] == [3.0, 2.0, 1.0]


def test_texts_tables_and_booleans_are_no_curves():
    charts = declared("primary", [], {})
    events(charts, "primary", [{"name": "a", "flag": True, "table": [[1, 2], [3, 4]]}] * 3)
    assert charts.view() == []
