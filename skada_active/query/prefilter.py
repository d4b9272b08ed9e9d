"""Prefilter: a cheap score narrows a very large pool down before another strategy chooses."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skada_active.domains import Roles
from skada_active.pool import PoolView
from skada_active.query._base import _MAX_SEED, QueryStrategy
from skada_active.query._validation import check_n_queries
from skada_active.query.badge import BADGE
from skada_active.query.uncertainty import MarginSampling
from skada_active.utils._sklearn import Interval

__all__ = ["Prefilter"]


class Prefilter(QueryStrategy):
    """Let a strategy choose among the rows that a cheap score puts on a short list.

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
    Zhdanov, "Diverse mini-batch Active Learning", arXiv:1901.05954, 2019, prefilters by uncertainty and then clusters:
    ``Prefilter(CLUE(), MarginSampling())`` is close to it.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import CoreSet, Prefilter
    >>> proba = [[0.6, 0.4], [0.9, 0.1], [0.5, 0.5], [0.55, 0.45]]
    >>> view = PoolView(proba=proba, features=[[0.0], [9.0], [1.0], [3.0]], labeled_features=[[0.5]])
    >>> Prefilter(CoreSet(), n_candidates=3).select(view, 1)
    array([3])
    """

    needs: ClassVar[frozenset[str]] = frozenset(PoolView.__annotations__)

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

    def query(self, n_queries: int = 1, *, return_utilities: bool = False) -> Any:
        """Choose rows to ask about, at most as many as the short list holds; see `QueryStrategy.query`.

        Raises
        ------
        ValueError
            If the pool holds as many rows, but the short list does not.
        """
        check_is_fitted(self)
        if check_n_queries(n_queries) > len(self.pool_) < self.pool_.n_initial:
            raise ValueError(
                f"n_queries={n_queries} exceeds the n_candidates={self.n_candidates} rows on the short list of a pool "
                f"of {self.pool_.n_initial}; set n_candidates to at least {n_queries} and fit again."
            )
        return super().query(n_queries, return_utilities=return_utilities)

    def utilities(self, view: PoolView) -> NDArray[np.float64]:
        """Return the utilities of `strategy` on the short list and ``-inf`` elsewhere; see `QueryStrategy.utilities`.

        Raises
        ------
        AttributeError
            If `strategy` has none.
        """
        rows = self._short_list(view, self.n_candidates, None)
        utilities = np.full(len(view), -np.inf)
        utilities[rows] = self._chooser.utilities(view.take(rows))
        return utilities

    def select(self, view: PoolView, n_queries: int, random_state: Any = None) -> NDArray[np.int64]:
        """Choose candidates; see `QueryStrategy.select`."""
        rows = self._short_list(view, max(self.n_candidates, n_queries), random_state)
        seed = self.random_state if random_state is None else random_state
        return rows[self._chooser.choose(view.take(rows), n_queries, random_state=seed)]

    def required_fields(self) -> frozenset[str]:
        """Return what `strategy` and `by` read, of which `by` reads nothing in a view of few rows."""
        return frozenset().union(*(part.required_fields() for part in self._parts.values()))

    def model_fields(self) -> frozenset[str]:
        """Return what the model has to supply to `strategy` and `by`."""
        return frozenset().union(*(part.model_fields() for part in self._parts.values()))

    def has_utilities(self) -> bool:
        """Tell whether `strategy` has a score per row."""
        return self._chooser.has_utilities()

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if `strategy` or `by` cannot read `estimator`; see `QueryStrategy.check_model`."""
        self._validate_params()
        for name, part in self._parts.items():
            if part.estimator is not None:
                raise ValueError(
                    f"{name}={part!r} has an estimator of its own, but both parts read the same model; give "
                    "it to Prefilter: Prefilter(estimator=...)."
                )
            part.check_model(estimator)

    def view(
        self, estimator: Any, X: Any, y: NDArray[Any], roles: Roles, *, random_state: Any = None, n_initial: Any = None
    ) -> PoolView:
        """Return the view of `strategy` of the rows on the short list; see `QueryStrategy.view`."""
        seed = self._own_seed(random_state)
        n = len(roles.candidates)
        n_initial = n if n_initial is None else n_initial
        if n > self.n_candidates:
            rng = self._rng(seed)
            pool = self._parts["by"].view(
                estimator, X, y, roles, random_state=rng.randint(_MAX_SEED), n_initial=n_initial
            )
            others = np.delete(roles.candidates, self._short_list(pool, self.n_candidates, rng))
            roles = roles.exclude(others)
        return self._chooser.view(estimator, X, y, roles, random_state=seed, n_initial=n_initial)

    @property
    def _parts(self) -> dict[str, QueryStrategy]:
        return {
            "strategy": BADGE() if self.strategy is None else self.strategy,
            "by": MarginSampling() if self.by is None else self.by,
        }

    @property
    def _chooser(self) -> QueryStrategy:
        return self._parts["strategy"]

    def _short_list(self, view: PoolView, n_rows: int, random_state: Any) -> NDArray[np.int64]:
        """Return the positions of the best rows by `by`, ascending, so that ties fall as in the whole pool."""
        if len(view) <= n_rows:
            return np.arange(len(view))
        seed = self._rng(random_state).randint(_MAX_SEED)
        return np.sort(self._parts["by"].choose(view, n_rows, random_state=seed))

    def _read_fields(self, view: PoolView) -> frozenset[str]:
        parts = self._parts.values() if len(view) > self.n_candidates else [self._chooser]
        return frozenset().union(*(part._read_fields(view) for part in parts))

    def __sklearn_tags__(self) -> Any:
        reads = self.estimator is not None or self.required_fields()
        return super().__sklearn_tags__() if reads else get_tags(self._chooser)
