import numpy as np
import pytest

from lab.figures import draw


def test_a_gram_matrix_stands_beside_the_exact_one(stored, panels):
    exact = np.array([(1.0, 0.25), (0.25, 1.0)])
    fit = {
        "gram": exact + 0.01,
        "gram_standard_error": np.full((2, 2), 0.02),
        "exact": exact,
        "efficiency": 0.8,
        "efficiency_standard_error": 0.01,
        "chi_square": 3.2,
        "degrees_of_freedom": 3,
    }
    streams = {"primary": [{"clicks": np.zeros(2)}], "fit": [fit]}
    figure = draw(stored("photon_kernel", streams, plan_args={"task": "random", "shots": 200}))
    axes = panels(figure)
    assert np.allclose(axes["read vector"].images[0].get_array(), exact + 0.01)
    assert axes["measured overlap"].lines[0].get_ydata() == pytest.approx((exact + 0.01).ravel())
    assert "efficiency × visibility 0.800 ± 0.010, χ² = 3.2 for 3 degrees" in figure.get_suptitle()


def test_dark_counts_fall_along_a_logarithmic_axis(stored, panels):
    points = [
        {"threshold": level, "rate": rate, "rate_standard_error": 5.0} for level, rate in ((0.1, 50.0), (0.01, 1e6))
    ]
    figure = draw(stored("dark_counts", {"primary": points}, plan_args={"shots": 2000, "gate_time": 0.001}))
    axes = panels(figure)["dark counts (1/s)"]
    assert axes.get_xlabel() == "discriminator level (mV)"
    assert axes.lines[0].get_xdata() == pytest.approx([10.0, 100.0])
    assert axes.get_yscale() == "log"
    assert figure.get_suptitle() == "dark counts, 2 s at each level"


def test_no_dark_count_at_all_can_be_drawn(stored):
    points = [{"threshold": 0.1, "rate": 0.0, "rate_standard_error": 0.5}]
    draw(stored("dark_counts", {"primary": points})).canvas.draw()
