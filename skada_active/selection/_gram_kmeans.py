"""Cluster means of vectors that are known through their inner products only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skada_active.selection._geometry import changed_clusters, membership, zero_tolerance
from skada_active.utils.arrays import Floats

__all__ = ["MAX_ROWS", "GramMeans"]

# 15000^2 float32 numbers are 0.9 GB.
MAX_ROWS = 15000


class GramMeans:
    """Weighted means of the clusters: their members' shares, inner products with all rows and squared norms."""

    def __init__(self, gram: Floats, weights: NDArray[np.float64], seeds: NDArray[np.int64]) -> None:
        self.gram, self.weights, self.k = gram, weights, len(seeds)
        self.norms = gram.diagonal()
        self.labels: NDArray[np.int64] | None = None
        # Each centroid is a seed at first: who else belongs to its cluster has no share in it yet.
        self.members, self.shares = np.zeros(len(gram), dtype=np.int64), np.zeros(len(gram))
        self.members[seeds], self.shares[seeds] = np.arange(self.k), 1
        self.inner = gram[seeds]
        self.sq_norms = self._products()

    def assign(self) -> tuple[NDArray[np.int64], Floats]:
        """Return each row's nearest centroid and its squared distance to it; what rounding cannot tell from 0 is 0."""
        n = len(self.gram)
        labels, distances = np.empty(n, dtype=np.int64), np.empty(n, dtype=self.gram.dtype)
        step = max(1, 2**18 // self.k)
        offset = self.sq_norms.astype(self.gram.dtype)
        for block in (slice(start, start + step) for start in range(0, n, step)):
            scores = self.inner[:, block].T * -2
            scores += offset
            labels[block] = scores.argmin(axis=1)
            distances[block] = scores.min(axis=1)
        distances += self.norms
        distances[distances <= zero_tolerance(self.norms)] = 0
        return labels, distances

    def move(self, labels: NDArray[np.int64]) -> float:
        """Make the centroids the means of new clusters and return how far they moved, squared and summed."""
        shares = membership(labels, self.weights, self.k)
        changed = changed_clusters(self.labels, labels, self.k)
        old = self._products()
        self.inner[changed] = shares[changed].astype(self.gram.dtype) @ self.gram
        across = self._products()
        self.labels = self.members = labels
        self.shares = np.asarray(shares.sum(axis=0)).ravel()
        new = self._products()
        # An empty cluster has no mean; its zero vector must not attract rows.
        self.sq_norms = np.where(np.bincount(labels, minlength=self.k) > 0, new, np.inf)
        return float((old + new - 2 * across).sum())

    def _products(self) -> NDArray[np.float64]:
        """Return each cluster mean's inner product with the centroid of its number."""
        inner = self.inner[self.members, np.arange(len(self.members))]
        return np.asarray(np.bincount(self.members, self.shares * inner, minlength=self.k), dtype=np.float64)
