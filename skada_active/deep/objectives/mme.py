"""MME: minimax entropy on target rows."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective, TargetTerm
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["MME"]


class MME(Objective):
    """Let the classifier raise the entropy of target rows and the features lower it.

    The gradient reversal sits between features and classifier, so one optimiser step does what the published code does
    in two. The paper's classifier is a cosine head: ``AdaptationClassifier(MME(), head="cosine")``; LADA runs MME on a
    linear one.

    Parameters
    ----------
    trade_off : float, default=0.1
        Weight of the loss, the lambda of the paper.

    References
    ----------
    .. [1] Saito et al., "Semi-supervised Domain Adaptation via Minimax Entropy", ICCV 2019, Eq. 2 and 3.

    Examples
    --------
    >>> from skada_active.deep import MME, AdaptationClassifier
    >>> AdaptationClassifier(MME(trade_off=0.2), head="cosine").objective
    MME(trade_off=0.2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "trade_off": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, trade_off: float = 0.1) -> None:
        self.trade_off = trade_off

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss; it has no parameters."""
        return _MME(self.trade_off)


class _MME(TargetTerm):
    def __init__(self, trade_off: float) -> None:
        super().__init__()
        self.trade_off = trade_off

    def loss(self, step: Step) -> Tensor:
        reversed_features = functional.gradient_reversal(step.features[step.target])
        loss = functional.minimax_entropy_loss(step.head(reversed_features))
        step.log("target_entropy", -loss)
        return self.trade_off * loss
