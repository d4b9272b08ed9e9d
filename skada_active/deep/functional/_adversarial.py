"""Adversarial losses: gradient reversal and domain discriminators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["domain_adversarial_loss", "gradient_reversal"]


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


def domain_adversarial_loss(source_logit: Tensor, target_logit: Tensor) -> Tensor:
    r"""Return the cross-entropy of a domain discriminator, source being 1.

    .. math:: -\tfrac{1}{2}(E_S \ln d + E_T \ln(1 - d))

    Each domain counts half, whatever the sizes of its batch.

    Parameters
    ----------
    source_logit, target_logit : Tensor of shape (n_s,) and (n_t,)
        Logit of d = P(source) for source and target rows.

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
    return (F.softplus(-source_logit).mean() + F.softplus(target_logit).mean()) / 2
