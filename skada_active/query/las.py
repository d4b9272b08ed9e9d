"""LAS: rows whose neighbours are predicted differently, and a diverse subset of them."""

from __future__ import annotations

import math
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, gen_batches

from skada_active.domains import Roles
from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import cluster_seconds, neighbor_seconds
from skada_active.selection import kmeans_picks, nearest_neighbors, top_k
from skada_active.utils._sklearn import Interval, StrOptions
from skada_active.utils.arrays import normalized, to_host

__all__ = ["LAS", "local_inconsistency"]

# Similarities that sum to less say nothing about which neighbour is the nearer one.
_MIN_SIMILARITY = 1e-12
# The neighbours' probabilities are gathered for a block of rows at a time.
_BLOCK_BYTES = 2**22
# The paper's budgets in percent, and the number of its rounds.
_BUDGETS, _N_ROUNDS = (5, 10), 5


def local_inconsistency(
    proba: ArrayLike,
    features: ArrayLike,
    n_neighbors: int = 10,
    *,
    smoothing_coef: float | str = 1.0,
    smoothing_iter: int = 1,
) -> NDArray[np.float64]:
    r"""Return how much predictions differ from those of the neighbours, smoothed over the neighbours.

    .. math::

        LI_i = -\sum_k w_{ik}\, p_{n_{ik}} \cdot p_i, \qquad LI_i \leftarrow LI_i + c \sum_k w_{ik} LI_{n_{ik}}

    where :math:`n_{i1} \dots n_{iK}` are the rows of largest cosine similarity to row i, itself left out, and
    :math:`w_{ik}` these similarities over their sum.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities.
    features : array-like of shape (n, D)
        Embedding of the same rows.
    n_neighbors : int, default=10
        Number K of neighbours, at least 1; with fewer other rows, all of them.
    smoothing_coef : float or "1/K", default=1.0
        Weight c of the neighbours' scores. ``"1/K"`` takes both equations of the paper literally: the factor 1/K is
        the coefficient, and the scores as a whole carry it too.
    smoothing_iter : int, default=1
        How many times the scores are smoothed, all rows at once; 0 leaves them as they are.

    Returns
    -------
    ndarray of shape (n,), float64
        Scores, higher is more inconsistent; without smoothing between -1 and 0. A row without neighbours has 0.

    Raises
    ------
    ValueError
        If `proba` and `features` differ in length, `n_neighbors` is below 1, `smoothing_coef` is another string,
        `smoothing_iter` is negative, or features hold NaN or infinity.

    Notes
    -----
    Negative similarities count as 0. Where all of a row's are 0, as for a row of zeros, its neighbours weigh the same.

    O(n² D) time for the neighbours, found in blocks, and O(n K C) for the scores; O(n (D + K)) memory, no n x n array.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Eq. 1 and 2. The published code leaves
       out the factors 1/K, as the default does: the weights are normalised already. In Eq. 1 the factor is a mere
       scale, in Eq. 2 it changes the order.

    Examples
    --------
    >>> from skada_active.query import local_inconsistency
    >>> features = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
    >>> proba = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]]
    >>> local_inconsistency(proba, features, 2).round(4)
    array([-1.0665, -1.0571, -0.9899, -1.0081])
    """
    check_consistent_length(proba, features)
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1, got {n_neighbors}.")
    if isinstance(smoothing_coef, str) and smoothing_coef != "1/K":
        raise ValueError(f"smoothing_coef must be a number or '1/K', got {smoothing_coef!r}.")
    if smoothing_iter < 0:
        raise ValueError(f"smoothing_iter must be at least 0, got {smoothing_iter}.")
    return _scores(to_host(proba), *nearest_neighbors(features, n_neighbors), smoothing_coef, smoothing_iter)


