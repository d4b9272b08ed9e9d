"""AADA: uncertain rows that a domain discriminator takes for target rows."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from skada_active.pool import PoolView
from skada_active.pool.values import as_probabilities
from skada_active.query._base import QueryStrategy
from skada_active.query._draw import draw_from_best
from skada_active.selection import top_k
from skada_active.utils._sklearn import Interval
from skada_active.utils.arrays import to_host
from skada_active.utils.entropy import row_entropy
from skada_active.utils.shares import n_in_share

__all__ = ["AADA", "aada_scores"]


def aada_scores(source_logit: ArrayLike, proba: ArrayLike) -> NDArray[np.float64]:
    r"""Return the logarithm of importance weight times entropy of every row.

    .. math::

        \ln s(x) = \ln \frac{1 - d(x)}{d(x)} + \ln H(p(x)), \qquad d(x) = P(\text{source} \mid x)

    Parameters
    ----------
    source_logit : array-like of shape (n,)
        Logit of d(x), the discriminator's P(source): its negative is the logarithm of the importance weight.
    proba : array-like of shape (n, C)
        Class probabilities.

    Returns
    -------
    ndarray of shape (n,), float64
        Scores; ``-inf`` where the prediction is certain.

    Raises
    ------
    ValueError
        If the lengths differ, or a row of `proba` does not hold probabilities.

    Notes
    -----
    O(n C) time, O(n) memory. The logarithm orders the rows as the score itself does, which would overflow where the
    discriminator is sure.

    References
    ----------
    .. [1] Su et al., "Active Adversarial Domain Adaptation", WACV 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.query import aada_scores
    >>> aada_scores([0.0, -1.0, -9.0], [[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]]).round(4)
    array([-0.3665, -0.1237,    -inf])
    """
    logit = column_or_1d(to_host(source_logit))
    proba = as_probabilities("proba", proba)
    check_consistent_length(logit, proba)
    return _log_scores(logit, row_entropy(proba))


class AADA(QueryStrategy):
    """AADA strategy: the target rows with the largest entropy times importance weight.

    Reads class probabilities and the logit of a trained domain discriminator, which ``AdaptationClassifier(DANN())``
    trains. The importance weight is the odds that the discriminator gives against a source row: rows that look like the
    source count little, for the source labels tell of them already.

    Parameters
    ----------
    top_fraction : float, default=None
        Share of the initial pool, above 0 and at most 1, among whose highest scores rows are drawn uniformly, never
        fewer than are asked for. ``None``: the highest scores themselves. The published comparisons draw, from 0.02.
    estimator : estimator, default=None
        See `QueryStrategy`; ``None``: ``AdaptationClassifier(DANN())``.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw, and of the default estimator. See `QueryStrategy`.

    See Also
    --------
    aada_scores : The score as a function.
    skada_active.deep.DANN : The training loss, whose discriminator is read.
    EntropySampling : The same without a discriminator.

    Notes
    -----
    The utility of a row is the logarithm of its score. O(n C) time, O(n) memory.

    A model without a discriminator is refused before training, and one whose discriminator was never trained
    (``trade_off=0``) when it is read: its odds would be noise. That is what happened to the row of AADA in some
    published tables, whose discriminator kept its random start.

    References
    ----------
    .. [1] Su et al., "Active Adversarial Domain Adaptation", WACV 2020. The draw from the highest 2 % is that of
       the code of later comparisons, such as Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import AADA
    >>> view = PoolView(proba=[[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]], source_logit=[0.0, -1.0, -9.0])
    >>> AADA().select(view, 2)
    array([1, 0])
    """

    needs = frozenset({"proba", "source_logit"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "top_fraction": [Interval(Real, 0, 1, closed="right"), None],
    }

    def __init__(self, top_fraction: float | None = None, estimator: Any = None, random_state: Any = None) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.top_fraction = top_fraction

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return _log_scores(view.source_logit, view.entropy)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        scores = self._scores(view)
        if self.top_fraction is None:
            return top_k(scores, n_queries, rng)
        return draw_from_best(scores, n_in_share(self.top_fraction, view.n_initial), n_queries, rng)


def _log_scores(source_logit: NDArray[Any], entropy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of the scores; rounding may leave the entropy of a certain prediction below 0."""
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(entropy, 0)) - source_logit.astype(np.float64)
