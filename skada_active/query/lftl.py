"""LFTL: small margins of probabilities that are contrasted with those of the previous round's model."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.pool import PoolView
from skada_active.pool.values import as_probabilities
from skada_active.pool.view import row_margin
from skada_active.query._base import QueryStrategy
from skada_active.utils._sklearn import Interval

__all__ = ["LFTL", "lftl_scores"]


def lftl_scores(
    proba: ArrayLike,
    previous_proba: ArrayLike,
    contrast: float = 0.03,
    class_weight: float = 1.0,
    n_confident: int = 500,
) -> NDArray[np.float64]:
    r"""Return the score of contrastive active sampling, higher where the row is asked about first.

    .. math::

        \tilde p_i = p_i + \gamma (p_i - p_i^{prev}), \qquad U_i = \tilde p_{i(1)} - \tilde p_{i(2)}, \qquad
        score_i = -\frac{U_i}{\max_j U_j} - \lambda \frac{n_{\hat y_i}}{\max_c n_c}

    where :math:`n_c` counts the rows predicted as class c (by :math:`p`) among the `n_confident` of largest
    :math:`U`: rows of classes that the model is seldom sure of come first.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities.
    previous_proba : array-like of shape (n, C)
        Those of the previous round's model; in the first round `proba` itself.
    contrast : float, default=0.03
        Weight :math:`\gamma` of the change since the previous round; 0 is a plain margin. Named ``cd`` in the paper's
        code.
    class_weight : float, default=1.0
        Weight :math:`\lambda` of the class term; 0 turns it off.
    n_confident : int, default=500
        Number of rows whose predicted classes are counted; rows with the same :math:`U` as the last of them count too.

    Returns
    -------
    ndarray of shape (n,), float64
        Scores from ``-1 - class_weight`` to 0.

    Raises
    ------
    ValueError
        If a row does not hold probabilities, or the shapes differ.

    Notes
    -----
    :math:`\tilde p` is not a distribution, and is not made one. Where all :math:`U` are 0, they are left so. With one
    class the second largest number is 0. O(n C) time and memory.

    References
    ----------
    .. [1] Lyu et al., "Learn from the Learnt: Source-Free Active Domain Adaptation via Contrastive Sampling and Visual
       Persistence", ECCV 2024; as in the published code.

    Examples
    --------
    >>> from skada_active.query import lftl_scores
    >>> proba = [[0.6, 0.3, 0.1], [0.4, 0.35, 0.25]]
    >>> lftl_scores(proba, proba, class_weight=0).round(4)
    array([-1.    , -0.1667])
    """
    proba, previous = as_probabilities("proba", proba), as_probabilities("previous_proba", previous_proba)
    if proba.shape != previous.shape:
        raise ValueError(
            f"proba and previous_proba must have one shape, got {proba.shape} and {previous.shape}; give a class that "
            "the previous model did not know a column of zeros."
        )
    if not len(proba):
        return np.empty(0)
    margin = row_margin(proba + contrast * (proba - previous))
    score = margin / (margin.max() or 1.0)
    if class_weight:
        predicted = proba.argmax(axis=1)
        threshold = np.sort(margin)[-min(n_confident, len(margin))]
        counts = np.bincount(predicted[margin >= threshold], minlength=proba.shape[1])
        score += class_weight * (counts / counts.max())[predicted]
    return 0.0 - score


class LFTL(QueryStrategy):
    """LFTL strategy: small margins that did not grow since the previous round, rarely sure classes first.

    Reads class probabilities of this round's model and of the previous round's one: contrastive active sampling of
    "learn from the learnt", made for models that were adapted without source rows, and good for any other.

    Parameters
    ----------
    contrast : float, default=0.03
        Weight of the change of the probabilities since the previous round; 0 is a plain margin, and the previous model
        is then neither kept nor read.
    class_weight : float, default=1.0
        Weight of the class term, against margins over the largest margin; 0 turns it off.
    n_confident : int, default=500
        Number of rows, those of the largest margins, whose predicted classes are counted. In a pool of at most as many
        rows all of them are.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network, and of the order of tied rows.

    See Also
    --------
    lftl_scores : The score as a function.
    MarginSampling : Margins alone.

    Notes
    -----
    The utility of a row is its score. O(n C) time and memory, and a second forward pass over the pool. A loop keeps the
    model of the round before for it: twice the memory of a network, and twice its part of a file. With an `estimator`
    of its own, that of the round before is fitted again. In the first round, and where the strategy is used without a
    loop, the previous probabilities are the present ones; so they are where the previous model knew a class that the
    present one has lost, and where a network that cannot be copied was trained on in place.

    References
    ----------
    .. [1] Lyu et al., "Learn from the Learnt: Source-Free Active Domain Adaptation via Contrastive Sampling and Visual
       Persistence", ECCV 2024.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import LFTL
    >>> view = PoolView(proba=[[0.6, 0.3, 0.1], [0.4, 0.35, 0.25]])
    >>> LFTL(class_weight=0).select(view, 2)
    array([1, 0])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "contrast": [Interval(Real, 0, None, closed="left")],
        "class_weight": [Interval(Real, 0, None, closed="left")],
        "n_confident": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        contrast: float = 0.03,
        class_weight: float = 1.0,
        n_confident: int = 500,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.contrast = contrast
        self.class_weight = class_weight
        self.n_confident = n_confident

    @property
    def needs(self) -> frozenset[str]:
        """``proba``, and ``previous_proba`` where there is a contrast."""
        return frozenset({"proba", "previous_proba"} if self.contrast else {"proba"})

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        previous = view.previous_proba if self.contrast else view.proba
        return lftl_scores(view.proba, previous, self.contrast, self.class_weight, self.n_confident)