class LAS(QueryStrategy):
    """LAS strategy: a diverse subset of the target rows that are predicted unlike their neighbours.

    Reads class probabilities (or what `by` reads) and the embedding. The candidates with the highest scores are
    clustered by k-means on the embedding at length 1, and the one nearest to each centroid is chosen. Neighbours are
    looked for in the pool only.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbours, at least 1. As a pool shrinks, there may be fewer other rows: then it is all of them. The
        paper's code uses 10, and 5 for Office-31.
    oversampling : float or "auto", default="auto"
        Number M of further candidates per query: the k-means runs on the ``(1 + M) n_queries`` rows with the highest
        scores. 0 leaves no choice and takes the highest scores, in this order. ``"auto"`` is the paper's
        ``ceil(55 / (100 B) - 1)``, where five rounds like this one buy the share B of the initial pool, and at least 1:
        about 11 % of that pool are candidates. Rounds of the paper's budgets (5 and 10 % of the pool in five rounds,
        the last of which takes the remainder) have its 10 and 5 whatever the rounding of their sizes.
    smoothing_coef : float or "1/K", default=1.0
        Weight of the neighbours' scores in the smoothing, at least 0; ``"1/K"`` is the paper's Eq. 2 taken literally.
        See `local_inconsistency`.
    n_init : int, default=1
        How many times k-means starts; the clustering of lowest inertia is used.
    smoothing_iter : int, default=1
        How many times the scores are smoothed.
    by : QueryStrategy, default=None
        Strategy whose utilities take the place of the local inconsistency, before the same choice of a diverse subset:
        ``LAS(by=EntropySampling())``. It has a score per row and no estimator of its own; `n_neighbors`,
        `smoothing_coef` and `smoothing_iter` are then not read. Rows that it never asks for first (``-inf``) are not
        clustered with the others, and come last. ``None``: the local inconsistency.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting centroids. See `QueryStrategy`.

    See Also
    --------
    local_inconsistency : The score as a function.
    skada_active.deep.AnchorSet : The training of the method, LADA.
    skada_active.recipes : Query and training of the method together.
    Prefilter : A short list, for pools whose neighbours take too long.

    Notes
    -----
    The utility of a row is its score. O(n² D) time for the neighbours, once per view (minutes from
    about 150,000 candidates on, announced by a warning; `Prefilter` looks among fewer), and ``O(n_init m n_queries D)``
    per pass of k-means over the m candidates; O(n (D + n_neighbors)) memory, no n x n array. Where paper and published
    code differ, the default follows the code; see `local_inconsistency`.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Sec. 3.1; ``oversampling=0`` is the
       ablation without diverse selection of Table 6, ``by`` the comparison of scores in Fig. 4.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import LAS
    >>> features = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
    >>> view = PoolView(proba=[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]], features=features)
    >>> LAS(n_neighbors=2, oversampling=0).select(view, 2)
    array([2, 3])
    """

    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "oversampling": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "smoothing_coef": [Interval(Real, 0, None, closed="left"), StrOptions({"1/K"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "smoothing_iter": [Interval(Integral, 0, None, closed="left")],
        "by": [QueryStrategy, None],
    }

    def __init__(
        self,
        n_neighbors: int = 10,
        oversampling: float | str = "auto",
        smoothing_coef: float | str = 1.0,
        n_init: int = 1,
        smoothing_iter: int = 1,
        by: QueryStrategy | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.n_neighbors = n_neighbors
        self.oversampling = oversampling
        self.smoothing_coef = smoothing_coef
        self.n_init = n_init
        self.smoothing_iter = smoothing_iter
        self.by = by

    @property
    def needs(self) -> frozenset[str]:
        """The embedding, and what the score reads: class probabilities, or what `by` does."""
        return frozenset({"features"}) | (frozenset({"proba"}) if self.by is None else self.by.needs)

    @property
    def fills(self) -> frozenset[str]:
        """What `by` fills by itself."""
        return frozenset() if self.by is None else self.by.fills

    def filled_for(self, estimator: Any) -> frozenset[str]:
        """Return what `by` fills by itself for `estimator`; see `QueryStrategy.filled_for`."""
        return frozenset() if self.by is None else self.by.filled_for(estimator)

    @property
    def _n_heads(self) -> int | None:
        return None if self.by is None else self.by._n_heads

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if `by` is no score of the same model; see `QueryStrategy.check_model`."""
        super().check_model(estimator)
        if self.by is not None:
            if self.by.estimator is not None or not self.by.has_utilities():
                raise ValueError(
                    f"by={self.by!r} must have a score per row and no estimator of its own; give the estimator to LAS, "
                    "and a score such as EntropySampling()."
                )
            self.by.check_model(estimator)

    def _extra_fields(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        rng: np.random.RandomState,
        target_weight: Any = None,
    ) -> dict[str, NDArray[Any]]:
        if self.by is None:
            return {}
        rng = self.by._rng(self.by._own_seed(rng))
        return self.by._extra_fields(estimator, X, y, roles, rng, target_weight)

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        if self.by is not None:
            return self.by.utilities(view)
        pool, positions = view.surroundings
        found = pool.neighbors(self.n_neighbors)
        return _scores(pool.proba, *found, self.smoothing_coef, self.smoothing_iter)[positions]

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        scores = self._scores(view)
        # What `by` never asks for first comes after all else here, too, and has no centroid of its own.
        n_scored = max(n_queries, int(np.isfinite(scores).sum()))
        candidates = top_k(scores, min(self._n_candidates(view, n_queries), n_scored), rng)
        if len(candidates) == n_queries:
            return candidates
        directions = normalized(view.features[candidates])
        picks = kmeans_picks(directions, n_queries, n_init=self.n_init, random_state=rng)
        return candidates[picks]

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        n_candidates = self._n_candidates(view, n_queries)
        share = n_candidates / len(view) if n_candidates > n_queries else 0.0
        if self.by is not None:
            return self.by._seconds(view, n_queries) + share * cluster_seconds(view, n_queries, self.n_init)
        search = neighbor_seconds(view.surroundings[0], self.n_neighbors)
        return search + share * cluster_seconds(view, n_queries, self.n_init)

    def _n_candidates(self, view: PoolView, n_queries: int) -> int:
        """Return ``(1 + M) n_queries`` as a count between the number of queries and that of the pool."""
        ratio = self.oversampling
        if isinstance(ratio, str):
            ratio = _paper_ratio(view.n_initial, view.n_initial - len(view), n_queries)
        return round(min(len(view), (1 + ratio) * n_queries))


def _paper_ratio(n_initial: int, n_bought: int, n_queries: int) -> int:
    """Return ceil(55 / (100 B) - 1) and at least 1, for the budget B that five rounds like this one spend."""
    percent = Fraction(100 * _N_ROUNDS * n_queries, n_initial)
    for budget in _BUDGETS:
        total = round(n_initial * budget / 100)
        first, others = total // _N_ROUNDS, total // _N_ROUNDS * (_N_ROUNDS - 1)
        if n_queries == first or (n_bought, n_queries) == (others, total - others):
            percent = Fraction(budget)
    return max(1, math.ceil(55 / percent - 1))


def _scores(
    proba: NDArray[Any], similarities: NDArray[Any], neighbors: NDArray[np.int64], coef: float | str, n_iter: int
) -> NDArray[np.float64]:
    """Return the smoothed scores of rows whose neighbours are known."""
    weights = _weights(similarities)
    scores = -np.einsum("ik,ik->i", weights, _agreement(proba, neighbors))
    literal = coef == "1/K"
    factor = 1 / max(1, neighbors.shape[1]) if literal else coef
    for _ in range(n_iter):
        scores = scores + factor * np.einsum("ik,ik->i", weights, scores[neighbors])
    return scores * factor if literal else scores


def _weights(similarities: NDArray[Any]) -> NDArray[np.float64]:
    """Return each row's similarities (n, K) over their sum, negative ones as 0; all equal where they sum to nothing."""
    similarities = np.maximum(similarities.astype(np.float64), 0)
    similarities[similarities.sum(axis=1) < _MIN_SIMILARITY] = 1
    return similarities / similarities.sum(axis=1, keepdims=True)


def _agreement(proba: NDArray[Any], neighbors: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the inner products (n, K) of the predictions with those of the neighbours."""
    proba = np.ascontiguousarray(proba)
    inner = np.empty(neighbors.shape)
    row_bytes = max(1, neighbors.shape[1] * proba.shape[1] * proba.itemsize)
    for block in gen_batches(len(proba), max(1, _BLOCK_BYTES // row_bytes)):
        inner[block] = np.matmul(proba[neighbors[block]], proba[block, :, None])[:, :, 0]
    return inner
