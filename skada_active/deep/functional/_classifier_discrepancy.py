"""Discrepancies between two classifiers on the same rows."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["class_balance_loss", "classifier_discrepancy", "margin_disparity_discrepancy"]


def class_balance_loss(logits: Tensor) -> Tensor:
    r"""Return :math:`-\frac{1}{C} \sum_c \ln(\bar p_c + 10^{-6})` of the mean prediction: few classes go without rows.

    The Transfer Learning Library calls it entropy and adds it to MCD. The offset lets go of classes far from all rows.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits of target rows.

    Returns
    -------
    Tensor
        Scalar, ln C at least (but for the offset): where all classes are as likely on average.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import class_balance_loss
    >>> class_balance_loss(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))  # ln 2
    tensor(0.6931)
    """
    return -(logits.softmax(dim=1).mean(dim=0) + 1e-6).log().mean()


def classifier_discrepancy(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """Return MCD's mean absolute difference of the class probabilities of two classifiers.

    Parameters
    ----------
    logits_a, logits_b : Tensor of shape (n, C)
        Logits of the two classifiers for the same rows.

    Returns
    -------
    Tensor
        Scalar in [0, 2 / C].

    References
    ----------
    .. [1] Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018, Eq. 2.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import classifier_discrepancy
    >>> classifier_discrepancy(torch.tensor([[0.0, 0.0]]), torch.tensor([[50.0, -50.0]]))
    tensor(0.5000)
    """
    return (logits_a.softmax(dim=1) - logits_b.softmax(dim=1)).abs().mean()


def margin_disparity_discrepancy(
    source_logits: Tensor,
    source_adversarial_logits: Tensor,
    target_logits: Tensor,
    target_adversarial_logits: Tensor,
    *,
    margin: float = 4.0,
) -> Tensor:
    r"""Return the margin disparity discrepancy between a classifier and an adversarial one.

    With :math:`\hat y` the class that the classifier predicts and p' the probabilities of the adversarial one:

    .. math:: \gamma E_S \ln p'_{\hat y} + E_T \ln(1 - p'_{\hat y})

    The adversarial classifier maximises it, the features minimise it.

    Parameters
    ----------
    source_logits, target_logits : Tensor of shape (n_s, C) and (n_t, C)
        Logits of the classifier; only their largest entry is read.
    source_adversarial_logits, target_adversarial_logits : Tensor of shape (n_s, C) and (n_t, C)
        Logits of the adversarial classifier.
    margin : float, default=4.0
        Factor gamma, the exponential of the margin.

    Returns
    -------
    Tensor
        Scalar <= 0.

    References
    ----------
    .. [1] Zhang et al., "Bridging Theory and Algorithm for Domain Adaptation", ICML 2019, Eq. 28 to 30.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import margin_disparity_discrepancy
    >>> logits, adversarial = torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)
    >>> margin_disparity_discrepancy(logits, adversarial, logits, adversarial, margin=1.0)  # 2 ln(1/2)
    tensor(-1.3863)
    """
    agreement = F.cross_entropy(source_adversarial_logits, source_logits.argmax(dim=1))
    predicted = target_logits.argmax(dim=1, keepdim=True)
    # ln(1 - p) of the predicted class as the log-sum of the others: finite and exact also where p is near 1.
    others = F.log_softmax(target_adversarial_logits, dim=1).scatter(1, predicted, -float("inf")).logsumexp(dim=1)
    return others.mean() - margin * agreement
