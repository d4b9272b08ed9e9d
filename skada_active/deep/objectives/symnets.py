"""SymNets: domain-symmetric networks."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep.objectives._adversarial import DomainTerm
from skada_active.deep.objectives._base import Objective
from skada_active.deep.objectives._own_classifiers import SourceTerm, loss_of_inputs, new_classifier
from skada_active.deep.schedules import reversal_coefficient
from skada_active.deep.step import Step
from skada_active.utils._sklearn import StrOptions

__all__ = ["SymNets"]


class SymNets(Objective):
    """Domain-symmetric networks: a source and a target classifier side by side are the discriminator of the domains.

    The classifiers learn the source rows, and together, as one softmax over twice the classes, to tell the domains
    apart. The features learn to leave the domain open: that of a source row of known class (this is how they learn the
    classes), and that of target rows, whose class is to be sure.

    Parameters
    ----------
    schedule : {"dann", "tll", "constant"}, default="dann"
        How the weight of what the features learn of target rows grows from 0 to 1, see `reversal_coefficient`.
    trade_off : float, default=1.0
        Weight of the discrimination and confusion of domains and of the entropy; what source rows with their classes
        teach counts once.

    See Also
    --------
    CDAN : A discriminator that reads the predictions.

    Notes
    -----
    The target classifier is the head of the network, which predicts; the source classifier is one more head of its
    kind. As in the paper, the classifiers' losses do not reach the features nor the features' losses the classifiers,
    all in one step of the optimiser. For this the source rows leave the labelled losses, those of other objectives too;
    labelled target rows, which the paper has none of, keep theirs. A step without target rows, or without source rows,
    is a plain one.

    Supplies ``source_logit``: the logit of P(source) by the two classifiers.

    References
    ----------
    .. [1] Zhang et al., "Domain-Symmetric Networks for Adversarial Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> from skada_active.deep import AdaptationClassifier, SymNets
    >>> AdaptationClassifier(SymNets(schedule="constant")).objective
    SymNets(schedule='constant')
    """

    reads_source: ClassVar[bool] = True
    supplies = frozenset({"source_logit"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "schedule": [StrOptions({"dann", "tll", "constant"})],
    }

    def __init__(self, schedule: str = "dann", trade_off: float = 1.0) -> None:
        super().__init__(trade_off)
        self.schedule = schedule

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the losses, which takes its source classifier when it is attached to a network."""
        return _SymNets(self)


class _SymNets(SourceTerm, DomainTerm):
    source_classifier: Any

    def attach(self, network: nn.Module) -> None:
        self.source_classifier = new_classifier(network)

    def losses(self, step: Step) -> tuple[Tensor, Tensor]:
        self.mark_trained(step)
        features, labels = step.source_and_target(step.features), step.labels[step.source]
        # Logits that train classifiers and features, and those that train the classifiers alone.
        both = self._both(features, step.source_and_target(step.logits))
        constant = self._both(features.detach(), step.head(features.detach()))
        (source, target), (constant_source, constant_target) = (
            logits.tensor_split([step.n_source]) for logits in (both, constant)
        )
        task = [F.cross_entropy(logits, labels, reduction="none") for logits in constant_source.chunk(2, dim=1)]
        confusion = loss_of_inputs(partial(self._confusion, step, labels), source, constant_source)
        labeled = self.source_mean(step, task[0] + task[1]) + confusion
        domain = functional.domain_discrimination_loss(constant_source, constant_target)
        open_domain = loss_of_inputs(functional.domain_confusion_loss, target, constant_target)
        entropy = loss_of_inputs(functional.merged_entropy_loss, target, constant_target)
        terms = {"source_loss": labeled, "domain_loss": domain, "confusion_loss": open_domain, "entropy": entropy}
        for name, value in terms.items():
            step.log(f"symnets_{name}", value)
        weight = reversal_coefficient(self.config.schedule, step.progress, step.iteration)
        return labeled, domain + weight * (open_domain + entropy)

    def _confusion(self, step: Step, labels: Tensor, logits: Tensor) -> Tensor:
        return self.source_mean(step, functional.category_confusion_loss(logits, labels))

    def _both(self, features: Tensor, target_logits: Tensor) -> Tensor:
        return torch.cat([self.source_classifier.classify(features), target_logits], dim=1)

    def discriminator_input(self, features: Tensor, logits: Tensor) -> Tensor:
        return self._both(features, logits)

    def logit_of(self, inputs: Tensor) -> Tensor:
        of_source, of_target = inputs.unflatten(1, (2, -1)).logsumexp(dim=2).unbind(dim=1)
        return of_source - of_target
