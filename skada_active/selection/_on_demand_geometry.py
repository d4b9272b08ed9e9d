"""Inner products and distances of vectors that are computed on demand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from skada_active.selection._geometry import Points, Rows, weighted_sums
from skada_active.selection._on_demand import OnDemand
from skada_active.selection._outer import Vectors
from skada_active.utils.arrays import Array, Floats, as_like, empty_like, to_host

__all__ = ["ComputedPoints", "ComputedRows", "as_points"]

# So much memory for rows that are held apart, and for the rows of one pass over all others.
HELD_BYTES = 2**26
PASS_BYTES = 2**25


def as_points(vectors: Vectors | OnDemand, name: str = "vectors", *, like: Points | None = None) -> Points:
    """Return the vectors of a call, of whatever kind, validated."""
    if isinstance(vectors, OnDemand):
        return ComputedPoints(vectors, name, like=like)
    if isinstance(like, ComputedPoints):
        raise ValueError(f"{name} must be OnDemand like vectors, got {type(vectors).__name__}.")
    return Points(vectors, name, like=like)


class ComputedRows(Rows):
    """Some vectors on demand: their values (m, width), and what is multiplied with those of other rows."""

    def __init__(self, vectors: OnDemand, values: Array, sq_norms: Array) -> None:
        super().__init__((values,), sq_norms)
        self.vectors = vectors

    def __getitem__(self, index: NDArray[np.int64] | slice) -> ComputedRows:
        return ComputedRows(self.vectors, self.factors[0][index], self.sq_norms[index])

    @cached_property
    def dual(self) -> Array:
        """Return what an inner product with other rows multiplies, shape (m, width)."""
        return self.vectors.dual(self.factors[0])

    def inner(self, other: Rows, out: Array | None = None) -> Array:
        """Return the (n, m) inner products with m other rows; cheaper for few rows with many than the other way."""
        return self.xp.matmul(self.dual, other.factors[0].T, out=out)


class ComputedPoints(Points):
    """All vectors of a call that are computed on demand, about zero."""

    def __init__(self, vectors: OnDemand, name: str = "vectors", *, like: Points | None = None) -> None:
        self.vectors = vectors
        if like is not None:
            self._match(like, name)
        self.sq_norms = vectors.sq_norms()
        self.norms = as_like(self.sq_norms, vectors.example)
        self.n_held = max(1, HELD_BYTES // max(1, vectors.width * self.dtype.itemsize))

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating type of all computations."""
        return self.vectors.dtype

    def rows(self, index: NDArray[np.int64] | slice) -> ComputedRows:
        """Return some of the vectors."""
        index = np.arange(len(self))[index]
        return ComputedRows(self.vectors, self.vectors.rows(index), self.norms[index])

    def first_occurrence(self) -> NDArray[np.int64]:
        """Return for each row the lowest position of a row that is identical to it, shape (n,)."""
        return self.vectors.duplicates

    def update_min_distances(self, distances: Floats, others: Rows) -> None:
        """Update squared distances (n,) as others join the rows that they are to, in few passes over all rows."""
        size = max(1, PASS_BYTES // max(1, self.vectors.width * self.dtype.itemsize))
        for start in range(0, len(others.sq_norms), size):
            part = others[start : start + size]
            for block, rows in self.blocks():
                rows.update_min_distances(distances[block], part)

    def mean_inner(self, membership: csr_matrix) -> Floats:
        """Return the (m, n) inner products of m means of the vectors, given by their shares, with all of them."""
        means = np.zeros((membership.shape[0], self.vectors.width))
        shares = membership.T.tocsr()
        for block, rows in self.blocks():
            means += weighted_sums(shares[block].T, rows.factors[0])
        means = self.vectors.dual(as_like(means, self.norms))
        out = empty_like(membership.shape, self.norms)
        for block, rows in self.blocks():
            out[:, block] = means @ rows.factors[0].T
        return to_host(out)

    def blocks(self) -> Iterator[tuple[slice, ComputedRows]]:
        """Go through all vectors in blocks; what comes with a block is lost with the next one."""
        for block, values in self.vectors.blocks():
            yield block, ComputedRows(self.vectors, values, self.norms[block])

    def _match(self, like: Points, name: str) -> None:
        mine, theirs = self.vectors, getattr(like, "vectors", None)
        if theirs is None or (mine.width, mine.dtype) != (theirs.width, theirs.dtype):
            raise ValueError(f"{name} must be of the kind, width and floating type of vectors.")
        bases = [() if vectors.basis is None else to_host(vectors.basis) for vectors in (mine, theirs)]
        if (mine.basis is None) != (theirs.basis is None) or not np.array_equal(bases[0], bases[1]):
            raise ValueError(f"{name} must have the basis of vectors.")
