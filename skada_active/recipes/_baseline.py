"""Baseline that the papers compare themselves with: training on the labelled rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skada_active.deep import AdaptationClassifier
from skada_active.loop import ActiveAdaptationLoop, BudgetSchedule
from skada_active.query import QueryStrategy
from skada_active.utils.random import RandomStateLike

__all__ = ["baseline"]


def baseline(
    query: QueryStrategy,
    *,
    budget: float | Sequence[float] | BudgetSchedule = 0.05,
    n_rounds: int = 5,
    round_epochs: int | Sequence[int] = 2,
    random_state: RandomStateLike = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return a query strategy with training on the labelled rows alone, as the papers' baselines.

    Parameters
    ----------
    query : QueryStrategy
        The query strategy, such as ``RandomSampling()``.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Tables 1 to 3, "ft w/ CE loss".

    Examples
    --------
    >>> from skada_active import recipes
    >>> from skada_active.query import MarginSampling
    >>> recipes.baseline(MarginSampling(), budget=20).strategy
    MarginSampling()
    """
    if not isinstance(query, QueryStrategy):
        raise TypeError(f"query must be a query strategy such as MarginSampling(), got {query!r}.")
    estimator = AdaptationClassifier(**params)
    return ActiveAdaptationLoop(
        estimator, query, budget=budget, n_rounds=n_rounds, round_epochs=round_epochs, random_state=random_state
    )
