"""Effects of columns and their p-values, and columns as the numbers that rows are compared by."""

from __future__ import annotations

import numpy as np
import pytest

from skada_active.inspection._moved_columns import _benjamini_hochberg, moved_columns
from skada_active.inspection._table import embedded, read_columns


def moved(values, is_target, level=0.95):
    columns = read_columns(np.asarray(values, dtype=object)[:, None])
    return moved_columns(columns, np.asarray(is_target), level, np.random.RandomState(0))[0]


def test_effect_of_numbers_is_cohens_d():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=80), rng.normal(size=50) + 0.7
    column = moved([*source, *target], np.arange(130) >= 80)
    pooled = np.sqrt((80 * source.var() + 50 * target.var()) / 130)
    assert column.effect == pytest.approx((target.mean() - source.mean()) / pooled)
    assert column.low < 0.7 < column.high
    assert moved([*source, *target], np.arange(130) >= 80, level=0.5).high < column.high


def test_one_outlier_does_not_hide_an_effect():
    rng = np.random.default_rng(0)
    values, is_target = rng.normal(size=200), np.arange(200) >= 100
    values[is_target] += 1
    values[0] = 1e12
    assert moved(values, is_target).effect == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(
    ("values", "effect"), [([3] * 10, 0), ([0] * 5 + [1] * 5, 2), ([1e308] * 5 + [-1e308] * 5, -2), ([5e-324] * 10, 0)]
)
def test_columns_that_are_constant_in_each_domain_have_a_finite_effect(values, effect):
    column = moved(np.array(values, dtype=float), np.arange(10) >= 5)
    assert column.effect == pytest.approx(effect)
    assert np.isfinite([column.low, column.high]).all()


def test_effect_of_texts_is_the_total_variation():
    values = ["a"] * 60 + ["b"] * 40 + ["a"] * 30 + ["b"] * 20 + ["c"] * 50
    column = moved(values, np.arange(200) >= 100)
    assert column.effect == column.distance == pytest.approx(0.5)
    assert 0.3 < column.low < 0.5 < column.high < 0.65
    assert column.p_value < 1e-6


def test_intervals_of_categories_that_did_not_move_begin_at_0():
    rng = np.random.default_rng(0)
    column = moved(rng.choice(list("abcdef"), 400), np.arange(400) >= 200)
    assert column.low == 0
    assert column.p_value > 0.01


def test_missing_values_alone_move_a_column():
    values = np.random.default_rng(0).normal(size=100)
    values[50:80] = np.nan
    column = moved(values, np.arange(100) >= 50)
    assert (column.missing_source, column.missing_target) == (0, 0.6)
    assert column.p_value < 1e-6
    gone = moved([1.0] * 5 + [np.nan] * 5, np.arange(10) >= 5)
    assert np.isnan(gone.effect)
    assert gone.rank == 1


def test_p_values_are_corrected_as_benjamini_and_hochberg_do():
    p_values = np.array([0.01, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(_benjamini_hochberg(p_values), [0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_rows_as_numbers_know_units_only_where_distances_count():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    X[50:] += 100
    columns, other = read_columns(X), read_columns(np.exp(X / 50) * [1e-6, 1e6])
    np.testing.assert_allclose(embedded(columns), embedded(other))
    assert np.abs(embedded(columns)).max() < 3
    np.testing.assert_allclose(embedded(columns, np.arange(60) < 50)[50:], 10)
