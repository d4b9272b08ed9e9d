"""SAGE: queries by the discriminator of a classifier that aligns classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skada_active.deep import MME, TSF, AdaptationClassifier, Objective, ObjectiveSum
from skada_active.loop import ActiveAdaptationLoop, BudgetSchedule
from skada_active.query import SAGE
from skada_active.utils.random import RandomStateLike

__all__ = ["sage"]


def sage(
    *,
    regularizer: str = "s+t",
    trade_off: float = 1.0,
    max_reversal: float = 1.0,
    projection: str | None = "pop",
    diversity: str | None = "farthest_first",
    budget: float | Sequence[float] | BudgetSchedule = 0.1,
    n_rounds: int = 10,
    round_epochs: int | Sequence[int] = 5,
    random_state: RandomStateLike = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return SAGE: stochastic adversarial gradients of a classifier trained with the transferability loss.

    Before the first round the classifier adapts without labels (the paper's UDA pre-training) for `max_epochs`. The
    paper evaluates on a half of the target that is never queried: see `skada_active.holdout_target`.

    Parameters
    ----------
    regularizer : {"s+t", "joint", "mme"}, default="s+t"
        How the labelled rows enter: the mean of each domain, one mean of all (S∪T), or S+T with minimax entropy
        (weight 0.1, cosine head of temperature 0.05).
    trade_off : float, default=1.0
        Weight lambda of the transferability loss.
    max_reversal : float, default=1.0
        Largest coefficient of the gradient reversal, see `TSF`.
    projection : {"pop"} or None, default="pop"
        Whether the mean gradient is projected out (positive orthogonal projection).
    diversity : {"farthest_first", "kmeans++"} or None, default="farthest_first"
        How the batch is spread out; ``None``: the longest gradients.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`. The paper buys 10 rounds of 8 or 16 labels, of 16 or 128 for VisDA.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    Raises
    ------
    ValueError
        If `regularizer` is unknown.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Table 1.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.sage(regularizer="mme").estimator.head
    'cosine'
    """
    if regularizer not in ("s+t", "joint", "mme"):
        raise ValueError(f'regularizer must be "s+t", "joint" or "mme", got {regularizer!r}.')
    objective: Objective | ObjectiveSum = TSF(trade_off=trade_off, max_reversal=max_reversal)
    if regularizer == "mme":
        objective, params = objective + MME(trade_off=0.1), {"head": "cosine", "head_temperature": 0.05, **params}
    elif regularizer == "joint":
        params = {"labeled_loss": "joint", **params}
    estimator = AdaptationClassifier(objective, **params)
    strategy = SAGE(projection=projection, diversity=diversity)
    return ActiveAdaptationLoop(
        estimator, strategy, budget=budget, n_rounds=n_rounds, round_epochs=round_epochs, random_state=random_state
    )
