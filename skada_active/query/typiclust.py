"""TypiClust: the most typical row of every cluster that has no label yet."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import cluster_seconds, neighbor_seconds
from skada_active.selection import kmeans, nearest_neighbors
from skada_active.selection._ties import Ties
from skada_active.utils._sklearn import Interval
from skada_active.utils.arrays import as_floats, host_dtype, namespace, normalized

__all__ = ["TypiClust", "typicality"]


def typicality(features: ArrayLike, n_neighbors: int = 20) -> NDArray[np.float64]:
    """Return the typicality of every row: one over its mean Euclidean distance to its nearest neighbours.

    Parameters
    ----------
    features : array-like of shape (n, D)
        Embedding of the rows of a cluster.
    n_neighbors : int, default=20
        Number of neighbours, at least 1; with fewer other rows, all of them.

    Returns
    -------
    ndarray of shape (n,), float64
        At least 0; infinite where all neighbours coincide with the row, 0 where there are none.

    Raises
    ------
    ValueError
        If `n_neighbors` is below 1, or features hold NaN or infinity.

    Notes
    -----
    O(n² D) time for the neighbours, found in blocks, O(n (D + n_neighbors)) memory, no n x n array.

    References
    ----------
    .. [1] Hacohen, Dekel and Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets",
       ICML 2022, Eq. 4.

    Examples
    --------
    >>> from skada_active.query import typicality
    >>> typicality([[0.0], [1.0], [3.0]], n_neighbors=2).round(4)
    array([0.5   , 0.6667, 0.4   ])
    """
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1, got {n_neighbors}.")
    with np.errstate(divide="ignore"):
        return 1 / _mean_distances(features, n_neighbors)


class TypiClust(QueryStrategy):
    """TypiClust strategy: the most typical target row of every cluster without a label, the largest clusters first.

    Reads the embedding of the pool and of the labelled target rows. Pool and labelled rows are clustered by k-means
    into as many clusters as there are labelled rows and queries together; in a cluster the row whose neighbours are
    nearest is chosen. No model has to be good for it: it is meant for the first labels.

    Parameters
    ----------
    n_neighbors : int, default=20
        Number of neighbours within the cluster, at least 1; with fewer other rows, all of them.
    max_clusters : int, default=500
        Largest number of clusters.
    n_init : int, default=1
        How many times k-means starts; the clustering of lowest inertia is used.
    normalize : bool, default=False
        Whether rows are scaled to Euclidean length 1 first. The paper's code does so with self-supervised features; for
        columns of a table their length tells something.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting centroids, and of the order of tied rows. See `QueryStrategy`.

    See Also
    --------
    typicality : The score within a cluster as a function.
    ProbCover : Rows that cover the pool.
    KMeansSampling : The row nearest to each centroid, whatever is labelled.

    Notes
    -----
    Where more rows are asked for than there are clusters without a label (beyond `max_clusters`, or where rows
    coincide), the next row always comes from the clusters of the fewest labelled and chosen rows, among these from the
    largest, and is the next most typical there. Clusters of few rows count, too, which the published code leaves out.
    Rows that coincide with their neighbours are the most typical ones, and tie. Clusters and neighbours are those of
    the whole pool, also where only some of it can be chosen, labelled rows among them; the published code takes squared
    distances, to at most half of the cluster.

    O(n_init n k D) time per pass of k-means for k clusters, and O(m² D) for each cluster of m rows that a row is chosen
    in; O(n D) memory.

    References
    ----------
    .. [1] Hacohen, Dekel and Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets",
       ICML 2022, Alg. 1.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import TypiClust
    >>> features = [[0.0], [0.1], [0.3], [5.0], [5.1], [5.3], [9.0]]
    >>> TypiClust().select(PoolView(features=features, labeled_features=[[0.2]]), 2, random_state=0)
    array([4, 6])
    """

    needs = frozenset({"features", "labeled_features"})
    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "normalize": ["boolean"],
    }

    def __init__(
        self,
        n_neighbors: int = 20,
        max_clusters: int = 500,
        n_init: int = 1,
        normalize: bool = False,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.n_neighbors = n_neighbors
        self.max_clusters = max_clusters
        self.n_init = n_init
        self.normalize = normalize

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        pool = view.surroundings[0]
        n_clusters = min(len(pool.labeled_features) + n_queries, self.max_clusters)
        # Clusters of one size, of which as many are looked into as rows are asked for.
        share = min(n_queries, n_clusters) / n_clusters**2
        search = neighbor_seconds(pool, self.n_neighbors, "euclidean")
        return cluster_seconds(pool, n_clusters, self.n_init) + share * search

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        pool, positions = view.surroundings
        features, labeled = as_floats(pool.features, pool.labeled_features)
        rows = namespace(features).concatenate([features, labeled])
        rows = normalized(rows) if self.normalize else rows
        n_clusters = min(len(labeled) + n_queries, self.max_clusters, len(rows))
        clusters = kmeans(rows, n_clusters, n_init=self.n_init, random_state=rng)
        places = np.full(len(rows), -1)
        places[positions] = np.arange(len(positions))
        n_known = np.bincount(clusters[len(features) :], minlength=n_clusters)
        return places[_typical(rows, clusters, n_known, places >= 0, n_queries, self.n_neighbors, Ties(len(rows), rng))]


def _typical(
    rows: Any,
    clusters: NDArray[np.int64],
    n_known: NDArray[np.int64],
    is_free: NDArray[np.bool_],
    n_queries: int,
    n_neighbors: int,
    ties: Ties,
) -> NDArray[np.int64]:
    """Return the chosen rows: each the most typical free one of a cluster, the clusters of the fewest known rows first.

    `n_known` counts these for each cluster; among equal counts, the largest cluster comes first.
    """
    sizes, n_known = np.bincount(clusters, minlength=len(n_known)), n_known.copy()
    n_free = np.bincount(clusters[is_free], minlength=len(n_known))
    slack = 1 + np.sqrt(np.finfo(host_dtype(rows)).eps)
    distances: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    chosen = np.empty(n_queries, dtype=np.int64)
    for number in range(n_queries):
        cluster = int(np.lexsort([-sizes, n_known, n_free == 0])[0])
        if cluster not in distances:
            members = np.flatnonzero(clusters == cluster)
            spread = _mean_distances(rows[members], n_neighbors)
            distances[cluster] = members, np.where(is_free[members], spread, np.inf)
        members, left = distances[cluster]
        chosen[number] = ties.first(members[left <= slack * left.min()])
        left[members == chosen[number]] = np.inf
        n_known[cluster] += 1
        n_free[cluster] -= 1
    return chosen


def _mean_distances(features: Any, n_neighbors: int) -> NDArray[np.float64]:
    """Return the mean distances (n,) to the nearest other rows; infinite where there are none."""
    distances, _ = nearest_neighbors(features, n_neighbors, metric="euclidean")
    return distances.mean(axis=1, dtype=np.float64) if distances.shape[1] else np.full(len(distances), np.inf)
