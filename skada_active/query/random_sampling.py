"""Random sampling, the baseline of every comparison."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy

__all__ = ["RandomSampling"]


class RandomSampling(QueryStrategy):
    """Random sampling: target rows drawn uniformly, without replacement.

    Reads nothing of the model.

    Parameters
    ----------
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        See `QueryStrategy`.

    See Also
    --------
    MarginSampling : Rows in doubt.
    KMeansSampling : Rows that represent the pool.

    Notes
    -----
    O(n) time and memory. With one seed, a smaller choice is the beginning of a larger one.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import RandomSampling
    >>> sorted(RandomSampling().select(PoolView(index=[10, 11, 12]), 3, random_state=0).tolist())
    [0, 1, 2]
    """

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        return rng.permutation(len(view))[:n_queries].astype(np.int64, copy=False)
