"""SDM: margins in training and in the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import MarginLoss
from skada_active.query import SDM
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import ADADELTA, RecipeLoop, SupervisedKnobs

__all__ = ["SDMLoop", "sdm"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class SDMLoop(SupervisedKnobs, RecipeLoop):
    """SDM-AG: the dynamic max-margin loss, and margin sampling with gradient consistency.

    Parameters
    ----------
    margin : float, default=1.0
        The margin m of the loss, and of the loss that the query differentiates.
    gradient_weight : float, default=0.01
        Weight lambda of the gradient consistency in the query; 0: plain margin sampling (SDM, SDM-A).
    dynamic : bool, default=True
        Whether hard rows count more in the loss; ``False``: SDM, SDM-G.
    max_logit : bool or None, default=False
        Whether the true logit is raised as well, the last term of the paper's Eq. 7; ``None`` follows `dynamic`. It
        lowers the accuracy with either loss on most data, see the notes. The published code has ``dynamic=False,
        max_logit=True``.
    normalize_logits : bool, default=True
        Whether the margin loss is that of logits scaled to length 1.
    reduction : {"mean_over_classes", "sum"}, default="mean_over_classes"
        Whether the hinges of a row are averaged over the classes, as in the code, or added, as in the equations.
    query_loss : {"official", "margin"} or None, default=None
        Loss that the query differentiates. ``None``: the training loss, cross-entropy and the margin loss of the
        parameters above. ``"official"``: that of the published code; ``"margin"``: Eq. 1. See `SDM`.
    jacobian : {"exact", "official"}, default="exact"
        How the query differentiates the margin, see `SDM`.
    labeled_loss : {"s+t", "joint"}, default="s+t"
        How source and labelled target rows are averaged; the paper pools them, ``"joint"``.

    Notes
    -----
    The paper buys 5 % in 5 rounds, with 2 epochs between them.

    ``preset="paper"`` of `sdm` is what the paper trained a ResNet-50 with: ``labeled_loss="joint"``,
    ``max_logit=None``, ``optimizer="adadelta"`` with ``lr=0.1``, ``batch_size=72``, ``max_epochs=10`` and
    ``round_epochs=(2, 2, 2, 2, 22)``, 40 epochs in all. Where there is a `module`, its first part learns at a tenth of
    that rate, as the paper's backbone did: ``net_params={"optimizer__param_groups": [("backbone.0.*", {"lr":
    0.01})]}``, which is the pretrained network of `skada_active.networks.torchvision_backbone`.

    The paper's tables were made by its published code, which trains and asks with ``dynamic=False,
    max_logit=True, jacobian="official"``.

    Eq. 7 as the paper has it is ``max_logit=None``, which is the preset's. On 13 pairs of domains (embeddings, SURF
    histograms, digits; margin sampling, three seeds, see ``benchmarks/README.md``) it is the term ``max_logit`` alone
    that costs accuracy.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Tables 1 to 3.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.SDMLoop(margin=0.5).estimator.objective
    MarginLoss(dynamic=True, margin=0.5, max_logit=False)
    """

    margin: float = 1.0
    gradient_weight: float = 0.01
    dynamic: bool = True
    max_logit: bool | None = False
    normalize_logits: bool = True
    reduction: str = "mean_over_classes"
    query_loss: str | None = None
    jacobian: str = "exact"

    FUNCTION: ClassVar[str] = "sdm"
    PAPER: ClassVar[dict[str, Any]] = {**ADADELTA, "labeled_loss": "joint", "batch_size": 72, "max_logit": None}

    def _training(self) -> dict[str, Any]:
        return {"objective": MarginLoss(**self._margin_loss())}

    def _margin_loss(self) -> dict[str, Any]:
        names = ("margin", "dynamic", "max_logit", "normalize_logits", "reduction")
        return {name: getattr(self, name) for name in names}

    @property
    def strategy(self) -> SDM:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        if self.query_loss is None:
            max_logit = self.dynamic if self.max_logit is None else self.max_logit
            loss = {**self._margin_loss(), "max_logit": max_logit}
        else:
            loss = {"query_loss": self.query_loss, "margin": self.margin}
        return SDM(gradient_weight=self.gradient_weight, jacobian=self.jacobian, **loss)


sdm = function_of(SDMLoop)
