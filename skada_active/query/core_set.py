"""CoreSet: cover the pool by greedy k-centre selection."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy
from skada_active.query._cost import product_seconds
from skada_active.selection import farthest_first
from skada_active.utils._sklearn import StrOptions
from skada_active.utils.arrays import as_floats, namespace

__all__ = ["CoreSet"]

_CENTER_FIELDS = {
    None: (),
    "labeled_target": ("labeled_features",),
    "labeled": ("labeled_features", "source_features"),
}


class CoreSet(QueryStrategy):
    """CoreSet strategy: target rows that cover the pool, each the farthest from all rows chosen before.

    Reads the embedding of the pool and of the rows that count as covered. The rule as a pure function:
    `skada_active.selection.farthest_first`.

    Parameters
    ----------
    initial_centers : {"labeled_target", "labeled", None}, default="labeled_target"
        Which rows count as chosen before the start: target rows with a known label, those and the source rows, or
        none. Where there are none, the candidate nearest to the mean of the pool comes first.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network; the choice itself has no randomness.

    See Also
    --------
    KMeansSampling : Rows that represent the pool.
    BADGE : Diversity and doubt.
    skada_active.selection.farthest_first : The choice as a function.

    Notes
    -----
    O(n D (n_queries + m)) time with m initial centres; extra memory does not grow with ``n * n_queries``. Distances
    are Euclidean. Outliers are far from everything and are chosen early.

    References
    ----------
    .. [1] Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018, Alg.
       1 (greedy; without the refinement for outliers).

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import CoreSet
    >>> features = np.array([[0.0, 0], [1, 0], [5, 0], [5, 1], [0, 4]])
    >>> CoreSet().select(PoolView(features=features, labeled_features=features[:1]), 3)
    array([3, 4, 1])
    """

    on_device = frozenset({"features"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "initial_centers": [StrOptions({"labeled_target", "labeled"}), None],
    }

    def __init__(
        self, initial_centers: str | None = "labeled_target", estimator: Any = None, random_state: Any = None
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.initial_centers = initial_centers

    @property
    def needs(self) -> frozenset[str]:
        """``features`` and the fields that hold the initial centres."""
        return frozenset({"features", *_CENTER_FIELDS.get(self.initial_centers, ())})

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        return product_seconds(view, float(len(view)) * view.features.shape[1] * n_queries)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        given = [getattr(view, name) for name in _CENTER_FIELDS[self.initial_centers]]
        features, *centers = as_floats(view.features, *given)
        covered = namespace(features).concatenate(centers) if centers else None
        return farthest_first(features, n_queries, centers=covered, random_state=rng)
