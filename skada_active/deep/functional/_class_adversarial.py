"""Adversarial losses of class-wise domain discriminators."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from skada_active.deep.functional._adversarial import domain_adversarial_loss
from skada_active.deep.functional._weighting import weighted_mean

__all__ = ["class_weighted_features", "multi_adversarial_loss", "transferability_loss"]


def transferability_loss(
    source_logit: Tensor,
    target_logit: Tensor,
    source_proba: Tensor,
    target_proba: Tensor,
    *,
    source_weight: Tensor | None = None,
) -> Tensor:
    r"""Return the cross-entropy of a class-wise domain discriminator, target being 1.

    .. math::

        L = -E_S \Big[\sum_c y_c \ln (1 - d_c)\Big] - E_T \Big[\sum_c h_c \ln d_c\Big], \quad d_c = \sigma(o_c)

    Of the outputs of the discriminator a source row counts for that of its label, a target row for those of the
    predicted classes, by their probabilities.

    Parameters
    ----------
    source_logit, target_logit : Tensor of shape (n_s, C) and (n_t, C)
        Logits o of d, the class-wise P(target), for source and target rows.
    source_proba, target_proba : Tensor of shape (n_s, C) and (n_t, C)
        Weight of each class in a row: one-hot labels y of source rows, predicted probabilities h of target rows
        (one-hot where a label is known).
    source_weight : Tensor of shape (n_s,), default=None
        Weight >= 0 of each source row in the mean over them; ``None``: 1.

    Returns
    -------
    Tensor
        Scalar: the mean over the source rows plus that over the target rows. 2 ln 2 where the discriminator knows
        nothing.

    Notes
    -----
    O((n_s + n_t) C) time and memory. It is computed from the logits, so that values and gradients are finite however
    sure the discriminator is.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Eq. 2, whose
       sign is such that the discriminator maximises -L.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import transferability_loss
    >>> source, target = torch.tensor([[0.3, 0.6]]).logit(), torch.tensor([[0.8, 0.5]]).logit()
    >>> transferability_loss(source, target, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.25, 0.75]]))
    tensor(0.9323)
    """
    by_source = weighted_mean((source_proba * F.softplus(source_logit)).sum(dim=1), source_weight)
    by_target = (target_proba * F.softplus(-target_logit)).sum(dim=1).mean()
    return by_source + by_target


def class_weighted_features(features: Tensor, proba: Tensor) -> Tensor:
    """Return what MADA's discriminators read: the features of every row, times its probability of each class.

    Parameters
    ----------
    features : Tensor of shape (n, D)
        Features.
    proba : Tensor of shape (n, C)
        Class probabilities.

    Returns
    -------
    Tensor of shape (C, n, D)
        Entry (c, i) is p_ic f_i.

    References
    ----------
    .. [1] Pei et al., "Multi-Adversarial Domain Adaptation", AAAI 2018.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import class_weighted_features
    >>> class_weighted_features(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.25, 0.75]]))
    tensor([[[0.2500, 0.5000]],
    <BLANKLINE>
            [[0.7500, 1.5000]]])
    """
    return proba.T[:, :, None] * features


def multi_adversarial_loss(
    source_features: Tensor,
    target_features: Tensor,
    source_proba: Tensor,
    target_proba: Tensor,
    discriminators: Callable[[Tensor], Tensor],
    *,
    source_weight: Tensor | None = None,
) -> Tensor:
    r"""Return MADA's cross-entropy of a domain discriminator per class, source being 1.

    .. math:: L = -\frac{1}{2 C} \sum_c \big(E_S \ln d_c(p_c f) + E_T \ln (1 - d_c(p_c f))\big)

    The discriminator of a class reads the features times the probability of the class, so that rows of other classes
    look alike to it. Each domain counts half, whatever the sizes of its batch.

    Parameters
    ----------
    source_features, target_features : Tensor of shape (n_s, D) and (n_t, D)
        Features; pass them through `gradient_reversal` to train them against the discriminators.
    source_proba, target_proba : Tensor of shape (n_s, C) and (n_t, C)
        Class probabilities, those predicted in both domains.
    discriminators : callable
        Maps the rows (C, n, D) of the C discriminators to logits of P(source), shape (C, n).
    source_weight : Tensor of shape (n_s,), default=None
        Weight >= 0 of each source row in the mean over them; ``None``: 1.

    Returns
    -------
    Tensor
        Scalar; ln 2 where the discriminators know nothing.

    Notes
    -----
    O((n_s + n_t) C D) memory, and the time of the discriminators on as many rows.

    References
    ----------
    .. [1] Pei et al., "Multi-Adversarial Domain Adaptation", AAAI 2018.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import multi_adversarial_loss
    >>> features, proba = torch.ones(3, 2), torch.full((3, 2), 0.5)
    >>> multi_adversarial_loss(features, features, proba, proba, lambda rows: 0 * rows.sum(dim=2))
    tensor(0.6931)
    """
    features, proba = torch.cat([source_features, target_features]), torch.cat([source_proba, target_proba])
    logit = discriminators(class_weighted_features(features, proba))
    by_source, by_target = logit.split([len(source_features), len(target_features)], dim=1)
    return domain_adversarial_loss(by_source, by_target, source_weight=source_weight)
