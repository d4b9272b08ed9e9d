"""k-means on plain vectors (scikit-learn's) and on outer products (through their Gram matrix)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from ._geometry import Points
from ._gram_kmeans import MAX_ROWS, gram_kmeans
from ._outer import Vectors
from ._validation import RandomStateLike, check_at_least_one, check_count, check_rng, check_weights


def kmeans(
    vectors: Vectors,
    k: int,
    *,
    sample_weight: ArrayLike | None = None,
    n_init: int = 1,
    max_iter: int = 300,
    tol: float = 1e-4,
    random_state: RandomStateLike = None,
) -> np.ndarray:
    """Partition the rows into k clusters by Lloyd's algorithm.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), or Outer
        The rows to cluster.
    k : int
        How many clusters, at most n.
    sample_weight : array-like of shape (n,), optional
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
    Plain vectors go to :class:`sklearn.cluster.KMeans`: 2 n d k operations an iteration, one copy of the data. A mean
    of outer products is no outer product, so these are clustered through the Gram matrix ``(A A^T) * (H H^T)`` in
    float32: n^2 (C + D) operations once, n^2 an iteration, 4 n^2 bytes.

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
    if len(points.factors) > 1:
        if len(points) > MAX_ROWS:
            raise ValueError(
                f"kmeans on an Outer of {len(points)} rows would need a Gram matrix of "
                f"{4e-9 * len(points) ** 2:.1f} GB; at most {MAX_ROWS} rows (0.9 GB) are accepted. Draw a "
                "subset of the rows, or cluster plain vectors, such as the right factors times the left factors' norms."
            )
        return gram_kmeans(points, k, weights, n_init, max_iter, tol, rng)
    model = KMeans(k, n_init=n_init, max_iter=max_iter, tol=tol, random_state=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(points.factors[0], sample_weight=weights).labels_.astype(np.int64)
