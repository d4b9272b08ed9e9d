"""Progressive anchor sets: labelled target rows and the confident rows that join them (LADA)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn import functional as F

from skada_active.deep.functional import anchor_acceptance
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["AnchorSet", "Anchors"]

#: Maps row numbers to class probabilities (n, C) and embeddings (n, D), in evaluation mode.
Reader = Callable[[Tensor], tuple[Tensor, Tensor]]


class AnchorSet(BaseEstimator):
    """Progressive anchor set: confident target rows join the labelled ones in training, class by class.

    The anchor set A replaces the labelled target rows in the labelled loss. Every epoch starts with those rows alone;
    after each step one target row is looked at for every anchor of the batch, and it joins, with its prediction as a
    fixed label, if the model is confident and its class is not yet frequent in A. What joined is trained on from the
    next pass over A on.

    Parameters
    ----------
    neighbors : {"local", "random"}, default="local"
        Where the rows looked at come from: ``"local"`` draws from the nearest target rows of the anchor (LAA),
        ``"random"`` from all target rows (RAA).
    n_neighbors : int, default=10
        How many nearest rows, by cosine similarity, ``"local"`` draws from; all there are, if there are fewer. The
        paper takes 5 for Office-31.
    confidence : float, default=0.9
        Smallest probability of the predicted class.
    class_balanced : bool, default=True
        Whether confident rows of frequent classes are turned away by chance, see
        `skada_active.deep.functional.anchor_acceptance`.

    Notes
    -----
    Each step costs one forward pass in evaluation mode over as many rows as the batch has anchors; ``"local"`` adds one
    over all target rows at the start of an epoch, 4 n D bytes for their embeddings, and 2 b n D operations a step for b
    anchors. Candidates are predicted in evaluation mode, which leaves the statistics of batch normalisation alone.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Sec. 3.2, Alg. 2, Eq. 4.

    Examples
    --------
    >>> from skada_active.deep import AdaptationClassifier, AnchorSet
    >>> AdaptationClassifier(anchors=AnchorSet("random")).set_params(anchors__confidence=0.8).anchors
    AnchorSet(confidence=0.8, neighbors='random')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "neighbors": [StrOptions({"local", "random"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "confidence": [Interval(Real, 0, 1, closed="both")],
        "class_balanced": ["boolean"],
    }

    def __init__(
        self,
        neighbors: str = "local",
        n_neighbors: int = 10,
        confidence: float = 0.9,
        class_balanced: bool = True,
    ) -> None:
        self.neighbors = neighbors
        self.n_neighbors = n_neighbors
        self.confidence = confidence
        self.class_balanced = class_balanced


class Anchors:
    """Anchor set of an epoch: its rows, their labels, and the rows that wait to join.

    Parameters
    ----------
    config : AnchorSet
        The parameters.
    labels : Tensor of shape (n,), int64
        Column position of the label of every row; read at the labelled target rows only.
    labeled_target : Tensor of int64
        Row numbers of the labelled target rows.
    target : Tensor of int64
        Row numbers of all target rows.
    n_classes : int
        Number of classes C.
    read : callable
        Maps row numbers to class probabilities (n, C) and embeddings (n, D) in evaluation mode.
    """

    def __init__(
        self,
        config: AnchorSet,
        labels: Tensor,
        labeled_target: Tensor,
        target: Tensor,
        *,
        n_classes: int,
        read: Reader,
    ) -> None:
        self.config, self.read, self.n_classes = config, read, n_classes
        self.known, self.labeled_target, self.target = labels, labeled_target, target
        self.restart()

    def restart(self) -> None:
        """Begin an epoch: the labelled target rows alone."""
        self.rows = self.labeled_target
        self.labels = torch.full_like(self.known, -1)
        self.labels[self.rows] = self.known[self.rows]
        self.confidence = torch.ones(len(self.known), device=self.known.device)
        self.joined = torch.zeros_like(self.known)  # the pass before which a row joined; 0 for the labelled ones
        self.counts: list[Tensor] = []
        self._waiting: list[Tensor] = []
        self._bank = torch.empty(0)  # embeddings of all target rows, where the nearest are drawn from

    def __len__(self) -> int:
        return len(self.rows)

    def members(self) -> dict[str, Tensor]:
        """Return the anchors: their rows, labels, confidences at joining, and the passes before which they joined."""
        of_all = {"label": self.labels, "confidence": self.confidence, "joined": self.joined}
        return {"row": self.rows, **{name: values[self.rows] for name, values in of_all.items()}}

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Yield row numbers of anchors, at most `size` at once, without end; every pass over the set sees who joined.

        Without labelled target rows there is no anchor to start from, and every chunk is empty.
        """
        self.restart()
        if self.config.neighbors == "local" and len(self.labeled_target):
            self._bank = F.normalize(self.read(self.target)[1])
        while True:
            for joining in self._waiting:
                self.joined[joining] = len(self.counts)
            self.rows, self._waiting = torch.cat([self.rows, *self._waiting]), []
            self.counts.append(torch.bincount(self.labels[self.rows], minlength=self.n_classes))
            order = torch.randperm(len(self.rows)).to(self.rows.device)
            yield from self.rows[order].split(size)

    def grow(self, embedding: Tensor) -> None:
        """Look at one candidate for each anchor of a batch and let those that qualify wait for the next pass.

        Parameters
        ----------
        embedding : Tensor of shape (b, D)
            Embeddings of the anchors of the batch, as just trained on.
        """
        if not len(embedding):
            return
        positions = self._draw(embedding).unique()
        candidates = self.target[positions]
        proba, features = self.read(candidates)
        if self.config.neighbors == "local":
            self._bank[positions] = F.normalize(features)
        confidence, predicted = proba.max(dim=1)
        joins = (confidence >= self.config.confidence) & (self.labels[candidates] < 0)
        if self.config.class_balanced:
            chance = anchor_acceptance(self.counts[-1])[predicted]
            joins &= torch.rand(len(predicted)).to(chance.device) <= chance
        self.labels[candidates[joins]] = predicted[joins]
        self.confidence[candidates[joins]] = confidence[joins].to(self.confidence.dtype)
        self._waiting.append(candidates[joins])

    def _draw(self, embedding: Tensor) -> Tensor:
        n_candidates = len(self.target)
        if self.config.neighbors == "random":
            return torch.randint(n_candidates, (len(embedding),)).to(self.target.device)
        n_neighbors = min(self.config.n_neighbors, n_candidates)
        nearest = (F.normalize(embedding) @ self._bank.T).topk(n_neighbors, dim=1).indices
        choice = torch.randint(n_neighbors, (len(embedding), 1)).to(nearest.device)
        return nearest.gather(1, choice)[:, 0]
