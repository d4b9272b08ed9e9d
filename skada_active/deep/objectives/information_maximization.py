"""Information maximisation: SHOT's loss on target rows."""

from __future__ import annotations

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step

__all__ = ["InformationMaximization"]


class InformationMaximization(Objective):
    """Information maximisation: the model is sure of every target row, and its predictions spread over the classes.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the loss.

    See Also
    --------
    skada_active.deep.functional.information_maximization_loss : The loss as a function.
    MCC : Confusion of classes in place of entropy.

    Notes
    -----
    It reads target rows alone, so it works without any source row. SHOT keeps the final classifier as it came from the
    source. Small batches of many classes cannot show how the predictions spread; give a larger `target_batch_size`.

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

    def loss(self, step: Step) -> Tensor:
        """Return mean entropy less the entropy of the mean prediction of the target rows."""
        return functional.information_maximization_loss(step.logits[step.target])
