from __future__ import annotations

import numpy as np
import pytest

from skada_active.selection import Outer
from skada_active.selection import _geometry as geometry
from skada_active.selection._geometry import Points, membership


def explicit(vectors):
    if not isinstance(vectors, Outer):
        return vectors
    return np.einsum("ij,ik->ijk", vectors.left, vectors.right).reshape(len(vectors), -1)


def sq_distances(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(axis=2)


@pytest.fixture(params=["plain", "outer"])
def vectors(request, monkeypatch):
    monkeypatch.setattr(geometry, "BLOCK_BYTES", 1)
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(150, 3)), rng.normal(size=(150, 4))
    return right + 3 if request.param == "plain" else Outer(left, right)


def test_blocks_cover_all_rows_in_order(vectors):
    blocks = [np.arange(150)[block] for block, _ in Points(vectors).blocks()]
    assert len(blocks) == 3
    assert np.array_equal(np.concatenate(blocks), np.arange(150))


def test_distances_are_those_of_the_explicit_vectors(vectors):
    points, rows = Points(vectors), np.array([149, 3, 70])
    expected = sq_distances(explicit(vectors)[rows], explicit(vectors))
    assert np.allclose(points.sq_distances(points.rows(rows)), expected)


def test_lowered_distances_are_those_to_the_nearest(vectors):
    points, rows = Points(vectors), np.arange(0, 150, 2)
    distances = np.full(150, 0.5)
    points.update_min_distances(distances, points.rows(rows))
    expected = sq_distances(explicit(vectors), explicit(vectors)[rows]).min(axis=1)
    assert np.allclose(distances, np.minimum(expected, 0.5))
    assert np.all(distances[rows] == 0)


def test_inner_products_with_means_order_rows_by_distance(vectors):
    rng = np.random.default_rng(2)
    labels, weights = rng.integers(0, 3, 150), rng.random(150)
    points, full = Points(vectors), explicit(vectors)
    means = np.stack([np.average(full[labels == c], axis=0, weights=weights[labels == c]) for c in range(3)])
    scores = points.sq_norms - 2 * points.mean_inner(membership(labels, weights, 3))
    expected = sq_distances(means, full)
    assert np.allclose(scores - scores[:, :1], expected - expected[:, :1])


def test_gram_matrix_is_symmetric_float32(vectors):
    points = Points(vectors)
    gram = points.gram()
    rows = points.rows(slice(None))
    assert gram.dtype == np.float32
    assert np.allclose(gram, rows.inner(rows), atol=1e-4)
    assert np.array_equal(gram, gram.T) or np.allclose(gram, gram.T, rtol=1e-6)


def test_directions_have_length_one_or_zero():
    rows = Points(np.array([[3.0, 4.0], [0.0, 0.0]])).directions()
    assert np.allclose(rows.factors[0], [[0.6, 0.8], [0, 0]])


def test_shares_of_a_weightless_cluster_are_equal():
    shares = membership(np.array([0, 1, 0, 1]), np.array([1.0, 0.0, 3.0, 0.0]), 3).toarray()
    assert np.allclose(shares, [[0.25, 0, 0.75, 0], [0, 0.5, 0, 0.5], [0, 0, 0, 0]])


def test_twins_are_found_by_content_not_by_norm():
    X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -0.0], [0.0, 1.0], [-1.0, 0.0], [2.0, 2.0]])
    assert Points(X).first_occurrence().tolist() == [0, 1, 0, 1, 4, 5]
    assert Points(Outer(X, X)).first_occurrence().tolist() == [0, 1, 0, 1, 4, 5]


@pytest.mark.parametrize("order", ["C", "F"])
def test_twins_far_apart_are_found(order, monkeypatch):
    monkeypatch.setattr(geometry, "BLOCK_BYTES", 1)
    half = np.random.default_rng(0).normal(size=(65, 33)).astype(np.float32)
    X = np.asarray(np.concatenate([half, half]), order=order)
    assert np.array_equal(Points(X).first_occurrence(), np.tile(np.arange(65), 2))


def test_features_far_from_zero_keep_their_distances_in_float32():
    X = np.random.default_rng(0).normal(size=(50, 8))
    shifted = (X + 4096).astype(np.float32)
    points = Points(shifted)
    exact = sq_distances(shifted.astype(np.float64), shifted.astype(np.float64))
    assert np.allclose(points.sq_distances(points.rows(slice(None))), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["left", "right"])
def test_factors_that_are_not_finite_are_named(bad, where):
    factors = {"left": np.ones((2, 2)), "right": np.ones((2, 3))}
    factors[where][1, 1] = bad
    with pytest.raises(ValueError, match=rf"vectors\.{where} contains"):
        Points(Outer(**factors))


def test_norms_beyond_float32_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match="scale vectors down"):
        Points(np.array([[1e30], [-1e30]], dtype=np.float32))


@pytest.mark.parametrize(
    ("given", "expected"), [("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("f2", "f8"), ("?", "f8"), ("u1", "f8")]
)
def test_floating_type_of_the_computations(given, expected):
    assert Points(np.ones((2, 2), dtype=given)).dtype == np.dtype(expected)
    assert Points(Outer(np.ones((2, 1), dtype=given), np.ones((2, 2), dtype=given))).dtype == np.dtype(expected)
