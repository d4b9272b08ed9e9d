"""Spending: how much each round may spend, what labels cost, and which of them an amount pays for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skada_active.utils.warn import warn_user

__all__ = ["BudgetSchedule", "Spending"]

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


class BudgetSchedule(BaseEstimator):
    """Turn a budget into an exact number of labels per round.

    Parameters
    ----------
    budget : int, float or sequence of either, default=0.05
        An int is a number of labels, a float in [0, 1] a fraction of the initial pool (rounded to the nearest integer).
        A sequence gives the rounds one by one, all ints or all floats; `n_rounds` and `allocation` are then not read.
    n_rounds : int, default=5
        Number of rounds; fewer where the budget has fewer labels.
    allocation : {"equal", "front_loaded"}, default="equal"
        ``"equal"``: the same number each round, what does not divide evenly is bought in the last round (as LADA does).
        ``"front_loaded"``: each round gets `decay` times the share of the round before.
    decay : float, default=0.5
        Ratio of neighbouring rounds in a front-loaded schedule, in (0, 1).

    Examples
    --------
    >>> from skada_active.loop import BudgetSchedule
    >>> BudgetSchedule(0.05, n_rounds=5).rounds(n_pool=294)
    [3, 3, 3, 3, 3]
    >>> BudgetSchedule(22, n_rounds=4).rounds(n_pool=294)
    [5, 5, 5, 7]
    >>> BudgetSchedule(22, n_rounds=4, allocation="front_loaded").rounds(n_pool=294)
    [12, 6, 3, 1]
    """

    def __init__(self, budget: Any = 0.05, n_rounds: int = 5, allocation: str = "equal", decay: float = 0.5) -> None:
        self.budget = budget
        self.n_rounds = n_rounds
        self.allocation = allocation
        self.decay = decay

    def rounds(self, n_pool: int) -> list[int]:
        """Return the labels of each round; they add up to the budget exactly, at most to the pool.

        Parameters
        ----------
        n_pool : int
            Size of the pool before the first round.

        Returns
        -------
        list of int
            Labels per round, each at least 1; empty for a budget of 0 or an empty pool.

        Raises
        ------
        ValueError
            If budget, rounds or allocation are not valid.

        Warns
        -----
        UserWarning
            If a fraction above 0 of the pool rounds to no label, or a count exceeds the pool.
        """
        if isinstance(self.budget, (Sequence, np.ndarray)) and not isinstance(self.budget, str):
            planned = _per_round(list(self.budget), n_pool)
        else:
            planned = self._split(count_of(self.budget, n_pool))
        if n_pool and (sum(planned) > n_pool or 0 in planned):
            self._warn_of_size(planned, n_pool)
        bounds = np.minimum(np.cumsum([0, *planned]), n_pool)
        return [int(size) for size in np.diff(bounds) if size > 0]

    def _warn_of_size(self, planned: list[int], n_pool: int) -> None:
        wanted = np.atleast_1d(self.budget)
        n_empty = int(np.sum(wanted > 0)) - sum(size > 0 for size in planned)
        of_pool = f"budget={self.budget!r} of a pool of {n_pool}"
        if sum(planned) > n_pool:
            warn_user(f"{of_pool} is more than there is, and buys all of it; lower it, or say budget=1.0.")
        elif n_empty > 0 and wanted.dtype.kind == "f":
            where = f" in {n_empty} of {len(wanted)} rounds" if len(wanted) > 1 else ""
            warn_user(
                f"{of_pool} is rounded to 0 labels{where}, so nothing is bought then; one label is a fraction of "
                f"{1 / n_pool:.2g}. Raise the fraction, or give counts (int)."
            )

    def _split(self, total: int) -> list[int]:
        if not isinstance(self.n_rounds, Integral) or isinstance(self.n_rounds, bool) or self.n_rounds < 1:
            raise ValueError(f"n_rounds must be an integer >= 1, got {self.n_rounds!r}.")
        n_rounds = max(1, min(self.n_rounds, total))
        if self.allocation == "equal":
            size = total // n_rounds
            return [size] * (n_rounds - 1) + [total - size * (n_rounds - 1)]
        if self.allocation != "front_loaded":
            raise ValueError(f'allocation must be "equal" or "front_loaded", got {self.allocation!r}.')
        if not 0 < self.decay < 1:
            raise ValueError(f"decay must be in (0, 1), got {self.decay!r}.")
        shares = self.decay ** np.arange(n_rounds)
        sizes = np.diff(np.rint(total * np.cumsum([0, *shares]) / shares.sum())).astype(int)
        return sorted(sizes.tolist(), reverse=True)  # rounding may put a larger round behind a smaller one


def count_of(budget: Any, n_pool: int) -> int:
    """Return a budget, a count or a fraction, as a number of labels."""
    if isinstance(budget, Integral) and not isinstance(budget, bool) and int(budget) >= 0:
        return int(budget)
    if isinstance(budget, Real) and not isinstance(budget, (bool, Integral)) and 0 <= float(budget) <= 1:
        return round(n_pool * float(budget))
    raise ValueError(
        "budget must be a number of labels (int >= 0), a fraction of the pool (float in [0, 1]), or a sequence with "
        f"one of them per round, got {budget!r}."
    )


def _per_round(budgets: list[Any], n_pool: int) -> list[int]:
    counts = [count_of(size, n_pool) for size in budgets]
    n_integers = sum(isinstance(size, Integral) for size in budgets)
    if n_integers == len(budgets):
        return counts
    if n_integers:
        raise ValueError(f"budget must hold only counts (int) or only fractions (float), got {budgets!r}.")
    total = np.cumsum(budgets)
    if total[-1] > 1 + 1e-9:
        raise ValueError(f"budget must hold fractions that add up to 1 at most, got {budgets!r}; lower them.")
    # Rounded cumulatively, so that the rounds together are the rounded total.
    return np.diff([0, *(count_of(fraction, n_pool) for fraction in np.minimum(total, 1.0))]).tolist()
