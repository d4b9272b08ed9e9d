"""Losses on the size of features: their norms, and their largest singular values."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["adaptive_feature_norm", "batch_spectral_penalty"]


def batch_spectral_penalty(source: Tensor, target: Tensor, k: int = 1) -> Tensor:
    r"""Return BSP's penalty, the squares of the k largest singular values of the features of each domain, summed.

    Adversarial alignment makes a few directions dominate, at the price of those that tell the classes apart.

    Parameters
    ----------
    source, target : Tensor of shape (n_s, D) and (n_t, D)
        Features of a batch.
    k : int, default=1
        How many singular values of each domain.

    Returns
    -------
    Tensor
        Scalar >= 0.

    Raises
    ------
    ValueError
        If `k` is not in 1 to the smallest of n_s, n_t and D.

    Notes
    -----
    O(n D min(n, D)) time, O(n D) memory. The value grows with the number of rows.

    References
    ----------
    .. [1] Chen et al., "Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain
       Adaptation", ICML 2019, Eq. 6.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import batch_spectral_penalty
    >>> batch_spectral_penalty(torch.diag(torch.tensor([3.0, 1.0])), torch.diag(torch.tensor([2.0, 1.0])))
    tensor(13.)
    """
    most = min(*source.shape, *target.shape)
    if not 1 <= k <= most:
        raise ValueError(f"k must be in 1 to {most}, the smallest of the numbers of rows and features, got {k!r}.")
    return sum((torch.linalg.svdvals(rows)[:k].square().sum() for rows in (source, target)), start=source.new_zeros(()))


def adaptive_feature_norm(features: Tensor, delta: float = 1.0) -> Tensor:
    r"""Return AFN's stepwise loss :math:`E (|f| - (|f|_{const} + \Delta))^2`, which lengthens the rows.

    Its value is always :math:`\Delta^2`; what counts is the gradient, :math:`-2 \Delta f / |f|` per row.

    Parameters
    ----------
    features : Tensor of shape (n, D)
        Features of one domain.
    delta : float, default=1.0
        Step by which the norms are to grow.

    Returns
    -------
    Tensor
        Scalar.

    References
    ----------
    .. [1] Xu et al., "Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised Domain
       Adaptation", ICCV 2019, Eq. 7.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import adaptive_feature_norm
    >>> features = torch.tensor([[3.0, 4.0]], requires_grad=True)
    >>> adaptive_feature_norm(features).backward()
    >>> features.grad
    tensor([[-1.2000, -1.6000]])
    """
    norms = features.norm(dim=1)
    return (norms - norms.detach() - delta).square().mean()
