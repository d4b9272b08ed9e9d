from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skada_active.selection import Outer, farthest_first
from skada_active.selection import _farthest_first as module

EXAMPLE = np.array([[0, 0], [1, 0], [5, 0], [5, 1], [0, 4]])
integers = st.integers(-3, 3)


def explicit(vectors):
    return np.einsum("ij,ik->ijk", vectors.left, vectors.right).reshape(len(vectors), -1)


def naive(X, k, centers=(), first=None):
    X = np.asarray(X, dtype=np.float64)
    picks = []
    if not len(centers):
        picks.append(((X - X.mean(axis=0)) ** 2).sum(axis=1).argmin() if first is None else first)
    while len(picks) < min(k, len(X)):
        anchors = [*np.asarray(centers, dtype=np.float64), *X[picks]]
        distances = np.min([((X - a) ** 2).sum(axis=1) for a in anchors], axis=0)
        distances[picks] = -1
        picks.append(distances.argmax())
    return [int(pick) for pick in picks[:k]]


@pytest.fixture
def few_leaders(monkeypatch):
    monkeypatch.setattr(module, "MIN_LEADERS", 4)
    monkeypatch.setattr(module, "MAX_LEADERS", 4)


def test_worked_example():
    assert farthest_first(EXAMPLE, 3, centers=EXAMPLE[:1]).tolist() == [3, 4, 1]


def test_without_centers_starts_at_the_row_nearest_to_the_mean():
    assert farthest_first(EXAMPLE, 3).tolist() == naive(EXAMPLE, 3)
    assert farthest_first(EXAMPLE, 1, centers=EXAMPLE[:0]).tolist() == [1]


def test_first_is_the_first_pick():
    assert farthest_first(EXAMPLE, 4, first=2).tolist() == naive(EXAMPLE, 4, first=2)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(1, 3), st.integers(1, 45), st.integers(1, 6))
def test_equals_the_plain_loop_on_ties_and_duplicates(data, n, d, k, leaders):
    X = data.draw(arrays(np.int64, (n, d), elements=integers))
    centers = data.draw(arrays(np.int64, (data.draw(st.integers(0, 3)), d), elements=integers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MIN_LEADERS", leaders)
        patch.setattr(module, "MAX_LEADERS", leaders)
        picks = farthest_first(X.astype(np.float32), k, centers=centers, first=n // 2)
    assert picks.dtype == np.int64
    assert picks.tolist() == naive(X, k, centers, first=n // 2)


def test_factored_starts_at_the_explicit_medoid():
    rng = np.random.default_rng(0)
    vectors = Outer(rng.normal(size=(30, 3)), rng.normal(size=(30, 4)))
    assert farthest_first(vectors, 30).tolist() == naive(explicit(vectors), 30)


@pytest.mark.usefixtures("few_leaders")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_give_the_picks_of_the_plain_loop(dtype):
    X = np.random.default_rng(3).normal(size=(300, 5)).astype(dtype)
    assert farthest_first(X, 120, centers=X[:1]).tolist() == naive(X, 120, X[:1])


@pytest.mark.usefixtures("few_leaders")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_identical_rows_the_first_is_picked(dtype):
    half = np.random.default_rng(4).normal(size=(100, 37)).astype(dtype)
    picks = farthest_first(np.concatenate([half, half]), 150, centers=half[:1])
    assert picks[:99].max() < 100
    assert picks[99:].tolist() == sorted(set(range(200)) - set(picks[:99].tolist()))[:51]


@pytest.mark.parametrize("value", [0.0, 7.3])
def test_identical_rows_are_picked_by_position(value):
    assert farthest_first(np.full((6, 3), value), 4, first=2).tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize(("k", "expected"), [(-1, 0), (0, 0), (5, 5), (9, 5)])
def test_number_of_picks(k, expected):
    picks = farthest_first(EXAMPLE, k)
    assert picks.dtype == np.int64
    assert len(set(picks.tolist())) == len(picks) == expected


@pytest.mark.parametrize("k", [0, 3])
def test_no_rows_give_no_picks(k):
    assert farthest_first(np.empty((0, 2)), k).shape == (0,)


def test_far_outliers_do_not_spoil_float32():
    X = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32) + np.float32(1e4)
    assert farthest_first(X, 50, first=0).tolist() == naive(X, 50, first=0)


def test_inputs_may_be_read_only_and_strided():
    big = np.random.default_rng(1).normal(size=(40, 12))
    X = big[::2, ::3]
    big.flags.writeable = False
    assert farthest_first(X, 20, first=0).tolist() == naive(X, 20, first=0)
    assert farthest_first(np.asfortranarray(X), 20, first=0).tolist() == naive(X, 20, first=0)


@pytest.mark.parametrize("first", [-1, 5])
def test_a_first_pick_outside_the_rows_is_refused(first):
    with pytest.raises(ValueError, match=f"first must be a row position from 0 to 4, got {first}"):
        farthest_first(EXAMPLE, 2, first=first)


def test_centers_of_another_width_or_kind_are_refused():
    with pytest.raises(ValueError, match="centers must be of the kind and width of vectors"):
        farthest_first(EXAMPLE, 2, centers=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="centers must be of the kind and width of vectors"):
        farthest_first(EXAMPLE, 2, centers=Outer(np.zeros((1, 1)), np.zeros((1, 2))))


@pytest.mark.parametrize("name", ["vectors", "centers"])
def test_nan_is_named(name):
    X = {"vectors": EXAMPLE.astype(float), "centers": EXAMPLE[:1].astype(float)}
    X[name][0, 0] = np.nan
    with pytest.raises(ValueError, match=f"{name} contains NaN"):
        farthest_first(X["vectors"], 2, centers=X["centers"])
