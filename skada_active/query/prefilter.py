"""Prefilter: a cheap score narrows a very large pool down before another strategy chooses."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.pool import PoolView
from skada_active.query._base import MAX_SEED, QueryStrategy
from skada_active.query._composite import choose_as_part
from skada_active.query.badge import BADGE
from skada_active.query.uncertainty import MarginSampling
from skada_active.utils._sklearn import Interval
from skada_active.utils.random import child_state

__all__ = ["Prefilter"]


class Prefilter(QueryStrategy):
    """Prefilter: another strategy's choice among the rows that a cheap score puts on a short list.

    For pools of about 100,000 rows and more. The model is fitted once and read twice: for the whole pool only what
    `by` reads, then for the rows on the short list what `strategy` reads. A pool of at most `n_candidates` rows is
    handed to `strategy` as it is, and `by` is not asked.

    Parameters
    ----------
    strategy : QueryStrategy, default=None
        Who chooses among the rows on the short list; ``None``: `BADGE`.
    by : QueryStrategy, default=None
        Who chooses the short list; ``None``: `MarginSampling`. `RandomSampling` takes a uniform sample. The order in
        which it chooses does not count: the list is in the order of the pool.
    n_candidates : int, default=10000
        Number of rows on the short list. A view is narrowed down to as many rows as are asked for at least; a strategy
        alone, whose list is made by ``fit``, refuses larger queries. A round of a loop that buys more asks several
        times, each time with a new list, before the model is trained again.
    estimator : estimator, default=None
        See `QueryStrategy`; `strategy` and `by` must have none of their own.
    random_state : int, RandomState instance or None, default=None
        Seed of both parts, and of the default estimator. An integer `random_state` of a part wins for that part. See
        `QueryStrategy`.

    See Also
    --------
    MarginSampling : A cheap score of doubt.
    RandomSampling : A uniform sample as the short list.

    Notes
    -----
    This is an approximation: `strategy` knows nothing of the rest of the pool. `CoreSet` covers the short list instead
    of the pool, and `LAS` looks for neighbours in the short list only; rows that the score misses are never chosen,
    such as those that the model is wrong about without a doubt. What a strategy derives from the size of the initial
    pool still goes by the whole pool: give `LAS` a number as `oversampling`, for ``"auto"`` may take the whole list.

    Time: one forward pass over the pool, the choice of `n_candidates` rows by `by`, one forward pass over these, and
    the choice of `strategy` among them. With a score that reads probabilities, O(n C + n_candidates (C + D)) memory.

    References
    ----------
    .. [1] Zhdanov, "Diverse mini-batch Active Learning", arXiv:1901.05954, 2019, prefilters by uncertainty and then
       clusters: ``Prefilter(CLUE(), MarginSampling())`` is close to it.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import CoreSet, Prefilter
    >>> proba = [[0.6, 0.4], [0.9, 0.1], [0.5, 0.5], [0.55, 0.45]]
    >>> view = PoolView(proba=proba, features=[[0.0], [9.0], [1.0], [3.0]], labeled_features=[[0.5]])
    >>> Prefilter(CoreSet(), n_candidates=3).select(view, 1)
    array([3])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "strategy": [QueryStrategy, None],
        "by": [QueryStrategy, None],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        strategy: QueryStrategy | None = None,
        by: QueryStrategy | None = None,
        n_candidates: int = 10_000,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.strategy = strategy
        self.by = by
        self.n_candidates = n_candidates

    @property
    def needs(self) -> frozenset[str]:
        """What `strategy` and `by` read, of which `by` reads nothing in a view of few rows."""
        return self._chooser.needs | self._scorer.needs

    @property
    def fills(self) -> frozenset[str]:
        """What `strategy` and `by` fill by themselves."""
        return self._chooser.fills | self._scorer.fills

    def has_utilities(self) -> bool:
        """Tell whether `strategy` has a score per row."""
        return self._chooser.has_utilities()

    @property
    def _n_heads(self) -> int | None:
        return self._chooser._n_heads or self._scorer._n_heads

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if `strategy` or `by` cannot read `estimator`; see `QueryStrategy.check_model`."""
        self._validate_params()
        for name, part in (("strategy", self._chooser), ("by", self._scorer)):
            if part.estimator is not None:
                raise ValueError(
                    f"{name}={part!r} has an estimator of its own, but both parts read the same model; give "
                    "it to Prefilter: Prefilter(estimator=...)."
                )
            part.check_model(estimator)

    def view(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        *,
        random_state: Any = None,
        n_initial: Any = None,
        **options: Any,
    ) -> PoolView:
        """Return the view of `strategy` of the rows on the short list; see `QueryStrategy.view`."""
        seed = self._own_seed(random_state)
        n = len(roles.candidates)
        common: dict[str, Any] = {"n_initial": n if n_initial is None else n_initial, **options}
        if n > self.n_candidates:
            rng = self._rng(seed)
            pool = self._scorer.view(estimator, X, y, roles, random_state=rng.randint(MAX_SEED), **common)
            roles = roles.exclude(np.delete(roles.candidates, self._short_list(pool, self.n_candidates, rng)))
        return self._chooser.view(estimator, X, y, roles, random_state=seed, **common)

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        """Return the utilities of `strategy` on the short list and ``-inf`` elsewhere."""
        rows = self._short_list(view, self.n_candidates, self._rng(None))
        utilities = np.full(len(view), -np.inf)
        utilities[rows] = self._chooser.utilities(view.take(rows))
        return utilities

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        # On the rows of the list `strategy` draws what it would draw on a pool of them.
        start = copy.deepcopy(rng)
        rows = self._short_list(view, max(self.n_candidates, n_queries), rng)
        whole = len(rows) == len(view)
        return rows[choose_as_part(self._chooser, view.take(rows), n_queries, rng if whole else start)]

    @property
    def _chooser(self) -> QueryStrategy:
        return BADGE() if self.strategy is None else self.strategy

    @property
    def _scorer(self) -> QueryStrategy:
        return MarginSampling() if self.by is None else self.by

    def _short_list(self, view: PoolView, n_rows: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        """Return the positions of the best rows by `by`, ascending: the order of the pool."""
        if len(view) <= n_rows:
            return np.arange(len(view))
        return np.sort(choose_as_part(self._scorer, view, n_rows, child_state(rng)))

    def _exceed(self, n_queries: int, view: PoolView) -> None:
        if view is self.pool_ and len(view) < view.n_initial:
            raise ValueError(
                f"n_queries={n_queries} exceeds the n_candidates={self.n_candidates} rows on the short list of a pool "
                f"of {view.n_initial}; set n_candidates to at least {n_queries} and fit again."
            )
        super()._exceed(n_queries, view)
