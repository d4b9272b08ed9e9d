"""Learning curves as numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from skada_active.metrics import area_under_curve, mean_interval


def naive_area(n_queries, curve):
    steps = zip(n_queries[:-1], n_queries[1:], curve[:-1], curve[1:], strict=True)
    return sum((b - a) * (low + high) / 2 for a, b, low, high in steps) / (n_queries[-1] - n_queries[0])


def test_the_area_is_that_of_the_trapezoids():
    rng = np.random.default_rng(0)
    n_queries, curves = np.array([0, 3, 4, 10]), rng.random((2, 5, 4))
    areas = area_under_curve(n_queries, curves)
    assert areas.shape == (2, 5)
    assert areas[1, 2] == pytest.approx(naive_area(n_queries, curves[1, 2]))


def test_a_flat_curve_has_its_own_height_as_area():
    assert area_under_curve([0, 1, 9], [0.7] * 3) == pytest.approx(0.7)
    assert isinstance(area_under_curve([0, 1], [0.0, 1.0]), float)


@pytest.mark.parametrize(
    ("n_queries", "values", "message"),
    [
        ([0], [0.5], "two ascending"),
        ([0, 0], [0.5, 0.5], "two ascending"),
        ([[0, 1]], [0.5, 0.5], "two ascending"),
        ([0, 1], [0.5, 0.5, 0.5], "2 numbers per curve"),
        ([0, 1], 0.5, "2 numbers per curve"),
        ([0, 1], [0.5, np.nan], "hold NaN"),
    ],
)
def test_curves_without_an_area_are_refused(n_queries, values, message):
    with pytest.raises(ValueError, match=message):
        area_under_curve(n_queries, values)


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_the_interval_is_that_of_student(confidence):
    values = np.random.default_rng(0).random((5, 3))
    mean, half_width = mean_interval(values, confidence=confidence)
    low, high = stats.t.interval(confidence, 4, loc=values.mean(axis=0), scale=stats.sem(values))
    np.testing.assert_allclose(mean - half_width, low)
    np.testing.assert_allclose(mean + half_width, high)


def test_numbers_give_numbers():
    assert all(isinstance(value, float) for value in mean_interval([1.0, 2.0]))


@pytest.mark.parametrize(("values", "params"), [([1.0], {}), (1.0, {}), ([1.0, 2.0], {"confidence": 1.0})])
def test_intervals_that_do_not_exist_are_refused(values, params):
    with pytest.raises(ValueError, match=r"two seeds|confidence"):
        mean_interval(values, **params)
