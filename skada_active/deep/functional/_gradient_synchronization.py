"""Adversarial losses of many discriminators, and the loss that keeps their gradients in step (GSDA)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "class_balance_weights",
    "domain_gradient_magnitudes",
    "feature_gradient_magnitudes",
    "gradient_synchronization_loss",
    "weighted_domain_losses",
]


def weighted_domain_losses(logit: Tensor, is_source: Tensor, weight: Tensor) -> Tensor:
    r"""Return the weighted cross-entropy of every domain discriminator, source being 1.

    .. math:: L_k = \sum_i w_{ik} H(\sigma(l_{ik}), d_i)

    With :math:`w_{ik} = p_i^k`, the probability that a row belongs to class (group) k, these are the class-wise
    (group-wise) losses of GSDA; with :math:`w_{ik} = 1` and one discriminator the global one. Divide the weights by the
    number of rows for batch means.

    Parameters
    ----------
    logit : Tensor of shape (K, n)
        Logit of P(source) by each of K discriminators. Every one may have rows of its own.
    is_source : Tensor of shape (n,) or (K, n), bool
        Whether a row comes from the source.
    weight : Tensor of shape (K, n)
        Weight of each row in each loss.

    Returns
    -------
    Tensor of shape (K,)
        Loss of each discriminator.

    Notes
    -----
    O(K n) time and memory.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020,
       Eq. 6 to 8.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import weighted_domain_losses
    >>> weight = torch.tensor([[1.0, 0.25], [0.0, 0.75]])
    >>> weighted_domain_losses(torch.zeros(2, 2), torch.tensor([True, False]), weight)
    tensor([0.8664, 0.5199])
    """
    return (weight * F.softplus(torch.where(is_source, -logit, logit))).sum(dim=1)


def domain_gradient_magnitudes(logit: Tensor, slope: Tensor, is_source: Tensor, weight: Tensor) -> Tensor:
    r"""Return how strongly each row's features pull on each discriminator's loss, in closed form.

    .. math:: \Big\| \frac{\partial L_k}{\partial f_i} \Big\|_2
              = w_{ik} |\sigma(l_{ik}) - d_i| \Big\| \frac{\partial l_{ik}}{\partial f_i} \Big\|_2

    for the losses of `weighted_domain_losses`. The last factor is the slope of the discriminator at the row; where the
    discriminator is a ReLU network it is constant but for its weights, so that the magnitudes have a gradient of first
    order only.

    Parameters
    ----------
    logit, slope : Tensor of shape (K, n)
        Logit of P(source), and the length of its gradient with respect to the features of the row.
    is_source : Tensor of shape (n,) or (K, n), bool
        Whether a row comes from the source.
    weight : Tensor of shape (K, n)
        Weight >= 0 of each row in each loss.

    Returns
    -------
    Tensor of shape (K, n)
        Magnitudes, differentiable; their sum over rows is G(L_k) of `gradient_synchronization_loss`.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020,
       Eq. 10, 11.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import domain_gradient_magnitudes
    >>> features, w = torch.eye(2), torch.tensor([1.0, -1.0])
    >>> logit, slope = (features @ w)[None], w.norm().expand(1, 2)
    >>> domain_gradient_magnitudes(logit, slope, torch.tensor([True, False]), torch.ones(1, 2)).sum()
    tensor(0.7607)
    """
    return weight * torch.where(is_source, -logit, logit).sigmoid() * slope


def feature_gradient_magnitudes(losses: Tensor, features: Tensor) -> Tensor:
    r"""Return the length of each loss's gradient with respect to each row's features, by autograd.

    Works for discriminators of any kind; for ReLU networks `domain_gradient_magnitudes` is the faster way to the same.

    Parameters
    ----------
    losses : Tensor of shape (K,)
        Losses that depend on `features`, with their graph.
    features : Tensor of shape (n, D)
        Features, in the graph. They must be the ones before a gradient reversal, whose backward pass would turn the
        second gradient around, too.

    Returns
    -------
    Tensor of shape (K, n)
        Magnitudes :math:`\| \partial L_k / \partial f_i \|_2`, differentiable. The gradient of a length of 0 is 0.

    Notes
    -----
    One backward pass with ``create_graph`` for each loss; O(K n D) memory.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020,
       Eq. 10, 11.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import feature_gradient_magnitudes
    >>> features = torch.tensor([[3.0, 4.0]], requires_grad=True)
    >>> feature_gradient_magnitudes(features.square().sum()[None], features)
    tensor([[10.]], grad_fn=...)
    """
    gradients = [torch.autograd.grad(loss, features, create_graph=True)[0] for loss in losses]
    return torch.stack(gradients).norm(dim=2)


def gradient_synchronization_loss(coarse: Tensor, fine: Tensor, parent: Tensor, *, reduction: str = "sum") -> Tensor:
    r"""Return how far gradient magnitudes of coarse pieces are from the sums over their parts.

    .. math:: \sum_q \Big| G(L_q) - \sum_{k \in q} G(L_k) \Big|, \qquad
              G(L) = \sum_i \Big\| \frac{\partial L}{\partial f_i} \Big\|_2

    GSDA's L_syn adds this up for groups and their classes and for the domain and its groups. The equations are damaged
    in the text that we have; summing lengths (not the length of a sum, as "the sum of gradients direction will
    neutralize the difference") and summing over groups is our reading.

    Parameters
    ----------
    coarse : Tensor of shape (a,)
        Magnitude of each coarse piece.
    fine : Tensor of shape (b,)
        Magnitude of each part.
    parent : Tensor of shape (b,), int64
        Position in `coarse` of the piece that a part belongs to.
    reduction : {"sum", "mean"}, default="sum"
        Whether to add or to average over the coarse pieces.

    Returns
    -------
    Tensor
        Scalar >= 0.

    Raises
    ------
    ValueError
        If `reduction` is unknown.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020,
       Eq. 10 to 12.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import gradient_synchronization_loss
    >>> groups, classes = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.5, 2.0])
    >>> gradient_synchronization_loss(groups, classes, torch.tensor([0, 0, 1]))
    tensor(1.5000)
    """
    if reduction not in ("sum", "mean"):
        raise ValueError(f'reduction must be "sum" or "mean", got {reduction!r}.')
    gap = (coarse - torch.zeros_like(coarse).index_add(0, parent, fine)).abs()
    return gap.sum() if reduction == "sum" else gap.mean()


def class_balance_weights(labels: Tensor) -> Tensor:
    """Return row weights by which all classes that occur count the same.

    Parameters
    ----------
    labels : Tensor of shape (n,), int64
        Column positions of the labels; rows with -1 get weight 1.

    Returns
    -------
    Tensor of shape (n,)
        Weights of mean 1 over the rows with a label: their number / (classes that occur * rows of the class).

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import class_balance_weights
    >>> class_balance_weights(torch.tensor([0, 0, 0, 2, -1]))
    tensor([0.6667, 0.6667, 0.6667, 2.0000, 1.0000])
    """
    counts = torch.bincount(labels + 1, minlength=2)
    n_labeled, n_present = counts[1:].sum(), (counts[1:] > 0).sum()
    return torch.where(labels >= 0, n_labeled / (n_present * counts[labels + 1]), 1.0)
