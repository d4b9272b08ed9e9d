"""Picks of one row per cluster: by k-means, or nearest to the centroids of given clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from skada_active.selection._farthest_first import traverse
from skada_active.selection._geometry import Points, membership, zero_tolerance
from skada_active.selection._kmeans import kmeans
from skada_active.selection._outer import Vectors
from skada_active.selection._ties import Ties
from skada_active.selection._validation import check_count, check_weights
from skada_active.utils.random import RandomStateLike, check_rng

__all__ = ["kmeans_picks", "nearest_to_centers"]

# Inner products of all rows with so many centroids at a time that they take no more than this.
CHUNK_BYTES = 2**25


def kmeans_picks(
    vectors: Vectors,
    k: int,
    *,
    sample_weight: ArrayLike | None = None,
    n_init: int = 1,
    random_state: RandomStateLike = None,
) -> NDArray[np.int64]:
    """Pick k distinct rows: the one nearest to each centroid of a k-means clustering.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), or Outer
        The rows to pick from.
    k : int
        How many rows to pick; at most n are, and none for ``k <= 0``.
    sample_weight : array-like of shape (n,), default=None
        Non-negative weights of the clustering, by default equal; all zeros count as equal.
    n_init : int, default=1
        How many seedings k-means starts from.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness; None takes fresh entropy, and resolves ties of the nearest row by position.

    Returns
    -------
    positions : ndarray of shape (min(max(k, 0), n),), int64
        Distinct, in the order of the clusters.

    Raises
    ------
    ValueError
        As in `kmeans`.

    Notes
    -----
    `kmeans`, then `nearest_to_centers`, whose 2 n d k operations are those of one more iteration.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import kmeans_picks
    >>> X = np.array([[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]])
    >>> sorted(kmeans_picks(X, 2, random_state=0).tolist())
    [1, 4]
    """
    rng = check_rng(random_state)
    labels = kmeans(vectors, k, sample_weight=sample_weight, n_init=n_init, random_state=rng)
    return nearest_to_centers(vectors, labels, k, sample_weight=sample_weight, random_state=rng)


def nearest_to_centers(
    vectors: Vectors,
    labels: ArrayLike,
    k: int,
    *,
    sample_weight: ArrayLike | None = None,
    random_state: RandomStateLike = None,
) -> NDArray[np.int64]:
    """Pick for each of k clusters the row nearest to its centroid, no row twice.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), or Outer
        The rows to pick from.
    labels : array-like of shape (n,), int
        Clusters 0 to k - 1; some may be empty.
    k : int
        How many clusters there are, at most n.
    sample_weight : array-like of shape (n,), default=None
        Non-negative weights of the rows in their centroid, by default equal. A cluster whose weights are all 0 has its
        unweighted mean as centroid.
    random_state : int, RandomState, Generator or None, default=None
        What the order of rows at equal distances is drawn from; ``None``: their positions. Where there are none,
        nothing is drawn. The two members of a pair, which are at one distance from their mean whatever the data, are
        resolved by position.

    Returns
    -------
    positions : ndarray of shape (min(max(k, 0), n),), int64
        Distinct, in the order of the clusters. Each non-empty cluster in order takes, of all rows not yet taken, the
        one nearest to its centroid, the first among equals. Then the empty ones in order take what
        `farthest_first` picks with those rows as centers.

    Raises
    ------
    ValueError
        If vectors contain NaN or infinity, or labels are not n integers from 0 to k - 1.

    Notes
    -----
    2 n d k operations for dense vectors, 2 n C D k for outer products, whose centroids are (C, D) matrices; O(n)
    extra memory, plus at most about 100 MB.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import nearest_to_centers
    >>> X = np.array([[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]])
    >>> nearest_to_centers(X, [0, 0, 0, 2, 2, 2], 3)
    array([1, 0, 4])
    """
    points = Points(vectors)
    n = len(points)
    k = check_count(k, n)
    if k == 0:
        return np.empty(0, dtype=np.int64)
    labels = _check_labels(labels, n, k)
    ties = Ties(n, random_state)
    picks = _nearest_free(points, membership(labels, check_weights(sample_weight, n), k), ties)
    empty = picks < 0
    if empty.any():
        picks[empty] = _farthest_from(points, picks[~empty], int(empty.sum()), ties)
    return picks


def _nearest_free(points: Points, shares: csr_matrix, ties: Ties) -> NDArray[np.int64]:
    """Return for each mean, in order, the nearest row that no earlier one took; -1 for a mean of nothing."""
    k, n = shares.shape
    duplicates, tolerance = points.first_occurrence(), zero_tolerance(points.sq_norms)
    sizes, has_duplicates = np.diff(shares.indptr), (duplicates != np.arange(n)).any()
    picks, free = np.full(k, -1, dtype=np.int64), np.ones(n, dtype=bool)
    step = max(1, CHUNK_BYTES // (n * points.dtype.itemsize))
    for start in range(0, k, step):
        scores = points.sq_norms - 2 * points.mean_inner(shares[start : start + step])
        for cluster, score in enumerate(scores, start):
            if not sizes[cluster]:
                continue
            score[~free] = np.inf
            # The two members of a pair are at one distance from their mean: their positions decide, not the rounding.
            nearest = np.flatnonzero(score <= score.min() + tolerance)
            if len(nearest) == 2 and sizes[cluster] == 2:
                nearest = nearest[:1]
            if has_duplicates:
                nearest = np.flatnonzero(np.isin(duplicates, duplicates[nearest]) & free)
            picks[cluster] = ties.first(nearest)
            free[picks[cluster]] = False
    return picks


def _farthest_from(points: Points, taken: NDArray[np.int64], count: int, ties: Ties) -> NDArray[np.int64]:
    """Return the picks of a farthest-first traversal that goes on after those taken."""
    chosen = np.concatenate([taken, np.empty(count, dtype=np.int64)])
    distances = np.full(len(points), np.inf, dtype=points.dtype)
    points.update_min_distances(distances, points.rows(taken))
    traverse(points, distances, chosen, len(taken), ties)
    return chosen[len(taken) :]


def _check_labels(labels: ArrayLike, n: int, k: int) -> NDArray[np.int64]:
    labels = np.asarray(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be {n} integers, one per row, got {labels.dtype} of shape {labels.shape}.")
    if labels.min() < 0 or labels.max() >= k:
        raise ValueError(
            f"labels must be from 0 to {k - 1}, got {labels.min()} to {labels.max()}; renumber the clusters."
        )
    return labels.astype(np.int64, copy=False)
