from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare

from skada_active.selection import (
    OnDemand,
    Outer,
    _on_demand_geometry,
    farthest_first,
    kmeans,
    kmeans_picks,
    kmeans_plusplus,
    nearest_neighbors,
)
from skada_active.selection import _farthest_first as farthest
from skada_active.selection import _on_demand as on_demand


def vectors_of(X, **options):
    X = np.asarray(X)
    return OnDemand(lambda rows: X[rows], [X], width=X.shape[1], **{"dtype": X.dtype, **options})


def naive(X, k, first, centers=()):
    X = np.asarray(X, dtype=np.float64)
    picks = [] if len(centers) else [first]
    while len(picks) < min(k, len(X)):
        anchors = [*np.asarray(centers, dtype=np.float64), *X[picks]]
        distances = np.min([((X - anchor) ** 2).sum(axis=1) for anchor in anchors], axis=0)
        distances[picks] = -1
        picks.append(int(distances.argmax()))
    return picks


def explicit(coordinates, basis):
    groups = coordinates.reshape(len(coordinates), -1, len(basis))
    return (groups @ basis).reshape(len(coordinates), -1)


@pytest.fixture
def small_blocks(monkeypatch):
    """Take many blocks, few leaders and many passes, as for vectors that are far too long to be held."""
    monkeypatch.setattr(on_demand, "MIN_BLOCK", 7)
    for module, name in [
        (on_demand, "BLOCK_BYTES"),
        (_on_demand_geometry, "HELD_BYTES"),
        (_on_demand_geometry, "PASS_BYTES"),
    ]:
        monkeypatch.setattr(module, name, 1)
    monkeypatch.setattr(farthest, "MIN_LEADERS", 4)


