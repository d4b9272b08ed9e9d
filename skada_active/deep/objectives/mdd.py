"""MDD: margin disparity discrepancy."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._adversarial import AdversarialObjective, AdversarialTerm, make_discriminator
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["MDD"]


class MDD(AdversarialObjective):
    """Margin disparity discrepancy: an adversarial head that agrees with the classifier on the source alone.

    The adversarial head learns to predict what the classifier predicts on source rows, and anything else on target
    rows; features that leave it no way to do both are the same in both domains. A gradient reversal sits before it.

    Parameters
    ----------
    margin : float, default=4.0
        Factor gamma of the source rows, the exponential of the margin.
    trade_off : float, default=1.0
        Weight of the loss.
    schedule : {"dann", "tll", "constant"}, default="tll"
        How the coefficient of the gradient reversal grows, see `reversal_coefficient`.
    max_reversal : float, default=0.1
        Coefficient of the gradient reversal that the schedule ends at.
    hidden : sequence of int, default=(256,)
        Widths of the hidden layers of the adversarial head.

    See Also
    --------
    skada_active.deep.functional.margin_disparity_discrepancy : The discrepancy as a function; its negative is the loss.
    MCD : Two heads that differ on target rows.

    Notes
    -----
    One step of the optimiser. The classifier's predictions are constants: its head is trained by the labelled loss.
    Labelled target rows do not enter the discrepancy.

    References
    ----------
    .. [1] Zhang et al., "Bridging Theory and Algorithm for Domain Adaptation", ICML 2019.

    Examples
    --------
    >>> from skada_active.deep import MDD, AdaptationClassifier
    >>> AdaptationClassifier(MDD(margin=2.0)).objective
    MDD(margin=2.0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialObjective._parameter_constraints,
        "margin": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        margin: float = 4.0,
        trade_off: float = 1.0,
        schedule: str = "tll",
        max_reversal: float = 0.1,
        hidden: Sequence[int] = (256,),
    ) -> None:
        super().__init__(trade_off)
        self.margin = margin
        self.schedule = schedule
        self.max_reversal = max_reversal
        self.hidden = hidden

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss with its adversarial head."""
        return _MDD(self, n_features, n_classes)


class _MDD(AdversarialTerm):
    def __init__(self, config: MDD, n_features: int, n_classes: int) -> None:
        super().__init__(config)
        self.adversarial_head = make_discriminator(n_features, config.hidden, n_classes)

    def loss(self, step: Step) -> Tensor:
        features = step.source_and_target(step.features)
        adversarial = self.adversarial_head(functional.gradient_reversal(features, self.reversal(step)))
        return -functional.margin_disparity_discrepancy(
            step.logits[step.source],
            adversarial[step.source],
            step.logits[step.target],
            adversarial[step.n_source :],
            margin=self.config.margin,
        )
