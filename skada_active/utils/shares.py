"""Shares of counts as whole numbers, free of what floating point makes of a decimal share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["n_in_share"]

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
