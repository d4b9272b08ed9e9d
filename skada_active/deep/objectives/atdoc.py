"""ATDOC: an auxiliary classifier of the target by neighbours in a memory bank."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective, ObjectiveTerm
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["ATDOC"]

#: Similarities of rows to the bank that are held at once.
_BLOCK_VALUES = 2**22


class ATDOC(Objective):
    r"""Auxiliary target classifier (ATDOC-NA): target rows learn what their neighbours in a memory bank say.

    The bank remembers embedding and class probabilities of every target row as it passed last. The label of a row is
    the class that its nearest rows in the bank give most probability, q, and it counts by that probability:
    :math:`-\lambda \, E_T \max(q) \ln p_{\arg\max q}`, where :math:`\lambda` rises from 0 to 1 over a call of training.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the loss at the end of a call of training.
    n_neighbors : int, default=5
        How many rows of the bank, by cosine similarity and without the row itself, give a label.
    bank_size : int, default=4096
        Rows that the bank holds. It is exact while the target rows of the data are no more; with more of them, rows
        that joined long ago make place for those that pass.

    See Also
    --------
    skada_active.deep.functional.neighbor_label_loss : The loss as a function.
    SelfEnsembling : Labels from a teacher.

    Notes
    -----
    Probabilities are sharpened and balanced when they are read: p^2, divided by its sum over the rows of the bank, so
    that no frequent class swallows the others, then brought to sum 1: our reading. The published code divides by the
    sum over the rows of a batch and leaves it at that; labels then weigh by the size of the batch.

    Rows enter the bank from the pass of the training step, before they are read; the published code passes them once
    more. Its loss is divided by the sum of the weights, this one by the number of rows. Rows are told by their numbers
    in the data: a later call of training on other data should begin with a new network. Every row of the target batch
    gets a label from its neighbours, also those with a label of their own.

    The bank takes ``bank_size`` (D + C) floats, 5 MB for the default and D = 256, and is saved with the model. A step
    takes O(n bank_size D) time for n target rows.

    References
    ----------
    .. [1] Liang et al., "Domain Adaptation with Auxiliary Target Domain-Oriented Classifier", CVPR 2021.

    Examples
    --------
    >>> from skada_active.deep import ATDOC, AdaptationClassifier
    >>> AdaptationClassifier(ATDOC(n_neighbors=3)).objective
    ATDOC(n_neighbors=3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "bank_size": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(self, trade_off: float = 1.0, n_neighbors: int = 5, bank_size: int = 4096) -> None:
        super().__init__(trade_off)
        self.n_neighbors = n_neighbors
        self.bank_size = bank_size

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss, which holds the bank."""
        return _ATDOC(self, n_features, n_classes)


class _ATDOC(ObjectiveTerm):
    rows: Tensor
    n_joined: Tensor
    features: Tensor
    proba: Tensor

    def __init__(self, config: ATDOC, n_features: int, n_classes: int) -> None:
        super().__init__(config)
        self.register_buffer("rows", torch.full((config.bank_size,), -1))
        self.register_buffer("n_joined", torch.zeros((), dtype=torch.int64))
        self.register_buffer("features", torch.zeros(config.bank_size, n_features))
        self.register_buffer("proba", torch.zeros(config.bank_size, n_classes))

    def loss(self, step: Step) -> Tensor:
        logits, rows = step.logits[step.target], step.rows[step.target]
        with torch.no_grad():
            features = F.normalize(step.features[step.target])
            self._remember(rows, features, logits.softmax(dim=1))
            blocks = max(1, _BLOCK_VALUES // len(self.rows))
            parts = zip(rows.split(blocks), features.split(blocks), strict=True)
            neighbor_proba = torch.cat([self._neighbor_proba(*part) for part in parts])
        return step.progress * functional.neighbor_label_loss(logits, neighbor_proba)

    def _remember(self, rows: Tensor, features: Tensor, proba: Tensor) -> None:
        """Put rows where they were before, or else where those are that joined first."""
        rows, order = _last_of_each(rows)
        slots, is_known = self._slots_of(rows)
        joined = self.n_joined + (~is_known).cumsum(dim=0)
        slots = torch.where(is_known, slots, (joined - 1) % len(self.rows))
        self.n_joined = joined[-1]
        slots, chosen = _last_of_each(slots)  # a full bank may give a new row the place of another one of this batch
        self.rows[slots] = rows[chosen]
        self.features[slots] = features[order][chosen]
        self.proba[slots] = proba[order][chosen]

    def _slots_of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the slot of each row, and whether it has one at all."""
        numbers, order = self.rows.sort()
        slots = order[torch.searchsorted(numbers, rows).clamp_max(len(order) - 1)]
        return slots, self.rows[slots] == rows

    def _neighbor_proba(self, rows: Tensor, features: Tensor) -> Tensor:
        """Return the mean sharpened probabilities of the nearest other rows of the bank; zeros where there is none."""
        n_held = min(int(self.n_joined), len(self.rows))
        similarity = features @ self.features[:n_held].T
        slots, is_known = self._slots_of(rows)
        similarity[is_known, slots[is_known]] = -torch.inf
        nearest = similarity.topk(min(self.config.n_neighbors, n_held), dim=1)
        squared = self.proba.square()
        sharp = squared[nearest.indices] / squared.sum(dim=0).clamp_min(1e-12)
        counts = nearest.values.isfinite()[:, :, None]
        return (F.normalize(sharp, p=1, dim=2) * counts).sum(dim=1) / counts.sum(dim=1).clamp_min(1)


def _last_of_each(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the different numbers and the place of the last of each."""
    different, inverse = numbers.unique(return_inverse=True)
    places = torch.arange(len(numbers), device=numbers.device)
    return different, torch.zeros_like(different).scatter_reduce(0, inverse, places, "amax")
