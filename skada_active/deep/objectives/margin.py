"""SDM: the max-margin loss on the labelled rows."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["MarginLoss"]


class MarginLoss(Objective):
    """Widen the margin between the true class and the others on the labelled rows (SDM, SDM-A).

    It stands beside the labelled cross-entropy, averaged over roles in the same way, and reads no unlabelled rows. The
    loss is `functional.margin_loss` on normalised logits.

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
    trade_off : float, default=1.0
        Weight of the loss.

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
        "margin": [Interval(Real, 0, None, closed="neither")],
        "dynamic": ["boolean"],
        "max_logit": ["boolean", None],
        "normalize_logits": ["boolean"],
        "trade_off": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        margin: float = 1.0,
        dynamic: bool = False,
        max_logit: bool | None = None,
        normalize_logits: bool = True,
        trade_off: float = 1.0,
    ) -> None:
        self.margin = margin
        self.dynamic = dynamic
        self.max_logit = max_logit
        self.normalize_logits = normalize_logits
        self.trade_off = trade_off

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss; it has no parameters."""
        return _Margin(self)


class _Margin(nn.Module):
    def __init__(self, config: MarginLoss) -> None:
        super().__init__()
        self.trade_off = config.trade_off
        self.options = {name: value for name, value in config.get_params().items() if name != "trade_off"}

    def forward(self, step: Step) -> Tensor:
        losses = functional.margin_loss(step.labeled_logits, step.known_labels, **self.options)
        loss = step.labeled_mean(losses)
        step.log("margin_loss", loss)
        return self.trade_off * loss
