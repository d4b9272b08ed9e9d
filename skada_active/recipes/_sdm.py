"""SDM: margins in training and in the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skada_active.deep import AdaptationClassifier, MarginLoss
from skada_active.loop import ActiveAdaptationLoop, BudgetSchedule
from skada_active.query import SDM
from skada_active.utils.random import RandomStateLike

__all__ = ["sdm"]


def sdm(
    *,
    margin: float = 1.0,
    gradient_weight: float = 0.01,
    dynamic: bool = True,
    labeled_loss: str = "s+t",
    budget: float | Sequence[float] | BudgetSchedule = 0.05,
    n_rounds: int = 5,
    round_epochs: int | Sequence[int] = 2,
    random_state: RandomStateLike = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return SDM-AG: the dynamic max-margin loss, and margin sampling with gradient consistency.

    Parameters
    ----------
    margin : float, default=1.0
        The margin m of the loss on normalised logits, and of the loss that the query differentiates.
    gradient_weight : float, default=0.01
        Weight lambda of the gradient consistency in the query; 0: plain margin sampling (SDM, SDM-A).
    dynamic : bool, default=True
        Whether hard rows count more in the loss; ``False``: SDM, SDM-G.
    labeled_loss : {"s+t", "joint"}, default="s+t"
        How source and labelled target rows are averaged; the paper pools them, ``"joint"``.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`. The paper buys 5 % in 5 rounds, with 2 epochs between them.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Tables 1 to 3.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.sdm(margin=0.5).estimator.objective
    MarginLoss(dynamic=True, margin=0.5)
    """
    estimator = AdaptationClassifier(MarginLoss(margin=margin, dynamic=dynamic), labeled_loss=labeled_loss, **params)
    strategy = SDM(gradient_weight=gradient_weight, margin=margin)
    return ActiveAdaptationLoop(
        estimator, strategy, budget=budget, n_rounds=n_rounds, round_epochs=round_epochs, random_state=random_state
    )
