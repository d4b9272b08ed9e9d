"""Losses on the predictions of unlabelled target rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["minimax_entropy_loss", "minimum_class_confusion_loss"]


def minimum_class_confusion_loss(logits: Tensor, *, temperature: float = 2.5) -> Tensor:
    r"""Return the minimum class confusion of unlabelled target rows.

    With :math:`q = softmax(z / T)` and weights :math:`w` proportional to :math:`1 + e^{-H(q)}` of mean 1, the class
    confusion is :math:`M = q^T diag(w) q`, its rows normalised, and the loss the mean off-diagonal row sum
    :math:`(\sum M - tr M) / C`. As the rows of q sum to 1, those of M sum to :math:`w^T q`, and its diagonal is
    :math:`w^T q^2`: M itself is never made.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits z of target rows.
    temperature : float, default=2.5
        Temperature T > 0.

    Returns
    -------
    Tensor
        Scalar in [0, 1).

    Raises
    ------
    ValueError
        If `temperature` is not positive.

    Notes
    -----
    O(n C) time and memory. The weights are constants for the gradient.

    References
    ----------
    .. [1] Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import minimum_class_confusion_loss
    >>> minimum_class_confusion_loss(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    tensor(0.4710)
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature!r}.")
    proba = F.softmax(logits / temperature, dim=1)
    with torch.no_grad():
        weight = 1 + torch.exp((proba * (proba + 1e-5).log()).sum(dim=1))
        weight = weight * (len(weight) / weight.sum())
    # A class that no row resembles has a row sum near zero; it then counts as confused with nobody.
    return (weight @ (proba * (1 - proba)) / (weight @ proba).clamp_min(1e-12)).mean()


def minimax_entropy_loss(logits: Tensor) -> Tensor:
    r"""Return the negative mean entropy :math:`\frac{1}{n} \sum_i \sum_c p_{ic} \ln p_{ic}` of target rows, in nats.

    It is negative by design: the classifier minimises it (its entropy grows); a gradient reversal between features and
    classifier makes the features maximise it (their entropy falls).

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits of target rows, computed from reversed features.

    Returns
    -------
    Tensor
        Scalar in [-ln C, 0].

    References
    ----------
    .. [1] Saito et al., "Semi-supervised Domain Adaptation via Minimax Entropy", ICCV 2019, Eq. 2 and 3.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import minimax_entropy_loss
    >>> minimax_entropy_loss(torch.zeros(4, 2))
    tensor(-0.6931)
    """
    log_proba = F.log_softmax(logits, dim=1)
    return (log_proba.exp() * log_proba).sum(dim=1).mean()
