"""MME: minimax entropy on target rows."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step

__all__ = ["MME"]


class MME(Objective):
    """Minimax entropy: the classifier raises the entropy of target rows, the features lower it.

    The gradient reversal sits between features and classifier, so one optimiser step does what the published code does
    in two. The paper's classifier is a cosine head: ``AdaptationClassifier(MME(), head="cosine")``; LADA runs MME on a
    linear one.

    Parameters
    ----------
    trade_off : float, default=0.1
        Weight of the loss, the lambda of the paper.

    See Also
    --------
    skada_active.deep.functional.minimax_entropy_loss : The loss as a function.
    MCC : Confusion in place of entropy.

    References
    ----------
    .. [1] Saito et al., "Semi-supervised Domain Adaptation via Minimax Entropy", ICCV 2019, Eq. 2 and 3.

    Examples
    --------
    >>> from skada_active.deep import MME, AdaptationClassifier
    >>> AdaptationClassifier(MME(trade_off=0.2), head="cosine").objective
    MME(trade_off=0.2)
    """

    loss_name: ClassVar[str | None] = None

    def __init__(self, trade_off: float = 0.1) -> None:
        super().__init__(trade_off)

    def loss(self, step: Step) -> Tensor:
        """Return the negative entropy of the target rows, its gradient reversed on the way to the features."""
        reversed_features = functional.gradient_reversal(step.features[step.target])
        loss = functional.minimax_entropy_loss(step.head(reversed_features))
        step.log("target_entropy", -loss)
        return loss
