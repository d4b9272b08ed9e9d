"""Mean, deviation and span of columns, gathered in one pass over blocks of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ColumnMoments", "along_columns", "minus"]

#: Deviations whose squares double precision holds.
_SQUARABLE = (1e-150, 1e150)


class ColumnMoments:
    """Mean, deviation and span of every column (or image channel) of rows, in double precision.

    Blocks are merged by Chan's formula, and values are counted from the first row, so that neither an offset nor a
    small unit costs digits.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n, d, ...)
        Blocks of rows of any real type, at least one row; each is read once.

    Attributes
    ----------
    dtype : dtype
        Common type of the blocks.
    origin : ndarray of shape (d,), float64
        The first value of every column.
    mean : ndarray of shape (d,), float64
        Mean, counted from `origin`.
    std : ndarray of shape (d,), float64
        Population standard deviation; 0 for a column that is constant but for the rounding of its type.
    span : ndarray of shape (d,), float64
        Difference between the largest and the smallest value.

    Raises
    ------
    ValueError
        If a value is not finite, or a deviation is beyond the reach of double precision.
    """

    def __init__(self, blocks: Iterable[NDArray[Any]]) -> None:
        self._count = 0
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large is an error
            for block in blocks:
                self._add(block)
        self.span, self.std = self._high - self._low, np.sqrt(self._squares / self._count)
        self._check()
        eps = np.finfo(self.dtype).eps if self.dtype.kind == "f" else 0.0
        self.std[self.std <= eps * np.abs(self.origin + self.mean)] = 0.0

    def _add(self, block: NDArray[Any]) -> None:
        axes = (0, *range(2, block.ndim))
        if not self._count:
            self.dtype, self.origin = block.dtype, block[0].reshape(block.shape[1], -1)[:, 0].astype(np.float64)
            self.mean, self._squares, self._low, self._high = (np.zeros_like(self.origin) for _ in range(4))
        self.dtype = np.result_type(self.dtype, block.dtype)
        values = minus(block, along_columns(self.origin, block.ndim))
        count, added = self._count, values.size // values.shape[1]
        shift = values.mean(axis=axes) - self.mean
        self._low = np.minimum(self._low, values.min(axis=axes))
        self._high = np.maximum(self._high, values.max(axis=axes))
        values -= along_columns(self.mean + shift, block.ndim)
        self._squares += np.square(values, out=values).sum(axis=axes) + shift**2 * count * added / (count + added)
        self.mean += shift * added / (count + added)
        self._count += added

    def _check(self) -> None:
        beyond = ~np.isfinite(self.span) | (self.span > 0) & ~((self.std > _SQUARABLE[0]) & (self.std < _SQUARABLE[1]))
        if beyond.any():
            column = int(np.argmax(beyond))
            raise ValueError(
                f"X has a column (or channel), number {column}, that holds NaN or infinity or whose standard deviation "
                f"{self.std[column]:g} double precision cannot square; impute what is missing and rescale what is not."
            )


def along_columns(values: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    """Return values (d,) in the shape in which they meet the second of `ndim` axes."""
    return values.reshape(-1, *[1] * (ndim - 2))


def minus(X: NDArray[Any], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``X - offset`` in double precision; integers beyond 2**53 keep their digits."""
    if X.dtype != np.int64 or not (np.abs(offset) < 2**63).all():
        return np.subtract(X, offset, dtype=np.float64)
    whole = np.trunc(offset)
    return (X - whole.astype(np.int64)) - (offset - whole)
