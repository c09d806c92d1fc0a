import math

import numpy as np
import pytest

from lab.watch.series import MOST_COLUMNS, MOST_ROWS, Series, Sheet


def test_a_long_curve_keeps_its_shape_its_ends_and_a_bounded_number_of_points():
    series = Series(most=100)
    for step in range(1, 20_001):
        series.add(step, 1 / step, 0.1)
    assert 50 <= len(series) <= 100
    assert series.averaged >= 200
    assert series.x[0] < 300
    assert series.x[-1] > 19_700
    np.testing.assert_allclose(series.y[1:-1], 1 / np.array(series.x[1:-1]), rtol=0.15)
    assert series.error[10] == pytest.approx(0.1 / math.sqrt(series.averaged))


def test_a_curve_without_errors_has_none():
    series = Series()
    series.add(1, 2.0)
    assert series.error is None


def test_a_step_measured_again_takes_the_place_of_the_first_measurement():
    series = Series()
    for step, value in ((1, 1.0), (2, 2.0), (3, 3.0), (2, 20.0)):
        series.add(step, value)
    assert series.x == [1, 2]
    assert series.y == [1.0, 20.0]


def test_a_map_is_bounded_in_rows_and_columns_and_sorted():
    sheet, x = Sheet(), np.linspace(0, 1, 10_000)
    for row in range(1000, 0, -1):
        sheet.add(row, x, np.full(10_000, row))
    table = sheet.table()
    assert len(table["y"]) <= MOST_ROWS
    assert len(table["x"]) <= MOST_COLUMNS
    assert table["y"] == sorted(table["y"])
    assert all(values[0] == place for place, values in zip(table["y"], table["z"], strict=True))


def test_other_positions_begin_a_new_map():
    sheet = Sheet()
    sheet.add(1, np.arange(3.0), np.zeros(3))
    sheet.add(2, np.arange(4.0), np.ones(4))
    assert sheet.table() == {"x": [0, 1, 2, 3], "y": [2], "z": [[1, 1, 1, 1]]}
