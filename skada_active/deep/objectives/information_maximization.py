"""Information maximisation: SHOT's loss on target rows."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.objectives._own_classifiers import loss_of_inputs
from skada_active.deep.step import Step

__all__ = ["InformationMaximization"]


class InformationMaximization(Objective):
    """Information maximisation: the model is sure of every target row, and its predictions spread over the classes.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the loss.
    freeze_head : bool, default=False
        Whether the loss trains the embedding alone, as in SHOT, which keeps the classifier that the source taught. The
        labelled loss trains the classifier anyway.

    See Also
    --------
    skada_active.deep.functional.information_maximization_loss : The loss as a function.
    MCC : Confusion of classes in place of entropy.

    Notes
    -----
    It reads target rows alone, so it works without any source row. Small batches of many classes cannot show how the
    predictions spread; give a larger `target_batch_size`.

    References
    ----------
    .. [1] Liang et al., "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for Unsupervised
       Domain Adaptation", ICML 2020, Eq. 3 to 5.

    Examples
    --------
    >>> from skada_active.deep import AdaptationClassifier, InformationMaximization
    >>> AdaptationClassifier(InformationMaximization(trade_off=0.3)).objective
    InformationMaximization(trade_off=0.3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "freeze_head": ["boolean"],
    }

    def __init__(self, trade_off: float = 1.0, freeze_head: bool = False) -> None:
        super().__init__(trade_off)
        self.freeze_head = freeze_head

    def loss(self, step: Step) -> Tensor:
        """Return mean entropy less the entropy of the mean prediction of the target rows."""
        logits = step.logits[step.target]
        if not self.freeze_head:
            return functional.information_maximization_loss(logits)
        constant = step.head(step.features[step.target].detach())
        return loss_of_inputs(functional.information_maximization_loss, logits, constant)
