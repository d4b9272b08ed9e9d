"""Modules that the net trains: a backbone with its head, and the sum of the losses."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep._precision import in_full_precision
from skada_active.deep.step import Step
from skada_active.networks import CosineHead, Standardize

__all__ = ["AdaptationCriterion", "AdaptationModule"]


class AdaptationModule(nn.Module):
    """Backbone with a linear classifier on its embedding.

    Parameters
    ----------
    backbone : nn.Module
        Maps inputs to the embedding (n, D).
    head : nn.Module
        Final linear classifier; before a `CosineHead` the embedding is normalised.
    """

    #: Width D of the embedding, known once a row has been embedded.
    n_features: int

    def __init__(self, backbone: nn.Module, head: nn.Linear | CosineHead) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.normalize = isinstance(head, CosineHead)

    @property
    def input_scale(self) -> Tensor | None:
        """Units of the columns or channels, shape (d,), that the backbone divides by first; None where it does not."""
        first = next(self.backbone.children(), None)
        return first.scale if isinstance(first, Standardize) else None

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n, C) and features (n, D)."""
        features = self.backbone(inputs)
        if not isinstance(features, Tensor):
            raise TypeError(
                f"module must return one tensor, the embedding (n, D), got {type(features).__name__}; some models "
                "return the outputs of auxiliary classifiers in training, which have to be switched off."
            )
        return in_full_precision(self._classified, features, device=features.device)

    def _classified(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = features.to(self.head.weight.dtype)
        if self.normalize:
            features = F.normalize(features)
        return self.head(features), features


class AdaptationCriterion(nn.Module):
    """Sum of the labelled cross-entropy and the objective, which owns its discriminators.

    Parameters
    ----------
    objective : nn.Module or None
        What an objective's ``build`` returned.
    """

    def __init__(self, objective: nn.Module | None) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, step: Step) -> Tensor:
        """Return the total loss of a step and log its terms."""
        return in_full_precision(self._total, step, device=step.logits.device)

    def _total(self, step: Step) -> Tensor:
        loss = self.labeled_loss(step)
        step.log("labeled_loss", loss)
        return loss if self.objective is None else loss + self.objective(step)

    @staticmethod
    def labeled_loss(step: Step) -> Tensor:
        """Return the cross-entropy of the labelled rows, averaged by role."""
        losses = F.cross_entropy(step.labeled_logits, step.known_labels, reduction="none")
        return step.labeled_mean(losses)
