"""Exact nearest neighbours by cosine, most rows being ruled out by products of few digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skada_active.utils.arrays import Array, Floats, is_tensor, to_host

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GROUP", "BFloat16Prefilter", "has_bfloat16"]

# So many multiplications take longer in float32 than torch takes to be imported.
MIN_WORK = 10**11
# The products of a block of queries with all rows take no more than this.
PRODUCT_BYTES = 2**26
BLOCK, GROUP, TILE_GROUPS = 512, 64, 32
# Rows whose products are made again at a time, and how many of them a query may have.
PAIR_ROWS, MAX_PAIRS = 4096, 256
# A number below 1 that is rounded to bfloat16 changes by this at most, one below 2 by twice as much.
ROUNDING = 2.0**-9


def has_bfloat16(work: int) -> bool:
    """Tell whether this processor multiplies in bfloat16 and `work` multiplications are enough to ask torch for it."""
    if work < MIN_WORK:
        return False
    import torch  # here, for the package imports without torch

    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


class BFloat16Prefilter:
    """Rule out all rows that cannot be among the k nearest of a query, and compare the others exactly.

    A product in bfloat16 is several times as fast as one in float32, and its error is bounded: by the lengths of what
    rounding took from the two rows, and the rounding of the product. The k-th largest of the maxima of groups of rows,
    less this bound, is a lower bound of the k-th largest product. Rows below it by more than the bound are out, and
    nothing is missed. Everything is done on the device of the rows.
    """

    def __init__(self, unit: Array, k: int) -> None:
        import torch  # has been imported where there is a tensor or bfloat16

        self.torch, self.k, self.n = torch, k, len(unit)
        self.unit = unit if is_tensor(unit) else torch.from_numpy(unit)
        self.n_groups = -(-self.n // GROUP)
        self.short = self.unit.new_empty(self.unit.shape, dtype=torch.bfloat16)
        lost = self.unit.new_empty(self.n)
        for start in range(0, self.n, PAIR_ROWS):
            part = slice(start, start + PAIR_ROWS)
            self.short[part] = self.unit[part]
            lost[part] = (self.unit[part] - self.short[part]).norm(dim=1)
        of_rows = lost + (1 + lost) * lost.max()
        # Products are below 1 but for these errors, and one little above 1 is rounded to 1.
        of_product = of_rows.clip(ROUNDING, 2 * ROUNDING)
        # What the sums in float32 lose, in the product and in these norms, is far below a hundredth of the rest.
        self.error = 1.01 * (of_rows + of_product)
        self.block_size = max(1, min(BLOCK, self.n, PRODUCT_BYTES // (2 * self.n)))
        self.scores = self.short.new_full((self.n_groups * GROUP, self.block_size), -torch.inf)
        self.maxima = self.short.new_empty((self.n_groups, self.block_size))

    def in_blocks(self) -> Iterator[tuple[NDArray[np.int64], Floats, NDArray[np.int64], NDArray[np.int64]]]:
        """Yield queries with the scores and positions of their k best rows, best first, and the queries without.

        A query with too many near rows has none: to compare them one by one would take longer than all at once.
        """
        for start in range(0, self.n, self.block_size):
            block = slice(start, min(start + self.block_size, self.n))
            settled, scores, rows, others = map(to_host, self._best(block))
            yield settled, scores, rows, others

    def _best(self, block: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        torch = self.torch
        queries, rows = self._candidates(block)
        counts = queries.bincount(minlength=block.stop - block.start)
        settled = (counts >= self.k) & (counts <= MAX_PAIRS)
        chosen = settled[queries]
        queries, rows = queries[chosen], rows[chosen]
        scores = self._products(rows, queries + block.start)
        # The pairs are in order of query and row, and stay so among equals.
        order = scores.argsort(stable=True, descending=True)
        order = order[queries[order].argsort(stable=True)]
        starts = (counts * settled).cumsum(0) - counts
        first = order[starts[settled, None] + torch.arange(self.k, device=order.device)]
        positions = torch.arange(block.start, block.stop, device=order.device)
        return positions[settled], scores[first], rows[first], positions[~settled]

    def _candidates(self, block: slice) -> tuple[Tensor, Tensor]:
        """Return pairs of queries (numbers in the block) and rows, sorted, that hold all k best of each query."""
        scores, maxima = self._score(block)
        floor = maxima.float().topk(self.k, dim=0).values[-1] - 2 * self.error[block]
        near = maxima >= floor
        near &= near.sum(dim=0) <= MAX_PAIRS
        queries, groups = near.T.nonzero(as_tuple=True)
        members = scores.view(self.n_groups, GROUP, -1)[groups, :, queries]
        pairs, offsets = (members >= floor[queries, None]).nonzero(as_tuple=True)
        return queries[pairs], groups[pairs] * GROUP + offsets

    def _score(self, block: slice) -> tuple[Tensor, Tensor]:
        """Return the products of all rows with the queries, -inf with themselves, and their maxima by group."""
        size = block.stop - block.start
        scores, maxima = self.scores[:, :size], self.maxima[:, :size]
        grouped, queries = scores.view(self.n_groups, GROUP, -1), self.short[block].T
        for first in range(0, self.n_groups, TILE_GROUPS):
            tile, groups = slice(first * GROUP, (first + TILE_GROUPS) * GROUP), slice(first, first + TILE_GROUPS)
            rows = self.short[tile]
            self.torch.mm(rows, queries, out=scores[tile][: len(rows)])
            maxima[groups] = grouped[groups].amax(dim=1)
        scores[block].fill_diagonal_(-self.torch.inf)
        touched = slice(block.start // GROUP, (block.stop - 1) // GROUP + 1)
        maxima[touched] = grouped[touched].amax(dim=1)
        return scores, maxima

    def _products(self, rows: Tensor, others: Tensor) -> Tensor:
        """Return the inner products of pairs of rows; identical pairs have identical ones."""
        products = self.unit.new_empty(len(rows))
        for start in range(0, len(rows), PAIR_ROWS):
            part = slice(start, start + PAIR_ROWS)
            pair = self.unit.index_select(0, rows[part]), self.unit.index_select(0, others[part])
            products[part] = pair[0].mul_(pair[1]).sum(dim=1)
        return products
