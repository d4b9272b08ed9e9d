"""The k largest scores, with ties broken by position or by a seed."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.selection._ties import Ties
from skada_active.utils.arrays import Floats
from skada_active.utils.random import RandomStateLike

__all__ = ["partial_argsort", "top_k", "top_k_rows"]


def top_k(scores: ArrayLike, k: int, random_state: RandomStateLike = None) -> NDArray[np.int64]:
    """Return the positions of the k largest scores, best first.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Finite numbers, or ``-inf`` for rows that come after all others. Integers are compared as float64.
    k : int
        How many positions to return; at most n are, and none for ``k <= 0``.
    random_state : int, RandomState, Generator or None, default=None
        What the order of equal scores is drawn from; ``None``: their positions. Where none are equal, nothing is drawn.

    Returns
    -------
    positions : ndarray of shape (min(max(k, 0), n),), int64
        In descending order of score; equal scores in ascending order of position, or in an order drawn for all rows.

    Raises
    ------
    TypeError
        If k is not an integer.
    ValueError
        If scores is not one-dimensional or contains NaN or ``+inf``.

    Notes
    -----
    O(n + k log k) time and O(n) memory: the scores are partitioned, only the k chosen ones are sorted.

    Examples
    --------
    >>> from skada_active.selection import top_k
    >>> top_k([0.5, 2.0, 0.5, float("-inf")], 3)
    array([1, 0, 2])
    """
    scores = np.asarray(scores)
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if scores.ndim != 1:
        raise ValueError(f"scores must be one-dimensional, got shape {scores.shape}; pass one score per row.")
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise ValueError("scores contains NaN or +inf; use finite numbers, and -inf for rows to take last.")
    if not isinstance(k, Integral):
        raise TypeError(f"k must be an integer, got {k!r}; round it first.")
    k = min(max(int(k), 0), len(scores))
    chosen = partial_argsort(scores, k)
    found = scores[chosen]
    if random_state is None or not k:
        return chosen
    is_tied = (found[1:] == found[:-1]).any() or (k < len(scores) and (scores == found[-1]).sum() > 1)
    return partial_argsort(scores, k, Ties(len(scores), random_state)) if is_tied else chosen


def partial_argsort(scores: Floats, k: int, ties: Ties | None = None) -> NDArray[np.int64]:
    """Return the first k entries of a descending argsort of NaN-free scores, for 0 <= k <= n; stable without ties."""
    if k == 0:
        return np.empty(0, dtype=np.int64)
    chosen = np.arange(len(scores))
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        above, tied = np.flatnonzero(scores > threshold), np.flatnonzero(scores == threshold)
        tied = (tied if ties is None else ties.sort(tied))[: k - len(above)]
        chosen = np.concatenate([above, tied])
    values = -scores[chosen]
    order = np.argsort(values, kind="stable") if ties is None else ties.lexsort([values], chosen)
    return chosen[order].astype(np.int64, copy=False)


def top_k_rows(scores: Floats, k: int) -> NDArray[np.int64]:
    """Return the first k entries, 1 <= k <= m, of a stable descending argsort of each row of (r, m) scores."""
    m = scores.shape[1]
    chosen = np.argpartition(scores, m - k, axis=1)[:, m - k :]
    threshold = np.take_along_axis(scores, chosen, axis=1).min(axis=1)
    tied = (scores >= threshold[:, None]).sum(axis=1) > k
    if tied.any():
        chosen[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :k]
    chosen.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)
