"""ProbCover: rows whose neighbourhoods cover the pool."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import cluster_seconds, product_seconds
from skada_active.selection import greedy_cover, kmeans, pure_radius
from skada_active.utils._sklearn import Interval
from skada_active.utils.arrays import as_floats, namespace, normalized

__all__ = ["ProbCover"]

# A pair of rows is multiplied once for the radius and twice for the cover; comparisons take as long as so many columns.
_PASSES, _COLUMNS_A_COMPARISON = 3, 100


class ProbCover(QueryStrategy):
    """ProbCover strategy: target rows whose balls cover most of the pool that no labelled row covers.

    Reads the embedding of the pool and of the labelled target rows, and the number of classes where the radius of the
    balls depends on it. No model has to be good for it: it is meant for the first labels. The cover as a pure function:
    `skada_active.selection.greedy_cover`.

    Parameters
    ----------
    delta : float, default=None
        Radius of the balls; ``None``: the largest one at which a share `purity` of the balls hold rows of one cluster
        only, see `skada_active.selection.pure_radius`.
    purity : float, default=0.95
        Share of balls that are pure, above 0 and at most 1; only with ``delta=None``.
    n_clusters : int, default=None
        Number of clusters by which purity is judged, those of k-means on pool and labelled rows; only with
        ``delta=None``. ``None``: one per class, counted in the class probabilities, which are not read otherwise. A
        number lets models without probabilities do.
    n_init : int, default=1
        How many times that k-means starts; the clustering of lowest inertia is used.
    normalize : bool, default=False
        Whether rows are scaled to Euclidean length 1 first. The paper's code does so with self-supervised features; for
        columns of a table their length tells something.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting centroids, and of the order of tied rows. See `QueryStrategy`.

    See Also
    --------
    TypiClust : Typical rows of clusters without a label.
    CoreSet : Rows that cover the pool at the smallest radius, outliers first.
    skada_active.selection.greedy_cover : The cover as a function.
    skada_active.selection.pure_radius : The radius as a function.

    Notes
    -----
    Each choice covers the most rows that are not covered yet. When none covers another one, the cover goes on at half
    the distance of the row farthest from labelled and chosen ones, so that a later round looks at the pool more
    closely; rows that coincide with those come last. With one cluster every ball is pure, the first choice covers the
    pool, and the smaller scales do the rest. The paper fixes the radius once; here it is that of the round's embedding,
    over pool and labelled rows. The whole pool is to be covered, also where only some of it can be chosen.

    About 3 n² D multiplications at the speed of matrix products, seconds for 20,000 rows, minutes from about 100,000 on
    (announced by a warning), and up to 2 n² D more for every smaller scale; O(n D) memory and about 150 MB, no graph.

    References
    ----------
    .. [1] Yehuda et al., "Active Learning Through a Covering Lens", NeurIPS 2022.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import ProbCover
    >>> features = [[0.0], [1.0], [2.0], [7.0], [8.0], [20.0]]
    >>> ProbCover(delta=1.5).select(PoolView(features=features, labeled_features=[[1.0]]), 2)
    array([3, 5])
    """

    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "delta": [Interval(Real, 0, None, closed="neither"), None],
        "purity": [Interval(Real, 0, 1, closed="right")],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "normalize": ["boolean"],
    }

    def __init__(
        self,
        delta: float | None = None,
        purity: float = 0.95,
        n_clusters: int | None = None,
        n_init: int = 1,
        normalize: bool = False,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.delta = delta
        self.purity = purity
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.normalize = normalize

    @property
    def needs(self) -> frozenset[str]:
        """``features`` and ``labeled_features``; ``proba`` too where the classes are counted."""
        counted = self.delta is None and self.n_clusters is None
        return frozenset({"features", "labeled_features"} | ({"proba"} if counted else set()))

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        pool = view.surroundings[0]
        pairs = float(len(pool)) ** 2 * (_PASSES if self.delta is None else _PASSES - 1)
        clustering = cluster_seconds(pool, self._n_clusters(pool), self.n_init) if self.delta is None else 0.0
        return clustering + product_seconds(pool, pairs * (pool.features.shape[1] + _COLUMNS_A_COMPARISON))

    def _n_clusters(self, pool: PoolView) -> int:
        return pool.proba.shape[1] if self.n_clusters is None else self.n_clusters

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        pool, positions = view.surroundings
        features, labeled = as_floats(pool.features, pool.labeled_features)
        rows = namespace(features).concatenate([features, labeled])
        rows = normalized(rows) if self.normalize else rows
        radius = self._radius(pool, rows, rng)
        features, labeled = rows[: len(features)], rows[len(features) :]
        picks = greedy_cover(features, n_queries, radius, centers=labeled, among=positions, random_state=rng)
        places = np.empty(len(pool), dtype=np.int64)
        places[positions] = np.arange(len(positions))
        return places[picks]

    def _radius(self, pool: PoolView, rows: Any, rng: np.random.RandomState) -> float:
        if self.delta is not None:
            return self.delta
        n_clusters = min(self._n_clusters(pool), len(rows))
        clusters = kmeans(rows, n_clusters, n_init=self.n_init, random_state=rng)
        # Of rows that coincide, k-means may put one into a cluster of its own.
        return pure_radius(rows, clusters, self.purity) or np.finfo(np.float64).tiny
