"""Cluster means of dense vectors, searched again only where they moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skada_active.selection._geometry import MAX_PRODUCTS, Points, changed_clusters, membership, zero_tolerance
from skada_active.utils.arrays import Floats, as_like, to_host

__all__ = ["DenseMeans", "TensorMeans"]

# The scores of a block of rows are still in the cache when their minima are taken.
SCORE_BYTES = 2**20


class DenseMeans:
    """Weighted means of the clusters, with each row's score at its own one and a bound of its scores at the others.

    The score of a row x at a centroid c is ``|c|^2 - 2 <x, c>``, its squared distance less ``|x|^2``. It changes only
    where the centroid moved, so an iteration multiplies the rows with these centroids alone: exact, and more and more
    of them stand still. Only a row whose own centroid went farther off than its bound is compared with all again.
    """

    def __init__(self, points: Points, weights: NDArray[np.float64], seeds: NDArray[np.int64]) -> None:
        n = len(points)
        self.points, self.weights, self.k = points, weights, len(seeds)
        self.centers = to_host(points.rows(seeds).factors[0]).astype(np.float64)
        self.sq_norms = np.einsum("ij,ij->i", self.centers, self.centers)
        self.moved = np.arange(self.k)
        self.labels: NDArray[np.int64] | None = None
        self.nearest = np.zeros(n, dtype=np.int64)
        self.own, self.bound = np.empty((2, n), dtype=points.dtype)
        self.tolerance = zero_tolerance(points.sq_norms)

    def assign(self) -> tuple[NDArray[np.int64], Floats]:
        """Return each row's nearest centroid and its squared distance to it; what rounding cannot tell from 0 is 0."""
        self._find_nearest()
        distances = self.own + self.points.sq_norms
        distances[distances <= self.tolerance] = 0
        return self.nearest.copy(), distances

    def _find_nearest(self) -> None:
        """Bring each row's nearest centroid and its score at it up to date."""
        factors, offsets = (-2 * self.centers).astype(self.own.dtype), self.sq_norms.astype(self.own.dtype)
        step = max(64, SCORE_BYTES // (self.k * self.own.itemsize))
        for start in range(0, len(self.own), step):
            block = slice(start, start + step)
            rows = self.points.rows(block).factors[0]
            if self.labels is None:
                self._search(block, rows @ factors.T + offsets)
            elif len(self.moved):
                lost = self._search_moved(block, rows @ factors[self.moved].T + offsets[self.moved])
                self._search(start + lost, rows[lost] @ factors.T + offsets)

    def move(self, labels: NDArray[np.int64]) -> float:
        """Make the centroids the means of new clusters and return how far they moved, squared and summed."""
        changed = changed_clusters(self.labels, labels, self.k)
        self.labels, self.nearest = labels, labels.copy()
        shares = membership(labels, self.weights, self.k)[changed]
        before, filled = (self.centers[changed], self.sq_norms[changed]), np.diff(shares.indptr) > 0
        centers = np.where(filled[:, None], self.points.means(shares), before[0])
        # An empty cluster has no mean, and its last one must not attract rows.
        sq_norms = np.where(filled, np.einsum("ij,ij->i", centers, centers), np.inf)
        self.centers[changed], self.sq_norms[changed] = centers, sq_norms
        self.moved = changed[(centers != before[0]).any(axis=1) | (sq_norms != before[1])]
        return float(np.square(centers - before[0]).sum())

    def _search(self, where: slice | NDArray[np.int64], scores: Floats) -> None:
        """Take the nearest of all centroids."""
        self.nearest[where], self.own[where] = _take_minimum(scores)
        self.bound[where] = scores.min(axis=1)

    def _search_moved(self, block: slice, scores: Floats) -> NDArray[np.int64]:
        """Take the centroids that moved into account; return the rows to which one that did not may be nearer."""
        nearest, own, bound, tolerance = self.nearest[block], self.own[block], self.bound[block], self.tolerance[block]
        column = np.full(self.k, -1)
        column[self.moved] = np.arange(len(self.moved))
        inside = np.flatnonzero(column[nearest] >= 0)
        at_own = inside, column[nearest[inside]]
        own[inside] = scores[at_own]
        scores[at_own] = np.inf
        best, lowest = _take_minimum(scores)
        # Rounding differs from place to place: without a margin a row could waver between two centroids for ever.
        leaving = np.flatnonzero(lowest < own - tolerance)
        left = np.minimum(bound[leaving], own[leaving])
        np.minimum(bound, lowest, out=bound)
        bound[leaving] = np.minimum(left, scores[leaving].min(axis=1))
        nearest[leaving], own[leaving] = self.moved[best[leaving]], lowest[leaving]
        return np.flatnonzero(own > bound + tolerance)


class TensorMeans(DenseMeans):
    """The same for tensors: all centroids at once, which takes an accelerator less time than to tell what moved."""

    def _find_nearest(self) -> None:
        factors, offsets = as_like(-2 * self.centers.T, self.points.norms), as_like(self.sq_norms, self.points.norms)
        step = max(64, MAX_PRODUCTS // self.k)
        for start in range(0, len(self.own), step):
            block = slice(start, start + step)
            scores = self.points.rows(block).factors[0] @ factors + offsets
            present = scores[np.arange(len(scores)), self.nearest[block]]
            lowest, best = map(to_host, scores.min(dim=1))
            present = to_host(present)
            leaving = lowest < present - self.tolerance[block]
            self.own[block] = np.where(leaving, lowest, present)
            self.nearest[block] = np.where(leaving, best, self.nearest[block])


def _take_minimum(scores: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return where each row's minimum is and its value, and write infinity in its place."""
    rows, columns = np.arange(len(scores)), scores.argmin(axis=1)
    values = scores[rows, columns]
    scores[rows, columns] = np.inf
    return columns, values
