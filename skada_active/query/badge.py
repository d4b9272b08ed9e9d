"""BADGE: k-means++ on the gradients that the model's own answer would cause."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import product_seconds
from skada_active.selection import Outer, kmeans_plusplus, top_k
from skada_active.utils._sklearn import Interval, StrOptions
from skada_active.utils.arrays import as_floats, as_like, host_dtype, rows_inner, to_host

__all__ = ["BADGE", "badge_embedding"]


def badge_embedding(proba: ArrayLike, features: ArrayLike) -> Outer:
    r"""Return the gradients of the cross-entropy at the pseudo-label, as factored outer products.

    With respect to the weights of the last layer the gradient is

    .. math:: g_i = (p_i - e_{\hat y_i}) \otimes f_i, \quad \hat y_i = \arg\max_c p_{ic}.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities.
    features : array-like of shape (n, D)
        Input of the last layer.

    Returns
    -------
    Outer
        n vectors of length C D, never formed: the factors have shape (n, C) and (n, D). The gradient of the bias is
        left out, as in the published method.

    Notes
    -----
    O(n C) time and memory.

    References
    ----------
    .. [1] Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds", ICLR 2020, Sec. 3.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.query import badge_embedding
    >>> np.sqrt(badge_embedding([[0.9, 0.1], [0.6, 0.4]], [[3.0, 4.0], [0.0, 2.0]]).sq_norms()).round(6)
    array([0.707107, 1.131371])
    """
    (right,) = as_floats(features)
    given = to_host(proba)
    residual = np.array(given, dtype=host_dtype(right))
    # argmax of the given probabilities: rounding to a shorter type must not change the pseudo-label.
    residual[np.arange(len(residual)), np.argmax(given, axis=1)] -= 1
    return Outer(as_like(residual, right), right)


class BADGE(QueryStrategy):
    """BADGE strategy: uncertain and diverse target rows, by k-means++ seeding on gradient embeddings.

    Reads class probabilities and the embedding.

    Parameters
    ----------
    first : {"grad_norm", "residual_norm", None}, default="grad_norm"
        The first choice: the candidate with the longest gradient, the one with the longest ``p - onehot(argmax p)``
        (as in the published code of CLUE), or a random one.
    n_trials : int or "auto", default=1
        How many candidates are drawn for each further choice, of which the best is kept. 1 is plain D² sampling;
        ``"auto"`` is ``2 + floor(ln n_queries)``, greedy k-means++.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the D² sampling. See `QueryStrategy`.

    See Also
    --------
    badge_embedding : The gradient embedding as a function.
    CLUE : Clusters weighted by doubt.
    CoreSet : Diversity alone.
    skada_active.selection.kmeans_plusplus : The choice as a function.

    Notes
    -----
    The utility of a row is the length of its gradient. O(n (C + D) n_queries n_trials) time, O(n (C + D)) memory: the n
    x C D matrix of gradients is never formed. Where every remaining gradient coincides with a chosen one, the rest is
    chosen uniformly.

    References
    ----------
    .. [1] Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds", ICLR 2020, Alg. 1.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import BADGE
    >>> view = PoolView(proba=[[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]], features=[[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]])
    >>> BADGE().select(view, 1)
    array([2])
    """

    needs = frozenset({"proba", "features"})
    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "first": [StrOptions({"grad_norm", "residual_norm"}), None],
        "n_trials": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        first: str | None = "grad_norm",
        n_trials: int | Literal["auto"] = 1,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.first = first
        self.n_trials = n_trials

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return np.sqrt(badge_embedding(view.proba, view.features).sq_norms(), dtype=np.float64)

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        n_trials = _n_trials(self.n_trials, n_queries)
        width = view.proba.shape[1] + view.features.shape[1]
        return product_seconds(view, float(len(view)) * width * n_queries * n_trials)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        gradients = badge_embedding(view.proba, view.features)
        n_trials = _n_trials(self.n_trials, n_queries)
        first = self._first(gradients, rng)
        return kmeans_plusplus(gradients, n_queries, first=first, n_trials=n_trials, random_state=rng)

    def _first(self, gradients: Outer, rng: np.random.RandomState) -> int | None:
        if self.first is None:
            return None
        is_whole = self.first == "grad_norm"
        sq_norms = gradients.sq_norms() if is_whole else to_host(rows_inner(gradients.left, gradients.left))
        return int(top_k(sq_norms, 1, rng)[0])


def _n_trials(n_trials: int | Literal["auto"], n_queries: int) -> int:
    return 2 + int(np.log(n_queries)) if isinstance(n_trials, str) else n_trials
