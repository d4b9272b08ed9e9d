"""k-means++ seeding (D^2 sampling), plain and greedy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.selection._geometry import N_EPS, Points
from skada_active.selection._on_demand import OnDemand
from skada_active.selection._on_demand_geometry import as_points
from skada_active.selection._outer import Vectors
from skada_active.selection._validation import check_at_least_one, check_count, check_position, check_weights
from skada_active.utils.arrays import Floats, as_like, to_host
from skada_active.utils.random import RandomStateLike, check_rng

__all__ = ["d2_sample", "draw", "kmeans_plusplus"]

# A block draws as many candidates as there are picks: the potential then shrinks little within it and most are kept.
MAX_DRAWS = 256
# The squared distances of the greedy variant's candidates to all rows take no more than this, unless one pick's do.
TRIAL_BYTES = 2**26


def kmeans_plusplus(
    vectors: Vectors | OnDemand,
    k: int,
    *,
    sample_weight: ArrayLike | None = None,
    first: int | None = None,
    n_trials: int = 1,
    random_state: RandomStateLike = None,
) -> NDArray[np.int64]:
    """Draw k distinct rows by D^2 sampling, the seeding of k-means++.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), Outer or OnDemand
        The rows to draw from.
    k : int
        How many rows to draw; at most n are, and none for ``k <= 0``.
    sample_weight : array-like of shape (n,), default=None
        Non-negative weights, by default equal; all zeros count as equal.
    first : int, default=None
        Position of the first pick; ``None``: it is drawn in proportion to the weights.
    n_trials : int, default=1
        1 draws each pick from the D^2 law. A larger number is the greedy variant: so many candidates are drawn from it
        and the one that leaves the least potential is taken.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness; None takes fresh entropy.

    Returns
    -------
    positions : ndarray of shape (min(max(k, 0), n),), int64
        Distinct, in order of choice. After the first, row i comes next with probability
        ``w_i D_i^2 / sum_j w_j D_j^2``, D being the distance to the nearest pick; once all of these are 0, the rest is
        drawn uniformly.

    Raises
    ------
    ValueError
        If vectors contain NaN or infinity, a weight is negative or not finite, first is no row position, or n_trials is
        below 1.

    Notes
    -----
    The law is exact up to rounding. A block of candidates is drawn from the weights known last and each is kept with
    the ratio of its present to its last known squared distance (rejection sampling); a matrix product per block brings
    all rows up to date. About 2 n d k operations as in the naive loop, at the speed of matrix products, and O(n) extra
    memory beyond a few MB. The greedy variant costs 2 n d k n_trials, and at most about 150 MB.

    Distances that rounding cannot tell from 0 count as 0.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007, Section 2.2.
    .. [2] Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds", ICLR 2020, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import kmeans_plusplus
    >>> X = np.array([[0.0], [0.0], [9.0], [9.0]])
    >>> X[kmeans_plusplus(X, 2, first=0, random_state=0)].ravel()
    array([0., 9.])
    """
    points = as_points(vectors)
    n = len(points)
    k, n_trials = check_count(k, n), check_at_least_one(n_trials, "n_trials")
    weights, rng = check_weights(sample_weight, n), check_rng(random_state)
    if k == 0:
        return np.empty(0, dtype=np.int64)
    first = draw(np.cumsum(weights), 1, rng)[0] if first is None else check_position(first, n, "first")
    return d2_sample(points, k, weights, first, n_trials, rng)


def d2_sample(
    points: Points, k: int, weights: NDArray[np.float64], first: int, n_trials: int, rng: np.random.RandomState
) -> NDArray[np.int64]:
    """Draw k >= 1 rows, the first given; kmeans_plusplus has the other parameters."""
    n = len(points)
    chosen = np.full(k, first, dtype=np.int64)
    distances = np.full(n, np.inf, dtype=points.dtype)
    new, filled = chosen[:1], 1
    while filled < k:
        points.update_min_distances(distances, points.rows(new))
        distances[chosen[:filled]] = 0
        cumulative = np.cumsum(weights * distances)
        if cumulative[-1] <= 0:
            new = rng.permutation(np.setdiff1d(np.arange(n), chosen[:filled]))[: k - filled]
        elif n_trials == 1:
            new = _draw_block(points, distances, cumulative, k - filled, min(filled, MAX_DRAWS, points.n_held), rng)
        else:
            most = min(MAX_DRAWS * n_trials, points.n_held, TRIAL_BYTES // (n * distances.itemsize))
            n_draws = max(n_trials, min(filled * n_trials, most))
            new = _draw_greedily(points, distances, cumulative, weights, k - filled, n_trials, n_draws, rng)
        chosen[filled : filled + len(new)] = new
        filled += len(new)
    return chosen


def draw(cumulative: NDArray[np.float64], size: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Draw positions with replacement from cumulative weights; a row of weight 0 never comes."""
    last = np.searchsorted(cumulative, cumulative[-1])
    return np.minimum(np.searchsorted(cumulative, rng.random_sample(size) * cumulative[-1], side="right"), last)


def _draw_block(
    points: Points,
    distances: Floats,
    cumulative: NDArray[np.float64],
    limit: int,
    n_draws: int,
    rng: np.random.RandomState,
) -> NDArray[np.int64]:
    """Return the next picks by the D^2 law, from one block of candidates drawn at the distances known last.

    Every candidate is looked at once, in the order of drawing, against the picks of that moment. The first is kept.
    """
    candidates = draw(cumulative, n_draws, rng)
    rows, current = points.rows(candidates), distances[candidates]
    levels = np.maximum(rng.random_sample(n_draws) * current, to_host(rows.tolerance))
    pairwise = to_host(rows.sq_distances(rows))
    kept: list[np.int64] = []
    alive = np.arange(n_draws)
    while len(alive) and len(kept) < limit:
        pick = alive[0]
        kept.append(pick)
        np.minimum(current, pairwise[pick], out=current)
        current[candidates == candidates[pick]] = 0
        alive = np.flatnonzero(levels < current)
        alive = alive[alive > pick]
    return candidates[kept]


def _draw_greedily(
    points: Points,
    distances: Floats,
    cumulative: NDArray[np.float64],
    weights: NDArray[np.float64],
    limit: int,
    n_trials: int,
    n_draws: int,
    rng: np.random.RandomState,
) -> NDArray[np.int64]:
    """Return the next picks, each the one of n_trials candidates by the D^2 law that leaves the least potential.

    As in `_draw_block`, candidates are drawn at the distances known last and looked at once, in order; n_trials of them
    that are kept make a pick. The first trial among equals wins, such as of two rows each other's nearest.
    """
    candidates = draw(cumulative, n_draws, rng)
    rows = points.rows(candidates)
    levels = np.maximum(rng.random_sample(n_draws) * distances[candidates], to_host(rows.tolerance))
    lowered = points.sq_distances(rows)
    current, weights = as_like(distances.copy(), lowered), as_like(weights / weights.max(), lowered)
    kept: list[np.int64] = []
    start = 0
    while len(kept) < limit:
        alive = start + np.flatnonzero(levels[start:] < to_host(current[candidates[start:]]))[:n_trials]
        if len(alive) < n_trials:
            break
        trials = rows.xp.minimum(lowered[alive], current)
        potentials = to_host(trials @ weights)
        best = int((potentials <= potentials.min() * (1 + N_EPS * np.finfo(points.dtype).eps)).argmax())
        kept.append(candidates[alive[best]])
        current = trials[best]
        current[kept[-1]] = 0
        start = alive[-1] + 1
    return np.array(kept)
