"""Vectors that are computed when they are read, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import get_blas_funcs

from skada_active.selection._duplicates import find_duplicates
from skada_active.utils.arrays import Array, Floats, as_like, empty_like, example, is_tensor, rows_inner, to_host

__all__ = ["OnDemand"]

# So much memory for the vectors of one block: operands of a matrix product that stay near the core.
BLOCK_BYTES, DEVICE_BLOCK_BYTES = 2**20, 2**26
# Fewer rows at a time leave a matrix product waiting for memory, however long the vectors are.
MIN_BLOCK = 16


class OnDemand:
    """Hold n vectors that are computed from their row numbers, never all of them at once.

    Parameters
    ----------
    compute : callable
        Maps row numbers (m,) to the vectors of these rows, shape (m, width). It may return the same memory again and
        again: what it returned is used or copied before the next call, which asks for a block of rows at most.
    keys : sequence of ndarray, each of shape (n, ...)
        What the vectors are computed from: rows that agree in all of the keys are taken to be identical.
    width : int
        Length of what `compute` returns for a row.
    basis : ndarray of shape (p, q), default=None
        `compute` returns coordinates instead of vectors: each group of p numbers, of which there are width / p, stands
        for the combination of the p rows of basis with these coefficients. Not even one block of the vectors, of length
        width q / p, is then formed.
    dtype : {float32, float64}, default=float64
        Floating type of all computations.

    Raises
    ------
    ValueError
        If the keys differ in length, or basis does not fit width.

    Notes
    -----
    `farthest_first` and `kmeans_plusplus` take it in place of an array. They read every row once for the
    norms and once in each pass, so `compute` is called about 5 to 20 times for every row, with 2 n width k operations
    on top of that for k picks, and at most about 150 MB of extra memory.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import OnDemand, farthest_first
    >>> angle = np.linspace(0, 3, 7)
    >>> vectors = OnDemand(lambda rows: np.stack([np.cos(angle[rows]), np.sin(angle[rows])], axis=1), [angle], width=2)
    >>> farthest_first(vectors, 3, first=0)
    array([0, 6, 3])
    """

    def __init__(
        self,
        compute: Callable[[NDArray[np.int64]], Array],
        keys: Sequence[ArrayLike],
        *,
        width: int,
        basis: ArrayLike | None = None,
        dtype: np.dtype[Any] | type = np.float64,
    ) -> None:
        self.compute, self.width, self.dtype = compute, width, np.dtype(dtype)
        self.keys = tuple(key if is_tensor(key) else np.asarray(key) for key in keys)
        lengths = {len(key) for key in self.keys}
        if len(lengths) != 1:
            raise ValueError(f"keys must be arrays with one entry per row, got {sorted(lengths)} entries.")
        #: An empty array of the type of the vectors, where they are.
        self.example = example(self.dtype, self.keys[0])
        self.basis: Array = None if basis is None else as_like(basis, self.example)
        if self.basis is not None and (self.basis.ndim != 2 or not len(self.basis) or width % len(self.basis)):
            raise ValueError(f"basis must have shape (p, q) with p a divisor of width={width}, got {self.basis.shape}.")
        block_bytes = DEVICE_BLOCK_BYTES if is_tensor(self.example) else BLOCK_BYTES
        self._block = max(MIN_BLOCK, block_bytes // max(1, width * self.dtype.itemsize))

    def __len__(self) -> int:
        return len(self.keys[0])

    def rows(self, index: NDArray[np.int64]) -> Array:
        """Return a copy of what `compute` gives for some rows, shape (m, width)."""
        values = empty_like((len(index), self.width), self.example)
        for start in range(0, len(index), self._block):
            part = slice(start, start + self._block)
            values[part] = self._computed(index[part])
        return values

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Go through all rows; what comes with a block is lost with the next one."""
        for block in self.slices():
            yield block, self._computed(np.arange(block.start, block.stop))

    def slices(self) -> Iterator[slice]:
        """Go through all rows in blocks, without computing them."""
        for start in range(0, len(self), self._block):
            yield slice(start, min(start + self._block, len(self)))

    def dual(self, values: Array) -> Array:
        """Return what an inner product with other rows multiplies in place of `values`, both of shape (m, width)."""
        if self.basis is None:
            return values
        return (values.reshape(-1, len(self.basis)) @ self._metric).reshape(values.shape)

    def sq_norms(self) -> Floats:
        """Return the squared Euclidean norms, shape (n,); identical rows have identical ones.

        Raises
        ------
        ValueError
            If a vector contains NaN or infinity, or its squared norm is beyond the range of the floating type.
        """
        return self._sq_norms

    @cached_property
    def duplicates(self) -> NDArray[np.int64]:
        """The lowest position of a row that is identical to it, for each row, shape (n,)."""
        marks = np.zeros(len(self))
        for block in self.slices():
            for key in self.keys:
                part = as_like(key[block], example(np.float64, key)).reshape(block.stop - block.start, -1)
                marks[block] += to_host(rows_inner(part, part))
        return find_duplicates(marks, self.keys)

    def _norms_of(self, values: Array) -> Array:
        if self.basis is not None:
            values = self._times_root(values)
        return rows_inner(values, values)

    def _computed(self, index: NDArray[np.int64]) -> Array:
        values = as_like(self.compute(index), self.example)
        if values.shape != (len(index), self.width):
            raise ValueError(f"compute must return shape ({len(index)}, {self.width}), got {tuple(values.shape)}.")
        return values if is_tensor(values) else np.ascontiguousarray(values)

    @cached_property
    def _root(self) -> Array:
        """R (p, min(p, q)) with R R^T the inner products of the rows of the basis."""
        triangle: Array = np.linalg.qr(to_host(self.basis).T, mode="r")
        return as_like(triangle.T, self.example)

    def _times_root(self, values: Array) -> Array:
        """Return vectors with the inner products of those that the coordinates `values` stand for."""
        groups = values.reshape(-1, len(self.basis))
        if self._root.shape[1] < len(self.basis) or is_tensor(values):
            return (groups @ self._root).reshape(len(values), -1)
        # The root is triangular, which saves half of the work. BLAS overwrites its operand, and reads it by columns.
        product = get_blas_funcs("trmm", dtype=self.dtype)(1.0, self._root.T, groups.copy().T, overwrite_b=True)
        return product.T.reshape(len(values), -1)

    @cached_property
    def _metric(self) -> Array:
        return self._root @ self._root.T

    @cached_property
    def _sq_norms(self) -> Floats:
        norms = np.empty(len(self), dtype=self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for block, values in self.blocks():
                norms[block] = to_host(self._norms_of(values))
        if not np.isfinite(norms).all():
            raise ValueError(
                f"The vector of row {np.isfinite(norms).argmin()} contains NaN or infinity, or its squared norm is "
                f"beyond the range of {self.dtype}; scale the vectors down, or leave such rows out."
            )
        # Products round differently from place to place; of identical rows the first one's norm stands for all.
        return norms[self.duplicates]
