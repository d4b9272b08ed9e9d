"""Order of tied rows: by position, or by keys that a seed draws."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.utils.random import RandomStateLike, TiesByPosition, check_rng

__all__ = ["Ties"]


class Ties:
    """Order in which equals among n rows are taken.

    Parameters
    ----------
    n : int
        How many rows there are.
    random_state : int, RandomState, Generator or None
        What the order is drawn from, at the first tie: where there is none, nothing is drawn. ``None``, or a
        `TiesByPosition`: the order of the positions.
    """

    def __init__(self, n: int, random_state: RandomStateLike = None) -> None:
        self.n, self.random_state = n, random_state
        self.by_position = random_state is None or isinstance(random_state, TiesByPosition)

    @cached_property
    def keys(self) -> NDArray[np.float64]:
        """A key per row, drawn once; the row with the lowest one comes first."""
        return check_rng(self.random_state).random_sample(self.n)

    def first(self, positions: NDArray[np.int64]) -> int:
        """Return which of some rows, in ascending order of position, is taken first."""
        if self.by_position or len(positions) == 1:
            return int(positions[0])
        return int(positions[self.keys[positions].argmin()])

    def best(self, scores: NDArray[np.floating[Any]], slack: float = 0.0) -> int:
        """Return which row of the largest score is taken first; scores that miss it by `slack` or less are equal."""
        return self.first(np.flatnonzero(scores >= scores.max() - slack))

    def sort(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return rows, given in ascending order of position, in the order in which they are taken."""
        if self.by_position or len(positions) < 2:
            return positions
        return positions[self.keys[positions].argsort(kind="stable")]

    def lexsort(self, columns: Sequence[NDArray[Any]], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the order of some rows by columns of numbers, one per row, the last one first, and then by ties."""
        order = np.lexsort(columns)
        if self.by_position:
            return order
        equal = np.logical_and.reduce([column[order[1:]] == column[order[:-1]] for column in columns])
        return np.lexsort([self.keys[positions], *columns]) if equal.any() else order

    def first_of_each(self, leaders: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each row which of its group is taken first, given the lowest position of its group."""
        if self.by_position or (leaders == np.arange(self.n)).all():
            return leaders
        order = self.sort(np.arange(self.n))
        _, first, group = np.unique(leaders[order], return_index=True, return_inverse=True)
        chosen = np.empty_like(leaders)
        chosen[order] = order[first[group]]
        return chosen
