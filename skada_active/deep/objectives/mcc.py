"""MCC: minimum class confusion on target rows."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective, TargetTerm
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["MCC"]


class MCC(Objective):
    """Make the model confuse fewer classes on the target rows.

    Parameters
    ----------
    temperature : float, default=2.5
        Temperature of the softmax.
    trade_off : float, default=1.0
        Weight of the loss.

    References
    ----------
    .. [1] Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020.

    Examples
    --------
    >>> from skada_active.deep import MCC, AdaptationClassifier
    >>> AdaptationClassifier(MCC(temperature=2.0)).objective
    MCC(temperature=2.0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "trade_off": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, temperature: float = 2.5, trade_off: float = 1.0) -> None:
        self.temperature = temperature
        self.trade_off = trade_off

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss; it has no parameters."""
        return _MCC(self.temperature, self.trade_off)


class _MCC(TargetTerm):
    def __init__(self, temperature: float, trade_off: float) -> None:
        super().__init__()
        self.temperature, self.trade_off = temperature, trade_off

    def loss(self, step: Step) -> Tensor:
        loss = functional.minimum_class_confusion_loss(step.logits[step.target], temperature=self.temperature)
        step.log("mcc_loss", loss)
        return self.trade_off * loss
