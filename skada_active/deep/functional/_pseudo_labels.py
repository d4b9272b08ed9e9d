"""Losses on unlabelled target rows that trust the model's own predictions, or spread them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "adversarial_clustering_loss",
    "free_energy_alignment_loss",
    "information_maximization_loss",
    "neighbor_label_loss",
    "pseudo_label_loss",
    "self_ensembling_loss",
]

#: Added to probabilities before their logarithm, as in the published code of CDAC.
_LEAST_PROBABILITY = 1e-7


def information_maximization_loss(logits: Tensor) -> Tensor:
    r"""Return SHOT's information maximisation :math:`E\, H(p) - H(E\, p)`: sure of every row, spread over the classes.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits of target rows.

    Returns
    -------
    Tensor
        Scalar in [-ln C, 0], in nats: minus the mutual information of row and class.

    References
    ----------
    .. [1] Liang et al., "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for Unsupervised
       Domain Adaptation", ICML 2020, Eq. 3 to 5.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import information_maximization_loss
    >>> information_maximization_loss(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
    tensor(-0.6931)
    """
    log_proba = F.log_softmax(logits, dim=1)
    proba = log_proba.exp()
    return torch.special.entr(proba.mean(dim=0)).sum().neg() - (proba * log_proba).sum(dim=1).mean()


def free_energy_alignment_loss(logits: Tensor, bound: float | Tensor, beta: float = 1.0) -> Tensor:
    r"""Return EADA's hinge :math:`E_T \max(0, F(x) - \Delta)` on the free energy of target rows.

    The free energy is :math:`F(x) = -\frac{1}{\beta} \ln \sum_c e^{\beta z_c}`; that of source rows is low.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits z of target rows (negative energies).
    bound : float or scalar Tensor
        Bound Delta: the mean free energy of source rows.
    beta : float, default=1.0
        Inverse temperature > 0.

    Returns
    -------
    Tensor
        Scalar >= 0.

    Raises
    ------
    ValueError
        If `beta` is not positive.

    References
    ----------
    .. [1] Xie et al., "Active Learning for Domain Adaptation: An Energy-Based Approach", AAAI 2022, Eq. 5.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import free_energy_alignment_loss
    >>> logits = torch.tensor([[2.0, 0.0, -1.0], [0.1, 0.0, -0.1], [-3.0, -3.5, -4.0]])
    >>> free_energy_alignment_loss(logits, bound=-1.5)
    tensor(1.4059)
    """
    if beta <= 0:
        raise ValueError(f"beta must be positive, got {beta!r}.")
    return (-(beta * logits).logsumexp(dim=1) / beta - bound).clamp_min(0).mean()


def pseudo_label_loss(logits: Tensor, augmented_logits: Tensor, *, threshold: float = 0.95) -> Tensor:
    """Return the cross-entropy of augmented rows with the confident predictions of the rows themselves.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits of target rows, whose predictions are the labels; no gradient reaches them.
    augmented_logits : Tensor of shape (n, C)
        Logits of another view of the same rows.
    threshold : float, default=0.95
        Rows count whose largest probability is at least this.

    Returns
    -------
    Tensor
        Scalar >= 0: the sum over the confident rows, divided by the number of all rows.

    References
    ----------
    .. [1] Li et al., "Cross-Domain Adaptive Clustering for Semi-Supervised Domain Adaptation", CVPR 2021, Eq. 8.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import pseudo_label_loss
    >>> logits = torch.tensor([[9.0, 0.0], [0.1, 0.0]])
    >>> pseudo_label_loss(logits, torch.zeros(2, 2))  # ln 2 of the first row alone
    tensor(0.3466)
    """
    confidence, labels = logits.detach().softmax(dim=1).max(dim=1)
    losses = F.cross_entropy(augmented_logits, labels, reduction="none")
    return (losses * (confidence >= threshold)).mean()


def adversarial_clustering_loss(
    features: Tensor, logits: Tensor, augmented_logits: Tensor, *, top_k: int = 5
) -> Tensor:
    r"""Return CDAC's pairwise cross-entropy: rows with the same strongest features are to be of one class.

    A pair (i, j) is similar, s = 1, where the k largest features of both are the same set. With
    :math:`P_{ij} = p_i^T p'_j`, p' the probabilities of the other view, the loss is the mean over all n^2 pairs of
    :math:`-s \ln(P + \epsilon) - (1 - s) \ln(1 - P + \epsilon)`, :math:`\epsilon = 10^{-7}`. The features minimise
    it, the classifier maximises it (a gradient reversal between the two, and the negative loss).

    Parameters
    ----------
    features : Tensor of shape (n, D)
        Embedding of target rows, not negative (behind a ReLU) in the paper; no gradient reaches it.
    logits, augmented_logits : Tensor of shape (n, C)
        Logits of the rows and of another view of them.
    top_k : int, default=5
        How many features are compared; at most D count.

    Returns
    -------
    Tensor
        Scalar >= 0.

    Raises
    ------
    ValueError
        If `top_k` is below 1.

    Notes
    -----
    O(n^2 (C + top_k)) time, O(n^2) memory.

    References
    ----------
    .. [1] Li et al., "Cross-Domain Adaptive Clustering for Semi-Supervised Domain Adaptation", CVPR 2021, Eq. 3 to 5.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import adversarial_clustering_loss
    >>> logits = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    >>> adversarial_clustering_loss(torch.eye(2), logits, logits, top_k=1).round(decimals=4).abs()
    tensor(0.)
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k!r}.")
    strongest = features.detach().topk(min(top_k, features.shape[1]), dim=1).indices.sort(dim=1).values
    similar = (strongest[:, None] == strongest[None]).all(dim=2)
    same = logits.softmax(dim=1) @ augmented_logits.softmax(dim=1).T
    # Rounding may bring a product above 1.
    return -(torch.where(similar, same, 1 - same).clamp_min(0) + _LEAST_PROBABILITY).log().mean()


