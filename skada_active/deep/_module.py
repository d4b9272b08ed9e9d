"""Modules that the net trains: a backbone with its head, and the sum of the losses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from skada_active.deep._precision import in_full_precision
from skada_active.deep.batches import Batch
from skada_active.deep.objectives import ObjectiveTerm, Phase, terms_of
from skada_active.deep.objectives._views import running_statistics_kept
from skada_active.deep.step import Step
from skada_active.networks import CosineHead, Standardize
from skada_active.networks.stages import FrozenStages

__all__ = ["AdaptationCriterion", "AdaptationModule", "CommitteeHeads"]


class AdaptationModule(nn.Module):
    """Backbone with a linear classifier on its embedding.

    Parameters
    ----------
    backbone : nn.Module
        Maps inputs to the embedding (n, D).
    head : nn.Module
        Final linear classifier; before a `CosineHead` the embedding is normalised.
    channels_last : bool, default=False
        Whether images enter the backbone with their channels last in memory.
    reduced : bool, default=False
        Whether the backbone computes in bfloat16 where autocast does; the head stays in float32.
    """

    #: Width D of the embedding, known once a row has been embedded.
    n_features: int

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Linear | CosineHead,
        *,
        channels_last: bool = False,
        reduced: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.normalize = isinstance(head, CosineHead)
        self.channels_last, self.reduced = channels_last, reduced
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> AdaptationModule:
        """Set the mode of all parts, but leave batch normalisation with frozen statistics in that of evaluation."""
        super().train(mode)
        for part in self.modules():
            if getattr(part, "statistics_frozen", False):
                part.eval()
        return self

    def freeze_statistics(self) -> None:
        """Let batch normalisation that has running statistics go by them in training, too, and leave them as they are.

        A new layer, whose statistics are those of no rows, adapts them.
        """
        for part in self.modules():
            if isinstance(part, _BatchNorm) and part.running_mean is not None and part.running_var is not None:
                is_new = not part.running_mean.any() and bool((part.running_var == 1).all())
                vars(part)["statistics_frozen"] = not is_new

    @property
    def input_scale(self) -> Tensor | None:
        """Units of the columns or channels, shape (d,), that the backbone divides by first; None where it does not."""
        first = next(self.backbone.children(), None)
        return first.scale if isinstance(first, Standardize) else None

    def forward(self, inputs: Tensor, n_apart: int = 0, stages: FrozenStages | None = None) -> tuple[Tensor, Tensor]:
        """Return logits (n, C) and the embedding (n, D).

        Parameters
        ----------
        inputs : Tensor of shape (n, ...)
            Input rows.
        n_apart : int, default=0
            So many first rows pass through the backbone by themselves, so that batch normalisation takes their
            statistics and those of the other rows apart.
        stages : FrozenStages, default=None
            Stages of the backbone that the inputs may have passed already, which their shape tells.
        """
        if n_apart:
            parts = [self._embedded(rows, stages) for rows in inputs.tensor_split((n_apart,))]
            features = torch.cat(parts)
        else:
            features = self._embedded(inputs, stages)
        return in_full_precision(self._classified, features, device=features.device)

    def classify(self, features: Tensor) -> Tensor:
        """Return the logits (n, C) of embedded rows (n, D)."""
        return self.head(self.head_input(features))

    def head_input(self, features: Tensor) -> Tensor:
        """Return what the head reads of embedded rows (n, D): before a cosine head the rows at length 1."""
        return F.normalize(features) if self.normalize else features

    def maps(self, inputs: Tensor, stages: FrozenStages) -> Tensor:
        """Return the feature maps of inputs after the frozen stages."""
        with self._precision(inputs):
            return stages.before(self.backbone, self._laid_out(inputs))

    def _precision(self, inputs: Tensor) -> AbstractContextManager[object]:
        return torch.autocast(inputs.device.type, torch.bfloat16) if self.reduced else nullcontext()

    def _laid_out(self, inputs: Tensor) -> Tensor:
        is_image = self.channels_last and inputs.ndim == 4
        return inputs.contiguous(memory_format=torch.channels_last) if is_image else inputs

    def _embedded(self, inputs: Tensor, stages: FrozenStages | None) -> Tensor:
        inputs = self._laid_out(inputs)
        with self._precision(inputs):
            if stages is not None and inputs.shape[1:] == stages.shape:
                features = stages.after(self.backbone, inputs)
            else:
                features = self.backbone(inputs)
        if not isinstance(features, Tensor):
            raise TypeError(
                f"module must return one tensor, the embedding (n, D), got {type(features).__name__}; some models "
                "return the outputs of auxiliary classifiers in training, which have to be switched off."
            )
        return features

    def _classified(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = features.to(self.head.weight.dtype)
        return self.classify(features), features


class CommitteeHeads(nn.Linear):
    """Linear classifiers beside the head, on the embedding as it is: the members of a committee.

    Parameters
    ----------
    n_features : int
        Width D of the embedding.
    n_classes : int
        Number of classes C.
    n_heads : int
        Number M of members.
    """

    def __init__(self, n_features: int, n_classes: int, n_heads: int) -> None:
        super().__init__(n_features, n_heads * n_classes)
        self.n_heads = n_heads

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (n, M, C) of embedded rows (n, D)."""
        return super().forward(features).unflatten(1, (self.n_heads, -1))

    def loss(self, step: Step) -> Tensor:
        """Return the labelled loss of a step, averaged over the members, which the embedding is not trained by.

        The members differ by their initial weights and by what they see: each weighs the rows of every batch by its own
        exponential draws (the Bayesian bootstrap) and, where there is an augmentation, sees its own view of them.
        """
        labels = step.known_labels
        logits = self._member_logits(step)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(self.n_heads), reduction="none")
        losses = losses.unflatten(0, (-1, self.n_heads))
        weight = torch.empty_like(losses).exponential_()
        pairs = zip(losses.unbind(dim=1), weight.unbind(dim=1), strict=True)
        return torch.stack([step.labeled_mean(*of_member) for of_member in pairs]).mean()

    def _member_logits(self, step: Step) -> Tensor:
        n_labeled = step.batch.n_labeled
        if step.augmentation is None:
            return self(step.features[:n_labeled].detach())
        with torch.no_grad(), running_statistics_kept(step.forward):
            views = [self._embedded_view(step, n_labeled) for _ in range(self.n_heads)]
        return torch.stack([self(view)[:, member] for member, view in enumerate(views)], dim=1)

    @staticmethod
    def _embedded_view(step: Step, n_labeled: int) -> Tensor:
        # The other rows pass along: the labelled ones are normalised among them, as in the step itself.
        rows, others = step.inputs.detach().tensor_split([n_labeled])
        inputs = torch.cat([step.another_view(rows), others])
        return step.forward(inputs, n_apart=step.n_apart)[1][:n_labeled]


