"""GALA: k-means on gradient embeddings, and from each cluster the uncertain row farthest from the sources."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import cluster_seconds, neighbor_seconds, product_seconds
from skada_active.query.badge import badge_embedding
from skada_active.query.gala_gap import gap_to_moments
from skada_active.query.gala_pools import Part, parts_of, share_budget
from skada_active.selection import Outer, kmeans, nearest_to_centers
from skada_active.selection._gram_kmeans import MAX_ROWS
from skada_active.selection._ties import Ties
from skada_active.utils._sklearn import Interval, StrOptions
from skada_active.utils.arrays import namespace
from skada_active.utils.random import RandomStateLike
from skada_active.utils.shares import n_in_share
from skada_active.utils.warn import warn_user

__all__ = ["GALA", "gala_local"]

# Passes of k-means over the inner products of all gradients, each as long as so many more columns of these.
_PASSES = 1500


def gala_local(
    cluster_labels: ArrayLike, gap: ArrayLike, norms: ArrayLike, alpha: float, random_state: RandomStateLike = None
) -> NDArray[np.int64]:
    """Pick from each cluster, among its most uncertain members, the one with the largest domain gap.

    Parameters
    ----------
    cluster_labels : array-like of shape (n,), int
        Cluster of each row.
    gap : array-like of shape (n,)
        Domain gap of each row; see `domain_gap`.
    norms : array-like of shape (n,)
        Length of each row's gradient embedding, its uncertainty.
    alpha : float
        Share of a cluster's members, those with the largest norms, that is kept, in (0, 1]; rounded up, so that at
        least one is.
    random_state : int, RandomState, Generator or None, default=None
        What the order of rows with equal norms and gaps is drawn from; ``None``: their positions. Where there are none,
        nothing is drawn.

    Returns
    -------
    ndarray of shape (number of clusters that have members,), int64
        Positions of the picks, in ascending order of the clusters' numbers. Equal norms are kept in order of position,
        or in an order drawn for all rows; of equal gaps the larger norm is picked, then the first in this order.

    Raises
    ------
    ValueError
        If `alpha` is not in (0, 1] or the arrays differ in length.

    Notes
    -----
    O(n log n) time, O(n) memory.

    References
    ----------
    .. [1] Zheng et al., "GALA: A GlobAl-LocAl Approach for Multi-Source Active Domain Adaptation", arXiv 2510.22214,
       Sec. III-C, as a summary of the paper describes it.

    Examples
    --------
    >>> from skada_active.query import gala_local
    >>> gala_local([0, 0, 0, 1, 1], gap=[9.0, 1.0, 2.0, 3.0, 4.0], norms=[0.1, 0.8, 0.9, 0.5, 0.5], alpha=0.6)
    array([2, 4])
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must be in (0, 1], the share of each cluster that is kept, got {alpha!r}.")
    labels, gap, norms = np.asarray(cluster_labels), np.asarray(gap), np.asarray(norms)
    check_consistent_length(labels, gap, norms)
    ties = Ties(len(labels), random_state)
    order = ties.lexsort([-norms, labels], np.arange(len(labels)))
    _, starts, cluster, counts = np.unique(labels[order], return_index=True, return_inverse=True, return_counts=True)
    kept = order[np.arange(len(order)) - starts[cluster] < n_in_share(alpha, counts, up=True)[cluster]]
    kept = np.sort(kept)
    kept = kept[ties.lexsort([-norms[kept], -gap[kept], labels[kept]], kept)]
    return kept[np.unique(labels[kept], return_index=True)[1]]


