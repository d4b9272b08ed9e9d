"""Share one budget among several pools."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["share_budget"]


def share_budget(weights: ArrayLike, capacities: ArrayLike, total: int) -> NDArray[np.int64]:
    """Share whole picks among pools in proportion to weights, by largest remainder.

    Parameters
    ----------
    weights : array-like of shape (m,)
        Non-negative weight of each pool; where those with room left weigh nothing, their room is their weight.
    capacities : array-like of shape (m,), int
        How many picks each pool holds.
    total : int
        How many picks there are; at most as many as the pools hold together are shared.

    Returns
    -------
    ndarray of shape (m,), int64
        Shares that sum to ``min(total, sum(capacities))``, none above its capacity; equal remainders in order of the
        pools. What a full pool cannot take goes to the others, again in proportion.

    Notes
    -----
    At most m passes over the pools.

    Examples
    --------
    >>> from skada_active.query import share_budget
    >>> share_budget([1.0, 1.0, 2.0], [10, 10, 3], 9)
    array([3, 3, 3])
    """
    weights, capacities = np.asarray(weights, dtype=np.float64), np.asarray(capacities, dtype=np.int64)
    shares = np.zeros(len(capacities), dtype=np.int64)
    total = min(total, int(capacities.sum()))
    while (left := total - int(shares.sum())) > 0:
        room = capacities - shares
        claims = np.where(room > 0, weights, 0.0)
        claims = claims if claims.any() else room.astype(np.float64)
        quotas = left * (claims / claims.sum())
        whole = np.floor(quotas).astype(np.int64)
        whole[np.argsort(whole - quotas, kind="stable")[: left - whole.sum()]] += 1
        shares += np.minimum(whole, room)
    return shares
