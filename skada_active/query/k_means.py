"""K-means sampling: diversity alone, by the candidates nearest to centroids."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import cluster_seconds
from skada_active.selection import kmeans_picks
from skada_active.utils._sklearn import Interval

__all__ = ["KMeansSampling"]


class KMeansSampling(QueryStrategy):
    """K-means sampling: the target row nearest to each centroid of a k-means clustering, one cluster per query.

    Reads the embedding. The rule as a pure function: `skada_active.selection.kmeans_picks`.

    Parameters
    ----------
    n_init : int, default=1
        How many times k-means starts; the clustering of lowest inertia is used.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting centroids. See `QueryStrategy`.

    See Also
    --------
    CLUE : Centroids weighted by doubt.
    CoreSet : Rows that cover the pool.
    skada_active.selection.kmeans_picks : The choice as a function.

    Notes
    -----
    O(n_init n n_queries D) time per pass of k-means, O(n D) memory; a choice that will take minutes
    is announced by a warning, and `Prefilter` chooses among fewer rows. Two centroids with the same nearest candidate
    get distinct ones.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import KMeansSampling
    >>> view = PoolView(features=[[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    >>> sorted(KMeansSampling().select(view, 2, random_state=0).tolist())
    [1, 4]
    """

    needs = frozenset({"features"})
    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "n_init": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, n_init: int = 1, estimator: Any = None, random_state: Any = None) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.n_init = n_init

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        return cluster_seconds(view, n_queries, self.n_init)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        return kmeans_picks(view.features, n_queries, n_init=self.n_init, random_state=rng)
