"""Moment matching: losses that compare the feature moments of domains."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

__all__ = ["moment_matching_loss"]


def moment_matching_loss(sources: Sequence[Tensor], targets: Sequence[Tensor], *, n_moments: int = 2) -> Tensor:
    r"""Return M3SDA's moment distance between sources and target and between the sources.

    .. math:: \sum_{k=1}^{K} \Big[ \frac{1}{S} \sum_s \| E f_s^k - E f_t^k \|_2
              + \binom{S}{2}^{-1} \sum_{s < s'} \| E f_s^k - E f_{s'}^k \|_2 \Big]

    Moments are raw (not central) and taken per feature. With several targets the first term is the mean over all pairs
    of a source and a target; targets are not compared with one another. With a single source there is no second term.

    Parameters
    ----------
    sources, targets : sequence of Tensor of shape (n_i, D)
        Features of each source and of each target domain, one row or more each; the numbers of rows may differ.
    n_moments : int, default=2
        Highest moment K.

    Returns
    -------
    Tensor
        Scalar >= 0.

    Raises
    ------
    ValueError
        If `n_moments` is below 1, there is no source or no target, or a domain has no row.

    Notes
    -----
    O(K n D + K S (S + T) D) time and O(n D + S (S + T) D) memory a moment, n rows of S sources and T targets. The k-th
    term grows like the k-th power of the features and like the square root of their number.

    References
    ----------
    .. [1] Peng et al., "Moment Matching for Multi-Source Domain Adaptation", ICCV 2019, section 3.

    Examples
    --------
    >>> import torch
    >>> from skada_active.deep.functional import moment_matching_loss
    >>> sources = [torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 2.0]])]
    >>> targets = [torch.tensor([[2.0, 0.0], [2.0, 2.0]])]
    >>> moment_matching_loss(sources, targets, n_moments=1)
    tensor(2.4142)
    """
    if n_moments < 1:
        raise ValueError(f"n_moments must be at least 1, got {n_moments!r}.")
    for name, domains in (("sources", sources), ("targets", targets)):
        if not len(domains) or not all(map(len, domains)):
            raise ValueError(f"{name} must hold one tensor or more, each with a row or more; leave empty domains out.")
    orders = range(1, n_moments + 1)
    return reduce(torch.add, (_moment_distance(_moments(sources, order), _moments(targets, order)) for order in orders))


def _moments(domains: Sequence[Tensor], order: int) -> Tensor:
    return torch.stack([rows.pow(order).mean(dim=0) for rows in domains])


def _moment_distance(source: Tensor, target: Tensor) -> Tensor:
    distance = (source[:, None] - target[None]).norm(dim=2).mean()
    if len(source) == 1:
        return distance
    first, second = torch.triu_indices(len(source), len(source), 1, device=source.device)
    return distance + (source[first] - source[second]).norm(dim=1).mean()
