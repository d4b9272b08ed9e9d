"""Exact nearest neighbours by blocked matrix products."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skada_active.selection._bfloat16_prefilter import GROUP, BFloat16Prefilter, has_bfloat16
from skada_active.selection._geometry import Points, zero_tolerance
from skada_active.selection._outer import Vectors
from skada_active.selection._top_k import top_k_rows
from skada_active.selection._validation import check_at_least_one, check_count
from skada_active.utils.arrays import Floats, on_device, to_host

__all__ = ["nearest_neighbors"]

# The products of a block of rows with all others take no more than this.
PRODUCT_BYTES = 2**26
# A tile of so many rows by so many columns is still in the cache when its maxima are taken.
TILE_ROWS, DEFAULT_BLOCK = 512, 512


def nearest_neighbors(
    vectors: Vectors, k: int, *, metric: Literal["cosine", "euclidean"] = "cosine", block_size: int | None = None
) -> tuple[Floats, NDArray[np.int64]]:
    """Find the k nearest other rows of every row, exactly.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), or Outer
        The rows.
    k : int
        How many neighbours; at most n - 1 are found, and none for ``k <= 0``.
    metric : {"cosine", "euclidean"}, default="cosine"
        Cosine similarity, 0 with a row of zeros, or Euclidean distance.
    block_size : int, default=None
        How many rows are compared with all others at a time; ``None``: 512. Fewer where these would need more than
        64 MB.

    Returns
    -------
    values : ndarray of shape (n, min(max(k, 0), n - 1))
        Similarities in descending or distances in ascending order, in the vectors' floating type.
    indices : ndarray of the same shape, int64
        The neighbours' positions. A row is no neighbour of its own, an identical other row is; equals are in ascending
        order of position.

    Raises
    ------
    ValueError
        If vectors contain NaN or infinity, the metric is unknown or block_size is below 1.

    Notes
    -----
    2 n^2 d operations, one pass over the n^2 products to narrow each row's down to the groups of neighbouring positions
    with the largest maxima; one copy of the vectors and 4 n block_size bytes in float32.

    Where the search takes seconds and the processor multiplies in bfloat16, which PyTorch can make use of, cosine
    similarities of dense float32 vectors are bounded by such products first: the same neighbours in less than half of
    the time, with 1.5 copies of the vectors and another 64 MB. PyTorch is imported then, if it was not before.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import nearest_neighbors
    >>> values, indices = nearest_neighbors(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), 1)
    >>> values.ravel().tolist(), indices.ravel().tolist()
    ([0.8, 0.8, 0.6], [1, 0, 1])
    """
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f'metric must be "cosine" or "euclidean", got {metric!r}.')
    points = Points(vectors)
    n = len(points)
    k = check_count(k, max(n - 1, 0))
    values, indices = np.empty((n, k), dtype=points.dtype), np.empty((n, k), dtype=np.int64)
    if k == 0:
        return values, indices
    block_size = check_at_least_one(DEFAULT_BLOCK if block_size is None else block_size, "block_size")
    block_size = max(1, min(block_size, n, PRODUCT_BYTES // (n * points.dtype.itemsize)))
    search = _Search(points, k, metric, block_size)
    for positions, *found in _found(points, search):
        values[positions], indices[positions] = found
    return (np.clip(values, -1, 1) if metric == "cosine" else _as_distances(values, points.sq_norms)), indices


def _found(points: Points, search: _Search) -> Iterator[tuple[NDArray[np.int64], Floats, NDArray[np.int64]]]:
    """Yield positions of queries with the scores and positions of their neighbours, in some order of the queries."""
    left = np.arange(len(points))
    if _is_prefiltered(points, search):
        prefilter = BFloat16Prefilter(search.rows.factors[0], search.k)
        for settled, scores, found, others in prefilter.in_blocks():
            yield settled, scores, found
            yield from search.in_blocks(others)
            left = left[len(settled) + len(others) :]
            if len(others) > len(settled):
                break
    yield from search.in_blocks(left)


def _is_prefiltered(points: Points, search: _Search) -> bool:
    """Tell whether products in bfloat16 are possible and worth it: on any accelerator, and on some processors."""
    factor, n = points.factors[0], len(points)
    if search.metric != "cosine" or points.dtype != np.float32 or len(points.factors) > 1 or search.k * GROUP > n:
        return False
    return on_device(factor) or has_bfloat16(n * n * factor.shape[1])


class _Search:
    """The scores, larger is nearer, of a block of rows with all others, in a buffer (n, block) that is used again.

    Consecutive positions form groups. The k best of a row lie in the k groups with the largest maxima, ties by position
    included: were one in another group, each of those k groups would hold one that comes before it.
    """

    def __init__(self, points: Points, k: int, metric: str, block_size: int) -> None:
        self.rows = points.directions() if metric == "cosine" else points.rows(slice(None))
        self.metric, self.k, self.n, self.block_size = metric, k, len(points), block_size
        self.dtype = points.dtype
        self.group = 2 ** max(0, round(math.log2(self.n / k) / 2))
        self.tile = self.group * max(1, TILE_ROWS // self.group)
        self.duplicates = points.first_occurrence()
        self.copies = np.flatnonzero(self.duplicates != np.arange(self.n))

    def in_blocks(self, positions: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Floats, NDArray[np.int64]]]:
        """Yield some of the positions with the k best scores and positions of each, best first."""
        for start in range(0, len(positions), self.block_size):
            block = positions[start : start + self.block_size]
            yield block, *self._best(block)

    @cached_property
    def _buffers(self) -> tuple[Floats, Floats]:
        n_groups = -(-self.n // self.group)
        scores = np.full((n_groups * self.group, self.block_size), -np.inf, dtype=self.dtype)
        return scores, np.empty((n_groups, self.block_size), dtype=scores.dtype)

    def _best(self, positions: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
        size = len(positions)
        scores, maxima = (buffer[:, :size] for buffer in self._buffers)
        self._score(positions, scores, maxima)
        queries = np.arange(size)[:, None]
        groups = top_k_rows(maxima.T, min(self.k, len(maxima)))
        members = (np.sort(groups, axis=1)[:, :, None] * self.group + np.arange(self.group)).reshape(size, -1)
        candidates = scores[members, queries]
        order = top_k_rows(candidates, self.k)
        return candidates[queries, order], members[queries, order]

    def _score(self, positions: NDArray[np.int64], scores: Floats, maxima: Floats) -> None:
        """Fill in the queries' scores and their maxima by group."""
        queries = self.rows[positions]
        for start in range(0, self.n, self.tile):
            tile = slice(start, min(start + self.tile, self.n))
            if self.metric == "cosine":
                scores[tile] = to_host(self.rows[tile].inner(queries))
            else:
                np.negative(to_host(self.rows[tile].sq_distances(queries)), out=scores[tile])
            copies = self.copies[np.searchsorted(self.copies, tile.start) : np.searchsorted(self.copies, tile.stop)]
            scores[copies] = scores[self.duplicates[copies]]
            grouped = scores[start : start + self.tile].reshape(-1, self.group, scores.shape[1])
            grouped.max(axis=1, out=maxima[start // self.group :][: len(grouped)])
        self._mask_self(positions, scores, maxima)

    def _mask_self(self, positions: NDArray[np.int64], scores: Floats, maxima: Floats) -> None:
        queries = np.arange(len(positions))
        scores[positions, queries] = -np.inf
        groups = positions // self.group
        maxima[groups, queries] = scores[groups[:, None] * self.group + np.arange(self.group), queries[:, None]].max(
            axis=1
        )


def _as_distances(scores: Floats, sq_norms: Floats) -> Floats:
    """Return Euclidean distances from negative squares; what rounding cannot tell from 0 becomes 0."""
    squares = -scores
    squares[squares <= zero_tolerance(sq_norms)[:, None]] = 0
    return np.sqrt(squares, out=squares)
