import numpy as np
import pytest

from lab.figures import draw

MATRIX = np.array([[2.0, 0.5], [0.5, 1.0]])


def estimates(counter):
    return [
        {counter: n, "relative_error": 0.1 / np.sqrt(n), "expected_error": 0.1 / np.sqrt(n), "shots": 100 * n}
        for n in range(1, 5)
    ]


def result(error=0.01):
    reference = np.linalg.inv(MATRIX)
    estimate = reference + 0.02 * np.array([[1.0, 0.0], [0.0, -2.0]])
    spread = np.full((2, 2), error)
    return {"matrix": MATRIX, "estimate": estimate, "estimate_standard_error": spread, "reference": reference}


def titles(figure):
    return {axes.get_title(): axes for axes in figure.get_axes() if axes.get_title()}


@pytest.mark.parametrize("plan", ["invert_matrix", "matrix_exponential"])
def test_a_matrix_is_shown_beside_its_deviation_in_standard_errors(stored, plan):
    run = stored(plan, {"estimates": estimates("batch"), "result": [result()]}, plan_args={"size": 2})
    panels = titles(draw(run))
    np.testing.assert_allclose(panels["measured"].images[0].get_array(), result()["estimate"])
    np.testing.assert_allclose(panels["deviation in standard errors"].images[0].get_array(), [[2, 0], [0, -4]])
    written = [text.get_text() for text in panels["deviation in standard errors"].texts]
    assert written == ["2.0", "0.0", "0.0", "-4.0"]


def test_the_error_falls_beside_the_root_of_the_samples(stored, panels):
    run = stored("invert_matrix", {"estimates": estimates("batch"), "result": [result()]}, plan_args={"size": 2})
    figure = draw(run)
    axes = panels(figure)["relative error (Frobenius norm)"]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    np.testing.assert_allclose(axes.lines[2].get_ydata(), 0.1 / np.sqrt([1, 2, 3, 4]))
    assert "400 samples" in figure.get_suptitle()


def test_an_exponential_by_columns_is_shown_by_columns(stored, panels):
    streams = {"estimates": estimates("column"), "result": [result(error=0.0)]}
    axes = panels(draw(stored("matrix_exponential", streams, plan_args={"matrix": MATRIX.tolist()})))
    assert axes["relative error (Frobenius norm)"].get_xlabel() == "columns measured"


def test_a_determinant_shows_its_estimators_bounds_and_works(stored, panels):
    events = [
        {
            "batch": n,
            "log_determinant": 0.5,
            "log_determinant_standard_error": 0.1 / n,
            "jarzynski_forward": 0.52,
            "jarzynski_reverse": 0.48,
            "lower_bound": 0.2,
            "upper_bound": 0.8,
            "exact": 0.55,
            "shots": 100 * n,
        }
        for n in range(1, 4)
    ]
    works = {"matrix": MATRIX, "forward_work": [0.2, 0.1], "reverse_work": [0.0, -0.1], "free_energy": [0.1, 0.0]}
    figure = draw(stored("determinant", {"estimates": events, "result": [works]}, plan_args={"size": 2}))
    axes = panels(figure)
    names = [text.get_text() for text in axes["ln det A"].get_legend().get_texts()]
    assert {"acceptance ratio", "Jarzynski, forward", "bounds by mean work", "NumPy"} <= set(names)
    assert "0.500 ± 0.033, NumPy 0.5500" in figure.get_suptitle()
    work = next(panel for name, panel in axes.items() if name.startswith("change over the switch"))
    np.testing.assert_allclose(work.lines[1].get_ydata(), [0.1, 0.0])


def test_a_run_cut_short_shows_its_series(stored, panels):
    figure = draw(stored("invert_matrix", {"estimates": estimates("batch")}, plan_args={"size": 2}))
    assert "expected error" in panels(figure)
