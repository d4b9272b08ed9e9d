"""Inner products and distances of dense and of factored vectors.

Both kinds are a tuple of factors, and an inner product is the product of the factors' inner products: one factor is a
dense array, two are outer products, ``<a (x) h, a' (x) h'> = <a, a'> <h, h'>``. Everything else is written once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from skada_active.selection._duplicates import find_duplicates
from skada_active.selection._outer import Vectors, as_factors, product_sq_norms
from skada_active.utils.arrays import (
    Array,
    Floats,
    as_like,
    empty_like,
    host_dtype,
    is_tensor,
    namespace,
    normalized,
    rows_inner,
    to_host,
)

__all__ = [
    "MAX_PRODUCTS",
    "N_EPS",
    "Points",
    "Rows",
    "changed_clusters",
    "membership",
    "weighted_sums",
    "zero_tolerance",
]

# Products are made in blocks whose operands and results stay in a core's cache, or keep an accelerator busy.
BLOCK_BYTES, DEVICE_BLOCK_BYTES = 2**20, 2**26
# A block and all that it is compared with at a time have no more inner products than this.
MAX_PRODUCTS = 2**24
# Vectors that take no more than this are moved to the origin once, others whenever they are read.
MOVED_BYTES = 2**22
# So many rows are summed up in their own floating type, the sums of these in float64.
SUM_ROWS = 2048
# |x|^2 + |y|^2 - 2 <x, y> is uncertain by so many machine epsilons of |x|^2: a distance below that counts as 0.
N_EPS = 8


class Rows:
    """Some vectors about a common origin, small enough to be multiplied at once, wherever they are."""

    def __init__(self, factors: tuple[Array, ...], sq_norms: Array) -> None:
        self.factors = factors
        self.sq_norms = sq_norms
        self.xp = namespace(sq_norms)

    @property
    def tolerance(self) -> Array:
        """Squared distances (n,) that rounding cannot tell from 0."""
        return zero_tolerance(self.sq_norms)

    def __getitem__(self, index: NDArray[np.int64] | slice) -> Rows:
        return Rows(tuple(factor[index] for factor in self.factors), self.sq_norms[index])

    def inner(self, other: Rows, out: Array | None = None) -> Array:
        """Return the (n, m) inner products with m other rows."""
        first, *rest = zip(self.factors, other.factors, strict=True)
        out = self.xp.matmul(first[0], first[1].T, out=out)
        for mine, theirs in rest:
            out *= mine @ theirs.T
        return out

    def sq_distances(self, other: Rows, out: Array | None = None) -> Array:
        """Return the (n, m) squared Euclidean distances to m other rows, none of them negative."""
        out = self.inner(other, out=out)
        out *= -2
        out += other.sq_norms
        out += self.sq_norms[:, None]
        return self.xp.clip(out, 0, None, out=out)

    def update_min_distances(self, distances: Floats, others: Rows) -> None:
        """Update squared distances (n,) to the nearest of some rows, in place, as the others join these.

        What rounding cannot tell from 0 becomes 0, so that duplicates tie.
        """
        cross = others.inner(self)
        cross *= -2
        cross += others.sq_norms[:, None]
        nearest = cross[0] if len(cross) == 1 else self.xp.amin(cross, 0)
        nearest += self.sq_norms
        nearest[nearest <= self.tolerance] = 0
        np.minimum(distances, to_host(nearest), out=distances)


class Points:
    """All vectors of a call: validated, addressed in blocks, dense ones taken about one of them.

    They stay where they are, and products with them are made there; what has one number a row comes to the host.

    Distances do not depend on the origin, their rounding does: features far from 0 would lose all digits of
    ``|x|^2 + |y|^2 - 2 <x, y>`` in float32. A central row is the origin, not the mean, because whole numbers then stay
    whole and their ties exact. The vectors themselves are never written to, and copied only where they are few.
    """

    #: How many rows may be held apart at a time.
    n_held = sys.maxsize

    def __init__(self, vectors: Vectors, name: str = "vectors", *, like: Points | None = None) -> None:
        self.factors = as_factors(vectors, name)
        if like is not None:
            self._match(like, name)
        self.origin: Array | None = _central_row(self.factors) if like is None else like.origin
        width = sum(factor.shape[1] for factor in self.factors)
        block_bytes = DEVICE_BLOCK_BYTES if is_tensor(self.factors[0]) else BLOCK_BYTES
        self._block = max(1, block_bytes // (64 * max(1, width) * self.dtype.itemsize)) * 64
        self._moved: tuple[Array, ...] | None = None
        if self.origin is not None and self.factors[0].nbytes <= MOVED_BYTES:
            self._moved = self._centred(slice(None))
        self.norms = empty_like((len(self),), self.factors[0])
        with np.errstate(over="ignore", invalid="ignore"):
            for block in self._slices():
                self.norms[block] = product_sq_norms(self._centred(block))
        self.sq_norms = to_host(self.norms)
        self._check_range(self.dtype, name)

    def __len__(self) -> int:
        return len(self.factors[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating type of all computations."""
        return host_dtype(self.factors[0])

    def _check_range(self, dtype: np.dtype[Any] | type, name: str) -> None:
        """Raise a ValueError where sums of the squared distances of all rows could be out of the range of a type."""
        largest = self.sq_norms.max(initial=0)
        if not largest <= np.finfo(dtype).max / (16 * max(1, len(self))):
            raise ValueError(
                f"{name} has squared norms beyond the range of {np.dtype(dtype)}, the largest is {largest:.1e}; scale "
                f"{name} down first."
            )

    def rows(self, index: NDArray[np.int64] | slice) -> Rows:
        """Return some of the vectors, about the origin."""
        return Rows(self._centred(index), self.norms[index])

    def first_occurrence(self) -> NDArray[np.int64]:
        """Return for each row the lowest position of a row that is identical to it, shape (n,).

        Products round differently from place to place, so that identical rows would not tie by position on their own.
        """
        return find_duplicates(self.sq_norms, self.factors)

    def directions(self) -> Rows:
        """Return all vectors at length 1, about zero; those of length 0 stay."""
        factors = tuple(map(normalized, self.factors))
        return Rows(factors, product_sq_norms(factors))

    def blocks(self) -> Iterator[tuple[slice, Rows]]:
        """Go through all vectors in blocks that fit into the cache."""
        for block in self._slices():
            yield block, self.rows(block)

    def update_min_distances(self, distances: Floats, others: Rows) -> None:
        """Update squared distances (n,) as others join the rows that they are to, without an (n, m) array."""
        for block, rows in self.blocks():
            step = max(1, min(self._block, MAX_PRODUCTS // len(rows.sq_norms)))
            for start in range(0, len(others.sq_norms), step):
                rows.update_min_distances(distances[block], others[start : start + step])

    def sq_distances(self, others: Rows) -> Array:
        """Return the (m, n) squared distances from m other rows to all vectors."""
        out = empty_like((len(others.sq_norms), len(self)), self.norms)
        for block, rows in self.blocks():
            out[:, block] = others.sq_distances(rows)
        return out

    def mean_inner(self, membership: csr_matrix) -> Floats:
        """Return the (m, n) inner products of m means of the vectors, given by their shares, with all of them."""
        if len(self.factors) == 1:
            return self._mean_inner_dense(membership)
        return self._mean_inner_outer(membership)

    def means(self, membership: csr_matrix) -> NDArray[np.float64]:
        """Return m means of dense vectors about the origin, given by their shares, (m, d) in float64."""
        means = np.zeros((membership.shape[0], self.factors[0].shape[1]))
        clusters = np.repeat(np.arange(len(means)), np.diff(membership.indptr))
        data = membership.data.astype(self.dtype)
        for start in range(0, len(data), SUM_ROWS):
            part = slice(start, start + SUM_ROWS)
            rows = self.rows(membership.indices[part]).factors[0]
            first, last = clusters[part][[0, -1]]
            layout = data[part], (clusters[part] - first, np.arange(len(rows)))
            means[first : last + 1] += weighted_sums(csr_matrix(layout, shape=(last + 1 - first, len(rows))), rows)
        return means

    def variance(self) -> float:
        """Return the mean variance of the coordinates."""
        everybody = membership(np.zeros(len(self), dtype=np.int64), np.ones(len(self)), 1)
        if len(self.factors) == 1:
            mean = self.means(everybody)
        else:
            mean = to_host(self._mean_matrix(everybody.indices, everybody.data)).astype(np.float64)
        return float(self.sq_norms.mean(dtype=np.float64) - np.square(mean).sum()) / max(1, mean.size)

    def _mean_inner_dense(self, membership: csr_matrix) -> Floats:
        means = as_like(self.means(membership), self.norms)
        out = empty_like(membership.shape, self.norms)
        for block, rows in self.blocks():
            out[:, block] = means @ rows.factors[0].T
        return to_host(out)

    def _mean_inner_outer(self, membership: csr_matrix) -> Floats:
        left, right = self.factors
        out = empty_like(membership.shape, self.norms)
        for mean, start, stop in zip(count(), membership.indptr[:-1], membership.indptr[1:], strict=False):
            matrix = self._mean_matrix(membership.indices[start:stop], membership.data[start:stop])
            for block in self._slices():
                out[mean, block] = rows_inner(left[block] @ matrix, right[block])
        return to_host(out)

    def _mean_matrix(self, members: NDArray[np.int64], shares: NDArray[np.float64]) -> Array:
        """Return a mean of outer products, (C, D)."""
        left, right = self.factors
        matrix = as_like(np.zeros((left.shape[1], right.shape[1])), left)
        for start in range(0, len(members), self._block):
            part = slice(start, start + self._block)
            a, h = self._centred(members[part])
            matrix += (a * as_like(shares[part, None], a)).T @ h
        return matrix

    def gram(self) -> NDArray[np.float32]:
        """Return the (n, n) float32 inner products of all vectors with each other."""
        n = len(self)
        self._check_range(np.float32, "vectors")
        single = namespace(self.norms).float32
        cast = [f.to(single) if is_tensor(f) else f.astype(single, copy=False) for f in self._centred(slice(None))]
        rows, out = Rows(tuple(cast), self.norms), empty_like((n, n), cast[0])
        for block in self._slices():
            rows[block].inner(rows[block.start :], out=out[block, block.start :])
            out[block.stop :, block] = out[block, block.stop :].T
        return to_host(out)

    def _centred(self, index: NDArray[np.int64] | slice) -> tuple[Array, ...]:
        if self._moved is not None:
            return (self._moved[0][index],)
        parts = [factor[index] for factor in self.factors]
        if is_tensor(parts[0]):
            return tuple(parts) if self.origin is None else (parts[0] - self.origin,)
        if self.origin is None:
            return tuple(map(np.ascontiguousarray, parts))
        return (np.subtract(parts[0], self.origin, order="C"),)

    def _slices(self) -> Iterator[slice]:
        for start in range(0, len(self), self._block):
            yield slice(start, min(start + self._block, len(self)))

    def _match(self, like: Points, name: str) -> None:
        mine, theirs = [[factor.shape[1] for factor in points.factors] for points in (self, like)]
        if mine != theirs:
            raise ValueError(f"{name} must be of the kind and width of vectors, {theirs}, got {mine}.")
        self.factors = tuple(as_like(mine, theirs) for mine, theirs in zip(self.factors, like.factors, strict=True))


def membership(labels: NDArray[np.int64], weights: NDArray[np.float64], n_clusters: int) -> csr_matrix:
    """Return the (n_clusters, n) shares of the rows in their cluster's weighted mean; each non-empty row sums to 1.

    A cluster whose weights are all 0 gets its unweighted mean.
    """
    totals = np.bincount(labels, weights, minlength=n_clusters)
    counts = np.bincount(labels, minlength=n_clusters)
    weightless = totals == 0
    shares = np.where(weightless[labels], 1.0, weights) / np.where(weightless, np.maximum(counts, 1), totals)[labels]
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    return csr_matrix((shares[order], order, starts), shape=(n_clusters, len(labels)))


def changed_clusters(before: NDArray[np.int64] | None, after: NDArray[np.int64], n_clusters: int) -> NDArray[np.int64]:
    """Return the clusters that lost or won rows, ascending; all of them where there was no clustering before."""
    if before is None:
        return np.arange(n_clusters)
    differ = after != before
    return np.union1d(after[differ], before[differ])


def weighted_sums(shares: csr_matrix, rows: Array) -> Floats:
    """Return the sums (m, d) of rows (r, d) with weights (m, r)."""
    if not is_tensor(rows):
        return shares @ rows
    # An accelerator adds up in no fixed order but multiplies in one: a dense product repeats bit for bit.
    return to_host(as_like(shares.toarray(), rows) @ rows)


def zero_tolerance(sq_norms: Array) -> Array:
    """Return the squared distances that rounding cannot tell from 0, of vectors with these squared norms."""
    return N_EPS * np.finfo(host_dtype(sq_norms)).eps * sq_norms


def _central_row(factors: tuple[Array, ...]) -> Array | None:
    """Return the row nearest to the mean in a sample of dense rows; outer products cannot be moved."""
    if len(factors) > 1:
        return None
    sample = factors[0][:: len(factors[0]) // 256 + 1]
    if not len(sample):
        return 0 * sample.sum(0)
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = ((sample - sample.mean(0)) ** 2).sum(1).argmin()
    return sample[nearest] + 0
