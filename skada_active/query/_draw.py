"""A random choice among the rows of the highest scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skada_active.selection import top_k

__all__ = ["draw_from_best"]

# 0.29 * 100 is a little below 29.
_ROUNDING = 1e-9


def draw_from_best(
    scores: NDArray[np.float64], n_best: float, n_queries: int, rng: np.random.RandomState
) -> NDArray[np.int64]:
    """Return `n_queries` rows drawn from the `n_best` of the highest scores, which are as many as asked for at least.

    A share of a count need not be whole: the fraction of a row is left out.
    """
    n_whole = int(n_best + _ROUNDING)
    return rng.permutation(top_k(scores, max(n_queries, n_whole), rng))[:n_queries]
