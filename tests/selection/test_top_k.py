from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skada_active.selection import top_k
from skada_active.selection._top_k import top_k_rows


def test_minus_infinity_comes_last():
    assert top_k([-np.inf, 1.0, -np.inf, 2.0], 3).tolist() == [3, 1, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_cannot_be_ranked_are_refused(bad):
    with pytest.raises(ValueError, match="scores contains NaN or"):
        top_k([0.0, bad], 1)


def test_scores_of_two_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        top_k(np.zeros((2, 2)), 1)


def test_a_fractional_count_is_refused():
    with pytest.raises(TypeError, match=r"k must be an integer, got 1\.5"):
        top_k([0.0, 1.0], 1.5)


def test_read_only_float32_scores_are_ranked_in_place():
    scores = np.array([1, 3, 2], dtype=np.float32)
    scores.flags.writeable = False
    assert top_k(scores, np.int32(2)).tolist() == [1, 2]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 40))
def test_by_row_equals_a_stable_descending_sort(seed, k, width):
    scores = np.random.default_rng(seed).integers(0, 6, (5, max(width, k))).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert np.array_equal(top_k_rows(scores, k), expected)