def self_ensembling_loss(logits: Tensor, teacher_logits: Tensor, *, threshold: float = 0.968) -> Tensor:
    """Return the squared difference of the probabilities of student and teacher, where the teacher is confident.

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits of the student for target rows.
    teacher_logits : Tensor of shape (n, C)
        Logits of the teacher for another view of the same rows; no gradient reaches them.
    threshold : float, default=0.968
        Rows count whose largest probability exceeds this for the teacher.

    Returns
    -------
    Tensor
        Scalar in [0, 2 / C]: the mean over the classes, summed over the confident rows and divided by the number of all
        rows.

    References
    ----------
    .. [1] French et al., "Self-ensembling for visual domain adaptation", ICLR 2018, sections 3.1 and 3.2.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import self_ensembling_loss
    >>> teacher_logits = torch.tensor([[50.0, 0.0], [0.1, 0.0]])
    >>> self_ensembling_loss(torch.zeros(2, 2), teacher_logits)  # .5 squared, of the first row alone
    tensor(0.1250)
    """
    teacher = teacher_logits.detach().softmax(dim=1)
    losses = (logits.softmax(dim=1) - teacher).square().mean(dim=1)
    return (losses * (teacher.amax(dim=1) > threshold)).mean()


def neighbor_label_loss(logits: Tensor, neighbor_proba: Tensor) -> Tensor:
    r"""Return ATDOC's cross-entropy with what the neighbours of a row say.

    .. math:: -E_T\, \max(q) \ln p_{\arg\max q}

    Parameters
    ----------
    logits : Tensor of shape (n, C)
        Logits of target rows, p their probabilities.
    neighbor_proba : Tensor of shape (n, C)
        Mean probabilities q of the neighbours of each row; no gradient reaches them. A row of zeros does not count.

    Returns
    -------
    Tensor
        Scalar >= 0, the mean over all rows.

    References
    ----------
    .. [1] Liang et al., "Domain Adaptation with Auxiliary Target Domain-Oriented Classifier", CVPR 2021.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import neighbor_label_loss
    >>> neighbor_label_loss(torch.zeros(1, 2), torch.tensor([[0.75, 0.25]]))  # .75 ln 2
    tensor(0.5199)
    """
    weight, labels = neighbor_proba.detach().max(dim=1)
    return (weight * F.cross_entropy(logits, labels, reduction="none")).mean()
