from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skada_active.selection import Outer, farthest_first, kmeans, kmeans_picks, nearest_to_centers
from skada_active.selection import _clusters as module


def explicit(vectors):
    return np.einsum("ij,ik->ijk", vectors.left, vectors.right).reshape(len(vectors), -1)


def naive(X, labels, k, weights=None):
    """Return the picks; empty clusters go on farthest-first from the others' picks."""
    weights = np.ones(len(X)) if weights is None else weights
    picks = [-1] * k
    for c in np.unique(labels):
        members = labels == c
        mean = np.average(X[members], axis=0, weights=weights[members])
        distances = ((X - mean) ** 2).sum(axis=1)
        distances[[pick for pick in picks if pick >= 0]] = np.inf
        picks[c] = int(distances.argmin())
    for c in range(k):
        if picks[c] < 0:
            taken = [pick for pick in picks if pick >= 0]
            distances = np.min([((X - X[t]) ** 2).sum(axis=1) for t in taken], axis=0)
            distances[taken] = -1
            picks[c] = int(distances.argmax())
    return picks


def test_takes_the_row_nearest_to_each_mean():
    X = np.array([[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]])
    assert nearest_to_centers(X, [1, 1, 1, 0, 0, 0], 2).tolist() == [4, 1]


def test_on_a_collision_the_later_cluster_takes_its_next_nearest_row():
    X = np.array([[-4.0], [4.0], [0.1], [-5.0], [5.2]])
    assert nearest_to_centers(X, [0, 0, 1, 1, 1], 2).tolist() == naive(X, np.array([0, 0, 1, 1, 1]), 2) == [2, 1]


def test_weights_move_the_means():
    X = np.array([[0.0], [1.0], [2.0], [10.0]])
    assert nearest_to_centers(X, [0, 0, 0, 0], 1, sample_weight=[1, 0, 0, 9]).tolist() == [3]
    assert nearest_to_centers(X, [0, 0, 1, 1], 2, sample_weight=[0, 0, 1, 0]).tolist() == [0, 2]


def test_empty_clusters_are_refilled_farthest_first():
    X = np.array([[0.0], [1.0], [2.0], [9.0], [5.0]])
    picks = nearest_to_centers(X, [1, 1, 1, 1, 1], 3)
    assert picks.tolist() == [3, 2, 4]
    assert picks[[0, 2]].tolist() == farthest_first(X, 2, centers=X[[2]]).tolist()


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 64, 2**25]))
def test_equals_the_plain_loop_on_ties_and_duplicates(data, n, k, chunk):
    k = min(k, n)
    X = data.draw(arrays(np.float64, (n, 2), elements=st.integers(-4, 4))) * 27720
    labels = data.draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk)
        picks = nearest_to_centers(X, labels, k)
    assert picks.tolist() == naive(X, labels, k)


def test_of_identical_rows_the_first_free_one_is_taken():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(40, 19)).astype(np.float32)
    picks = nearest_to_centers(np.concatenate([half, half]), np.tile(np.arange(40), 2), 40)
    assert picks.tolist() == list(range(40))


@pytest.mark.parametrize("kind", ["plain", "outer"])
def test_picks_are_the_rows_nearest_to_the_kmeans_centroids(kind):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 4)) if kind == "plain" else Outer(rng.normal(size=(60, 2)), rng.normal(size=(60, 3)))
    weights = rng.random(60)
    labels = kmeans(vectors, 7, sample_weight=weights, random_state=3)
    picks = kmeans_picks(vectors, 7, sample_weight=weights, random_state=3)
    X = vectors if kind == "plain" else explicit(vectors)
    assert picks.tolist() == naive(X, labels, 7, weights)


def test_more_starts_change_the_picks():
    X = np.random.default_rng(0).normal(size=(200, 4))
    picks = {tuple(kmeans_picks(X, 12, n_init=n_init, random_state=0)) for n_init in (1, 10)}
    assert len(picks) == 2


def test_fewer_distinct_rows_than_picks_take_each_of_them():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]])[np.arange(30) % 3]
    picks = kmeans_picks(X, 6, random_state=0)
    assert len(np.unique(X[picks], axis=0)) == 3


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 3], [-1, 0, 1], [0.0, 1.0, 1.0]])
def test_bad_labels_are_refused(labels):
    with pytest.raises(ValueError, match="labels must be"):
        nearest_to_centers(np.zeros((3, 1)), labels, 3)


def test_read_only_inputs():
    X, labels = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 3
    X.flags.writeable = labels.flags.writeable = False
    assert len(nearest_to_centers(X, labels, 3)) == 3
    assert len(kmeans_picks(X[::2], 3, random_state=0)) == 3
