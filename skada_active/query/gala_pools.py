"""Several pools in one: the targets that share a budget, and the outliers that come last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from skada_active.pool import PoolView
from skada_active.selection._ties import Ties

__all__ = ["Part", "is_isolated", "parts_of", "share_budget"]


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a pool: its ordinary rows as a view of their own, and its outliers, the least isolated first.

    Parameters
    ----------
    inliers, outliers : ndarray of int64
        Positions in the whole view.
    pool : PoolView
        The ordinary rows.
    """

    inliers: NDArray[np.int64]
    outliers: NDArray[np.int64]
    pool: PoolView

    def __len__(self) -> int:
        return len(self.inliers) + len(self.outliers)


def parts_of(view: PoolView, by_target: bool, outlier_neighbors: int | None, ties: Ties | None = None) -> list[Part]:
    """Return the parts of a view, one a target domain or a single one.

    Parameters
    ----------
    view : PoolView
        The pool, with ``proba`` and ``features``.
    by_target : bool
        Whether target domains are parts of their own, in ascending order of their numbers.
    outlier_neighbors : int or None
        Number of neighbours from whose distance outliers are told, in each part by itself; ``None``: there are none.
    ties : Ties, default=None
        Order of equally isolated outliers; ``None``: by position.

    Returns
    -------
    list of Part
        Together they hold every candidate once.
    """
    ties = Ties(len(view)) if ties is None else ties
    if not by_target:
        return [_part(view, np.arange(len(view)), outlier_neighbors, ties)]
    groups = [np.flatnonzero(view.target_domain == number) for number in np.unique(view.target_domain)]
    return [_part(view, positions, outlier_neighbors, ties) for positions in groups]


def is_isolated(spacing: ArrayLike) -> NDArray[np.bool_]:
    """Tell which rows are much farther from their neighbours than is usual.

    A row is isolated if its spacing exceeds both twice the median and Tukey's fence for logarithms,
    ``Q3 (Q3 / Q1)^1.5``, where median and quartiles are those of the spacings above 0.

    Parameters
    ----------
    spacing : array-like of shape (n,)
        Distance of each row to its k-th nearest neighbour.

    Returns
    -------
    ndarray of shape (n,), bool
        Whether a row is isolated. Members of a group of more than k near rows are not, however far off the group lies.

    Notes
    -----
    The fence adapts to the data: where regions differ in density, spacings differ manifold without any outlier, and a
    fixed multiple of the median would count the thin regions as outliers. O(n) time and memory.

    References
    ----------
    .. [1] Tukey, "Exploratory Data Analysis", 1977 (the fence of 1.5 interquartile ranges).

    Examples
    --------
    >>> from skada_active.query.gala_pools import is_isolated
    >>> is_isolated([1.0, 1.1, 1.2, 1.3, 20.0])
    array([False, False, False, False,  True])
    """
    spacing = np.asarray(spacing, dtype=np.float64)
    apart = spacing[spacing > 0]
    if not len(apart):
        return np.zeros(len(spacing), dtype=bool)
    lower, median, upper = np.quantile(apart, [0.25, 0.5, 0.75])
    return spacing > max(2 * median, upper * (upper / lower) ** 1.5)


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

    Raises
    ------
    ValueError
        If a weight is negative, NaN or infinite, or there are not as many capacities.

    Notes
    -----
    At most m passes over the pools.

    Examples
    --------
    >>> from skada_active.query.gala_pools import share_budget
    >>> share_budget([1.0, 1.0, 2.0], [10, 10, 3], 9)
    array([3, 3, 3])
    """
    weights, capacities = np.asarray(weights, dtype=np.float64), np.asarray(capacities, dtype=np.int64)
    check_consistent_length(weights, capacities)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"weights must be finite and not negative, got {weights.tolist()}; clip them first.")
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


def _part(view: PoolView, positions: NDArray[np.int64], outlier_neighbors: int | None, ties: Ties) -> Part:
    pool = view.take(positions)
    if outlier_neighbors is None or len(pool) == 1:
        return Part(positions, positions[:0], pool)
    around, places = pool.surroundings
    spacing = around.neighbors(outlier_neighbors, "euclidean")[0][:, -1]
    isolated, spacing = is_isolated(spacing)[places], spacing[places]
    inliers, outliers = np.flatnonzero(~isolated), np.flatnonzero(isolated)
    outliers = outliers[ties.lexsort([spacing[outliers]], positions[outliers])]
    return Part(positions[inliers], positions[outliers], pool.take(inliers))
