"""Means over rows that count by weights."""

from __future__ import annotations

from torch import Tensor

__all__ = ["relative_weight", "weighted_mean"]

#: Weights of zero may fill a batch; its loss is then zero, not 0 / 0.
_LEAST_TOTAL = 1e-12


def weighted_mean(losses: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of losses whose rows count by weights.

    Parameters
    ----------
    losses : Tensor of shape (..., n)
        Losses of n rows.
    weight : Tensor of shape (n,), default=None
        Weight >= 0 of each row; ``None``: 1.

    Returns
    -------
    Tensor
        Scalar; zero where no row has a weight.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional._weighting import weighted_mean
    >>> weighted_mean(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 1.0]))
    tensor(2.)
    """
    if weight is None:
        return losses.mean()
    weight = weight.expand_as(losses)
    return (weight * losses).sum() / weight.sum().clamp_min(_LEAST_TOTAL)


def relative_weight(weight: Tensor, group: Tensor | None = None) -> Tensor:
    """Return weights of rows, divided by their mean, so that all rows together count as without weights.

    Parameters
    ----------
    weight : Tensor of shape (n,)
        Weight >= 0 of each row.
    group : Tensor of shape (n,), int64, default=None
        Number of each row's group, in which the mean is taken; ``None``: all rows are one.

    Returns
    -------
    Tensor of shape (n,)
        Zero where no row of the group has a weight.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional._weighting import relative_weight
    >>> relative_weight(torch.tensor([3.0, 1.0, 7.0]), torch.tensor([0, 0, 1]))
    tensor([1.5000, 0.5000, 1.0000])
    """
    if not len(weight):
        return weight
    if group is None:
        return weight * (len(weight) / weight.sum().clamp_min(_LEAST_TOTAL))
    zeros = weight.new_zeros(int(group.max()) + 1)
    total, size = (zeros.index_add(0, group, rows) for rows in (weight, weight.new_ones(len(weight))))
    return weight * (size / total.clamp_min(_LEAST_TOTAL))[group]
