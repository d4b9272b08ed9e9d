"""Mixed: several strategies share every round."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.pool import PoolView
from skada_active.pool.fields import FIELDS
from skada_active.query._base import QueryStrategy
from skada_active.query._composite import CompositeStrategy, choose_as_part
from skada_active.query.core_set import CoreSet
from skada_active.query.staged import Staged
from skada_active.query.uncertainty import MarginSampling
from skada_active.utils.shares import turns_by_share

__all__ = ["Mixed"]


class Mixed(CompositeStrategy):
    """Mixed strategy: several strategies share every round, and no row is asked for twice.

    What one strategy is blind to, another one finds: rows in doubt and rows that cover the pool, or some random rows
    beside any strategy.

    Parameters
    ----------
    parts : list of (QueryStrategy, float), default=None
        Strategies with their shares: positive numbers, of which only the ratio counts, so that (.5, .5) is (1, 1). The
        first part has the first choice, the next one chooses among what is left, and so on. ``None``:
        ``[(CoreSet(), 0.5), (MarginSampling(), 0.5)]``.
    estimator : estimator, default=None
        See `QueryStrategy`; the strategies must have none of their own.
    random_state : int, RandomState instance or None, default=None
        Seed of all parts, and of the default estimator. An integer `random_state` of a part wins for that part. See
        `QueryStrategy`.

    See Also
    --------
    Staged : One strategy after another, by the round.
    Prefilter : One strategy chooses among what another one likes best.

    Notes
    -----
    The parts take turns over the rows of a campaign: each next row is that of the part of the largest
    ``share / (2 m + 1)``, m being how many rows it has had (Sainte-Laguë); ties go to the larger share, then to the
    earlier part. So the largest share has the first row, any number of rows is shared as nearly as whole rows can be,
    and rounds of one row each add up to the shares too. How many rows there were before is how many have left the pool
    since the start; in a view without `n_initial`, none. Behind a `Prefilter`, whose list has one size in every round,
    all rounds begin alike.

    Rows are returned in the order of the turns, so that half of them have about the shares of all. There are no
    utilities: scores of different strategies do not compare. What a part reads of its candidates' surroundings, such as
    their neighbours, is that of the whole pool. Parts know nothing of each other's rows otherwise.

    All parts read one view, so only one of them may train a committee.

    Time is that of the parts together; each part but the first reads a copy of the rows that are left, O(n (C + D)).

    References
    ----------
    .. [1] Balinski and Young, "Fair Representation: Meeting the Ideal of One Man, One Vote", Yale 1982, for the turns
       (Webster's or Sainte-Laguë's method).

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import CoreSet, MarginSampling, Mixed
    >>> proba = [[0.6, 0.4], [0.9, 0.1], [0.5, 0.5], [0.55, 0.45]]
    >>> view = PoolView(proba=proba, features=[[0.0], [9.0], [1.0], [3.0]], labeled_features=[[0.5]])
    >>> Mixed([(MarginSampling(), 2), (CoreSet(), 1)]).select(view, 3)
    array([2, 1, 3])
    """

    holds = "parts"
    number_name = "share"
    default_pairs = ((CoreSet(), 0.5), (MarginSampling(), 0.5))

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "parts": [list, tuple, None],
    }

    def __init__(
        self,
        parts: Sequence[tuple[QueryStrategy, float]] | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.parts = parts

    def in_round(self, number: int) -> QueryStrategy:
        """Return the strategy of a round: this one, unless a part goes by rounds; see `QueryStrategy.in_round`."""
        self._validate_params()
        parts = [(part.in_round(number), share) for part, share in self.pairs]
        if all(now is part for (now, _), part in zip(parts, self.strategies, strict=True)):
            return self
        return copy.copy(self).set_params(parts=parts)

    @property
    def needs(self) -> frozenset[str]:
        """What any part reads."""
        return frozenset().union(*(part.needs for part in self.strategies))

    @property
    def fills(self) -> frozenset[str]:
        """What any part fills by itself."""
        return frozenset().union(*(part.fills for part in self.strategies))

    @property
    def on_device(self) -> frozenset[str]:
        """``"features"``, where all parts that read what may be there can."""
        can = [part.on_device for part in self.strategies if any(FIELDS[name].on_device for name in part.needs)]
        return frozenset.intersection(*can) if can else frozenset()

    def filled_for(self, estimator: Any) -> frozenset[str]:
        """Return what any part fills by itself for `estimator`; see `QueryStrategy.filled_for`."""
        return frozenset().union(*(part.filled_for(estimator) for part in self.strategies if part.fills))

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if a part cannot read `estimator`, or two fill one field; see `QueryStrategy`."""
        super().check_model(estimator)
        kinds = [(number, kind) for number, part in enumerate(self.strategies) for kind in _kinds(part)]
        for number, part in kinds:
            filled = part.fills and part.filled_for(estimator)
            if filled and type(part).view is not QueryStrategy.view:
                raise ValueError(
                    f"{part!r} in parts fills {min(filled)!r} for rows of its own choice; put Mixed into it, or leave "
                    f"{type(part).__name__} out."
                )
            others = [other for at, other in kinds if at != number and other.needs & filled]
            if others:
                raise ValueError(
                    f"{part!r} in parts fills {min(filled & others[0].needs)!r} by itself, and {others[0]!r} reads it "
                    "too, but all parts read one view of the pool; keep one of them."
                )

    def _extra_fields(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        rng: np.random.RandomState,
        target_weight: Any = None,
    ) -> dict[str, NDArray[Any]]:
        fields: dict[str, NDArray[Any]] = {}
        for part in self.strategies:
            if part.fills and part.filled_for(estimator):
                seed = part._rng(part._own_seed(rng))
                fields |= part._extra_fields(estimator, X, y, roles, seed, target_weight)
        return fields

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        n_before = max(0, view.n_initial - len(view.surroundings[0]))
        turns = turns_by_share([share for _, share in self.pairs], n_queries, n_before)
        chosen, left = np.empty(n_queries, dtype=np.int64), np.arange(len(view))
        for number, part in enumerate(self.strategies):
            of_part = np.flatnonzero(turns == number)
            if len(of_part):
                picks = choose_as_part(part, view.restrict(left), len(of_part), rng)
                chosen[of_part] = left[picks]
                left = np.delete(left, picks)
        return chosen

    def _check_numbers(self, numbers: list[Any]) -> None:
        for position, share in enumerate(numbers):
            if not isinstance(share, Real) or isinstance(share, bool) or not 0 < float(share) < np.inf:
                raise ValueError(
                    f"the share of part {position + 1} must be a finite number above 0, got {share!r}; leave out a "
                    "strategy that is to have no share."
                )


def _kinds(part: QueryStrategy) -> list[QueryStrategy]:
    """Return the strategies that a part is in some round."""
    return [kind for stage in part.strategies for kind in _kinds(stage)] if isinstance(part, Staged) else [part]
