"""CDAC: cross-domain adaptive clustering."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.objectives._views import logits_of, outputs_of
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["CDAC"]


class CDAC(Objective):
    """Cross-domain adaptive clustering: target rows form clusters, and three views of a row agree on its class.

    Three losses on target rows and two augmented views of them add up. *Adversarial adaptive clustering*: rows with the
    same strongest features are to be of one class, row against first view; the features pull such pairs together, the
    classifier pushes them apart, by a gradient reversal between the two. *Pseudo-labels*: the confident predictions of
    the rows are the labels of the second view. *Consistency*: the mean squared difference of the probabilities of the
    two views, whose weight rises over the first steps.

    Needs an augmentation: ``AdaptationClassifier(CDAC(), augmentation="auto")``.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of all three losses.
    clustering_weight : float, default=1.0
        Weight of the adversarial adaptive clustering.
    pseudo_label_weight : float, default=1.0
        Weight of the loss on pseudo-labels.
    consistency_weight : float, default=30.0
        Weight of the consistency, once it has risen.
    rampup_steps : int, default=20000
        Training steps, since the network was made, over which the weight of the consistency rises, as
        exp(-5 (1 - t)^2) with t from 0 to 1; 0: it is there at once.
    confidence_threshold : float, default=0.95
        Rows give pseudo-labels whose largest probability is at least this.
    top_k : int, default=5
        How many of the strongest features of two rows are compared.

    See Also
    --------
    skada_active.deep.functional.adversarial_clustering_loss : The clustering loss as a function.
    skada_active.deep.functional.pseudo_label_loss : The loss on pseudo-labels as a function.
    SelfEnsembling : Consistency with a teacher.

    Notes
    -----
    The default weights are those of the published code, whose trainings are 50000 steps long; shorter ones hardly see
    the consistency unless `rampup_steps` is smaller, too. LADA's experiments weigh and ramp likewise; their views are
    those of ``ImageAugmentation(n_ops=2, magnitude=10)``, with ``target_batch_size`` twice ``batch_size``.

    The paper compares the strongest of features that are never negative (behind a ReLU). The default networks of the
    package, as those of LADA, end in batch normalisation instead; then the largest values are compared, and features
    that are strongly negative do not count. On embeddings of a pretrained network rows of one class hardly ever share
    their five strongest features: two of a thousand pairs of ten classes did by value, one by magnitude, three behind a
    ReLU. All others the clustering drives apart, so that it did harm there, less of it behind a ReLU, as in the
    example; the two other losses by themselves (``clustering_weight=0``) did good.

    Each view passes through the network by itself, in training mode: two passes of the target rows more than other
    objectives have, and statistics of batch normalisation that see target rows three times a step. The clustering takes
    O(n^2 (C + top_k)) time and O(n^2) memory for n target rows.

    References
    ----------
    .. [1] Li et al., "Cross-Domain Adaptive Clustering for Semi-Supervised Domain Adaptation", CVPR 2021, Eq. 3 to 9.

    Examples
    --------
    >>> from torch import nn
    >>> from skada_active.deep import CDAC, AdaptationClassifier
    >>> from skada_active.networks import MLP
    >>> def never_negative(shape):
    ...     return nn.Sequential(MLP(shape[0]), nn.ReLU())
    >>> AdaptationClassifier(CDAC(rampup_steps=500), module=never_negative, augmentation="auto").objective
    CDAC(rampup_steps=500)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "clustering_weight": [Interval(Real, 0, None, closed="left")],
        "pseudo_label_weight": [Interval(Real, 0, None, closed="left")],
        "consistency_weight": [Interval(Real, 0, None, closed="left")],
        "rampup_steps": [Interval(Integral, 0, None, closed="left")],
        "confidence_threshold": [Interval(Real, 0, 1, closed="both")],
        "top_k": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        trade_off: float = 1.0,
        clustering_weight: float = 1.0,
        pseudo_label_weight: float = 1.0,
        consistency_weight: float = 30.0,
        rampup_steps: int = 20000,
        confidence_threshold: float = 0.95,
        top_k: int = 5,
    ) -> None:
        super().__init__(trade_off)
        self.clustering_weight = clustering_weight
        self.pseudo_label_weight = pseudo_label_weight
        self.consistency_weight = consistency_weight
        self.rampup_steps = rampup_steps
        self.confidence_threshold = confidence_threshold
        self.top_k = top_k

    def loss(self, step: Step) -> Tensor:
        """Return the weighted sum of the three losses."""
        rows, features, logits = step.inputs[step.target], step.features[step.target], step.logits[step.target]
        first_logits, first_features = outputs_of(step.forward, step.another_view(rows))
        second_logits = logits_of(step.forward, step.another_view(rows))
        # The classifier descends on the negative loss; the reversal turns it round for the features alone.
        clustering = -functional.adversarial_clustering_loss(
            features,
            step.head(functional.gradient_reversal(features)),
            step.head(functional.gradient_reversal(first_features)),
            top_k=self.top_k,
        )
        pseudo_label = functional.pseudo_label_loss(logits, second_logits, threshold=self.confidence_threshold)
        consistency = F.mse_loss(first_logits.softmax(dim=1), second_logits.softmax(dim=1))
        step.log("clustering_loss", -clustering)
        step.log("pseudo_label_loss", pseudo_label)
        step.log("consistency_loss", consistency)
        return (
            self.clustering_weight * clustering
            + self.pseudo_label_weight * pseudo_label
            + self.consistency_weight * self._rampup(step.iteration) * consistency
        )

    def _rampup(self, iteration: int) -> float:
        done = min(1.0, iteration / self.rampup_steps) if self.rampup_steps else 1.0
        return math.exp(-5 * (1 - done) ** 2)
