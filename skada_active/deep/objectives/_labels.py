"""Class probabilities of rows, some of which have a label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["known_or_predicted"]


def known_or_predicted(labels: Tensor, proba: Tensor) -> Tensor:
    """Return predicted class probabilities, those of labelled rows replaced by their label.

    Parameters
    ----------
    labels : Tensor of shape (n,)
        Column positions, negative where no label is known.
    proba : Tensor of shape (n, C)
        Predictions.

    Returns
    -------
    Tensor of shape (n, C)
        One-hot where a label is known.
    """
    known = F.one_hot(labels.clamp_min(0), proba.shape[1]).to(proba.dtype)
    return torch.where((labels >= 0)[:, None], known, proba)
