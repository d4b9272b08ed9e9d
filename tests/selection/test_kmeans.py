from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from skada_active.selection import Outer, _dense_kmeans, _geometry, kmeans
from skada_active.selection import _kmeans as module
from skada_active.selection._dense_kmeans import DenseMeans
from skada_active.selection._geometry import Points


def explicit(vectors):
    return np.einsum("ij,ik->ijk", vectors.left, vectors.right).reshape(len(vectors), -1)


def centroids(X, labels, weights):
    return {c: np.average(X[labels == c], axis=0, weights=weights[labels == c]) for c in np.unique(labels)}


def inertia(X, labels, weights=None):
    weights = np.ones(len(X)) if weights is None else weights
    return sum(
        weights[labels == c] @ ((X[labels == c] - m) ** 2).sum(1) for c, m in centroids(X, labels, weights).items()
    )


@pytest.fixture
def outer() -> Outer:
    rng = np.random.default_rng(0)
    return Outer(rng.normal(size=(120, 3)), rng.normal(size=(120, 4)))


@pytest.fixture
def separated() -> tuple[Outer, np.ndarray]:
    rng = np.random.default_rng(1)
    truth = np.arange(60) % 4
    left, right = rng.normal(size=(4, 3)) * 4, rng.normal(size=(4, 5)) * 4
    return Outer(left[truth] + rng.normal(size=(60, 3)) * 0.05, right[truth] + rng.normal(size=(60, 5)) * 0.05), truth


def lloyd(X, seeds, weights, max_iter=300, tol=0.0):
    """Return the inertia and the labels of one run from given seeds."""
    return module._lloyd(DenseMeans(Points(X), weights, seeds), max_iter, tol)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("max_iter", [1, 3, 300])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(2, 300), d=st.integers(1, 6), share=st.floats(0.01, 0.4))
