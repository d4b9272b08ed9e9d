"""Farthest-first traversal: the greedy solution of the k-centre problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skada_active.selection._geometry import Points, membership
from skada_active.selection._on_demand import OnDemand
from skada_active.selection._on_demand_geometry import as_points
from skada_active.selection._outer import Vectors
from skada_active.selection._ties import Ties
from skada_active.selection._top_k import partial_argsort
from skada_active.selection._validation import check_count, check_position
from skada_active.utils._sklearn import num_samples
from skada_active.utils.arrays import Floats
from skada_active.utils.random import RandomStateLike

__all__ = ["farthest_first", "traverse"]

# How many rows are held apart: enough for many picks between two passes, few enough to stay in the cache.
MIN_LEADERS, MAX_LEADERS, LEADERS_A_PICK = 1024, 4096, 8


def farthest_first(
    vectors: Vectors | OnDemand,
    k: int,
    *,
    centers: Vectors | OnDemand | None = None,
    first: int | None = None,
    random_state: RandomStateLike = None,
) -> NDArray[np.int64]:
    """Pick k rows, each the one farthest from the centers and from all earlier picks.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), Outer or OnDemand
        The rows to pick from.
    k : int
        How many rows to pick; at most n are, and none for ``k <= 0``.
    centers : ndarray of shape (l, d), Outer or OnDemand, default=None
        Vectors of the same kind that count as picked before, for example labelled rows. May be empty.
    first : int, default=None
        Position of the first pick where there are no centers; ``None``: the row nearest to the mean of all rows.
    random_state : int, RandomState, Generator or None, default=None
        What the order of rows at equal distances is drawn from; ``None``: their positions. Where there are none,
        nothing is drawn.

    Returns
    -------
    positions : ndarray of shape (min(max(k, 0), n),), int64
        Distinct, in order of choice: ``argmax_i min_{j in centers or picked} |x_i - x_j|``. Equal distances are
        resolved by position, or by an order drawn for all rows; once every row left coincides with a pick, the rest
        follows in this order.

    Raises
    ------
    ValueError
        If vectors or centers contain NaN or infinity, differ in kind or width, or if first is no row position.

    Notes
    -----
    The picks are those of the naive loop, which costs 2 n d k operations. Here the rows with the largest distances are
    held apart; as long as the best of them is above all others' last known distance, which can only shrink, it is the
    maximum of all rows, and many picks need distances among few rows only. Then one matrix product brings all rows up
    to date: k / 10 to k / 100 passes over the data instead of k. O(n) extra memory beyond a few MB.

    Distances that rounding cannot tell from 0 count as 0 (in float32, below 0.1 % of a row's distance to the centre of
    the data).

    References
    ----------
    .. [1] Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", Theoretical Computer Science 38, 1985.
    .. [2] Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018,
       Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import farthest_first
    >>> X = np.array([[0, 0], [1, 0], [5, 0], [5, 1], [0, 4]])
    >>> farthest_first(X, 3, centers=X[:1])
    array([3, 4, 1])
    """
    points = as_points(vectors)
    k = check_count(k, len(points))
    chosen = np.empty(k, dtype=np.int64)
    if k == 0:
        return chosen
    ties, distances = Ties(len(points), random_state), np.full(len(points), np.inf, dtype=points.dtype)
    if centers is not None and num_samples(centers):
        others = as_points(centers, "centers", like=points)
        for _, rows in others.blocks():
            points.update_min_distances(distances, rows)
        filled = 0
    else:
        chosen[0] = _medoid(points, ties) if first is None else check_position(first, len(points), "first")
        points.update_min_distances(distances, points.rows(chosen[:1]))
        filled = 1
    traverse(points, distances, chosen, filled, ties)
    return chosen


def traverse(points: Points, distances: Floats, chosen: NDArray[np.int64], filled: int, ties: Ties) -> None:
    """Fill chosen from position filled on, given all rows' squared distances to what is picked so far."""
    distances[ties.first_of_each(points.first_occurrence()) != np.arange(len(points))] = 0
    while filled < len(chosen):
        distances[chosen[:filled]] = -np.inf
        picks = _picks_among_leaders(points, distances, len(chosen) - filled, ties)
        if not len(picks):
            picks = ties.sort(np.flatnonzero(distances == 0))[: len(chosen) - filled]
        chosen[filled : filled + len(picks)] = picks
        filled += len(picks)
        if filled < len(chosen):
            points.update_min_distances(distances, points.rows(picks))


def _picks_among_leaders(points: Points, distances: Floats, limit: int, ties: Ties) -> NDArray[np.int64]:
    """Return the next picks, as many as distances among the rows with the largest ones suffice for.

    At least one, unless all distances are 0.
    """
    size = min(max(MIN_LEADERS, LEADERS_A_PICK * limit), MAX_LEADERS, points.n_held)
    positions, bound, rival = _leaders(distances, size, ties)
    rows = points.rows(positions)
    current = distances[positions]
    picks: list[int] = []
    while len(picks) < limit:
        largest = current.max()
        if largest < bound or largest <= 0:
            break
        best = np.searchsorted(positions, ties.first(positions[current == largest]))
        if largest == bound and ties.first(np.sort([positions[best], rival])) == rival:
            break
        picks.append(int(best))
        rows.update_min_distances(current, rows[best : best + 1])
        current[best] = -np.inf
    return positions[picks]


def _leaders(distances: Floats, size: int, ties: Ties) -> tuple[NDArray[np.int64], float, int]:
    """Return the leading rows' positions, the largest distance of the others and the first row that has it.

    Where few rows would be left, all of them lead: the naive loop.
    """
    n = len(distances)
    if n <= 2 * size:
        return np.arange(n), -np.inf, n
    positions = np.sort(partial_argsort(distances, size, ties))
    others = distances.copy()
    others[positions] = -np.inf
    bound = others.max()
    return positions, bound, ties.first(np.flatnonzero(others == bound)) if bound > 0 else n


def _medoid(points: Points, ties: Ties) -> int:
    """Return the position of the row nearest to the mean."""
    everybody = membership(np.zeros(len(points), dtype=np.int64), np.ones(len(points)), 1)
    scores, duplicates = points.sq_norms - 2 * points.mean_inner(everybody)[0], points.first_occurrence()
    return ties.first(np.flatnonzero(np.isin(duplicates, duplicates[scores == scores.min()])))
