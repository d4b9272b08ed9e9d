"""Heads: the final classifier on the embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CosineHead"]


class CosineHead(nn.Module):
    """Classify by the cosine between the embedding and one direction per class, divided by a temperature.

    The embedding that reaches the head is already normalised (`AdaptationClassifier` sees to it), so that the logits
    are ``features @ (W / |W|).T / temperature``.

    Parameters
    ----------
    in_features : int
        Width D of the embedding.
    n_classes : int
        Number of classes C.
    temperature : float, default=0.05
        Divides the cosines; small values make confident predictions possible.

    References
    ----------
    .. [1] Saito et al., "Semi-supervised Domain Adaptation via Minimax Entropy", ICCV 2019.

    Examples
    --------
    >>> import torch
    >>> from skada_active.networks import CosineHead
    >>> head = CosineHead(8, 3)
    >>> bool(head(torch.nn.functional.normalize(torch.ones(2, 8))).abs().max() <= 20)
    True
    """

    def __init__(self, in_features: int, n_classes: int, temperature: float = 0.05) -> None:
        super().__init__()
        self.temperature = temperature
        self.directions = nn.Parameter(torch.empty(n_classes, in_features))
        nn.init.xavier_uniform_(self.directions)

    @property
    def weight(self) -> Tensor:
        """Effective weight of the linear classifier, shape (C, D): the normalised directions over the temperature."""
        return F.normalize(self.directions) / self.temperature

    @property
    def bias(self) -> Tensor:
        """Zero bias, shape (C,)."""
        return self.directions.new_zeros(len(self.directions))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (n, C) of normalised features (n, D)."""
        return F.linear(features, self.weight)
