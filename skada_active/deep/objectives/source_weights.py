"""LabelMatching and PartialWeights: source rows that count by the class shares of the target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skada_active.deep.objectives._base import Objective, ObjectiveTerm
from skada_active.deep.objectives._labels import known_or_predicted
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["LabelMatching", "PartialWeights"]


class _SourceWeights(Objective):
    """Objective without a loss of its own, which weighs the source rows by class."""

    reads_source: ClassVar[bool] = True
    loss_name: ClassVar[str | None] = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "momentum": [Interval(Real, 0, 1, closed="left")],
    }


class _SourceWeightsTerm(ObjectiveTerm, ABC):
    def prepare(self, step: Step) -> None:
        labels = step.labels[step.source]
        with torch.no_grad():
            # A power keeps weights positive, whatever `trade_off` is; it leaves those of 1 alone.
            weight = self.class_weight(step).to(step.logits.dtype) ** self.config.trade_off
        step.weigh_source(weight[labels], domains=True)

    @abstractmethod
    def class_weight(self, step: Step) -> Tensor:
        """Return the weight of the source rows of each class, shape (C,), after a look at a step."""

    def loss(self, step: Step) -> Tensor:
        return step.logits.new_zeros(())


class LabelMatching(_SourceWeights):
    r"""Label distribution matching: source rows count by the ratio of the class shares of target and source (LAMDA).

    The shares of the target come from the rows with a label, which count 1, and from the confident predictions of the
    others, which count by their probability. Where the paper draws the source rows of its batches by these shares, here
    they weigh by :math:`w_c = t_c / s_c`: with the same expectation, and without a class that a batch lacks.

    Parameters
    ----------
    pseudo_label_threshold : float, default=0.8
        A row without a label counts where its largest probability exceeds the second largest by more than this.
    momentum : float, default=0.95
        What the counts of a step are worth in the next one: they reach back over some 1 / (1 - `momentum`) steps.
    trade_off : float, default=1.0
        Exponent of the weights: 0 leaves the source rows alone, 1 matches the shares of the target, and what lies
        between flattens the weights.

    See Also
    --------
    PartialWeights : Weights of at most 1 where the target lacks classes.
    skada_active.datasets.make_label_shift : Data whose class shares differ.

    Notes
    -----
    With decayed counts :math:`n_c` of all C classes the share of a class is :math:`(n_c + 1) / (\sum n + C)`, in the
    target as in the source, so that no share is 0; at first all weights are 1. The weights enter the labelled losses,
    and what tells the domains apart (see `PartialWeights`), as the paper's batches do; they have no gradient.

    It is an objective without a loss: ``LabelMatching() + DANN()`` is what the paper trains, with a cosine head. The
    paper's class shares are those of prototypes of the target; labelled rows that were bought for their uncertainty are
    not a fair sample of the classes, and neither are confident predictions. Rows come by batches, the labelled ones of
    the target again and again, and weigh more in the shares than in the target: our reading.

    References
    ----------
    .. [1] Hwang et al., "Combating Label Distribution Shift for Active Domain Adaptation", ECCV 2022.
    .. [2] Shimodaira, "Improving Predictive Inference under Covariate Shift by Weighting the Log-Likelihood Function",
       Journal of Statistical Planning and Inference 2000, for the exponent.

    Examples
    --------
    >>> from skada_active.deep import DANN, AdaptationClassifier, LabelMatching
    >>> AdaptationClassifier(LabelMatching(momentum=0.9) + DANN(), head="cosine").objective.objectives[0][1]
    LabelMatching(momentum=0.9)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_SourceWeights._parameter_constraints,
        "pseudo_label_threshold": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, pseudo_label_threshold: float = 0.8, momentum: float = 0.95, trade_off: float = 1.0) -> None:
        super().__init__(trade_off)
        self.pseudo_label_threshold = pseudo_label_threshold
        self.momentum = momentum

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module, which holds the counts of the classes."""
        return _LabelMatching(self, n_classes)


class _LabelMatching(_SourceWeightsTerm):
    counts: Tensor

    def __init__(self, config: LabelMatching, n_classes: int) -> None:
        super().__init__(config)
        self.register_buffer("counts", torch.zeros(2, n_classes))  # of the source, and of the target

    def class_weight(self, step: Step) -> Tensor:
        n_source, n_classes = step.n_source, self.counts.shape[1]
        labels, proba = step.labels, step.logits.softmax(dim=1)
        first, second = torch.nn.functional.pad(proba, (0, 1)).topk(2, dim=1).values.T
        confident = first - second > self.config.pseudo_label_threshold
        known = labels >= 0
        weight = torch.where(known, 1, first * confident).to(self.counts.dtype)
        column = torch.where(known, labels, proba.argmax(dim=1))
        is_target = torch.arange(len(labels), device=labels.device) >= n_source
        seen = weight.new_zeros(2 * n_classes).index_add(0, column + n_classes * is_target, weight)
        self.counts.mul_(self.config.momentum).add_(seen.view(2, n_classes))
        source, target = (self.counts + 1) / (self.counts + 1).sum(dim=1, keepdim=True)
        return target / source


class PartialWeights(_SourceWeights):
    """Partial domain adaptation: source classes that the target seems to lack count little (PADA).

    The weight of a class is the mean probability that the target rows have for it, divided by that of the class that
    has most of it. Target rows with a label count by the label.

    Parameters
    ----------
    momentum : float, default=0.95
        Weight of the past in the moving average of the mean probabilities, per step.
    trade_off : float, default=1.0
        Exponent of the weights: 0 leaves the source rows alone, 1 is the paper's weights, and what lies between
        flattens them.

    See Also
    --------
    LabelMatching : Ratios of class shares, for targets that have all classes.

    Notes
    -----
    It is an objective without a loss, for sums such as ``PartialWeights() + DANN()``, in any order. The weights enter
    the labelled losses and, relative to their mean over the source rows of a batch, the domain losses of `DANN`,
    `CDAN`, `MADA`, `TSF` and `GSDA` (at every level, so that levels stay comparable), and the source losses of
    `SymNets` and `RTN`; they have no gradient. Other losses, such as those of `DAN`, `MDD` and `ADDA`, compare all
    source rows as before.

    The paper takes the mean over all target rows from time to time; here it is a moving average over batches, which
    begins with equal classes, so that all weights are 1 before the classifier has learned anything. The paper has it
    for `DANN`. A class whose rows the classifier takes for another loses weight, whether or not the target lacks it: on
    targets that have all classes it may harm.

    References
    ----------
    .. [1] Cao et al., "Partial Adversarial Domain Adaptation", ECCV 2018, Eq. 3 to 5.

    Examples
    --------
    >>> from skada_active.deep import DANN, AdaptationClassifier, PartialWeights
    >>> AdaptationClassifier(PartialWeights(momentum=0.9) + DANN()).objective.objectives[0][1]
    PartialWeights(momentum=0.9)
    """

    def __init__(self, momentum: float = 0.95, trade_off: float = 1.0) -> None:
        super().__init__(trade_off)
        self.momentum = momentum

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module, which holds the mean probabilities of the classes."""
        return _PartialWeights(self, n_classes)


class _PartialWeights(_SourceWeightsTerm):
    share: Tensor

    def __init__(self, config: PartialWeights, n_classes: int) -> None:
        super().__init__(config)
        self.register_buffer("share", torch.full((n_classes,), 1 / n_classes))

    def class_weight(self, step: Step) -> Tensor:
        proba = known_or_predicted(step.labels[step.target], step.logits[step.target].softmax(dim=1))
        self.share.lerp_(proba.mean(dim=0).to(self.share.dtype), 1 - self.config.momentum)
        return self.share / self.share.max()
