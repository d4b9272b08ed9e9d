from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from skada_active.selection import Outer, greedy_cover, kmeans, pure_radius


def distances_of(a, b):
    return np.sqrt(np.square(a[:, None] - b).sum(axis=2))


def naive_cover(X, k, radius, centers=None, among=None):
    n = len(X)
    between, chosen = distances_of(X, X), []
    allowed = list(range(n)) if among is None else list(among)
    outside = np.full(n, np.inf) if centers is None or not len(centers) else distances_of(X, centers).min(axis=1)
    covered = outside < radius
    while len(chosen) < min(k, len(allowed)):
        left = [i for i in sorted(allowed) if i not in chosen]
        gains = [sum((between[i, j] < radius or i == j) and not covered[j] for j in range(n)) for i in left]
        if max(gains) == 0:
            nearest = np.minimum(outside, between[:, chosen].min(axis=1, initial=np.inf))
            farthest = nearest[left].max()
            if farthest == 0:
                return chosen + left[: min(k, len(allowed)) - len(chosen)]
            radius = farthest / 2
            covered = nearest < radius
            continue
        best = left[int(np.argmax(gains))]
        chosen.append(best)
        covered |= (between[best] < radius) | (np.arange(n) == best)
    return chosen


def blobs(n=90, width=3, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, width)) + 3 * rng.integers(3, size=(n, 1))).astype(dtype)


@pytest.mark.parametrize("radius", [1e-9, 0.5, 1.0, 2.0, 30.0, np.inf])
@pytest.mark.parametrize("n_centers", [None, 0, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_cover_is_that_of_a_naive_loop(radius, n_centers, dtype):
    X = blobs(dtype=dtype)
    centers = None if n_centers is None else blobs(n_centers, dtype=dtype, seed=1)
    found = greedy_cover(X, 40, radius, centers=centers)
    assert found.dtype == np.int64
    assert found.tolist() == naive_cover(X.astype(float), 40, radius, centers)


@pytest.mark.parametrize("radius", [1.0, 1.5, 2.0, np.sqrt(2), np.sqrt(5)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_rows_at_the_radius_are_not_covered_whatever_the_rounding(radius, offset):
    grid = np.stack(np.meshgrid(np.arange(7.0), np.arange(7.0)), axis=2).reshape(-1, 2)
    X, centers = grid + offset, grid[:2] + offset
    expected = naive_cover(grid, 20, radius, grid[:2])
    assert greedy_cover(X, 20, radius, centers=centers).tolist() == expected
    assert greedy_cover(X.astype(np.float32), 20, radius, centers=centers.astype(np.float32)).tolist() == expected


def test_some_rows_cover_all_of_them():
    X, among = blobs(), np.arange(1, 90, 7)
    assert greedy_cover(X, 9, 1.5, among=among).tolist() == naive_cover(X, 9, 1.5, among=among)
    assert sorted(greedy_cover(X, 99, 1.5, among=among)) == among.tolist()


def test_rows_that_coincide_come_last():
    X = np.repeat(blobs(5), 4, axis=0)
    for radius in (1e-200, 0.1, 50.0):
        assert sorted(greedy_cover(X, 5, radius) // 4) == [0, 1, 2, 3, 4]
        assert sorted(greedy_cover(X, 20, radius, random_state=0)) == list(range(20))
    assert sorted(greedy_cover(X, 4, 0.1, centers=X[:1]) // 4) == [1, 2, 3, 4]


def test_among_equals_the_position_or_the_seed_decides():
    X = 10.0 * np.eye(6)
    assert greedy_cover(X, 6, 1.0).tolist() == [0, 1, 2, 3, 4, 5]
    assert {int(greedy_cover(X, 1, 1.0, random_state=seed)[0]) for seed in range(60)} == set(range(6))


def test_outer_products_are_covered_as_the_vectors_that_they_stand_for():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(40, 3)), rng.normal(size=(40, 4))
    formed = np.einsum("ic,id->icd", left, right).reshape(40, -1)
    assert greedy_cover(Outer(left, right), 20, 2.0).tolist() == naive_cover(formed, 20, 2.0)


def test_no_row_and_one_row_and_nothing_wanted():
    assert greedy_cover(np.empty((0, 2)), 3, 1.0).shape == (0,)
    assert greedy_cover(np.ones((1, 2)), 3, 1.0).tolist() == [0]
    assert greedy_cover(np.ones((4, 2)), 0, 1.0).shape == (0,)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan])
def test_a_radius_must_be_above_zero(radius):
    with pytest.raises(ValueError, match="radius must be above 0"):
        greedy_cover(np.ones((4, 2)), 1, radius)


def test_no_table_of_all_pairs_is_made():
    X = np.random.default_rng(0).normal(size=(12000, 4)).astype(np.float32)
    tracemalloc.start()
    greedy_cover(X, 5, 100.0)
    pure_radius(X, np.arange(12000) % 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12000**2  # bytes: a quarter of the distances, or one byte for each edge


@pytest.mark.parametrize("purity", [1e-6, 0.3, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_pure_radius_is_the_largest_at_which_so_many_balls_are_pure(purity, dtype):
    X = blobs(dtype=dtype)
    labels = kmeans(X, 3, random_state=0)
    between = distances_of(X.astype(float), X.astype(float))
    is_other = labels[:, None] != labels

    def share(radius):
        return np.mean([not (is_other[i] & (between[i] < radius)).any() for i in range(len(X))])

    radius = pure_radius(X, labels, purity)
    assert share(radius * (1 - 1e-5)) >= purity > share(radius * (1 + 1e-5))


def test_balls_of_a_single_cluster_are_pure_at_any_radius():
    assert pure_radius(blobs(), np.zeros(90, dtype=int)) == np.inf
    assert pure_radius(np.ones((4, 2)), [0, 1, 0, 1]) == 0
