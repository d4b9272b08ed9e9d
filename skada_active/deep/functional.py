"""Losses of domain adaptation as pure functions of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "domain_adversarial_loss",
    "gradient_reversal",
    "margin_loss",
    "minimax_entropy_loss",
    "minimum_class_confusion_loss",
]


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


def margin_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    dynamic: bool = False,
    max_logit: bool | None = None,
    normalize_logits: bool = True,
    detach_alpha: bool = False,
    reduction: str = "mean_over_classes",
) -> Tensor:
    r"""Return SDM's max-margin loss of every row.

    .. math:: L(x, y) = \sum_{i \ne y} \alpha_i [m - z_y + z_i]_+ - z_y

    Static (Eq. 1): :math:`\alpha_i = 1` and no last term. Dynamic (Eq. 7): :math:`\alpha_i = 1 - (z_y - z_i) / m`;
    where the hinge is active this is hinge / m, so the sum is that of the squared hinges over m.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits z.
    labels : Tensor of shape (n,), int64
        Column position of the true class.
    margin : float, default=1.0
        The margin m > 0, in the units of the (normalised) logits.
    dynamic : bool, default=False
        Whether to modulate the hinges (SDM-A).
    max_logit : bool, default=None
        Whether to subtract the true logit; ``None`` follows `dynamic`.
    normalize_logits : bool, default=True
        Whether to scale each row of logits to length 1 first. On raw logits the hinges of a fitted model are all zero
        and the last term is unbounded below.
    detach_alpha : bool, default=False
        Whether the modulation is a constant for the gradient, which halves the gradient of the dynamic hinge.
    reduction : {"mean_over_classes", "sum"}, default="mean_over_classes"
        Whether the sum over classes is divided by C, as the published code does, or not, as in the equations.

    Returns
    -------
    Tensor of shape (n,)
        Loss per row.

    Raises
    ------
    ValueError
        If `margin` is not positive or `reduction` is unknown.

    Notes
    -----
    O(n C) time and memory.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Eq. 1 and 7.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import margin_loss
    >>> z, y = torch.tensor([[2.0, 1.5, -1.0]]), torch.tensor([0])
    >>> margin_loss(z, y, normalize_logits=False, reduction="sum")
    tensor([0.5000])
    >>> margin_loss(z, y, dynamic=True, normalize_logits=False, reduction="sum")
    tensor([-1.7500])
    """
    if margin <= 0:
        raise ValueError(f"margin must be positive, got {margin!r}.")
    if reduction not in ("mean_over_classes", "sum"):
        raise ValueError(f'reduction must be "mean_over_classes" or "sum", got {reduction!r}.')
    if normalize_logits:
        logits = F.normalize(logits, dim=1)
    true_logit = logits.gather(1, labels[:, None])
    hinge = (margin - true_logit + logits).clamp_min(0)
    # The true class contributes a hinge of exactly m; it is taken out by position, right for any m.
    others = torch.ones_like(hinge).scatter_(1, labels[:, None], 0)
    if dynamic:
        alpha = hinge / margin
        hinge = (alpha.detach() if detach_alpha else alpha) * hinge
    loss = (hinge * others).sum(dim=1)
    if reduction == "mean_over_classes":
        loss = loss / logits.shape[1]
    return loss - true_logit[:, 0] if (dynamic if max_logit is None else max_logit) else loss


def minimum_class_confusion_loss(logits: Tensor, *, temperature: float = 2.5) -> Tensor:
    r"""Return the minimum class confusion of unlabelled target rows.

    With :math:`q = softmax(z / T)` and weights :math:`w` proportional to :math:`1 + e^{-H(q)}` of mean 1, the class
    confusion is :math:`M = q^T diag(w) q`, its rows normalised, and the loss the mean off-diagonal row sum
    :math:`(\sum M - tr M) / C`.

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
    O(n C^2) time, O(n C + C^2) memory. The weights are constants for the gradient.

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
    confusion = (proba * weight[:, None]).T @ proba
    # A class that no row resembles has a row sum near zero; it then counts as confused with nobody.
    confusion = confusion / confusion.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return (confusion.sum() - confusion.trace()) / len(confusion)


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
