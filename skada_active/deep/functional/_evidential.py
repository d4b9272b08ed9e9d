"""Evidential classification: a Dirichlet distribution over class probabilities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["dirichlet_uncertainties", "evidential_loss"]

#: Logits are cut off here, at both ends: their exponentials must be neither infinite nor zero.
_MAX_LOGIT = 50.0


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
    alpha = logits.clamp(-_MAX_LOGIT, _MAX_LOGIT).exp()
    misleading = torch.where(F.one_hot(labels, logits.shape[1]).bool(), 1.0, alpha)
    return F.cross_entropy(logits, labels) + kl_weight * _divergence_from_uniform(misleading).mean()


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


def _divergence_from_uniform(alpha: Tensor) -> Tensor:
    total = alpha.sum(dim=1, keepdim=True)
    n_classes = alpha.new_tensor(float(alpha.shape[1]))
    normaliser = torch.lgamma(total[:, 0]) - torch.lgamma(alpha).sum(dim=1) - torch.lgamma(n_classes)
    return normaliser + ((alpha - 1) * (torch.digamma(alpha) - torch.digamma(total))).sum(dim=1)