def test_from_the_same_seeds_plain_runs_are_those_of_scikit_learn(weighted, max_iter, seed, n, d, share):
    rng = np.random.default_rng(seed)
    X, k = rng.normal(size=(n, d)) + 5, max(1, int(share * n))
    weights = rng.random(n) ** 8 if weighted else np.ones(n)
    seeds = rng.permutation(n)[:k]
    model = KMeans(k, init=X[seeds], n_init=1, max_iter=max_iter, tol=0).fit(X, sample_weight=weights)
    value, labels = lloyd(X, seeds, weights, max_iter)
    assert labels.tolist() == model.labels_.tolist()
    assert value == pytest.approx(model.inertia_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_change_nothing(dtype, monkeypatch):
    rng = np.random.default_rng(2)
    X, weights, seeds = rng.normal(size=(500, 4)).astype(dtype), rng.random(500), rng.permutation(500)[:20]
    whole = lloyd(X, seeds, weights)[1]
    monkeypatch.setattr(_dense_kmeans, "SCORE_BYTES", 1)
    monkeypatch.setattr(_geometry, "SUM_ROWS", 7)
    assert lloyd(X, seeds, weights)[1].tolist() == whole.tolist()


def test_only_rows_near_moving_centroids_are_compared_again(monkeypatch):
    """Two far groups: the one whose clusters stand still costs nothing while the other one is sorted out."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(200, 2)), [[1e3, 1e3], [1e3, -1e3]] + rng.normal(size=(100, 2, 2))], axis=None)
    X = X.reshape(-1, 2)
    seeds = np.array([0, 1, 2, 3, 200, 201])
    moved = []
    assign = DenseMeans.assign
    monkeypatch.setattr(DenseMeans, "assign", lambda self: (moved.append(self.moved.tolist()), assign(self))[1])
    lloyd(X, seeds, np.ones(len(X)))
    assert moved[0] == list(range(6))
    assert len(moved) > 4
    assert all(set(some) <= set(range(4)) for some in moved[2:])


def test_plain_is_as_good_as_scikit_learn(outer):
    X = outer.right
    ours = np.mean([inertia(X, kmeans(X, 12, random_state=s)) for s in range(20)])
    theirs = np.mean([KMeans(12, n_init=1, random_state=s).fit(X).inertia_ for s in range(20)])
    assert ours < 1.02 * theirs


def test_factored_finds_separated_clusters(separated):
    vectors, truth = separated
    assert adjusted_rand_score(truth, kmeans(vectors, 4, random_state=0)) == 1


@pytest.mark.parametrize("weighted", [False, True])
def test_factored_ends_where_each_row_is_nearest_to_its_own_mean(outer, weighted):
    weights = np.random.default_rng(2).random(120) if weighted else np.ones(120)
    labels, X = kmeans(outer, 9, sample_weight=weights, tol=0, random_state=0), explicit(outer)
    means = centroids(X, labels, weights)
    distances = np.stack([((X - means[c]) ** 2).sum(axis=1) for c in range(9)], axis=1)
    assert np.allclose(distances[np.arange(120), labels], distances.min(axis=1), rtol=1e-4)


def test_factored_is_as_good_as_scikit_learn_on_explicit_products(outer):
    X = explicit(outer)
    ours = np.mean([inertia(X, kmeans(outer, 8, random_state=s)) for s in range(10)])
    theirs = np.mean([KMeans(8, n_init=1, random_state=s).fit(X).inertia_ for s in range(10)])
    assert ours < 1.03 * theirs


def test_more_starts_find_less_inertia(outer):
    X = explicit(outer)
    one = np.mean([inertia(X, kmeans(outer, 8, random_state=s)) for s in range(5)])
    assert np.mean([inertia(X, kmeans(outer, 8, n_init=8, random_state=s)) for s in range(5)]) < one


def test_more_iterations_find_less_inertia(outer):
    X = explicit(outer)
    one = np.mean([inertia(X, kmeans(outer, 8, max_iter=1, random_state=s)) for s in range(5)])
    assert np.mean([inertia(X, kmeans(outer, 8, random_state=s)) for s in range(5)]) < one


def test_a_large_tolerance_ends_factored_runs_early(outer):
    once = kmeans(outer, 8, max_iter=1, random_state=0)
    assert np.array_equal(kmeans(outer, 8, tol=1e9, random_state=0), once)
    assert not np.array_equal(kmeans(outer, 8, tol=0, random_state=0), once)


@pytest.mark.parametrize("kind", ["plain", "outer"])
def test_weights_move_the_result(outer, kind):
    vectors = outer if kind == "outer" else outer.right
    weights = np.where(np.arange(120) < 10, 1000.0, 1e-3)
    heavy = kmeans(vectors, 10, sample_weight=weights, n_init=5, random_state=0)[:10]
    assert len(set(heavy.tolist())) == 10


@pytest.mark.parametrize("kind", ["plain", "outer"])
def test_fewer_distinct_rows_than_clusters_pass_silently(kind):
    rows = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])[np.arange(12) % 3]
    vectors = rows if kind == "plain" else Outer(rows, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = kmeans(vectors, 7, random_state=0)
    assert adjusted_rand_score(np.arange(12) % 3, labels) == 1
    assert labels.max() < 7


@pytest.mark.parametrize("kind", ["plain", "outer"])
@pytest.mark.parametrize("k", [1, 5, 9])
def test_number_of_clusters_is_clipped_to_the_rows(kind, k):
    rows = np.random.default_rng(0).normal(size=(5, 3))
    labels = kmeans(rows if kind == "plain" else Outer(rows, rows), k, random_state=0)
    assert len(np.unique(labels)) == min(k, 5)


@pytest.mark.parametrize("n", [0, 4])
def test_no_clusters_give_no_labels(n):
    labels = kmeans(np.zeros((n, 2)), 0)
    assert labels.shape == (0,)
    assert labels.dtype == np.int64


def test_zero_vectors_are_one_cluster():
    labels = kmeans(Outer(np.zeros((6, 2)), np.ones((6, 3))), 3, random_state=0)
    assert len(np.unique(labels)) == 1


@pytest.mark.parametrize("kind", ["plain", "outer"])
def test_a_seed_repeats(outer, kind):
    vectors = outer if kind == "outer" else outer.right
    first, again = (kmeans(vectors, 9, random_state=np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, kmeans(vectors, 9, random_state=5))


def test_a_gram_matrix_beyond_memory_is_refused_with_a_remedy(outer, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 100)
    with pytest.raises(ValueError, match=r"Outer of 120 rows.*at most 100 rows.*Draw a subset"):
        kmeans(outer, 3)


@pytest.mark.parametrize("option", ["n_init", "max_iter"])
def test_bad_options_are_named(outer, option):
    with pytest.raises(ValueError, match=f"{option} must be at least 1, got 0"):
        kmeans(outer, 3, **{option: 0})
