"""Moments of columns are those of double precision, whatever the offset, the unit and the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from skada_active.utils.moments import ColumnMoments, minus

ROWS = np.random.default_rng(0).normal(size=(101, 3))


def moments(X, size=7):
    return ColumnMoments(X[start : start + size] for start in range(0, len(X), size))


@pytest.mark.parametrize("size", [1, 7, 200])
def test_blocks_of_any_size_give_the_moments_of_all_rows(size):
    found = moments(ROWS, size)
    np.testing.assert_allclose(found.origin + found.mean, ROWS.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, ROWS.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.span, np.ptp(ROWS, axis=0), rtol=1e-12)


@pytest.mark.parametrize(("offset", "unit"), [(0, 1e-9), (0, 1e-100), (0, 1e100), (1e6, 1), (-1e8, 1), (1e-3, 1e-9)])
def test_neither_an_offset_nor_a_unit_costs_digits(offset, unit):
    np.testing.assert_allclose(moments(offset + ROWS * unit).std, unit * ROWS.std(axis=0), rtol=1e-6)


def test_integers_that_no_double_holds_keep_their_digits():
    steps = np.arange(101)[:, None]
    assert moments(2**62 + steps).std == pytest.approx(steps.std())
    assert minus(np.array([2**62 + 1]), np.array([2.0**62])).item() == 1


def test_images_have_moments_by_channel():
    images = np.stack([ROWS, 5 + 2 * ROWS], axis=1)[..., None]
    np.testing.assert_allclose(moments(images).std, [ROWS.std(), 2 * ROWS.std()])


@pytest.mark.parametrize("X", [np.full((9, 1), 0.1, "f4"), np.array([[0.3], [0.1 + 0.2]]), np.full((9, 1), 2**60)])
def test_a_column_that_is_constant_but_for_rounding_has_no_deviation(X):
    assert moments(X).std.item() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200, 1e-200])
def test_values_without_a_deviation_are_refused(value):
    with pytest.raises(ValueError, match="number 1, that holds NaN or infinity or whose standard deviation"):
        moments(np.array([[0.0, 0.0], [1.0, value]]))
