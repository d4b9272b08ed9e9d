"""Adversarial losses of class-wise domain discriminators."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["transferability_loss"]


def transferability_loss(
    source_logit: Tensor, target_logit: Tensor, source_proba: Tensor, target_proba: Tensor
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
    by_source = (source_proba * F.softplus(source_logit)).sum(dim=1).mean()
    by_target = (target_proba * F.softplus(-target_logit)).sum(dim=1).mean()
    return by_source + by_target
