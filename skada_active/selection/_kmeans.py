"""Lloyd's algorithm from greedy k-means++ seeds, on dense vectors and on outer products."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.selection._dense_kmeans import DenseMeans, TensorMeans
from skada_active.selection._geometry import Points
from skada_active.selection._gram_kmeans import MAX_ROWS, GramMeans
from skada_active.selection._kmeans_plusplus import d2_sample, draw
from skada_active.selection._outer import Vectors
from skada_active.selection._top_k import partial_argsort
from skada_active.selection._validation import check_at_least_one, check_count, check_weights
from skada_active.utils.arrays import Floats, is_tensor
from skada_active.utils.random import RandomStateLike, check_rng

__all__ = ["kmeans"]


def kmeans(
    vectors: Vectors,
    k: int,
    *,
    sample_weight: ArrayLike | None = None,
    n_init: int = 1,
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state: RandomStateLike = None,
) -> NDArray[np.int64]:
    """Partition the rows into k clusters by Lloyd's algorithm.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), or Outer
        The rows to cluster.
    k : int
        How many clusters, at most n.
    sample_weight : array-like of shape (n,), default=None
        Non-negative weights, by default equal; all zeros count as equal.
    n_init : int, default=1
        How many greedy k-means++ seedings to start from; the result with the least inertia is returned.
    max_iter : int, default=300
        Most iterations of a run.
    tol : float, default=1e-4
        A run also ends when all centroids together moved by less than this share of the features' mean variance.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness; None takes fresh entropy.

    Returns
    -------
    labels : ndarray of shape (n,), int64
        Clusters 0 to k - 1. With fewer distinct rows than k some clusters are empty. Empty array for ``k <= 0``.

    Raises
    ------
    ValueError
        If vectors contain NaN or infinity, a weight is negative or not finite, n_init or max_iter is below 1, or an
        Outer has more than 15000 rows: its Gram matrix would take more than 1 GB.

    Notes
    -----
    Runs as those of `sklearn.cluster.KMeans` do: greedy k-means++ seeds of ``2 + ln k`` trials, the same end.
    Seeding costs 2 n d k ``(2 + ln k)`` operations at the speed of matrix products, an iteration at most 2 n d k; it
    computes distances only to centroids that moved, and most soon stand still. O(n + d k) memory and about 150 MB.

    A mean of outer products is no outer product, so these are clustered through the Gram matrix ``(A A^T) * (H H^T)``
    in float32: n^2 (C + D) operations once, n^2 an iteration, 4 n^2 bytes.

    References
    ----------
    .. [1] Lloyd, "Least Squares Quantization in PCM", IEEE Transactions on Information Theory 28, 1982.
    .. [2] Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007, Section 5 (greedy).

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import kmeans
    >>> labels = kmeans(np.array([[0.0], [0.1], [9.0], [9.1]]), 2, random_state=0)
    >>> bool(labels[0] == labels[1] != labels[2] == labels[3])
    True
    """
    points = Points(vectors)
    k, weights, rng = check_count(k, len(points)), check_weights(sample_weight, len(points)), check_rng(random_state)
    n_init, max_iter = check_at_least_one(n_init, "n_init"), check_at_least_one(max_iter, "max_iter")
    if k == 0:
        return np.empty(0, dtype=np.int64)
    gram = None
    if len(points.factors) > 1:
        if len(points) > MAX_ROWS:
            raise ValueError(
                f"kmeans on an Outer of {len(points)} rows would need a Gram matrix of "
                f"{4e-9 * len(points) ** 2:.1f} GB; at most {MAX_ROWS} rows (0.9 GB) are accepted. Draw a "
                "subset of the rows, or cluster dense vectors, such as the right factors times the left factors' norms."
            )
        gram = points.gram()
    runs, tolerance = [], tol * points.variance()
    for _ in range(n_init):
        seeds = d2_sample(points, k, weights, draw(np.cumsum(weights), 1, rng)[0], 2 + int(math.log(k)), rng)
        runs.append(_lloyd(_cluster_means(points, gram, weights, seeds), max_iter, tolerance))
    return min(runs, key=lambda run: run[0])[1]


def _cluster_means(
    points: Points, gram: NDArray[np.float32] | None, weights: NDArray[np.float64], seeds: NDArray[np.int64]
) -> DenseMeans | GramMeans:
    if gram is not None:
        return GramMeans(gram, weights, seeds)
    return (TensorMeans if is_tensor(points.norms) else DenseMeans)(points, weights, seeds)


def _lloyd(means: DenseMeans | GramMeans, max_iter: int, tolerance: float) -> tuple[float, NDArray[np.int64]]:
    """Return the inertia and the labels of one run."""
    labels, distances = means.assign()
    for _ in range(max_iter):
        _fill_empty(labels, distances, means.k)
        if means.labels is not None and np.array_equal(labels, means.labels):
            break
        shift = means.move(labels)
        labels, distances = means.assign()
        if shift <= tolerance:
            break
    return float(means.weights @ distances), labels


def _fill_empty(labels: NDArray[np.int64], distances: Floats, k: int) -> None:
    """Move the rows farthest from their centroids into the empty clusters, while there are rows off their centroid."""
    empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
    far = partial_argsort(distances, len(empty))
    far = far[distances[far] > 0]
    labels[far] = empty[: len(far)]
