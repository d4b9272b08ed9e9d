"""Uncertainty of the prediction: entropy, least confidence and margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.pool import PoolView
from skada_active.pool.values import as_probabilities
from skada_active.pool.view import row_margin
from skada_active.query._base import QueryStrategy
from skada_active.utils.entropy import row_entropy

__all__ = [
    "EntropySampling",
    "LeastConfidenceSampling",
    "MarginSampling",
    "least_confidence",
    "margin_uncertainty",
    "prediction_entropy",
]


def prediction_entropy(proba: ArrayLike) -> NDArray[np.float64]:
    """Return the entropy of every prediction in nats.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities.

    Returns
    -------
    ndarray of shape (n,), float64
        ``-sum_c p_c ln p_c``, from 0 to ``ln C``; a probability of 0 adds nothing.

    Raises
    ------
    ValueError
        If a row is not finite, has a negative entry, or does not sum to 1 (within 1e-3).

    Examples
    --------
    >>> from skada_active.query import prediction_entropy
    >>> prediction_entropy([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]]).round(6)
    array([0.801819, 0.693147])
    """
    return row_entropy(as_probabilities("proba", proba))


def least_confidence(proba: ArrayLike) -> NDArray[np.float64]:
    """Return one minus the largest probability of every prediction.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities.

    Returns
    -------
    ndarray of shape (n,), float64
        ``1 - max_c p_c``, from 0 to ``1 - 1/C``.

    Raises
    ------
    ValueError
        If a row is not finite, has a negative entry, or does not sum to 1 (within 1e-3).

    Examples
    --------
    >>> from skada_active.query import least_confidence
    >>> least_confidence([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]]).round(6)
    array([0.3, 0.5])
    """
    return 1 - as_probabilities("proba", proba).max(axis=1).astype(np.float64)


def margin_uncertainty(proba: ArrayLike) -> NDArray[np.float64]:
    """Return one minus the gap between the two largest probabilities of every prediction.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities; with one class the second largest is 0.

    Returns
    -------
    ndarray of shape (n,), float64
        ``1 - (p_(1) - p_(2))``, from 0 to 1.

    Raises
    ------
    ValueError
        If a row is not finite, has a negative entry, or does not sum to 1 (within 1e-3).

    Examples
    --------
    >>> from skada_active.query import margin_uncertainty
    >>> margin_uncertainty([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]]).round(6)
    array([0.5, 1. ])
    """
    return 1 - row_margin(as_probabilities("proba", proba))


class EntropySampling(QueryStrategy):
    """Entropy sampling: the target rows whose prediction has the largest entropy.

    Reads class probabilities.

    Parameters
    ----------
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network; the choice itself has no randomness.

    See Also
    --------
    prediction_entropy : The score as a function.
    LeastConfidenceSampling : Doubt by the largest probability.
    MarginSampling : Doubt by the two largest probabilities.
    CLUE : Entropy as weights of clusters.

    Notes
    -----
    O(n C) time and memory.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import EntropySampling
    >>> EntropySampling().select(PoolView(proba=[[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]]), 2)
    array([1, 2])
    """

    needs = frozenset({"proba"})

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return view.entropy


class LeastConfidenceSampling(QueryStrategy):
    """Least-confidence sampling: the target rows whose largest probability is smallest.

    Reads class probabilities.

    Parameters
    ----------
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network; the choice itself has no randomness.

    See Also
    --------
    least_confidence : The score as a function.
    EntropySampling : Doubt by all probabilities.
    MarginSampling : Doubt by the two largest probabilities.

    Notes
    -----
    O(n C) time and O(n) memory.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import LeastConfidenceSampling
    >>> LeastConfidenceSampling().select(PoolView(proba=[[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]]), 2)
    array([1, 2])
    """

    needs = frozenset({"proba"})

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return 1 - view.confidence


class MarginSampling(QueryStrategy):
    """Margin sampling: the target rows with the smallest gap between the two largest probabilities.

    Reads class probabilities. Also known as best-versus-second-best.

    Parameters
    ----------
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network; the choice itself has no randomness.

    See Also
    --------
    margin_uncertainty : The score as a function.
    SDM : Margins with the gradient of the training loss.
    BADGE : Doubt and diversity.

    Notes
    -----
    O(n C) time and memory.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 3.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import MarginSampling
    >>> MarginSampling().select(PoolView(proba=[[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]]), 2)
    array([1, 2])
    """

    needs = frozenset({"proba"})

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return 1 - view.margin
