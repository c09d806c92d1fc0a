"""The table of `benchmarks/bias.py`, with fewer trajectories: what every scheme is off at the default step."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "bias.py"


@pytest.fixture(scope="module")
def bias():
    spec = importlib.util.spec_from_file_location("bias", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_fokker_planck_reference_agrees_with_published_values_and_with_quadrature(bias):
    for time, mean, variance in ((0.2, 0.72156, 0.014707), (0.5, 0.90945, 0.008554), (1.0, 0.91620, 0.008329)):
        np.testing.assert_allclose(bias.fokker_planck(5.0, 0.1, time, 1601), (mean, variance), atol=4e-5)
    np.testing.assert_allclose(bias.fokker_planck(1.0, 1.0, 30.0), bias.in_equilibrium(1.0, 1.0), rtol=2e-5)


@pytest.mark.slow
def test_the_default_is_off_by_less_than_one_per_cent(bias):
    default = [("ros2", "matched")]
    table = bias.one_cell(200_000, default) | bias.harmonic_cell(200_000) | bias.network(50_000, default)
    assert len(table) == 7
    for name, row in table.items():
        for what in ("mean", "variance"):
            assert row[f"{what}_percent"] < 1 + 5 * row[f"{what}_error"], (name, what)


@pytest.mark.slow
def test_underdamped_loops_are_off_by_less_than_one_per_cent(bias):
    for name, row in bias.one_loop(50_000, [0.1]).items():
        for what in ("mean", "variance"):
            assert row[f"{what}_percent"] < 1 + 5 * row[f"{what}_error"], (name, what)
