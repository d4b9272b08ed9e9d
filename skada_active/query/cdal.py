"""CDAL: rows whose predictions are unlike those of all labelled and chosen rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from skada_active.pool import PoolView
from skada_active.pool.values import as_probabilities
from skada_active.query._base import QueryStrategy
from skada_active.selection import SymmetricKL, farthest_first, top_k

__all__ = ["CDAL", "contextual_diversity"]


def contextual_diversity(proba: ArrayLike, labeled_proba: ArrayLike) -> NDArray[np.float64]:
    r"""Return the pairwise contextual diversity of predictions, their symmetric Kullback-Leibler divergence in nats.

    .. math::

        d(p, q) = \tfrac{1}{2} \sum_c (p_c - q_c)(\ln p_c - \ln q_c)

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities; those below 1e-12 are raised to it.
    labeled_proba : array-like of shape (m, C)
        Those of the rows to compare with.

    Returns
    -------
    ndarray of shape (n, m), float64
        Divergences: 0 for equal predictions, 27.6 for two certain ones of different classes.

    Raises
    ------
    ValueError
        If a row is not finite, has a negative entry, or does not sum to 1 (within 1e-3).

    Notes
    -----
    O(n m C) time, O(n m) memory. `CDAL` never forms the matrix.

    References
    ----------
    .. [1] Agarwal et al., "Contextual Diversity for Active Learning", ECCV 2020.

    Examples
    --------
    >>> from skada_active.query import contextual_diversity
    >>> contextual_diversity([[0.5, 0.5], [0.8, 0.2]], [[0.5, 0.5], [0.2, 0.8]]).round(4)
    array([[0.    , 0.2079],
           [0.2079, 0.8318]])
    """
    rows, others = as_probabilities("proba", proba), as_probabilities("labeled_proba", labeled_proba)
    check_consistent_length(rows.T, others.T)
    one, other = SymmetricKL(rows), SymmetricKL(others)
    products = one.rows(np.arange(len(rows))) @ other.dual(other.rows(np.arange(len(others)))).T
    return np.maximum(one.sq_norms()[:, None] + other.sq_norms() - 2 * products, 0)


class CDAL(QueryStrategy):
    """CDAL strategy: target rows whose predictions differ most from those of labelled target rows and of each other.

    Reads class probabilities of the pool and of the labelled target rows. Each row is the farthest from all before, as
    in `CoreSet`, but by the symmetric Kullback-Leibler divergence of the predictions. Without a labelled target row,
    the row of largest entropy comes first.

    Parameters
    ----------
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of tied rows. See `QueryStrategy`.

    See Also
    --------
    contextual_diversity : The dissimilarity as a function.
    skada_active.selection.SymmetricKL : The same for `skada_active.selection.farthest_first`.
    CoreSet : Rows that cover the pool in the embedding.

    Notes
    -----
    O(n C n_queries) time in the worst case, mostly far less, as in `CoreSet`; O(n) extra memory. Probabilities are
    raised to 1e-12, so that certain predictions of different classes are 27.6 apart: these are asked for early.

    This is the variant with the core-set rule (CDAL-CS), on one prediction per row as in classification; the paper
    mixes the predictions of the pixels of an image, and has another variant that learns what to choose. Our reading, in
    the details: the start, and the floor.

    References
    ----------
    .. [1] Agarwal et al., "Contextual Diversity for Active Learning", ECCV 2020.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import CDAL
    >>> proba = [[0.5, 0.5], [0.1, 0.9], [0.6, 0.4], [0.95, 0.05]]
    >>> CDAL().select(PoolView(proba=proba, labeled_proba=[[0.1, 0.9]]), 3)
    array([3, 2, 0])
    """

    needs = frozenset({"proba", "labeled_proba"})

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        first = None if len(view.labeled_proba) else int(top_k(view.entropy, 1, rng)[0])
        pool, revealed = SymmetricKL(view.proba), SymmetricKL(view.labeled_proba)
        return farthest_first(pool, n_queries, centers=revealed, first=first, random_state=rng)
