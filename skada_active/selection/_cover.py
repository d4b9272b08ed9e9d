"""Greedy cover of rows by balls, and the radius at which balls stay within clusters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.selection._geometry import N_EPS, Points, zero_tolerance
from skada_active.selection._outer import Vectors
from skada_active.selection._ties import Ties
from skada_active.selection._validation import check_count
from skada_active.utils._sklearn import num_samples
from skada_active.utils.arrays import to_host
from skada_active.utils.random import RandomStateLike
from skada_active.utils.rows import as_row_numbers

__all__ = ["greedy_cover", "pure_radius"]

# Products of so many pairs are compared with the radius before the next ones are made.
_TILE_PRODUCTS = 2**20


def greedy_cover(
    vectors: Vectors,
    k: int,
    radius: float,
    *,
    centers: Vectors | None = None,
    among: ArrayLike | None = None,
    random_state: RandomStateLike = None,
) -> NDArray[np.int64]:
    """Pick k rows, each the one whose ball holds the most rows that no center and no earlier pick covers.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), or Outer
        The rows to pick from and to cover.
    k : int
        How many rows to pick; at most n are, and none for ``k <= 0``.
    radius : float
        A row covers itself and all rows at less than this Euclidean distance; above 0, perhaps infinite.
    centers : ndarray of shape (l, d), or Outer, default=None
        Vectors of the same kind that cover before, for example labelled rows. May be empty.
    among : array-like of int, default=None
        Distinct positions of the rows to pick from; ``None``: all of them. The others are to be covered, too.
    random_state : int, RandomState, Generator or None, default=None
        What the order of rows that cover equally many is drawn from; ``None``: their positions.

    Returns
    -------
    positions : ndarray of shape (min(max(k, 0), n),), int64
        Distinct, in order of choice. When no row covers another one any more, the cover goes on at a smaller scale: the
        radius becomes half the distance of the row that is farthest from centers and picks, and what they do not cover
        at that radius is to be covered again. Rows that coincide with them come last.

    Raises
    ------
    ValueError
        If vectors or centers contain NaN or infinity, or differ in kind or width, or radius is not above 0.

    Notes
    -----
    No graph is held, which may have n^2 edges: every row's number of uncovered neighbours is counted once, and lowered
    by the rows that each pick covers, so that every pair is looked at twice at most. 4 n^2 d operations at the speed of
    matrix products, for each radius; O(n) extra memory, one copy of the rows to be covered and about 150 MB.

    Distances that rounding cannot tell from the radius are not below it.

    References
    ----------
    .. [1] Yehuda et al., "Active Learning Through a Covering Lens", NeurIPS 2022, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import greedy_cover
    >>> X = np.array([[0.0], [1.0], [2.0], [7.0], [8.0], [20.0]])
    >>> greedy_cover(X, 3, radius=1.5)
    array([1, 3, 5])
    """
    points = Points(vectors)
    if not radius > 0:
        raise ValueError(f"radius must be above 0, got {radius}.")
    allowed = np.arange(len(points)) if among is None else as_row_numbers("among", among)
    k = check_count(k, len(allowed))
    if k == 0:
        return np.empty(0, dtype=np.int64)
    others = Points(centers, "centers", like=points) if centers is not None and num_samples(centers) else None
    cover = _Cover(points, allowed, radius, others, Ties(len(points), random_state))
    while len(cover.picks) < k and cover.pick():
        pass
    is_left = np.zeros(len(points), dtype=bool)
    is_left[allowed] = True
    is_left[cover.picks] = False
    coinciding = cover.ties.sort(np.flatnonzero(is_left))[: k - len(cover.picks)]
    return np.concatenate([np.array(cover.picks, dtype=np.int64), coinciding])


def pure_radius(vectors: Vectors, labels: ArrayLike, purity: float = 0.95) -> float:
    """Return the largest radius at which a share of the balls hold rows of their center's cluster only.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), or Outer
        The rows, at least one.
    labels : array-like of shape (n,), int
        Their clusters.
    purity : float, default=0.95
        Share of the rows whose ball has to be pure, above 0 and at most 1.

    Returns
    -------
    float
        The radius of open balls; infinite where there are not so many rows near another cluster. 0 where rows of two
        clusters coincide too often.

    Raises
    ------
    ValueError
        If vectors contain NaN or infinity.

    Notes
    -----
    Exact: the ball around a row is pure up to its distance to the nearest row of another cluster. 2 n^2 d operations at
    the speed of matrix products, no n x n array.

    References
    ----------
    .. [1] Yehuda et al., "Active Learning Through a Covering Lens", NeurIPS 2022, Sec. 3.2.

    Examples
    --------
    >>> from skada_active.selection import pure_radius
    >>> pure_radius([[0.0], [1.0], [2.0], [7.0], [8.0]], [0, 0, 0, 1, 1], purity=0.6)
    6.0
    """
    points, labels = Points(vectors), np.asarray(labels)
    nearest = np.full(len(points), np.inf, dtype=points.dtype)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        distances = np.full_like(nearest, np.inf)
        points.update_min_distances(distances, points.rows(members))
        distances[members] = np.inf
        np.minimum(nearest, distances, out=nearest)
    n_pure = max(1, math.ceil(purity * len(points) - 1e-9))
    return float(np.sqrt(np.sort(nearest)[len(points) - n_pure]))


class _Cover:
    """Greedy cover in progress: what is covered, and how many uncovered rows each ball would add.

    Parameters
    ----------
    points : Points
        All rows.
    allowed : ndarray of int64
        Rows that can be picked.
    radius : float
        The radius to begin with.
    centers : Points or None
        What covers before, and is none of the rows.
    ties : Ties
        Order of rows that cover equally many.
    """

    def __init__(
        self, points: Points, allowed: NDArray[np.int64], radius: float, centers: Points | None, ties: Ties
    ) -> None:
        self.points, self.centers, self.ties = points, centers, ties
        self.leaders = points.first_occurrence()
        self.is_open = np.zeros(len(points), dtype=bool)  # can be picked, and was not
        self.is_open[allowed] = True
        self.picks: list[int] = []
        self._cover_within(radius)

    def _cover_within(self, radius: float) -> None:
        """Begin with a radius: what centers and picks cover is covered, and balls are counted afresh."""
        squares = self._sq_distances()
        self.is_covered = (squares + zero_tolerance(self.points.sq_norms) < float(radius) * radius) | (squares == 0)
        # No two rows are farther apart.
        self.radius = min(radius, 1 + 3 * math.sqrt(self.points.sq_norms.max()))
        self.counts = self._count(np.flatnonzero(~self.is_covered))

    def pick(self) -> bool:
        """Pick the row that covers most, the first among equals; False where the rest coincides with what covers."""
        gains = self._gains()
        if not gains.max(initial=0):
            farthest = math.sqrt(self._sq_distances()[self.is_open].max(initial=0))
            if not farthest:
                return False
            self._cover_within(farthest / 2)
            gains = self._gains()
        best = self.ties.best(gains)
        self.picks.append(best)
        self.is_open[best] = False
        uncovered = np.flatnonzero(~self.is_covered)
        new = uncovered[self._is_near(best, uncovered) | (self.leaders[uncovered] == self.leaders[best])]
        self.is_covered[new] = True
        self.counts -= self._count(new)
        return True

    def _gains(self) -> NDArray[np.float64]:
        """Return how many uncovered rows each row would cover, shape (n,); -1 for rows that cannot be picked."""
        # A row covers itself, whatever the rounding.
        return np.where(self.is_open, np.maximum(self.counts, ~self.is_covered), -1.0)

    def _count(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of some rows each ball holds, shape (n,)."""
        counts = np.zeros(len(self.points), dtype=np.int64)
        others = self.points.rows(rows)
        heights = self._heights(others.sq_norms)
        for block, near in self.points.blocks():
            limits = self._heights(near.sq_norms)[:, None]
            step = max(1, _TILE_PRODUCTS // len(limits))
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                inner = near.inner(others[part])
                inner -= heights[part]
                counts[block] += to_host((inner > limits).sum(1))
        return counts

    def _is_near(self, center: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of some rows are in the ball around another."""
        near, others = self.points.rows(np.array([center])), self.points.rows(rows)
        inner = near.inner(others)[0]
        inner -= self._heights(others.sq_norms)
        return to_host(inner > self._heights(near.sq_norms))

    def _heights(self, sq_norms: Any) -> Any:
        # |x - y|^2 < r^2 is <x, y> > h(x) + h(y); the norms count a little more, so that a distance of r is not below.
        return (1 + N_EPS * np.finfo(self.points.dtype).eps) * sq_norms / 2 - self.radius**2 / 4

    def _sq_distances(self) -> NDArray[np.floating[Any]]:
        """Return the squared distances of all rows to the nearest center or pick."""
        squares = np.full(len(self.points), np.inf, dtype=self.points.dtype)
        if self.centers is not None:
            for _, rows in self.centers.blocks():
                self.points.update_min_distances(squares, rows)
        if self.picks:
            self.points.update_min_distances(squares, self.points.rows(np.array(self.picks)))
        return squares
