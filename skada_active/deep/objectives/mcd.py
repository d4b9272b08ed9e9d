"""MCD: maximum classifier discrepancy."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective, Phase
from skada_active.deep.objectives._own_classifiers import LabeledTerm, new_classifier
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["MCD"]


class MCD(Objective):
    """Maximum classifier discrepancy: two heads disagree on target rows as much as they can, the features prevent it.

    A training step is ``2 + n_steps`` steps of the optimiser: the network and a second head learn the labelled rows;
    both heads learn them again and raise the difference of their predictions on target rows; ``n_steps`` times the
    features lower it.

    Parameters
    ----------
    n_steps : int, default=4
        How often the features are trained after each step of the heads.
    entropy_weight : float, default=0.0
        Weight of `class_balance_loss` in the first two kinds of steps, which the Transfer Learning Library adds under
        the name of entropy, weighing it 0.01. It asks every batch for rows of all classes, which does harm where these
        are more than a batch holds; 0, the default, is the paper.
    trade_off : float, default=1.0
        Weight of the discrepancy and of the balance; the labelled loss of the second head counts once.

    See Also
    --------
    skada_active.deep.functional.classifier_discrepancy : The discrepancy as a function.
    MDD : One adversarial head, and one step.

    Notes
    -----
    The second head is of the kind of the classifier's (linear or cosine); predictions are those of the first. Every
    step of the optimiser is a forward pass of the batch: a training step costs about ``2 + n_steps`` plain ones.
    Weights that another objective gives the source rows count in the first of them only.

    References
    ----------
    .. [1] Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018.

    Examples
    --------
    >>> from skada_active.deep import MCD, AdaptationClassifier
    >>> AdaptationClassifier(MCD(n_steps=2)).objective
    MCD(n_steps=2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, n_steps: int = 4, entropy_weight: float = 0.0, trade_off: float = 1.0) -> None:
        super().__init__(trade_off)
        self.n_steps = n_steps
        self.entropy_weight = entropy_weight

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the losses, which takes its head when it is attached to a network."""
        return _MCD(self)


class _MCD(LabeledTerm):
    second: Any

    def attach(self, network: nn.Module) -> None:
        self.second = new_classifier(network)

    def losses(self, step: Step) -> tuple[Tensor, Tensor]:
        logits = self.second.classify(step.features)
        labeled = self._labeled(step, logits)
        step.log("second_head_loss", labeled)
        step.log("mcd_discrepancy", self._discrepancy(step, logits))
        return labeled, self._balance(step, logits)

    def phases(self, network: Any) -> list[Phase]:
        heads = [*network.head.parameters(), *self.second.parameters()]
        return [
            Phase(self.loss_of_heads, heads),
            Phase(self.loss_of_features, network.backbone.parameters(), self.config.n_steps),
        ]

    def loss_of_heads(self, step: Step) -> Tensor:
        features = step.features.detach()  # no way back through the backbone, which stands still
        first, second = step.head(features), self.second.classify(features)
        labeled = self._labeled(step, first) + self._labeled(step, second)
        gain = functional.classifier_discrepancy(first[step.target], second[step.target])
        balance = self._balance(step, second, first)
        return labeled + self.config.trade_off * (balance - gain)

    def loss_of_features(self, step: Step) -> Tensor:
        return self.config.trade_off * self._discrepancy(step, self.second.classify(step.features))

    def _labeled(self, step: Step, logits: Tensor) -> Tensor:
        return step.labeled_mean(F.cross_entropy(logits[step.labeled], step.known_labels, reduction="none"))

    def _discrepancy(self, step: Step, logits: Tensor) -> Tensor:
        return functional.classifier_discrepancy(step.logits[step.target], logits[step.target])

    def _balance(self, step: Step, second: Tensor, first: Tensor | None = None) -> Tensor:
        first = step.logits if first is None else first
        balance = functional.class_balance_loss(first[step.target]) + functional.class_balance_loss(second[step.target])
        return self.config.entropy_weight * balance
