"""TPN: class prototypes of source, target and both that agree."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.functional._weighting import weighted_mean
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["TPN"]


class TPN(Objective):
    """Transferrable prototypical network: the class means of source, of target and of both together agree.

    Source rows are to lie near the source prototype of their class. For each class the prototypes of the source, of the
    target (with predicted labels) and of both come closer to one another, and so do the class distributions that the
    three sets give to each row.

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of the squared distances between the prototypes (general-purpose adaptation).
    beta : float, default=1.0
        Weight of the divergence between the class distributions of a row (sample-specific adaptation).
    pseudo_labels : {"classifier", "prototypes"}, default="classifier"
        What labels target rows without a label: the classifier, or, as in the paper, the nearest source prototype of
        the batch, which is right only where batches have rows of all classes.
    temperature : float, default=1.0
        What the squared distances, averaged over the features, are divided by.
    trade_off : float, default=1.0
        Weight of the whole.

    See Also
    --------
    skada_active.deep.functional.prototype_alignment_loss, skada_active.deep.functional.prototype_agreement_loss : The
        losses as functions.

    Notes
    -----
    All target rows of the step take part, those with a label by their label. Prototypes are those of the batch. Classes
    without a source row have no source prototype, and are no choice in the task loss; the two other losses compare the
    classes that both domains have in the batch, and count zero where there are none. Squared distances are means over
    the features, which keeps the weights apart from the width of the embedding: our reading, as are the two weights.
    The classifier goes on to predict by its head, which the labelled loss trains.

    O(n C D) time a step. Logged as ``tpn_task_loss``, ``tpn_alignment_loss`` and ``tpn_agreement_loss``.

    References
    ----------
    .. [1] Pan et al., "Transferrable Prototypical Networks for Unsupervised Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> from skada_active.deep import TPN, AdaptationClassifier
    >>> AdaptationClassifier(TPN(beta=0.1)).objective
    TPN(beta=0.1)
    """

    reads_source: ClassVar[bool] = True
    loss_name: ClassVar[str | None] = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "pseudo_labels": [StrOptions({"classifier", "prototypes"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 1.0,
        pseudo_labels: str = "classifier",
        temperature: float = 1.0,
        trade_off: float = 1.0,
    ) -> None:
        super().__init__(trade_off)
        self.alpha = alpha
        self.beta = beta
        self.pseudo_labels = pseudo_labels
        self.temperature = temperature

    def loss(self, step: Step) -> Tensor:
        """Return the task loss of the source rows and the two losses between the prototypes."""
        n_source, n_classes = step.n_source, step.logits.shape[1]
        # Squared distances of these rows are means over the features.
        features = step.features / step.features.shape[1] ** 0.5
        of_source, n_of_source = functional.class_prototypes(features[:n_source], step.labels[:n_source], n_classes)
        logits = self._logits(features, of_source).masked_fill(n_of_source == 0, -torch.inf)
        task = self._task_loss(step, logits[:n_source])

        labels = self._labels(step, logits)
        of_target, n_of_target = functional.class_prototypes(features[n_source:], labels[n_source:], n_classes)
        n_of_both = (n_of_source + n_of_target).clamp_min(1)[:, None]
        of_both = (n_of_source[:, None] * of_source + n_of_target[:, None] * of_target) / n_of_both
        shared = (n_of_source > 0) & (n_of_target > 0)
        alignment = agreement = task.new_zeros(())
        if shared.any():
            prototypes = torch.stack([of_source, of_target, of_both])[:, shared]
            alignment = functional.prototype_alignment_loss(prototypes)
            agreement = functional.prototype_agreement_loss(self._logits(features, prototypes))
        for name, loss in (("task", task), ("alignment", alignment), ("agreement", agreement)):
            step.log(f"tpn_{name}_loss", loss)
        return task + self.alpha * alignment + self.beta * agreement

    def _logits(self, features: Tensor, prototypes: Tensor) -> Tensor:
        return functional.prototype_logits(features, prototypes) / self.temperature

    def _task_loss(self, step: Step, logits: Tensor) -> Tensor:
        labels, weight = step.labels[step.source], step.labeled_weight
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        return weighted_mean(losses, None if weight is None else weight[step.source])

    def _labels(self, step: Step, logits: Tensor) -> Tensor:
        predicted = step.logits if self.pseudo_labels == "classifier" else logits
        return torch.where(step.labels >= 0, step.labels, predicted.argmax(dim=1))
