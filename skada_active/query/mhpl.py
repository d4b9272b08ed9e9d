"""MHPL: rows whose neighbours are close and predicted in many ways."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, gen_batches

from skada_active.pool import PoolView
from skada_active.pool.values import as_probabilities
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import neighbor_seconds
from skada_active.selection import nearest_neighbors, top_k
from skada_active.utils._sklearn import Interval
from skada_active.utils.entropy import row_entropy

__all__ = ["MHPL", "neighbor_ambient_uncertainty"]

# Rows whose neighbours' predictions are counted at a time.
_BLOCK_ROWS = 1024


def neighbor_ambient_uncertainty(proba: ArrayLike, features: ArrayLike, n_neighbors: int = 10) -> NDArray[np.float64]:
    r"""Return the neighbour ambient uncertainty of every row: impurity times affinity of its neighbours.

    .. math::

        NAU_i = \Bigl(-\sum_c s_{ic} \ln s_{ic}\Bigr) \cdot \frac{1}{K} \sum_k \cos(f_i, f_{n_{ik}})

    where :math:`n_{i1} \dots n_{iK}` are the rows of largest cosine similarity to row i, itself left out, and
    :math:`s_{ic}` the share of them whose likeliest class is c.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities.
    features : array-like of shape (n, D)
        Embedding of the same rows.
    n_neighbors : int, default=10
        Number K of neighbours, at least 1; with fewer other rows, all of them.

    Returns
    -------
    ndarray of shape (n,), float64
        Scores in nats, at most ``ln min(K, C)``; 0 where all neighbours are predicted alike, and below 0 where they
        differ and point away from the row. A row without neighbours has 0.

    Raises
    ------
    ValueError
        If `proba` and `features` differ in length, a row of `proba` does not hold probabilities, `n_neighbors` is below
        1, or features hold NaN or infinity.

    Notes
    -----
    The row's own prediction does not count. O(n² D) time for the neighbours, found in blocks, O(n (D + K)) memory, no
    n x n array.

    References
    ----------
    .. [1] Wang et al., "MHPL: Minimum Happy Points Learning for Active Source Free Domain Adaptation", CVPR 2023; as in
       the comparison of Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023.

    Examples
    --------
    >>> from skada_active.query import neighbor_ambient_uncertainty
    >>> features = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
    >>> neighbor_ambient_uncertainty([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]], features, 2).round(4)
    array([0.  , 0.  , 0.  , 0.61])
    """
    check_consistent_length(proba, features)
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1, got {n_neighbors}.")
    return _scores(as_probabilities("proba", proba), *nearest_neighbors(features, n_neighbors))


class MHPL(QueryStrategy):
    """MHPL strategy: target rows whose near neighbours are predicted in many ways, no two next to each other.

    Reads class probabilities and the embedding. Rows are taken in descending order of their score; one whose nearest
    neighbour is chosen already is passed over, and comes back only when no other is left.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbours, at least 1; with fewer other rows, all of them. The comparison of [2]_ uses 10, and 5 for
        Office-31.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of tied rows. See `QueryStrategy`.

    See Also
    --------
    neighbor_ambient_uncertainty : The score as a function.
    LAS : Rows predicted unlike their neighbours.
    Prefilter : A short list, for pools whose neighbours take too long.

    Notes
    -----
    The utility of a row is its score. Where regions are predicted alike most scores are 0, and the seed orders them.
    O(n² D) time for the neighbours, once per view (minutes from about 150,000 candidates on, announced by a warning),
    O(n (D + n_neighbors)) memory, no n x n array. Neighbours are those in the whole pool, also where only some of it
    can be chosen.

    The method of [1]_ asks once, for the whole budget, without source rows; asking in every round is [2]_'s.

    References
    ----------
    .. [1] Wang et al., "MHPL: Minimum Happy Points Learning for Active Source Free Domain Adaptation", CVPR 2023.
    .. [2] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, whose re-implementation this follows;
       it fails where every row left is next to a chosen one.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import MHPL
    >>> features = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
    >>> view = PoolView(proba=[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]], features=features)
    >>> MHPL(n_neighbors=2).select(view, 2)
    array([3, 0])
    """

    needs = frozenset({"proba", "features"})
    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, n_neighbors: int = 10, estimator: Any = None, random_state: Any = None) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.n_neighbors = n_neighbors

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        pool, positions = view.surroundings
        return _scores(pool.proba, *pool.neighbors(self.n_neighbors))[positions]

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        order = top_k(self._scores(view), len(view), rng)
        pool, positions = view.surroundings
        _, neighbors = pool.neighbors(self.n_neighbors)
        if not neighbors.shape[1]:
            return order
        return order[_apart(positions[order], neighbors[:, 0], n_queries)]

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        return neighbor_seconds(view.surroundings[0], self.n_neighbors)


def _scores(proba: NDArray[Any], similarities: NDArray[Any], neighbors: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the scores of rows whose neighbours are known."""
    n, n_neighbors = neighbors.shape
    if not n_neighbors:
        return np.zeros(n)
    labels, impurity = proba.argmax(axis=1), np.empty(n)
    for rows in gen_batches(n, _BLOCK_ROWS):
        counts = np.zeros((rows.stop - rows.start, proba.shape[1]))
        for label in labels[neighbors[rows]].T:
            counts[np.arange(len(counts)), label] += 1
        impurity[rows] = row_entropy(counts / n_neighbors)
    return impurity * similarities.mean(axis=1, dtype=np.float64) + 0.0  # no -0, which prints like a sign


def _apart(ordered: NDArray[np.int64], nearest: NDArray[np.int64], n_queries: int) -> NDArray[np.int64]:
    """Return which of the ordered rows are taken: none next to an earlier one, and then those passed over, in order."""
    is_taken = np.zeros(len(nearest), dtype=bool)
    taken: list[int] = []
    passed: list[int] = []
    for place, row in enumerate(ordered):
        if len(taken) == n_queries:
            break
        is_near = is_taken[nearest[row]]
        (passed if is_near else taken).append(place)
        is_taken[row] = not is_near
    return np.array([*taken, *passed][:n_queries], dtype=np.int64)
