"""Exact nearest neighbours by cosine, most rows being ruled out by products of half the width."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

# So many multiplications take longer in float32 than torch takes to be imported.
MIN_WORK = 10**11
# The products of a block of queries with all rows take no more than this.
PRODUCT_BYTES = 2**26
BLOCK, GROUP, TILE_GROUPS = 512, 64, 32
# Rows whose products are made again at a time, and how many of them a query may have on average.
PAIR_ROWS, MAX_PAIRS = 4096, 256
# A number below 1 that is rounded to bfloat16 changes by this at most, one below 2 by twice as much.
ROUNDING = 2.0**-9


def has_bfloat16(work: int) -> bool:
    """Tell whether this processor multiplies in bfloat16 and `work` multiplications are enough to ask torch for it."""
    if work < MIN_WORK or sys.platform != "linux":
        return False
    import torch  # here, for the package imports without torch

    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


class Screen:
    """Rule out all rows that cannot be among the k nearest of a query, and compare the others in float32.

    A product in bfloat16 is several times as fast, and its error is bounded: by the lengths of what rounding took from
    the two rows, and the rounding of the product. The k-th largest of the maxima of groups of rows, less this bound, is
    a lower bound of the k-th largest product. Rows below it by more than the bound are out, and nothing is missed.
    """

    def __init__(self, unit: np.ndarray, k: int) -> None:
        import torch

        self.torch, self.unit, self.k = torch, unit, k
        self.n, self.n_groups = len(unit), -(-len(unit) // GROUP)
        self.short = torch.empty(unit.shape, dtype=torch.bfloat16)
        lost = np.empty(self.n, dtype=np.float32)
        for start in range(0, self.n, PAIR_ROWS):
            part = slice(start, start + PAIR_ROWS)
            rows = torch.as_tensor(unit[part])
            self.short[part] = rows
            lost[part] = (rows - self.short[part].float()).norm(dim=1).numpy()
        of_rows = lost + (1 + lost) * lost.max()
        # Products are below 1 but for these errors, and one little above 1 is rounded to 1.
        of_product = np.clip(of_rows, ROUNDING, 2 * ROUNDING)
        # What the sums in float32 lose, in the product and in these norms, is far below a hundredth of the rest.
        self.error = (1.01 * (of_rows + of_product)).astype(np.float32)
        self.block_size = max(1, min(BLOCK, self.n, PRODUCT_BYTES // (2 * self.n)))
        self.scores = torch.full((self.n_groups * GROUP, self.block_size), -torch.inf, dtype=torch.bfloat16)
        self.maxima = torch.empty((self.n_groups, self.block_size), dtype=torch.bfloat16)

    def best(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the k best scores and positions of consecutive queries, best first, and which queries have them.

        A query with too many near rows has none: to compare them one by one would take longer than all at once.
        """
        rows, queries = self._candidates(positions)
        counts = np.bincount(queries, minlength=len(positions))
        settled = (counts >= self.k) & (counts <= MAX_PAIRS)
        chosen = settled[queries]
        rows, queries = rows[chosen], queries[chosen]
        scores = self._products(rows, positions[queries])
        order = np.lexsort((rows, -scores, queries))
        starts = np.cumsum(np.where(settled, counts, 0)) - counts
        first = order[starts[settled, None] + np.arange(self.k)]
        return scores[first], rows[first], settled

    def _candidates(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of rows and queries (numbers in the block) that hold all k best of each query."""
        scores, maxima = self._score(positions)
        floor = np.partition(maxima.T, self.n_groups - self.k, axis=1)[:, self.n_groups - self.k]
        floor -= 2 * self.error[positions]
        near = maxima >= floor
        groups, queries = np.nonzero(near & (near.sum(axis=0) <= MAX_PAIRS))
        index = self.torch.as_tensor(groups), slice(None), self.torch.as_tensor(queries)
        members = scores.view(self.n_groups, GROUP, -1)[index].float().numpy()
        pairs, offsets = np.nonzero(members >= floor[queries, None])
        return groups[pairs] * GROUP + offsets, queries[pairs]

    def _score(self, positions: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return the products of all rows with the queries, -inf with themselves, and their maxima by group."""
        scores, maxima = self.scores[:, : len(positions)], self.maxima[:, : len(positions)]
        grouped, queries = scores.view(self.n_groups, GROUP, -1), self.short[positions[0] : positions[-1] + 1].T
        for first in range(0, self.n_groups, TILE_GROUPS):
            tile, groups = slice(first * GROUP, (first + TILE_GROUPS) * GROUP), slice(first, first + TILE_GROUPS)
            rows = self.short[tile]
            self.torch.mm(rows, queries, out=scores[tile][: len(rows)])
            maxima[groups] = grouped[groups].amax(dim=1)
        scores[positions, np.arange(len(positions))] = -self.torch.inf
        touched = slice(positions[0] // GROUP, positions[-1] // GROUP + 1)
        maxima[touched] = grouped[touched].amax(dim=1)
        return scores, maxima.float().numpy()

    def _products(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the inner products of pairs of rows; identical pairs have identical ones."""
        products = np.empty(len(rows), dtype=self.unit.dtype)
        for start in range(0, len(rows), PAIR_ROWS):
            part = slice(start, start + PAIR_ROWS)
            np.einsum("ij,ij->i", self.unit[rows[part]], self.unit[others[part]], out=products[part])
        return products
