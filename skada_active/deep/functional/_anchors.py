"""Rule by which confident rows join an anchor set."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["anchor_acceptance"]


def anchor_acceptance(counts: Tensor) -> Tensor:
    r"""Return how likely a confident row of each class is accepted into an anchor set.

    With :math:`n_c` the number of anchors of class c plus one,

    .. math:: a_c = 1 - \frac{n_c - \min_k n_k}{\max_k n_k},

    so that rare classes are always accepted and frequent ones seldom.

    Parameters
    ----------
    counts : Tensor of shape (C,)
        Number of anchors of each class.

    Returns
    -------
    Tensor of shape (C,)
        Probabilities in (0, 1]; all 1 where the classes are balanced.

    Notes
    -----
    The paper's equation has no plus one; the published code, whose results it reports, has. Without it a class without
    anchors would make every other one's chance depend on the ratio of counts to the largest alone, and an empty set
    would divide by zero.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Eq. 4.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import anchor_acceptance
    >>> anchor_acceptance(torch.tensor([3, 2, 1]))
    tensor([0.5000, 0.7500, 1.0000])
    """
    smoothed = counts.to(torch.get_default_dtype()) + 1
    return 1 - (smoothed - smoothed.min()) / smoothed.max()
