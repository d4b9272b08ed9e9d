"""Shares of counts as whole numbers, free of what floating point makes of a decimal share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["n_in_share", "turns_by_share"]

# 0.07 * 100 is a little above 7, and 0.29 * 100 a little below 29.
_ROUNDING = 1e-12


def n_in_share(share: float, count: int | NDArray[np.int64], *, up: bool = False) -> Any:
    """Return how many whole rows a share of each count is; the fraction of a row is left out, or with `up` a row.

    Parameters
    ----------
    share : float
        The share, taken as exact to 1e-12.
    count : int or ndarray of int
        How many rows there are.
    up : bool, default=False
        Whether to round up, to at least 1, or down.

    Returns
    -------
    np.int64 or ndarray of int64
        As many numbers as counts.

    Examples
    --------
    >>> from skada_active.utils.shares import n_in_share
    >>> int(n_in_share(0.29, 100)), int(n_in_share(0.07, 100, up=True))
    (29, 7)
    """
    if up:
        return np.maximum(1, np.ceil((share - _ROUNDING) * count)).astype(np.int64)
    return np.floor((share + _ROUNDING) * count).astype(np.int64)


def turns_by_share(shares: Sequence[float], n_turns: int, n_before: int = 0) -> NDArray[np.int64]:
    """Return whose turns are the next ones where several take turns by their shares, in an order that is fixed.

    The next turn is that of the largest ``share / (2 m + 1)``, m being how many turns it has had (Sainte-Laguë's
    method); ties go to the larger share, then to the first. Any number of turns from the first one on is shared as
    nearly as it can be.

    Parameters
    ----------
    shares : sequence of float
        Positive numbers, of which the ratio counts.
    n_turns : int
        How many turns are returned.
    n_before : int, default=0
        How many turns went before.

    Returns
    -------
    ndarray of shape (n_turns,), int64
        Positions in `shares`.

    Notes
    -----
    O(T log T) time and O(T) memory for each share and the T turns from the first one on.

    Examples
    --------
    >>> from skada_active.utils.shares import turns_by_share
    >>> turns_by_share([3, 1], 8)
    array([0, 0, 1, 0, 0, 0, 1, 0])
    """
    ratio = np.asarray(shares, dtype=np.float64) / max(shares)
    n = n_before + n_turns
    claims = ratio[:, None] / (2 * np.arange(n) + 1)
    owner = np.repeat(np.arange(len(ratio)), n)
    order = np.lexsort((owner, -ratio[owner], -claims.ravel()))
    return owner[order[n_before:n]]
