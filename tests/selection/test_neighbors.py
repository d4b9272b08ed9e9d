from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skada_active.selection import Outer, nearest_neighbors
from skada_active.selection import _neighbors as module


def explicit(vectors):
    return np.einsum("ij,ik->ijk", vectors.left, vectors.right).reshape(len(vectors), -1)


def naive(X, k, metric):
    """Return values and indices of a stable sort of the full matrix."""
    X = np.asarray(X, dtype=np.float64)
    if metric == "cosine":
        norms = np.linalg.norm(X, axis=1, keepdims=True)
        unit = X / np.where(norms == 0, 1, norms)
        scores = unit @ unit.T
    else:
        scores = -np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : min(k, len(X) - 1)]
    values = np.take_along_axis(scores, order, axis=1)
    return (values if metric == "cosine" else -values), order


def test_worked_example():
    X = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]])
    values, indices = nearest_neighbors(X, 2)
    assert indices.tolist() == [[1, 3], [3, 0], [3, 1], [1, 2]]
    assert np.allclose(values, [[0.8, 0.6], [0.96, 0.8], [0.8, 0.6], [0.96, 0.8]])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 11, 130, 400])
def test_equals_a_sort_of_the_full_matrix(metric, dtype, n):
    X = np.random.default_rng(n).normal(size=(n, 6)).astype(dtype)
    values, indices = nearest_neighbors(X, 7, metric=metric, block_size=33)
    expected, order = naive(X, 7, metric)
    assert values.dtype == dtype
    assert indices.dtype == np.int64
    assert np.array_equal(indices, order)
    assert np.allclose(values, expected, atol=1e-3 if dtype == np.float32 else 1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 90), st.integers(1, 12), st.sampled_from([1, 7, 64]), st.sampled_from([2, 16, 512]))
def test_ties_are_resolved_by_position(data, n, k, block_size, tile):
    X = data.draw(arrays(np.float32, (n, 2), elements=st.integers(-2, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE_ROWS", tile)
        _, indices = nearest_neighbors(X, k, metric="euclidean", block_size=block_size)
    assert np.array_equal(indices, naive(X, k, "euclidean")[1])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_identical_rows_are_neighbours_by_position(metric):
    X = np.tile(np.random.default_rng(0).normal(size=(50, 23)).astype(np.float32), (5, 1))
    values, indices = nearest_neighbors(X, 4, metric=metric)
    expected = [[j for j in range(i % 50, 250, 50) if j != i] for i in range(250)]
    assert indices.tolist() == expected
    assert np.allclose(values, 1 if metric == "cosine" else 0, atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_factored_equals_explicit_outer_products(metric):
    rng = np.random.default_rng(0)
    vectors = Outer(rng.normal(size=(70, 3)), rng.normal(size=(70, 4)))
    values, indices = nearest_neighbors(vectors, 5, metric=metric)
    expected, order = naive(explicit(vectors), 5, metric)
    assert np.array_equal(indices, order)
    assert np.allclose(values, expected)


def test_rows_of_zeros_have_similarity_zero():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    values, indices = nearest_neighbors(X, 3)
    assert values[0].tolist() == [0, 0, 0]
    assert indices[0].tolist() == [1, 2, 3]
    assert indices[1].tolist() == [0, 3, 2]
    assert values[1].tolist() == [0, 0, -1]


def test_similarities_stay_within_one():
    X = np.repeat(np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32), 2, axis=0)
    assert nearest_neighbors(X, 1)[0].max() <= 1


@pytest.mark.parametrize(("n", "k", "width"), [(1, 3, 0), (0, 3, 0), (4, 0, 0), (4, -1, 0), (4, 3, 3), (4, 9, 3)])
def test_number_of_neighbours_is_clipped(n, k, width):
    values, indices = nearest_neighbors(np.arange(2.0 * n).reshape(n, 2), k)
    assert values.shape == indices.shape == (n, width)


def test_the_whole_product_never_exists(monkeypatch):
    monkeypatch.setattr(module, "PRODUCT_BYTES", 100 * 8 * 3)
    X = np.random.default_rng(0).normal(size=(100, 4))
    sizes = []
    search = module._Search
    monkeypatch.setattr(module, "_Search", lambda *args: sizes.append(args[-1]) or search(*args))
    assert np.array_equal(nearest_neighbors(X, 5, block_size=50)[1], naive(X, 5, "cosine")[1])
    assert sizes == [3]


def test_inputs_may_be_read_only_and_strided():
    big = np.random.default_rng(1).normal(size=(40, 12))
    X = big[::2, ::3]
    big.flags.writeable = False
    assert np.array_equal(nearest_neighbors(X, 4)[1], naive(X, 4, "cosine")[1])
    assert np.array_equal(nearest_neighbors(np.asfortranarray(X), 4)[1], naive(X, 4, "cosine")[1])


@pytest.mark.parametrize("options", [{"metric": "dot"}, {"block_size": 0}])
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        nearest_neighbors(np.eye(3), 1, **options)


def test_nan_is_named():
    with pytest.raises(ValueError, match="vectors contains NaN"):
        nearest_neighbors(np.array([[np.nan], [1.0]]), 1)
