"""Cluster means of vectors that are known through their inner products only."""

from __future__ import annotations

import math

import numpy as np

from ._geometry import NOISE, Points, membership

# 15000^2 float32 numbers are 0.9 GB.
MAX_ROWS = 15000


class GramMeans:
    """Weighted means of the clusters: their members' shares, inner products with all rows and squared norms."""

    def __init__(self, points: Points, gram: np.ndarray, weights: np.ndarray, seeds: np.ndarray) -> None:
        self.gram, self.weights, self.k = gram, weights, len(seeds)
        self.width = math.prod(factor.shape[1] for factor in points.factors)
        self.norms = gram.diagonal()
        self.labels, self.shares = np.zeros(len(gram), dtype=np.int64), np.zeros(len(gram))
        self.labels[seeds], self.shares[seeds] = np.arange(self.k), 1
        self.inner = gram[seeds]
        self.sq_norms = self._products(self.labels, self.shares)
        self._fresh = True

    def assign(self) -> tuple[np.ndarray, np.ndarray]:
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
        distances[distances <= NOISE * np.finfo(distances.dtype).eps * self.norms] = 0
        return labels, distances

    def move(self, labels: np.ndarray) -> float:
        """Make the centroids the means of new clusters and return how far they moved, squared and summed."""
        shares = membership(labels, self.weights, self.k)
        differ = labels != self.labels
        changed = np.arange(self.k) if self._fresh else np.union1d(labels[differ], self.labels[differ])
        old = self._products(self.labels, self.shares)
        self.inner[changed] = shares[changed].astype(self.gram.dtype) @ self.gram
        across = self._products(self.labels, self.shares)
        self.labels, self.shares = labels, np.asarray(shares.sum(axis=0)).ravel()
        new = self._products(self.labels, self.shares)
        # An empty cluster has no mean; its zero vector must not attract rows.
        self.sq_norms = np.where(np.bincount(labels, minlength=self.k) > 0, new, np.inf)
        self._fresh = False
        return float((old + new - 2 * across).sum())

    def variance(self) -> float:
        """Return the mean variance of the features."""
        total = self.norms.mean(dtype=np.float64) - self.gram.mean(axis=1).mean(dtype=np.float64)
        return float(total) / self.width

    def _products(self, labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return each cluster mean's inner product with the centroid of its number."""
        return np.bincount(labels, shares * self.inner[labels, np.arange(len(labels))], minlength=self.k)
