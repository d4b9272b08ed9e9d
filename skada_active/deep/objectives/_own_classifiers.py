"""Parts of the objectives with classifiers of their own: labelled losses, new heads, losses of one side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from skada_active.deep.functional._weighting import weighted_mean
from skada_active.deep.objectives._base import ObjectiveTerm
from skada_active.deep.step import Step
from skada_active.networks import CosineHead

__all__ = ["LabeledTerm", "SourceTerm", "loss_of_inputs", "new_classifier"]


class LabeledTerm(ObjectiveTerm, ABC):
    """Module of an objective that trains a classifier of its own on labelled rows, which `trade_off` does not weigh."""

    def forward(self, step: Step) -> Tensor:
        """Return the labelled loss and the weighted one of a step; zero if it lacks rows, or nothing has weight."""
        if not self.config.trade_off or not self.applies(step):
            return step.logits.new_zeros(())
        labeled, loss = self.losses(step)
        return labeled + self.config.trade_off * loss

    @abstractmethod
    def losses(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return the labelled loss and what `trade_off` weighs, for a step that has the rows they read."""


class SourceTerm(LabeledTerm):
    """Module of an objective whose own labelled loss of the source rows stands in for that of the classifier."""

    def prepare(self, step: Step) -> None:
        """Take the source rows out of the labelled losses of everybody else."""
        step.weigh_source(step.features.new_zeros(step.n_source))

    @staticmethod
    def source_mean(step: Step, losses: Tensor) -> Tensor:
        """Return the mean of losses of the source rows (n_source,), by the weights of their classes and of the source.

        The mean is one of its own, also where the labelled loss averages source and target rows together. Rows count by
        `Step.source_importance`, too: their weights in the labelled losses are gone.
        """
        weight = step.source_importance
        if step.class_weight is not None:
            of_class = step.class_weight[step.labels[step.source]]
            weight = of_class if weight is None else weight * of_class
        return step.source_weight * weighted_mean(losses, weight)


def new_classifier(network: Any) -> nn.Module:
    """Return an `AdaptationModule` that is a head alone, of the kind of a network's, with other weights.

    Its ``classify`` maps the embedding to logits; it normalises the embedding before a cosine head.

    Parameters
    ----------
    network : nn.Module
        An `AdaptationModule`.

    Returns
    -------
    nn.Module
    """
    head = network.head
    n_classes, n_features = head.weight.shape
    if isinstance(head, CosineHead):
        twin: nn.Module = CosineHead(n_features, n_classes, head.temperature)
    else:
        twin = nn.Linear(n_features, n_classes, bias=head.bias is not None)
    return type(network)(nn.Identity(), twin.to(head.weight.device, head.weight.dtype))


def loss_of_inputs(loss: Callable[[Tensor], Tensor], outputs: Tensor, constant_outputs: Tensor) -> Tensor:
    """Return a loss of what a module makes of its inputs that trains the inputs and leaves the module alone.

    Parameters
    ----------
    loss : callable
        Maps outputs to a scalar.
    outputs : Tensor
        The module's outputs.
    constant_outputs : Tensor
        The same, of detached inputs: their gradient is taken off, which is that of the module's weights.
    """
    of_module = loss(constant_outputs)
    return loss(outputs) - of_module + of_module.detach()
