"""Training step as an objective sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from skada_active.deep.augmentation import check_view
from skada_active.deep.batches import Batch
from skada_active.deep.functional._weighting import weighted_mean

__all__ = ["Step"]


@dataclass
class Step:
    """Mixed batch after its forward pass: all that an objective reads.

    The rows lie in blocks: source, labelled target, target. The third block is the target batch of the unsupervised
    losses; the first two are the rows of the labelled loss.

    Parameters
    ----------
    inputs : Tensor of shape (n, ...)
        Input rows.
    features : Tensor of shape (n, D)
        Embedding, in the graph.
    logits : Tensor of shape (n, C)
        Logits, in the graph.
    batch : Batch
        Labels, domains and the sizes of the blocks.
    progress : float
        Share of the current call of training that is done, in [0, 1].
    iteration : int
        Training steps since the network was made.
    head : callable
        Maps features (n, D) to logits (n, C).
    forward : callable
        Maps inputs to (logits, features) through the whole network: an `AdaptationModule`, which takes `n_apart`, too.
    class_weight : Tensor of shape (C,) or None
        Weight of each class in the labelled losses.
    source_weight : float
        Weight of the source rows in the labelled losses.
    joint : bool
        Whether source and labelled target rows are averaged together (S∪T).
    augmentation : callable or None
        Maps inputs to their second view.
    n_apart : int
        How many first rows passed the network by themselves; 0: all rows passed together.

    Attributes
    ----------
    labeled_weight : Tensor of shape (n_labeled,) or None
        Weight of each row of the block `labeled` in the labelled losses, as `weigh_source` set it; ``None``: 1.
    source_importance : Tensor of shape (n_source,) or None
        Weight of each source row in what tells the domains apart, as `weigh_source` set it; ``None``: 1.
    """

    inputs: Tensor
    features: Tensor
    logits: Tensor
    batch: Batch
    progress: float
    iteration: int
    head: Callable[[Tensor], Tensor]
    forward: Callable[..., tuple[Tensor, Tensor]]
    class_weight: Tensor | None = None
    source_weight: float = 1.0
    joint: bool = False
    augmentation: Callable[[Tensor], Tensor] | None = None
    n_apart: int = 0
    labeled_weight: Tensor | None = field(default=None, init=False)
    source_importance: Tensor | None = field(default=None, init=False)

    @cached_property
    def augmented(self) -> Tensor:
        """Second view of `inputs`, of their shape; made when it is first read."""
        return self.another_view(self.inputs)

    def another_view(self, rows: Tensor) -> Tensor:
        """Return a view of input rows by the augmentation, of their shape; a new one with every call.

        Parameters
        ----------
        rows : Tensor of shape (m, ...)
            Some of `inputs`; they are left as they are.

        Raises
        ------
        ValueError
            If there is no augmentation, or it returns rows of another shape.
        """
        if self.augmentation is None:
            raise ValueError(
                "The objective reads a second view of the rows, but there is no augmentation; pass one to the "
                'classifier, for example augmentation="auto".'
            )
        view = self.augmentation(rows.clone())
        check_view(rows, view)
        return view

    @property
    def labels(self) -> Tensor:
        """Column positions of the labels, negative (-1) where unknown, shape (n,)."""
        return self.batch.labels

    @property
    def domain(self) -> Tensor:
        """Positions of the domains, shape (n,)."""
        return self.batch.domain

    @property
    def rows(self) -> Tensor:
        """Numbers of the rows in the data of this call of training, shape (n,)."""
        known = self.batch.rows
        return torch.arange(len(self.batch), device=self.labels.device) if known is None else known

    @property
    def source(self) -> slice:
        """Source rows."""
        return slice(0, self.batch.n_source)

    @property
    def labeled_target(self) -> slice:
        """Labelled target rows."""
        return slice(self.batch.n_source, self.batch.n_labeled)

    @property
    def labeled(self) -> slice:
        """Rows of the labelled loss: source and labelled target."""
        return slice(0, self.batch.n_labeled)

    @property
    def target(self) -> slice:
        """Target rows of the unsupervised losses."""
        return slice(self.batch.n_labeled, len(self.batch))

    @property
    def n_source(self) -> int:
        """Number of rows in the block `source`."""
        return self.batch.n_source

    @property
    def n_target(self) -> int:
        """Number of rows in the block `target`."""
        return self.batch.n_target

    def source_and_target(self, rows: Tensor) -> Tensor:
        """Return the blocks `source` and `target` of `rows` (n, ...), one after the other."""
        n_source, n_labeled = self.batch.n_source, self.batch.n_labeled
        if n_source == n_labeled:
            return rows
        source, _, target = rows.split([n_source, n_labeled - n_source, len(rows) - n_labeled])
        return torch.cat([source, target])

    @property
    def labeled_logits(self) -> Tensor:
        """Logits of the block `labeled`, shape (n_labeled, C)."""
        # A slice of everything would cost a copy on the way back.
        whole = self.batch.n_labeled == len(self.batch)
        return self.logits if whole else self.logits[: self.batch.n_labeled]

    @property
    def known_labels(self) -> Tensor:
        """Labels of the block `labeled`, shape (n_labeled,)."""
        return self.batch.labels[: self.batch.n_labeled]

    def weigh_source(self, weight: Tensor, *, labeled: bool = True, domains: bool = False) -> None:
        """Weigh the source rows of this step, from the hook `ObjectiveTerm.prepare` on; several weights multiply.

        Parameters
        ----------
        weight : Tensor of shape (n_source,)
            Weights, at least 0; they are taken as they are, without their graph.
        labeled : bool, default=True
            Whether they count in the labelled losses, whose means they enter as weights.
        domains : bool, default=False
            Whether they count in what tells the domains apart, as `source_importance`.
        """
        weight = weight.detach()
        if labeled:
            ones = weight.new_ones(self.batch.n_labeled - self.batch.n_source)
            whole = torch.cat([weight, ones])
            self.labeled_weight = whole if self.labeled_weight is None else self.labeled_weight * whole
        if domains:
            self.source_importance = weight if self.source_importance is None else self.source_importance * weight

    def labeled_mean(self, losses: Tensor, weight: Tensor | None = None) -> Tensor:
        """Average a loss per labelled row the way the classifier's labelled loss does.

        With S+T the source mean, weighted, plus the labelled-target mean; with S∪T one mean over both. Classes count by
        their weight, and rows by `labeled_weight`.

        Parameters
        ----------
        losses : Tensor of shape (n_labeled,)
            Loss of each row of the block `labeled`.
        weight : Tensor of shape (n_labeled,), default=None
            Further weight of each of them.

        Returns
        -------
        Tensor
            Scalar; 0 without any row.
        """
        n_source = self.batch.n_source
        of_class = None if self.class_weight is None else self.class_weight[self.known_labels]
        for further in (of_class, self.labeled_weight):
            if further is not None:
                weight = further if weight is None else weight * further
        if not len(losses):
            return losses.sum()  # a mean of nothing is no number
        if self.joint:
            if self.source_weight != 1.0:
                weight = losses.new_ones(len(losses)) if weight is None else weight.clone()
                weight[:n_source] *= self.source_weight
            return weighted_mean(losses, weight)
        if n_source in (0, len(losses)):
            mean = weighted_mean(losses, weight)
            return self.source_weight * mean if n_source and self.source_weight != 1.0 else mean
        sizes = [n_source, len(losses) - n_source]
        weights = (None, None) if weight is None else weight.split(sizes)
        # One split: two slices would each pad their gradient with zeros.
        source, target = map(weighted_mean, losses.split(sizes), weights)
        return (source if self.source_weight == 1.0 else self.source_weight * source) + target

    def log(self, name: str, value: Tensor) -> None:
        """Record a term of the loss under `name`; the training history keeps its mean over the epoch."""
        self.batch.terms[name] = value.detach()
