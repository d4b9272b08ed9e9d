"""Power sampling: rows drawn by a power of their score, with known probabilities."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._inclusion import successive_inclusion
from skada_active.query.uncertainty import MarginSampling
from skada_active.utils._sklearn import Interval

__all__ = ["PowerSampling"]

# Probabilities may miss their sum by so much, and scores made of them fall below 0 by this share of the largest one.
_ROUNDING = 1e-3


class PowerSampling(QueryStrategy):
    """Power sampling: target rows drawn at random, one after the other, in proportion to a power of another score.

    The stochastic form of a strategy that takes the highest scores: with a large round these are often alike, and a
    draw is more varied at no cost. How probable it was to ask for a row is known (`inclusion_probabilities`), so that
    the answers tell of the whole pool without bias.

    Parameters
    ----------
    by : QueryStrategy, default=None
        Strategy with a score per row of at least 0, and no estimator of its own; ``None``: `MarginSampling`.
    power : float, default=1.0
        Power of the score. 0 draws uniformly; the larger, the closer to the highest scores.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw. See `QueryStrategy`.

    See Also
    --------
    RandomSampling : A uniform draw.
    Prefilter : Another strategy's choice among rows that a score likes.

    Notes
    -----
    The utility of a row is its score by `by`. Rows are taken in descending order of ``power * ln(score) + Gumbel
    noise``: each draw is in proportion to ``score ** power`` among the rows that are left. A row of score 0, or of
    ``-inf``, has no chance while there are others, and then the same as any other such row; with ``power=0`` only
    ``-inf`` is none. A negative score is refused: logarithms (`AADA`) and similarities have no power; only rounding,
    less than a thousandth of the largest score, counts as 0. O(n log n) time and O(n) memory beyond those of `by`.

    References
    ----------
    .. [1] Kirsch et al., "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning", TMLR 2023 (power
       acquisition).
    .. [2] Horvitz and Thompson, "A Generalization of Sampling Without Replacement From a Finite Universe", Journal of
       the American Statistical Association 47, 1952.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import PowerSampling
    >>> view = PoolView(proba=[[0.9, 0.1], [0.5, 0.5], [0.6, 0.4], [1.0, 0.0]])
    >>> strategy = PowerSampling()
    >>> sorted(strategy.select(view, 3, random_state=0).tolist())
    [0, 1, 2]
    >>> strategy.inclusion_probabilities(view, 2).round(4)
    array([0.2667, 0.8889, 0.8444, 0.    ])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "by": [QueryStrategy, None],
        "power": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        by: QueryStrategy | None = None,
        power: float = 1.0,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.by = by
        self.power = power

    def inclusion_probabilities(self, view: PoolView, n_queries: int) -> NDArray[np.float64]:
        r"""Return how probable it is that a choice asks for each row.

        Over all draws, whatever the seed. A sum over the pool of numbers :math:`f_i` that are known for chosen rows
        only is estimated without bias by :math:`\sum_{i\ chosen} f_i / \pi_i`, where no row has the probability 0.

        Parameters
        ----------
        view : PoolView
            The pool that is chosen from: `pool_` of a fitted strategy, before the answers come.
        n_queries : int
            How many rows are chosen.

        Returns
        -------
        ndarray of shape (n,), float64
            Probabilities that sum to ``min(n_queries, n)``; those of chosen ids are at
            ``numpy.searchsorted(view.index, ids)``. Rows without a chance have 0: then the sum that is estimated is one
            over the others.

        Raises
        ------
        ValueError
            As `select`.

        Notes
        -----
        Exact, to about 1e-9, by quadrature over the time of exponential races; O(n n_queries) time, seconds for
        100 of 20,000 rows, and O(n) memory. A round of a loop that asks several times (after abstentions, or because of
        costs) is several draws, each with probabilities of its own.
        """
        n_queries = self._check(view, n_queries)
        if not n_queries:
            return np.zeros(len(view))
        logs = self._log_weights(view)
        has_chance = np.isfinite(logs)
        n_others = len(view) - int(has_chance.sum())
        n_drawn = min(n_queries, len(view) - n_others)
        inclusion = np.full(len(view), (n_queries - n_drawn) / max(1, n_others))
        inclusion[has_chance] = successive_inclusion(logs[has_chance], n_drawn)
        return inclusion

    @property
    def needs(self) -> frozenset[str]:
        """What `by` reads."""
        return self._scorer.needs

    @property
    def fills(self) -> frozenset[str]:
        """What `by` fills by itself."""
        return self._scorer.fills

    @property
    def on_device(self) -> frozenset[str]:
        """What `by` reads as torch tensors, too."""
        return self._scorer.on_device

    def filled_for(self, estimator: Any) -> frozenset[str]:
        """Return what `by` fills by itself for `estimator`; see `QueryStrategy.filled_for`."""
        return self._scorer.filled_for(estimator)

    @property
    def _reads(self) -> frozenset[str]:
        return self._scorer._reads

    @property
    def _n_heads(self) -> int | None:
        return self._scorer._n_heads

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if `by` is no score of `estimator`; see `QueryStrategy.check_model`."""
        self._validate_params()
        self._check_scorer()
        self._scorer.check_model(estimator)

    def _extra_fields(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        rng: np.random.RandomState,
        target_weight: Any = None,
    ) -> dict[str, NDArray[Any]]:
        rng = self._scorer._rng(self._scorer._own_seed(rng))
        return self._scorer._extra_fields(estimator, X, y, roles, rng, target_weight)

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        self._check_scorer()
        return self._scorer.utilities(view)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        logs = self._log_weights(view)
        has_chance = np.isfinite(logs)
        keys = np.where(has_chance, logs, 0.0) + rng.gumbel(size=len(view))
        return np.lexsort([-keys, ~has_chance])[:n_queries].astype(np.int64, copy=False)

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        return self._scorer._seconds(view, n_queries)

    @property
    def _scorer(self) -> QueryStrategy:
        return MarginSampling() if self.by is None else self.by

    def _check_scorer(self) -> None:
        if self._scorer.estimator is not None or not self._scorer.has_utilities():
            raise ValueError(
                f"by={self.by!r} must have a score per row and no estimator of its own; give the estimator to "
                "PowerSampling, and a score such as MarginSampling()."
            )

    def _log_weights(self, view: PoolView) -> NDArray[np.float64]:
        """Return the logarithms of the weights of the draw, -inf where there is no chance."""
        scores = self._scores(view)
        never = np.isneginf(scores)
        least = scores.min(initial=np.inf, where=~never)
        if least < -_ROUNDING * max(0.0, scores.max()):
            raise ValueError(
                f"by={self._scorer!r} gives the score {least:.3g}, but a power needs scores of at least 0. Use a "
                "strategy whose scores are never negative, such as MarginSampling, EntropySampling or QueryByCommittee."
            )
        if not self.power:
            return np.where(never, -np.inf, 0.0)
        with np.errstate(divide="ignore"):
            return self.power * np.log(np.maximum(scores, 0))
