"""CLUE: k-means on the embedding, weighted by uncertainty."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.utils import gen_batches

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import cluster_seconds
from skada_active.query._weights import floored_weights
from skada_active.selection import kmeans_picks
from skada_active.utils._sklearn import Interval
from skada_active.utils.entropy import row_entropy

__all__ = ["CLUE", "clue_weights"]

# Logits of a block of rows stay in the cache.
_BLOCK_BYTES = 2**18


def clue_weights(logits: ArrayLike, temperature: float = 0.1) -> NDArray[np.float64]:
    """Return the entropy of the softmax of logits over a temperature, the weight of every candidate.

    Parameters
    ----------
    logits : array-like of shape (n, C)
        Logits, or log-probabilities (``-inf`` allowed): the softmax of both is the same.
    temperature : float, default=0.1
        Below 1, uncertainty concentrates on the candidates near a decision boundary.

    Returns
    -------
    ndarray of shape (n,), float64
        Entropies in nats, from 0 to ``ln C``.

    Notes
    -----
    O(n C) time, O(n) memory.

    References
    ----------
    .. [1] Prabhu et al., "Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings", ICCV 2021.

    Examples
    --------
    >>> from skada_active.query import clue_weights
    >>> clue_weights([[2.0, 0.0, -1.0], [0.2, 0.1, 0.0]], temperature=1.0).round(6)
    array([0.524267, 1.095287])
    """
    logits = np.asarray(logits)
    weights = np.empty(len(logits))
    for rows in gen_batches(len(logits), max(1, _BLOCK_BYTES // max(1, logits.itemsize * logits.shape[1]))):
        with np.errstate(over="ignore"):
            scaled = (logits[rows] - logits[rows].max(axis=1, keepdims=True)) / temperature
        weights[rows] = row_entropy(softmax(scaled, axis=1))
    return weights


class CLUE(QueryStrategy):
    """CLUE strategy: the target row nearest to each centroid of an uncertainty-weighted k-means.

    Reads class probabilities and the embedding (not normalised).

    Parameters
    ----------
    temperature : float, default=0.1
        Temperature of the softmax whose entropy is the weight. The paper's code uses 0.1 for DomainNet, 1.0 for
        digits.
    n_init : int, default=1
        How many times k-means starts; the clustering of lowest inertia is used.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the starting centroids. See `QueryStrategy`.

    See Also
    --------
    clue_weights : The weights as a function.
    KMeansSampling : The same without weights.
    BADGE : Doubt and diversity by gradients.

    Notes
    -----
    The utility of a row is its entropy weight. O(n_init n n_queries D) time per pass of k-means, O(n (C + D)) memory; a
    choice that will take minutes is announced by a warning, and `Prefilter` chooses among fewer rows. A weight below
    1e-8 of the mean weight is raised to it; where all are 0, the candidates weigh the same.

    References
    ----------
    .. [1] Prabhu et al., "Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings", ICCV 2021.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import CLUE
    >>> proba = [[0.99, 0.01], [0.5, 0.5], [0.99, 0.01], [0.5, 0.5]]
    >>> sorted(CLUE().select(PoolView(proba=proba, features=[[0.0], [1.0], [8.0], [9.0]]), 2, random_state=0).tolist())
    [1, 3]
    """

    needs = frozenset({"proba", "features"})
    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, temperature: float = 0.1, n_init: int = 1, estimator: Any = None, random_state: Any = None
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.temperature = temperature
        self.n_init = n_init

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return clue_weights(view.log_proba, self.temperature)

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        return cluster_seconds(view, n_queries, self.n_init)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        weights = clue_weights(view.log_proba, self.temperature)
        return kmeans_picks(
            view.features,
            n_queries,
            sample_weight=floored_weights(weights),
            n_init=self.n_init,
            random_state=rng,
        )