class AdaptationCriterion(nn.Module):
    """Sum of the labelled cross-entropy and the objective, which owns its discriminators.

    Parameters
    ----------
    objective : nn.Module or None
        What an objective's ``build`` returned.
    committee : CommitteeHeads, default=None
        Further heads, which are trained by the labelled loss.
    """

    def __init__(self, objective: nn.Module | None, committee: CommitteeHeads | None = None) -> None:
        super().__init__()
        self.objective, self.committee = objective, committee

    def forward(self, step: Step) -> Tensor:
        """Return the total loss of a step and log its terms."""
        return in_full_precision(self._total, step, device=step.logits.device)

    def phases(self, network: AdaptationModule, step: Step | Batch) -> list[Phase]:
        """Return the further steps of the optimiser that the objective makes on a batch."""
        return [phase for term in self._terms(step) for phase in term.phases(network)]

    def prepare(self, step: Step) -> None:
        """Let the objective weigh the source rows of a step."""
        for term in self._terms(step):
            term.prepare(step)

    def _terms(self, step: Step | Batch) -> list[ObjectiveTerm]:
        return [term for term in terms_of(self.objective) if term.config.trade_off and term.applies(step)]

    def _total(self, step: Step) -> Tensor:
        self.prepare(step)
        loss = self.labeled_loss(step)
        step.log("labeled_loss", loss)
        if self.objective is not None:
            loss = loss + self.objective(step)
        if self.committee is not None:
            of_committee = self.committee.loss(step)
            step.log("committee_loss", of_committee)
            loss = loss + of_committee
        return loss

    @staticmethod
    def labeled_loss(step: Step) -> Tensor:
        """Return the cross-entropy of the labelled rows, averaged by role."""
        losses = F.cross_entropy(step.labeled_logits, step.known_labels, reduction="none")
        return step.labeled_mean(losses)
