"""Adversarial losses: gradient reversal and domain discriminators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from skada_active.deep.functional._weighting import relative_weight, weighted_mean

__all__ = ["cdan_loss", "domain_adversarial_loss", "gradient_reversal", "multilinear_map"]


class _GradientReversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficient: float) -> Tensor:
        ctx.coefficient = coefficient
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.coefficient * grad, None


def gradient_reversal(x: Tensor, coefficient: float = 1.0) -> Tensor:
    """Return `x` unchanged, but reverse its gradient on the way back.

    Parameters
    ----------
    x : Tensor
        Any tensor.
    coefficient : float, default=1.0
        The gradient is multiplied by ``-coefficient``.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    References
    ----------
    .. [1] Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import gradient_reversal
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> gradient_reversal(3 * x, 0.5).backward()
    >>> x.grad
    tensor(-1.5000)
    """
    return _GradientReversal.apply(x, coefficient)


def domain_adversarial_loss(
    source_logit: Tensor, target_logit: Tensor, *, source_weight: Tensor | None = None
) -> Tensor:
    r"""Return the cross-entropy of a domain discriminator, source being 1.

    .. math:: -\tfrac{1}{2}(E_S \ln d + E_T \ln(1 - d))

    Each domain counts half, whatever the sizes of its batch.

    Parameters
    ----------
    source_logit, target_logit : Tensor of shape (n_s,) and (n_t,)
        Logit of d = P(source) for source and target rows.
    source_weight : Tensor of shape (n_s,), default=None
        Weight >= 0 of each source row in the mean over them; ``None``: 1.

    Returns
    -------
    Tensor
        Scalar; ln 2 where the discriminator knows nothing.

    References
    ----------
    .. [1] Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, Eq. 9.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import domain_adversarial_loss
    >>> domain_adversarial_loss(torch.zeros(3), torch.zeros(2))
    tensor(0.6931)
    """
    return (weighted_mean(F.softplus(-source_logit), source_weight) + F.softplus(target_logit).mean()) / 2


def multilinear_map(features: Tensor, proba: Tensor) -> Tensor:
    r"""Return CDAN's product of class probabilities and features, :math:`p \otimes f`, flattened by class.

    Parameters
    ----------
    features : Tensor of shape (n, D)
        Features.
    proba : Tensor of shape (n, C)
        Class probabilities.

    Returns
    -------
    Tensor of shape (n, C D)
        Entry c D + j is :math:`p_c f_j`.

    References
    ----------
    .. [1] Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, Eq. 6.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import multilinear_map
    >>> multilinear_map(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.25, 0.75]]))
    tensor([[0.2500, 0.5000, 0.7500, 1.5000]])
    """
    return torch.einsum("nc,nd->ncd", proba, features).flatten(1)


def cdan_loss(
    source_features: Tensor,
    target_features: Tensor,
    source_proba: Tensor,
    target_proba: Tensor,
    discriminator: Callable[[Tensor], Tensor],
    *,
    entropy_weighted: bool = False,
    product: Callable[[Tensor, Tensor], Tensor] = multilinear_map,
    source_weight: Tensor | None = None,
) -> Tensor:
    r"""Return CDAN's cross-entropy of a discriminator that reads features and predictions together, source being 1.

    The mean over all rows of both domains. With `entropy_weighted` (CDAN+E) a row counts by :math:`1 + e^{-H(p)}`,
    these weights being 1 on average.

    Parameters
    ----------
    source_features, target_features : Tensor of shape (n_s, D) and (n_t, D)
        Features; pass them through `gradient_reversal` to train them against the discriminator.
    source_proba, target_proba : Tensor of shape (n_s, C) and (n_t, C)
        Class probabilities; no gradient reaches them.
    discriminator : callable
        Maps the product of both (n, C D), see `multilinear_map`, to logits of P(source), shape (n,) or (n, 1).
    entropy_weighted : bool, default=False
        Whether confident rows count more.
    product : callable, default=multilinear_map
        Maps features and class probabilities to what the discriminator reads; another one keeps wide products small.
    source_weight : Tensor of shape (n_s,), default=None
        Weight >= 0 of each source row, relative to their mean: all of them together count as without weights. ``None``:
        1.

    Returns
    -------
    Tensor
        Scalar; ln 2 where the discriminator knows nothing.

    References
    ----------
    .. [1] Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, Eq. 7 and 8.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import cdan_loss
    >>> features, proba = torch.ones(3, 2), torch.full((3, 2), 0.5)
    >>> cdan_loss(features, features, proba, proba, torch.nn.Linear(4, 1)).shape
    torch.Size([])
    """
    proba = torch.cat([source_proba, target_proba]).detach()
    logit = discriminator(product(torch.cat([source_features, target_features]), proba)).reshape(-1)
    is_source = torch.cat([logit.new_ones(len(source_features)), logit.new_zeros(len(target_features))])
    losses = F.binary_cross_entropy_with_logits(logit, is_source, reduction="none")
    weight = 1 + torch.exp(-torch.special.entr(proba).sum(dim=1)) if entropy_weighted else None
    if source_weight is not None:
        of_target = source_weight.new_ones(len(target_features))
        importance = torch.cat([relative_weight(source_weight), of_target])
        weight = importance if weight is None else importance * weight
    return weighted_mean(losses, weight)
