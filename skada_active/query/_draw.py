"""A random choice among the rows of the highest scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skada_active.selection import top_k

__all__ = ["draw_from_best"]


def draw_from_best(
    scores: NDArray[np.float64], n_best: int, n_queries: int, rng: np.random.RandomState
) -> NDArray[np.int64]:
    """Return `n_queries` rows drawn from the `n_best` of the highest scores, at least as many as asked for."""
    return rng.permutation(top_k(scores, max(n_queries, n_best), rng))[:n_queries]
