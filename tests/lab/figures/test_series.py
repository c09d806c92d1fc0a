import numpy as np
import pytest

from lab.figures import NothingToDrawError, draw


def test_any_other_run_is_drawn_against_what_was_varied(stored, panels):
    events = [{"drive": 0.5 * n, "mean": np.arange(4.0) * n, "image": np.zeros(500), "word": "x"} for n in range(5)]
    figure = draw(stored("scan", {"primary": events}, hints={"dimensions": [[["drive"], "primary"]]}))
    axes = panels(figure)
    assert set(axes) == {"mean (model units)"}
    assert axes["mean (model units)"].get_xlabel() == "drive (model units)"
    assert len(axes["mean (model units)"].lines) == 4


def test_the_elements_of_an_event_are_named_once(stored):
    figure = draw(stored("count", {"primary": [{"mean": np.arange(3.0), "spread": np.arange(3.0)}] * 2}))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"mean 0 = {place}" for place in (1, 2, 3)]


def test_time_is_counted_from_the_start_of_the_run(stored):
    run = stored("count", {"primary": [{"level": 1.0}] * 3}, hints={"dimensions": [[["time"], "primary"]]})
    (axes,) = draw(run).get_axes()
    assert axes.get_xlabel() == "time since the start of the run (s)"
    assert all(0 <= second < 60 for second in axes.lines[0].get_xdata())


@pytest.mark.parametrize("streams", [{}, {"primary": [{"word": "a"}]}])
def test_a_run_without_numbers_is_refused(stored, streams):
    with pytest.raises(NothingToDrawError, match="to draw"):
        draw(stored("count", streams))
