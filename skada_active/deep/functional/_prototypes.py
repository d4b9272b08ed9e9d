"""Losses on the class prototypes of domains: the means of the features of each class."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from skada_active.deep.functional._discrepancy import squared_distances

__all__ = ["class_prototypes", "prototype_agreement_loss", "prototype_alignment_loss", "prototype_logits"]


def class_prototypes(features: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return the mean of the features of the rows of each class, and the number of these rows.

    Parameters
    ----------
    features : Tensor of shape (n, D)
        Features.
    labels : Tensor of shape (n,), int64
        Column positions of the labels; rows with a negative one belong to no class.
    n_classes : int
        Number of classes C.

    Returns
    -------
    prototypes : Tensor of shape (C, D)
        Zero where a class has no row.
    counts : Tensor of shape (C,)
        Number of rows, in the dtype of the features.

    References
    ----------
    .. [1] Pan et al., "Transferrable Prototypical Networks for Unsupervised Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import class_prototypes
    >>> class_prototypes(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, -1]), 2)
    (tensor([[2.],
            [0.]]), tensor([2., 0.]))
    """
    member = F.one_hot(labels.clamp_min(0), n_classes).to(features.dtype) * (labels >= 0)[:, None]
    counts = member.sum(dim=0)
    return member.T @ features / counts.clamp_min(1)[:, None], counts


def prototype_logits(features: Tensor, prototypes: Tensor) -> Tensor:
    r"""Return minus the squared distances of rows to prototypes, whose softmax are the class probabilities.

    Parameters
    ----------
    features : Tensor of shape (n, D)
        Features.
    prototypes : Tensor of shape (..., C, D)
        Prototypes, in one set or several.

    Returns
    -------
    Tensor of shape (..., n, C)
        :math:`-|f_i - \mu_c|^2`.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import prototype_logits
    >>> prototype_logits(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    tensor([[-1., -5.]])
    """
    return -squared_distances(features, prototypes)


def prototype_alignment_loss(prototypes: Tensor) -> Tensor:
    r"""Return TPN's general-purpose loss: the squared distances between the prototypes that several sets give a class.

    .. math:: \frac{1}{C} \sum_c \sum_{m < m'} |\mu_c^m - \mu_c^{m'}|^2

    Parameters
    ----------
    prototypes : Tensor of shape (M, C, D)
        Prototypes of C >= 1 classes in M sets: those of the source, of the target, and of both together.

    Returns
    -------
    Tensor
        Scalar >= 0.

    References
    ----------
    .. [1] Pan et al., "Transferrable Prototypical Networks for Unsupervised Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import prototype_alignment_loss
    >>> prototype_alignment_loss(torch.tensor([[[0.0]], [[2.0]], [[1.0]]]))  # 4 + 1 + 1
    tensor(6.)
    """
    pairs = combinations(prototypes.unbind(), 2)
    return torch.stack([(first - second).square().sum(dim=1).mean() for first, second in pairs]).sum()


def prototype_agreement_loss(logits: Tensor) -> Tensor:
    r"""Return TPN's sample-specific loss: how much the class distributions differ that several sets give a row.

    .. math:: E_i \sum_{m < m'} \frac{1}{2} \big(KL(p_i^m \| p_i^{m'}) + KL(p_i^{m'} \| p_i^m)\big)

    Parameters
    ----------
    logits : Tensor of shape (M, n, C)
        Logits of n >= 1 rows by the prototypes of M sets, see `prototype_logits`.

    Returns
    -------
    Tensor
        Scalar >= 0, in nats.

    References
    ----------
    .. [1] Pan et al., "Transferrable Prototypical Networks for Unsupervised Domain Adaptation", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import prototype_agreement_loss
    >>> prototype_agreement_loss(torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]]]))
    tensor(0.1155)
    """
    log_proba = F.log_softmax(logits, dim=2)
    pairs = combinations(zip(log_proba, log_proba.exp(), strict=True), 2)
    # The two directions together: sum_c (p - q) (ln p - ln q).
    return torch.stack([((p - q) * (log_p - log_q)).sum(dim=1).mean() / 2 for (log_p, p), (log_q, q) in pairs]).sum()
