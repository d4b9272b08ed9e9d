from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skada_active.selection import _bfloat16_prefilter, _neighbors, nearest_neighbors
from skada_active.selection._bfloat16_prefilter import BFloat16Prefilter, has_bfloat16


@pytest.fixture(autouse=True)
def prefiltered(monkeypatch):
    """Prefilter whatever the size and the processor, and keep how many queries each block settled and left."""
    settled = []
    best = BFloat16Prefilter._best
    monkeypatch.setattr(_bfloat16_prefilter, "GROUP", 4)
    monkeypatch.setattr(_neighbors, "GROUP", 4)
    monkeypatch.setattr(_bfloat16_prefilter, "TILE_GROUPS", 3)
    monkeypatch.setattr(_bfloat16_prefilter, "BLOCK", 50)
    monkeypatch.setattr(_neighbors, "has_bfloat16", lambda work: True)

    def noted(self, block):
        found = best(self, block)
        settled.append((len(found[0]), len(found[-1])))
        return found

    monkeypatch.setattr(BFloat16Prefilter, "_best", noted)
    return settled


def unit(X):
    X = np.asarray(X, dtype=np.float64)
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norms == 0, 1, norms)


def similarities(X):
    products = unit(X) @ unit(X).T
    np.fill_diagonal(products, -np.inf)
    return products


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(40, 260),
    d=st.integers(1, 40),
    k=st.integers(1, 10),
    shift=st.floats(0, 3),
)
def test_no_nearer_row_is_missed(seed, n, d, k, shift):
    X = (np.random.default_rng(seed).normal(size=(n, d)) + shift).astype(np.float32)
    expected = -np.sort(-similarities(X), axis=1)[:, :k]
    values, indices = nearest_neighbors(X, k)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(similarities(X), indices, axis=1), expected, atol=1e-6)
    assert all(len(set(row)) == k for row in indices.tolist())


def test_most_queries_are_settled_by_few_products(prefiltered):
    X = np.random.default_rng(0).normal(size=(400, 32)).astype(np.float32)
    nearest_neighbors(X, 5)
    assert prefiltered == [(50, 0)] * 8


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), d=st.integers(1, 300), scale=st.floats(0.001, 3))
def test_the_error_bound_holds(seed, d, scale):
    rng = np.random.default_rng(seed)
    X = unit(rng.normal(size=(60, d)) * rng.exponential(scale, size=d) + rng.normal()).astype(np.float32)
    prefilter = BFloat16Prefilter(X, 1)
    short = (prefilter.short @ prefilter.short.T).float().numpy()
    assert (np.abs(short - X.astype(np.float64) @ X.T) <= prefilter.error.numpy()[:, None]).all()
    # Two factors and their product are rounded by at most 2**-8 each.
    assert prefilter.error.max() < 3.1 * 2**-8


def test_identical_rows_are_neighbours_by_position(prefiltered):
    X = np.tile(np.random.default_rng(0).normal(size=(50, 23)).astype(np.float32), (5, 1))
    _, indices = nearest_neighbors(X, 4)
    assert indices.tolist() == [[j for j in range(i % 50, 250, 50) if j != i] for i in range(250)]
    assert prefiltered == [(50, 0)] * 5


def test_queries_with_many_near_rows_are_compared_with_all(prefiltered, monkeypatch):
    monkeypatch.setattr(_bfloat16_prefilter, "MAX_PAIRS", 20)
    rng = np.random.default_rng(1)
    X = np.concatenate(
        [rng.normal(size=(300, 16)), np.ones((60, 16)) + 1e-3 * rng.normal(size=(60, 16)), np.zeros((2, 16))]
    )
    X = rng.permutation(X).astype(np.float32)
    values, _ = nearest_neighbors(X, 5)
    np.testing.assert_allclose(values, -np.sort(-similarities(X), axis=1)[:, :5], atol=1e-6)
    assert 50 < sum(left for _, left in prefiltered) < 100


def test_prefiltering_ends_where_it_settles_little(prefiltered):
    X = (np.ones(30) + 1e-4 * np.random.default_rng(2).normal(size=(400, 30))).astype(np.float32)
    values, _ = nearest_neighbors(X, 3)
    np.testing.assert_allclose(values, -np.sort(-similarities(X), axis=1)[:, :3], atol=1e-6)
    assert len(prefiltered) == 1


@pytest.mark.parametrize("options", [{"metric": "euclidean"}, {"k": 61}, {"dtype": np.float64}])
def test_other_searches_are_not_prefiltered(prefiltered, options):
    X = np.random.default_rng(0).normal(size=(200, 8)).astype(options.get("dtype", np.float32))
    nearest_neighbors(X, options.get("k", 3), metric=options.get("metric", "cosine"))
    assert not prefiltered


def test_few_multiplications_do_not_ask_for_the_processor():
    assert not has_bfloat16(1000)
