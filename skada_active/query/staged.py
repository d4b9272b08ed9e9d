"""Staged: one strategy after another, by the round."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._composite import CompositeStrategy, choose_as_part
from skada_active.query.core_set import CoreSet
from skada_active.query.uncertainty import MarginSampling
from skada_active.utils.random import RandomStateLike

__all__ = ["Staged"]


class Staged(CompositeStrategy):
    """Staged strategy: one strategy after another, each for so many rounds of a loop.

    For example rows that cover the pool first, while the model knows too little for its doubts to mean much, and rows
    in doubt afterwards. In every round only what the strategy of that round reads is read.

    Parameters
    ----------
    stages : list of (QueryStrategy, int or None), default=None
        Strategies in order, each with its number of rounds, at least 1. The last one stands for all later rounds,
        whatever its number; None says so. ``None``: ``[(CoreSet(), 1), (MarginSampling(), None)]``.
    estimator : estimator, default=None
        See `QueryStrategy`; the strategies must have none of their own. ``None``: alone, the cheapest model that
        supplies what all stages read.
    random_state : int, RandomState instance or None, default=None
        Seed of all stages, and of the default estimator. An integer `random_state` of a stage wins for that stage. See
        `QueryStrategy`.

    See Also
    --------
    Mixed : Several strategies in every round.
    QueryStrategy.in_round : The strategy of a round.

    Notes
    -----
    Rounds are counted by the loop or session, from 1: ``fit``, ``query``, ``select`` and `needs` of the strategy alone
    are those of its first stage, and ``in_round(3)`` is the strategy of round 3. A round that asks several times (rows
    were abstained on) remains one. A stage that is staged itself counts its rounds from the beginning of that stage. A
    model that a later stage cannot read is refused before any training.

    Searches reach the stages by the names of their classes in lower case, ``-1``, ``-2``, ... after it where a class
    comes more than once: ``coreset__initial_centers``, ``las-2__n_neighbors``; or replace one (``coreset=BADGE()``), or
    all (``stages=[...]``). What ``stages=None`` stands for has no such names.

    Time and memory are those of the strategy of the round.

    Examples
    --------
    >>> from skada_active.query import BADGE, CoreSet, LAS, Staged
    >>> strategy = Staged([(CoreSet(), 1), (BADGE(), 2), (LAS(), None)])
    >>> [strategy.in_round(number) for number in (1, 2, 3, 4, 5)]
    [CoreSet(), BADGE(), BADGE(), LAS(), LAS()]
    >>> strategy.set_params(las__n_neighbors=5).stages[-1]
    (LAS(n_neighbors=5), None)
    """

    holds = "stages"
    number_name = "rounds"
    default_pairs = ((CoreSet(), 1), (MarginSampling(), None))

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "stages": [list, tuple, None],
    }

    def __init__(
        self,
        stages: Sequence[tuple[QueryStrategy, int | None]] | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.stages = stages

    def in_round(self, number: int) -> QueryStrategy:
        """Return the strategy of a round, with the estimator and the seed that it gets from here.

        Parameters
        ----------
        number : int
            Number of the round, from 1.

        Returns
        -------
        QueryStrategy
            A copy of the strategy of the stage.

        Raises
        ------
        ValueError
            If a parameter is not valid, or `number` is below 1.
        """
        stage, since = self._stage(number)
        running = copy.copy(stage)
        running.estimator, running.random_state = self.estimator, stage._own_seed(self.random_state)
        return running.in_round(number - since)

    @property
    def needs(self) -> frozenset[str]:
        """What the first stage reads; that of a round is ``in_round(number).needs``."""
        return self.in_round(1).needs

    @property
    def fills(self) -> frozenset[str]:
        """What the first stage fills by itself."""
        return self.in_round(1).fills

    @property
    def on_device(self) -> frozenset[str]:
        """What the first stage reads as torch tensors, too."""
        return self.in_round(1).on_device

    def filled_for(self, estimator: Any) -> frozenset[str]:
        """Return what the first stage fills by itself for `estimator`; see `QueryStrategy.filled_for`."""
        return self.in_round(1).filled_for(estimator)

    def has_utilities(self) -> bool:
        """Tell whether the first stage has a score per row."""
        return self.in_round(1).has_utilities()

    def view(self, estimator: Any, X: Any, y: NDArray[Any], roles: Roles, **options: Any) -> PoolView:
        """Return the view of the pool that the first stage reads; see `QueryStrategy.view`."""
        return self.in_round(1).view(estimator, X, y, roles, **options)

    def choose(
        self, view: PoolView, n_queries: int, random_state: RandomStateLike = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what the first stage chooses; see `QueryStrategy.choose`."""
        return self.in_round(1).choose(view, n_queries, random_state)

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return self.in_round(1).utilities(view)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        return choose_as_part(self._stage(1)[0], view, n_queries, rng)

    def _extra_fields(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        rng: np.random.RandomState,
        target_weight: Any = None,
    ) -> dict[str, NDArray[Any]]:
        return self.in_round(1)._extra_fields(estimator, X, y, roles, rng, target_weight)

    def _exceed(self, n_queries: int, view: PoolView) -> None:
        first = self.in_round(1)
        first.pool_ = self.pool_
        first._exceed(n_queries, view)

    def _stage(self, number: int) -> tuple[QueryStrategy, int]:
        """Return the strategy of a round, and how many rounds went before its stage."""
        self._validate_params()
        if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
            raise ValueError(f"number must be that of a round, an integer >= 1, got {number!r}.")
        before = 0
        for strategy, rounds in self.pairs[:-1]:
            if number <= before + rounds:
                return strategy, before
            before += rounds
        return self.pairs[-1][0], before

    def _check_numbers(self, numbers: list[Any]) -> None:
        for position, rounds in enumerate(numbers):
            is_last = position == len(numbers) - 1
            if rounds is None and is_last:
                continue
            if not isinstance(rounds, Integral) or isinstance(rounds, bool) or rounds < 1:
                raise ValueError(
                    f"rounds of stage {position + 1} must be an integer >= 1, got {rounds!r}; the last stage alone may "
                    "have None, for all rounds that follow."
                )
