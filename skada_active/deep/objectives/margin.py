"""SDM: the max-margin loss on the labelled rows."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["MarginLoss"]


class MarginLoss(Objective):
    """Margin loss: a wider margin between the true class and the others on the labelled rows (SDM, SDM-A).

    It is added to the labelled cross-entropy, averaged over roles in the same way, and reads no unlabelled rows. The
    loss is `functional.margin_loss`, on normalised logits by default.

    Parameters
    ----------
    margin : float, default=1.0
        The margin m, in units of normalised logits (whose gaps are at most sqrt(2)).
    dynamic : bool, default=False
        Whether hard rows count more (SDM-A: squared hinge over m, and the true logit is raised).
    max_logit : bool, default=None
        Whether the true logit is subtracted; ``None`` follows `dynamic`.
    normalize_logits : bool, default=True
        Whether logits are scaled to length 1 first.
    reduction : {"mean_over_classes", "sum"}, default="mean_over_classes"
        Whether the hinges of a row are divided by the number of classes, as in the published code, or not, as in the
        equations; the true logit never is.
    detach_alpha : bool, default=False
        Whether the modulation of the dynamic loss is a constant for the gradient.
    trade_off : float, default=1.0
        Weight of the loss.

    See Also
    --------
    skada_active.deep.functional.margin_loss : The loss as a function.
    skada_active.query.SDM : The query of the method.
    skada_active.recipes : Query and training of the method together.

    Notes
    -----
    The published code trains with ``MarginLoss(max_logit=True)``. The equations as they are written are
    ``MarginLoss(normalize_logits=False, reduction="sum")`` (Eq. 1) and the same with ``dynamic=True`` (Eq. 7), whose
    last term has no bound: with ``trade_off=1`` its raw logits grow until nothing is learned.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 1 and 7.

    Examples
    --------
    >>> from skada_active.deep import AdaptationClassifier, MarginLoss
    >>> AdaptationClassifier(MarginLoss(dynamic=True)).set_params(objective__margin=0.5).objective.margin
    0.5
    """

    reads_target: ClassVar[bool] = False

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "margin": [Interval(Real, 0, None, closed="neither")],
        "dynamic": ["boolean"],
        "max_logit": ["boolean", None],
        "normalize_logits": ["boolean"],
        "reduction": [StrOptions({"mean_over_classes", "sum"})],
        "detach_alpha": ["boolean"],
    }

    def __init__(
        self,
        margin: float = 1.0,
        dynamic: bool = False,
        max_logit: bool | None = None,
        normalize_logits: bool = True,
        reduction: str = "mean_over_classes",
        detach_alpha: bool = False,
        trade_off: float = 1.0,
    ) -> None:
        super().__init__(trade_off)
        self.margin = margin
        self.dynamic = dynamic
        self.max_logit = max_logit
        self.normalize_logits = normalize_logits
        self.reduction = reduction
        self.detach_alpha = detach_alpha

    def loss(self, step: Step) -> Tensor:
        """Return the margin loss of the labelled rows, averaged like the labelled cross-entropy."""
        losses = functional.margin_loss(
            step.labeled_logits,
            step.known_labels,
            margin=self.margin,
            dynamic=self.dynamic,
            max_logit=self.max_logit,
            normalize_logits=self.normalize_logits,
            detach_alpha=self.detach_alpha,
            reduction=self.reduction,
        )
        return step.labeled_mean(losses)
