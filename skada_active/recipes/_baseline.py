"""What the papers compare themselves with."""

from __future__ import annotations

from typing import Any

from skada_active.deep import AdaptationClassifier
from skada_active.loop import ActiveAdaptationLoop
from skada_active.query import QueryStrategy
from skada_active.recipes._loop import make_loop

__all__ = ["baseline"]


def baseline(
    query: QueryStrategy,
    *,
    budget: Any = 0.05,
    n_rounds: int = 5,
    round_epochs: Any = 2,
    random_state: Any = None,
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
    return make_loop(AdaptationClassifier(**params), query, budget, n_rounds, round_epochs, random_state)
