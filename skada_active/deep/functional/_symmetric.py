"""Losses of a source and a target classifier side by side, which are one softmax over twice the classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "category_confusion_loss",
    "domain_confusion_loss",
    "domain_discrimination_loss",
    "merged_entropy_loss",
]


def domain_discrimination_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    r"""Return SymNets' cross-entropy of the domain: source rows in the first C classes, target rows in the others.

    .. math:: -E_S \ln \sum_{k \le C} p_k - E_T \ln \sum_{k > C} p_k

    Parameters
    ----------
    source_logits, target_logits : Tensor of shape (n_s, 2 C) and (n_t, 2 C)
        Logits of the source classifier and of the target classifier, side by side.

    Returns
    -------
    Tensor
        Scalar; 2 ln 2 where the domains are not told apart.

    References
    ----------
    .. [1] Zhang et al., "Domain-Symmetric Networks for Adversarial Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import domain_discrimination_loss
    >>> domain_discrimination_loss(torch.zeros(3, 4), torch.zeros(2, 4))
    tensor(1.3863)
    """
    of_source, _ = _log_halves(source_logits)
    _, of_target = _log_halves(target_logits)
    return -of_source.mean() - of_target.mean()


def domain_confusion_loss(logits: Tensor) -> Tensor:
    r"""Return SymNets' confusion of the domain of target rows: cross-entropy with one half for either domain.

    Parameters
    ----------
    logits : Tensor of shape (n, 2 C)
        Logits of the source classifier and of the target classifier for target rows, side by side.

    Returns
    -------
    Tensor
        Scalar >= ln 2, which it is where both domains are as likely.

    References
    ----------
    .. [1] Zhang et al., "Domain-Symmetric Networks for Adversarial Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import domain_confusion_loss
    >>> domain_confusion_loss(torch.tensor([[3.0, -3.0, -3.0, 3.0]]))
    tensor(0.6931)
    """
    of_source, of_target = _log_halves(logits)
    return -(of_source + of_target).mean() / 2


def category_confusion_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return SymNets' confusion of categories: cross-entropy with one half for a row's class in either domain.

    Parameters
    ----------
    logits : Tensor of shape (n, 2 C)
        Logits of the source classifier and of the target classifier, side by side.
    labels : Tensor of shape (n,), int64
        Column positions of the labels, 0 to C - 1.

    Returns
    -------
    Tensor of shape (n,)
        Loss of each row, ln 2 at least.

    References
    ----------
    .. [1] Zhang et al., "Domain-Symmetric Networks for Adversarial Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import category_confusion_loss
    >>> category_confusion_loss(torch.tensor([[9.0, -9.0, 9.0, -9.0]]), torch.tensor([0]))
    tensor([0.6931])
    """
    n_classes = logits.shape[1] // 2
    either = (F.cross_entropy(logits, labels + shift, reduction="none") for shift in (0, n_classes))
    return sum(either, start=logits.new_zeros(())) / 2


def merged_entropy_loss(logits: Tensor) -> Tensor:
    """Return the mean entropy over classes, the probabilities of a class in the two domains added up, in nats.

    Parameters
    ----------
    logits : Tensor of shape (n, 2 C)
        Logits of the source classifier and of the target classifier for target rows, side by side.

    Returns
    -------
    Tensor
        Scalar in [0, ln C].

    References
    ----------
    .. [1] Zhang et al., "Domain-Symmetric Networks for Adversarial Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import merged_entropy_loss
    >>> merged_entropy_loss(torch.zeros(3, 4))  # ln 2
    tensor(0.6931)
    """
    log_proba = F.log_softmax(logits, dim=1).unflatten(1, (2, -1)).logsumexp(dim=1)
    return -(log_proba.exp() * log_proba).sum(dim=1).mean()


def _log_halves(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithms of P(source) and P(target), shape (n,) each."""
    of_source, of_target = logits.unflatten(1, (2, -1)).logsumexp(dim=2).unbind(dim=1)
    total = torch.logaddexp(of_source, of_target)
    return of_source - total, of_target - total