@pytest.fixture
def coordinates():
    """Return 90 vectors as three groups of 4 coordinates, and the 4 vectors of the basis in 6 dimensions."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, 12)), rng.normal(size=(4, 6))


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 30), st.integers(1, 3), st.integers(1, 33), st.booleans())
def test_farthest_first_equals_the_plain_loop_on_ties_and_duplicates(data, n, d, k, with_centers):
    X = data.draw(arrays(np.int64, (n, d), elements=st.integers(-3, 3))).astype(np.float32)
    centers = X[: 2 * with_centers] + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_demand, "MIN_BLOCK", 7)
        patch.setattr(on_demand, "BLOCK_BYTES", 1)
        patch.setattr(_on_demand_geometry, "HELD_BYTES", 1)
        picks = farthest_first(vectors_of(X), k, centers=vectors_of(centers), first=n // 2)
    assert picks.dtype == np.int64
    assert picks.tolist() == naive(X, k, n // 2, centers)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_farthest_first_picks_what_it_picks_of_an_array(dtype):
    X = np.random.default_rng(3).normal(size=(200, 5)).astype(dtype)
    assert farthest_first(vectors_of(X), 120, first=3).tolist() == naive(X, 120, 3)
    assert farthest_first(vectors_of(X), 20).tolist() == farthest_first(X, 20).tolist()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", [(4, 6), (4, 2), (12, 5)])
def test_coordinates_stand_for_combinations_of_the_basis(coordinates, shape):
    coordinates, _ = coordinates
    basis = np.random.default_rng(1).normal(size=shape)
    vectors, full = vectors_of(coordinates, basis=basis), explicit(coordinates, basis)
    np.testing.assert_allclose(vectors.sq_norms(), np.square(full).sum(axis=1))
    assert farthest_first(vectors, 60, first=5).tolist() == naive(full, 60, 5)
    assert farthest_first(vectors, 1)[0] == np.square(full - full.mean(axis=0)).sum(axis=1).argmin()


@pytest.mark.parametrize("n_trials", [1, 3])
def test_kmeans_plusplus_draws_what_it_draws_of_an_array(coordinates, n_trials):
    coordinates, basis = coordinates
    vectors, full = vectors_of(coordinates, basis=basis), explicit(coordinates, basis)
    for seed in range(5):
        drawn = kmeans_plusplus(vectors, 25, first=0, n_trials=n_trials, random_state=seed)
        assert drawn.tolist() == kmeans_plusplus(full, 25, first=0, n_trials=n_trials, random_state=seed).tolist()


@pytest.mark.usefixtures("small_blocks")
def test_the_second_draw_follows_the_squared_distances(coordinates):
    coordinates, basis = coordinates
    vectors, full = vectors_of(coordinates[:12], basis=basis), explicit(coordinates[:12], basis)
    weights = np.square(full - full[4]).sum(axis=1)
    seconds = [kmeans_plusplus(vectors, 2, first=4, random_state=seed)[1] for seed in range(3000)]
    others = np.arange(12) != 4
    counts = np.bincount(seconds, minlength=12)
    assert counts[4] == 0
    assert chisquare(counts[others], 3000 * weights[others] / weights.sum()).pvalue > 1e-3


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_identical_rows_have_identical_norms_and_the_first_is_picked(dtype):
    half = np.random.default_rng(4).normal(size=(50, 37)).astype(dtype)
    vectors = vectors_of(np.concatenate([half, half]))
    assert vectors.duplicates.tolist() == [*range(50), *range(50)]
    assert vectors.sq_norms()[:50].tolist() == vectors.sq_norms()[50:].tolist()
    picks = farthest_first(vectors, 80, first=0)
    assert picks[:50].max() < 50
    assert picks[50:].tolist() == list(range(50, 80))


def test_rows_are_identical_only_if_all_keys_agree():
    keys = [np.zeros((4, 2, 3)), np.array([0.0, 1.0, 0.0, 1.0])[:, None], np.array([[1], [2], [-0], [2]])]
    assert OnDemand(lambda rows: np.zeros((len(rows), 1)), keys, width=1).duplicates.tolist() == [0, 1, 2, 1]
    assert OnDemand(lambda rows: np.zeros((len(rows), 1)), keys[:2], width=1).duplicates.tolist() == [0, 1, 0, 1]


def test_compute_may_use_its_memory_again():
    X = np.random.default_rng(5).normal(size=(300, 4))
    buffer = np.empty((300, 4))

    def compute(rows):
        buffer[:] = np.nan
        buffer[: len(rows)] = X[rows]
        return buffer[: len(rows)]

    vectors = OnDemand(compute, [X], width=4)
    assert farthest_first(vectors, 150, first=0).tolist() == naive(X, 150, 0)
    expected = kmeans_plusplus(vectors_of(X), 60, first=0, random_state=0)
    assert kmeans_plusplus(vectors, 60, first=0, random_state=0).tolist() == expected.tolist()


def test_the_vectors_are_never_held_all_at_once():
    rng = np.random.default_rng(0)
    scale, direction = rng.uniform(1, 2, size=(3000, 1)), rng.normal(size=8192)
    vectors = OnDemand(lambda rows: scale[rows] * direction, [scale], width=8192)
    tracemalloc.start()
    farthest_first(vectors, 20, first=0)
    kmeans_plusplus(vectors, 20, first=0, random_state=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3000 * 8192 * 8 / 1.3  # of which 64 MB are for rows held apart


@pytest.mark.parametrize(("k", "expected"), [(-1, 0), (0, 0), (5, 5), (9, 5)])
def test_number_of_picks(k, expected):
    vectors = vectors_of(np.arange(10.0).reshape(5, 2))
    for picks in (farthest_first(vectors, k), kmeans_plusplus(vectors, k, random_state=0)):
        assert picks.dtype == np.int64
        assert len(set(picks.tolist())) == len(picks) == expected


def test_no_rows_give_no_picks():
    assert farthest_first(vectors_of(np.empty((0, 2))), 3).shape == (0,)
    assert kmeans_plusplus(vectors_of(np.empty((0, 2))), 3).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_rows_whose_norm_is_not_finite_are_named(bad):
    X = np.ones((4, 2))
    X[2, 1] = bad
    with pytest.raises(ValueError, match="vector of row 2 contains NaN or infinity, or its squared norm is beyond"):
        farthest_first(vectors_of(X), 2)


def test_arguments_that_do_not_fit_are_refused():
    X = np.ones((4, 6))
    with pytest.raises(ValueError, match=r"compute must return shape \(4, 5\), got \(4, 6\)"):
        OnDemand(lambda rows: X[rows], [X], width=5).sq_norms()
    with pytest.raises(ValueError, match="keys must be arrays with one entry per row"):
        OnDemand(lambda rows: X[rows], [X, X[:3]], width=6)
    with pytest.raises(ValueError, match=r"basis must have shape \(p, q\) with p a divisor of width=6"):
        OnDemand(lambda rows: X[rows], [X], width=6, basis=np.ones((4, 4)))


@pytest.mark.parametrize(
    "centers",
    [
        np.zeros((1, 4)),
        Outer(np.zeros((1, 2)), np.zeros((1, 2))),
        vectors_of(np.zeros((1, 8))),
        vectors_of(np.zeros((1, 4)), dtype=np.float32),
        vectors_of(np.zeros((1, 4))),
        vectors_of(np.zeros((1, 4)), basis=np.ones((2, 3))),
    ],
    ids=["array", "outer", "width", "type", "no basis", "basis"],
)
def test_centers_of_another_kind_are_refused(centers):
    with pytest.raises(ValueError, match="centers must"):
        farthest_first(vectors_of(np.ones((3, 4)), basis=np.eye(2, 3)), 2, centers=centers)


def test_centers_on_demand_do_not_go_with_an_array():
    with pytest.raises(ValueError, match="centers must"):
        farthest_first(np.ones((3, 4)), 2, centers=vectors_of(np.zeros((1, 4))))


@pytest.mark.parametrize("primitive", [kmeans, kmeans_picks, nearest_neighbors])
def test_other_primitives_refuse_vectors_on_demand_by_name(primitive):
    with pytest.raises(TypeError, match="must be an array or an Outer here, not OnDemand"):
        primitive(vectors_of(np.ones((3, 4))), 2)
