"""One training step, as an objective sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from skada_active.deep.batches import Batch

__all__ = ["Step"]


@dataclass
class Step:
    """Hold one mixed batch after its forward pass: all that an objective reads.

    The rows lie in blocks: source, labelled target, target. The third block is the target batch of the unsupervised
    losses; the first two are the rows of the labelled loss.

    Attributes
    ----------
    inputs : Tensor of shape (n, ...)
        Input rows.
    features : Tensor of shape (n, D)
        Embedding, in the graph.
    logits : Tensor of shape (n, C)
        Logits, in the graph.
    labels : Tensor of shape (n,), int64
        Column position of the label, -1 where it is not known.
    domain : Tensor of shape (n,), int64
        Position of the domain, sources first.
    source, labeled_target, labeled, target : slice
        Rows of each block; `labeled` is the first two.
    progress : float
        Share of the current call of training that is done, in [0, 1].
    iteration : int
        Training steps since the network was made.
    head : callable
        Maps features (n, D) to logits (n, C).
    forward : callable
        Maps inputs to (logits, features) through the whole network.
    row_weight : Tensor of shape (C,) or None
        Weight of each class.
    """

    inputs: Tensor
    features: Tensor
    logits: Tensor
    batch: Batch
    progress: float
    iteration: int
    head: Callable[[Tensor], Tensor]
    forward: Callable[[Tensor], tuple[Tensor, Tensor]]
    class_weight: Tensor | None = None
    source_weight: float = 1.0
    joint: bool = False

    @property
    def labels(self) -> Tensor:
        return self.batch.labels

    @property
    def domain(self) -> Tensor:
        return self.batch.domain

    @property
    def source(self) -> slice:
        return slice(0, self.batch.n_source)

    @property
    def labeled_target(self) -> slice:
        return slice(self.batch.n_source, self.batch.n_labeled)

    @property
    def labeled(self) -> slice:
        return slice(0, self.batch.n_labeled)

    @property
    def target(self) -> slice:
        return slice(self.batch.n_labeled, len(self.batch))

    def labeled_mean(self, losses: Tensor) -> Tensor:
        """Average a loss per labelled row the way the classifier's labelled loss does.

        With S+T the source mean, weighted, plus the labelled-target mean; with S∪T one mean over both. Classes count by
        their weight.

        Parameters
        ----------
        losses : Tensor of shape (n_labeled,)
            Loss of each row of the block `labeled`.

        Returns
        -------
        Tensor
            Scalar.
        """
        n_source = self.batch.n_source
        weight = None if self.class_weight is None else self.class_weight[self.labels[self.labeled]]
        if self.joint:
            if self.source_weight != 1.0:
                weight = losses.new_ones(len(losses)) if weight is None else weight.clone()
                weight[:n_source] *= self.source_weight
            return _mean(losses, weight)
        if n_source == len(losses):
            return self.source_weight * _mean(losses, weight)
        if n_source == 0:
            return _mean(losses, weight)
        source, target = (None, None) if weight is None else (weight[:n_source], weight[n_source:])
        return self.source_weight * _mean(losses[:n_source], source) + _mean(losses[n_source:], target)

    def log(self, name: str, value: Tensor) -> None:
        """Record a term of the loss under `name`; the training history keeps its mean over the epoch."""
        self.batch.terms[name] = value.detach()


def _mean(losses: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return losses.mean()
    # Classes of weight zero may fill a batch; its loss is then zero, not 0 / 0.
    return (weight * losses).sum() / weight.sum().clamp_min(1e-12)
