"""Costs of labels: what rows cost together, and which of them an amount pays for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spending"]

#: What sums of costs may be off by.
_TOLERANCE = 1e-9


class Spending:
    """Costs of the labels of all rows.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    costs : ndarray of shape (n_rows,), default=None
        Cost of every row's label, above 0; ``None``: 1 each, and amounts are then integers.
    """

    def __init__(self, n_rows: int, costs: NDArray[np.float64] | None = None) -> None:
        self.has_costs = costs is not None
        self.costs = np.ones(n_rows, dtype=np.int64) if costs is None else costs

    def total(self, ids: Sequence[int] | NDArray[np.int64]) -> int | float:
        """Return what the labels of rows cost together."""
        return math.fsum(self.costs[ids].tolist()) if self.has_costs else len(ids)

    def whole_units(self, ids: NDArray[np.int64]) -> int:
        """Return what the labels of rows cost, in whole units that pay for all of them."""
        return math.ceil(self.total(ids) - _TOLERANCE)

    def affordable(self, ids: NDArray[np.int64], amount: float) -> NDArray[np.int64]:
        """Return the rows whose label, each alone, costs `amount` at most."""
        return ids[self.costs[ids] <= amount + _TOLERANCE]

    def affordable_mask(self, ids: NDArray[np.int64], amount: float) -> NDArray[np.bool_]:
        """Tell which of the rows, taken in their order, `amount` pays for together."""
        left, is_affordable = amount + _TOLERANCE, np.zeros(len(ids), dtype=bool)
        for position, cost in enumerate(self.costs[ids].tolist()):
            is_affordable[position] = cost <= left
            left -= cost if is_affordable[position] else 0
        return is_affordable

    def n_affordable(self, ids: NDArray[np.int64], amount: float) -> int:
        """Return how many of the rows `amount` pays for, the cheapest first."""
        return int(np.searchsorted(np.cumsum(np.sort(self.costs[ids])), amount + _TOLERANCE, side="right"))

    def n_at_mean_cost(self, ids: NDArray[np.int64], amount: float) -> int:
        """Return how many rows `amount` pays for if they cost what `ids` do on average."""
        return int((amount + _TOLERANCE) / self.costs[ids].mean())