class GALA(QueryStrategy):
    """GALA strategy: one target row per cluster of gradients, uncertain and far from all source domains.

    Reads class probabilities, the embedding, and the embedding and domain of the source rows. It has a global and a
    local step: k-means on the gradients that the model's own answer would cause, one cluster per query; then, of the
    `alpha` most uncertain members of each cluster, the one with the largest gap to the sources. Any number of source
    domains will do, one included.

    Parameters
    ----------
    alpha : float, default=0.6
        Share of each cluster, its rows with the longest gradients, among which the gap decides; in (0, 1].
    mode : {"full", "global", "local"}, default="full"
        Both steps; k-means alone, with the row nearest to each centroid, which needs no source rows; or the largest
        gaps of the whole pool without any clusters, first those among the `alpha` most uncertain rows.
    source_aggregation : {"mean", "min", "max"}, default="mean"
        How gaps to several sources become one; see `domain_gap`.
    embedding : {"auto", "full", "reduced"}, default="auto"
        What is clustered: the gradients, the outer product of ``p - onehot(argmax p)`` and the features, or features
        times ``1 - max p``. The gradients need a matrix of all candidates by all: up to 15000 of them (0.9 GB).
        ``"auto"`` reduces larger pools, with a warning.
    n_init : int, default=1
        How many times k-means starts; the clustering of lowest inertia is used.
    gap : {"standardized", "gaussian_w2"}, default="standardized"
        Distance between a row and a source domain; see `domain_gap`.
    target_budget : {"proportional", "need"} or None, default=None
        With several target domains: how the queries are shared among them, by the size of their pools or by the sum of
        ``(1 - max p) * gap`` over their rows. Each target is then clustered by itself. ``None`` makes all targets one
        pool. No part of the paper.
    outlier_neighbors : int or None, default=None
        Number k of neighbours that make a row an ordinary one. Rows whose k-th nearest neighbour in the pool is much
        farther than usual (see `is_isolated`) are set aside until nothing else is left. ``None`` sets none aside: noise
        is far from all sources, and chosen early. No part of the paper.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting centroids. See `QueryStrategy`.

    See Also
    --------
    domain_gap : The gap to the sources as a function.
    gala_local : The local step as a function.
    skada_active.deep.M3SDA : Adaptation to several sources.
    skada_active.recipes : Query and training of the method together.

    Notes
    -----
    The text of the paper was not at hand, only a summary: which rows count as uncertain, the exact gap, the mean over
    sources and the handling of ties are our reading.

    The utility of a row is its domain gap; with ``mode="global"``, which has none, the length of its gradient; with
    ``gap="gaussian_w2"`` the pool counts as one cluster. Outliers set aside have ``-inf``.

    A cluster without members, as identical gradients make them, is replaced by the largest gap among the rows left.

    The reduced embedding tells predicted classes apart less well. For 15 and 60 queries on gas drift and digits (294 to
    1797 candidates) its choice had 50 to 79 % of the rows in common with that of the gradients, two seeds of which had
    50 to 87 % in common.

    With the gradients, O(n² (C + D)) time and 4 n² bytes, then O(n²) per pass of k-means; the n x C D matrix of
    gradients is never formed. With the reduced embedding, O(n n_queries D) per pass. The gap takes O((n S + s) D) time
    for s rows of S sources, after a forward pass over them in each round; `outlier_neighbors` O(n² D). A
    choice that will take minutes is announced by a warning; `Prefilter` chooses among fewer rows.

    References
    ----------
    .. [1] Zheng et al., "GALA: A GlobAl-LocAl Approach for Multi-Source Active Domain Adaptation", arXiv 2510.22214.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import GALA
    >>> features, source = [[1.0, 1.0], [6.0, 3.0], [2.0, -2.0]], [[-1.0, -1.0], [1.0, 1.0], [2.0, -1.0], [6.0, 1.0]]
    >>> proba = [[0.5, 0.5], [0.6, 0.4], [0.6, 0.4]]
    >>> view = PoolView(proba=proba, features=features, source_features=source, source_domain=[1, 1, 2, 2])
    >>> GALA(mode="local").select(view, 1)
    array([1])
    """

    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "alpha": [Interval(Real, 0, 1, closed="right")],
        "mode": [StrOptions({"full", "global", "local"})],
        "source_aggregation": [StrOptions({"mean", "min", "max"})],
        "embedding": [StrOptions({"auto", "full", "reduced"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "gap": [StrOptions({"standardized", "gaussian_w2"})],
        "target_budget": [StrOptions({"proportional", "need"}), None],
        "outlier_neighbors": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        alpha: float = 0.6,
        mode: str = "full",
        source_aggregation: str = "mean",
        embedding: str = "auto",
        n_init: int = 1,
        gap: str = "standardized",
        target_budget: str | None = None,
        outlier_neighbors: int | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.alpha = alpha
        self.mode = mode
        self.source_aggregation = source_aggregation
        self.embedding = embedding
        self.n_init = n_init
        self.gap = gap
        self.target_budget = target_budget
        self.outlier_neighbors = outlier_neighbors

    @property
    def needs(self) -> frozenset[str]:
        """What the steps of this mode read, and ``target_domain`` where the budget is shared."""
        names = {"proba", "features"}
        if self.mode != "global" or self.target_budget == "need":
            names |= {"source_features", "source_domain"}
        return frozenset(names if self.target_budget is None else names | {"target_domain"})

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        utilities = np.full(len(view), -np.inf)
        for part in self._parts(view):
            pool = part.pool
            is_global = self.mode == "global"
            utilities[part.inliers] = (
                _norms(badge_embedding(pool.proba, pool.features)) if is_global else self._gap(pool)
            )
        return utilities

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        parts = self._parts(view, rng)
        shares = self._shares(parts, n_queries)
        return np.concatenate([self._choose(part, share, rng) for part, share in zip(parts, shares, strict=True)])

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        n_neighbors = self.outlier_neighbors
        search = 0.0 if n_neighbors is None else neighbor_seconds(view, n_neighbors, "euclidean")
        if self.mode == "local":
            return search
        if self.embedding == "reduced" or len(view) > MAX_ROWS:
            return search + cluster_seconds(view, n_queries, self.n_init)
        width = view.proba.shape[1] + view.features.shape[1]
        return search + product_seconds(view, float(len(view)) ** 2 * (width + _PASSES * self.n_init))

    def _parts(self, view: PoolView, rng: RandomStateLike = None) -> list[Part]:
        return parts_of(view, self.target_budget is not None, self.outlier_neighbors, Ties(len(view), rng))

    def _shares(self, parts: list[Part], n_queries: int) -> NDArray[np.int64]:
        sizes = [len(part) for part in parts]
        if self.target_budget != "need" or len(parts) == 1:
            return share_budget(sizes, sizes, n_queries)
        needs = [(1 - part.pool.confidence) @ self._gap(part.pool) for part in parts]
        return share_budget(needs, sizes, n_queries)

    def _choose(self, part: Part, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        """Return positions of `n_queries` rows of a part, outliers last."""
        n_inliers = min(n_queries, len(part.inliers))
        if n_inliers == 0:
            return part.outliers[:n_queries]
        picks = part.inliers[self._pick(part.pool, n_inliers, rng)]
        return np.concatenate([picks, part.outliers[: n_queries - n_inliers]])

    def _pick(self, pool: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        """Return positions into a pool: the global and the local step."""
        gradients = badge_embedding(pool.proba, pool.features)
        norms = _norms(gradients)
        if self.mode == "local":
            return _largest_gaps(self._gap(pool), norms, self.alpha, rng)[:n_queries]
        vectors = self._vectors(gradients)
        labels = kmeans(vectors, n_queries, n_init=self.n_init, random_state=rng)
        if self.mode == "global":
            return nearest_to_centers(vectors, labels, n_queries, random_state=rng)
        gap = self._gap(pool, labels)
        picks = gala_local(labels, gap, norms, self.alpha, rng)
        if len(picks) == n_queries:
            return picks
        rest = _largest_gaps(gap, norms, 1.0, rng)
        return np.concatenate([picks, rest[~np.isin(rest, picks)][: n_queries - len(picks)]])

    def _gap(self, pool: PoolView, labels: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        return gap_to_moments(
            pool.features,
            pool.source_mean,
            pool.source_std,
            pool.source_count,
            aggregation=self.source_aggregation,
            gap=self.gap,
            cluster_labels=labels,
        )

    def _vectors(self, gradients: Outer) -> Outer | NDArray[Any]:
        """Return what is clustered: the gradients themselves, or a vector of D numbers for each."""
        n = len(gradients)
        if self.embedding == "full" and n > MAX_ROWS:
            raise ValueError(
                f"embedding='full' clusters at most {MAX_ROWS} candidates, and the pool has {n}: the matrix of their "
                f"gradients' inner products would take {4e-9 * n**2:.1f} GB. Use embedding='reduced', or 'auto', which "
                "reduces large pools."
            )
        if self.embedding == "auto" and n > MAX_ROWS:
            warn_user(
                f"embedding='auto' clusters features times 1 - max p, not gradients: the pool of {n} candidates "
                f"exceeds {MAX_ROWS}. Use embedding='reduced' to do so without this warning.",
            )
        if self.embedding != "reduced" and n <= MAX_ROWS:
            return gradients
        # The pseudo-label's residual, max p - 1, is the only negative one of a row.
        return gradients.right * -namespace(gradients.left).amin(gradients.left, 1)[:, None]


def _norms(gradients: Outer) -> NDArray[np.float64]:
    return np.sqrt(gradients.sq_norms(), dtype=np.float64)


def _largest_gaps(
    gap: NDArray[np.float64], norms: NDArray[np.float64], alpha: float, random_state: RandomStateLike
) -> NDArray[np.int64]:
    """Return all positions: first the share `alpha` with the largest norms, then the others, by descending gap."""
    filtered, ties, everybody = np.ones(len(gap), dtype=bool), Ties(len(gap), random_state), np.arange(len(gap))
    filtered[ties.lexsort([-norms], everybody)[: n_in_share(alpha, len(gap), up=True)]] = False
    return ties.lexsort([-norms, -gap, filtered], everybody)
