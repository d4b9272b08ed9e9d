"""MCC: minimum class confusion on target rows."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["MCC"]


class MCC(Objective):
    """Minimum class confusion: the model confuses fewer classes on the target rows.

    Parameters
    ----------
    temperature : float, default=2.5
        Temperature of the softmax.
    trade_off : float, default=1.0
        Weight of the loss.

    See Also
    --------
    skada_active.deep.functional.minimum_class_confusion_loss : The loss as a function.
    MME : Entropy in place of confusion.

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
        **Objective._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, temperature: float = 2.5, trade_off: float = 1.0) -> None:
        super().__init__(trade_off)
        self.temperature = temperature

    def loss(self, step: Step) -> Tensor:
        """Return the class confusion of the target rows."""
        return functional.minimum_class_confusion_loss(step.logits[step.target], temperature=self.temperature)
