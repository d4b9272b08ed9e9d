"""Evidential classification: a Dirichlet distribution over class probabilities."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["dirichlet_uncertainties", "evidential_divergence", "evidential_loss"]

#: Logits are cut off here, at both ends: their exponentials must be neither infinite nor zero.
_MAX_LOGIT = 50.0
#: Shapes of gamma distributions from which on a series of three terms is exact to 1e-10.
_SERIES_FROM = 100.0


def evidential_loss(logits: Tensor, labels: Tensor, *, kl_weight: float = 1.0) -> Tensor:
    r"""Return the evidential loss of labelled rows: their likelihood, and no evidence for wrong classes.

    With :math:`\alpha = e^z` and :math:`S = \sum_c \alpha_c`, the first term :math:`\ln S - \ln \alpha_y` is the
    cross-entropy; the second is ``kl_weight`` times the divergence of :math:`Dir(\tilde\alpha)` from the uniform one,
    where :math:`\tilde\alpha` is :math:`\alpha` with 1 for the label.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits z, in the divergence cut off at 50 (and -50).
    labels : Tensor of shape (n,), int64
        Column positions of the labels.
    kl_weight : float, default=1.0
        Weight of the second term.

    Returns
    -------
    Tensor
        Scalar >= 0, the mean over the rows.

    References
    ----------
    .. [1] Xie et al., "Dirichlet-based Uncertainty Calibration for Active Domain Adaptation", ICLR 2023.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import evidential_loss
    >>> evidential_loss(torch.zeros(1, 2), torch.tensor([0]))  # ln 2; Dir(1, 1) is the uniform one
    tensor(0.6931)
    """
    return F.cross_entropy(logits, labels) + kl_weight * evidential_divergence(logits, labels).mean()


def evidential_divergence(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Return how far the evidence for wrong classes is from none, for every labelled row.

    This is the Kullback-Leibler divergence of :math:`Dir(\tilde\alpha)` from the uniform distribution
    :math:`Dir(1, \dots, 1)`, where :math:`\tilde\alpha` is :math:`\alpha = e^z` with 1 for the label: 0 where all
    other logits are 0.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits z, cut off at 50 (and -50).
    labels : Tensor of shape (n,), int64
        Column positions of the labels.

    Returns
    -------
    Tensor of shape (n,)
        In nats, at least 0 up to rounding.

    Notes
    -----
    With the entropy h of a gamma distribution of scale 1 it is :math:`h(\tilde S) - \sum_c h(\tilde\alpha_c)
    + (C - 1) \psi(\tilde S) - \ln \Gamma(C)`, in which no large numbers cancel. It grows with the logit of a wrong
    class, and as :math:`e^{-z}` below 0.

    References
    ----------
    .. [1] Xie et al., "Dirichlet-based Uncertainty Calibration for Active Domain Adaptation", ICLR 2023.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import evidential_divergence
    >>> evidential_divergence(torch.tensor([[9.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 0]))
    tensor([0.0000, 0.5259])
    """
    alpha = logits.clamp(-_MAX_LOGIT, _MAX_LOGIT).exp()
    alpha = torch.where(F.one_hot(labels, logits.shape[1]).bool(), 1.0, alpha)
    total, n_classes = alpha.sum(dim=1), logits.shape[1]
    spread = _gamma_entropy(total) - _gamma_entropy(alpha).sum(dim=1)
    return spread + (n_classes - 1) * torch.digamma(total) - math.lgamma(n_classes)


def dirichlet_uncertainties(logits: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return distributional and data uncertainty of rows under the Dirichlet distribution of their logits.

    With :math:`\alpha = e^z`, :math:`S = \sum_c \alpha_c` and :math:`p = \alpha / S`, the data uncertainty is
    :math:`\sum_c p_c (\psi(S + 1) - \psi(\alpha_c + 1))`, and the distributional one :math:`H(p)` less that.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits z, cut off at 50 (and -50).

    Returns
    -------
    distributional, data : Tensor of shape (n,)
        In nats.

    References
    ----------
    .. [1] Xie et al., "Dirichlet-based Uncertainty Calibration for Active Domain Adaptation", ICLR 2023.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import dirichlet_uncertainties
    >>> dirichlet_uncertainties(torch.zeros(1, 2))
    (tensor([0.1931]), tensor([0.5000]))
    """
    alpha = logits.clamp(-_MAX_LOGIT, _MAX_LOGIT).exp()
    total = alpha.sum(dim=1, keepdim=True)
    proba = alpha / total
    data = (proba * (torch.digamma(total + 1) - torch.digamma(alpha + 1))).sum(dim=1)
    return torch.special.entr(proba).sum(dim=1) - data, data


def _gamma_entropy(shape: Tensor) -> Tensor:
    """Return the entropy of gamma distributions of scale 1, ``a + ln Gamma(a) + (1 - a) psi(a)``."""
    # The terms are of the size of a: for a large one, its series is left of what cancels.
    small, large = shape.clamp(max=_SERIES_FROM), shape.clamp(min=_SERIES_FROM)
    exact = small + torch.lgamma(small) + (1 - small) * torch.digamma(small)
    series = 0.5 * torch.log(2 * math.pi * math.e * large) - (1 / 3 + (1 / 12 + 1 / 90 / large) / large) / large
    return torch.where(shape < _SERIES_FROM, exact, series)
