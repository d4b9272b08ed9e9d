"""Estimates of how long a choice takes, for a word of warning before one of minutes."""

from __future__ import annotations

from typing import Literal

from skada_active.pool import PoolView
from skada_active.utils.arrays import on_device
from skada_active.utils.warn import warn_user

__all__ = ["cluster_seconds", "neighbor_seconds", "product_seconds", "warn_long"]

#: Shorter choices come without a word.
LONG_SECONDS = 60.0
# One core of an ordinary processor in float32: multiplications in matrix products a second, what it takes to look for
# the largest of them, and what a pair of a row and a centroid takes for each column in all passes of a k-means.
_PRODUCTS_A_SECOND, _SECONDS_A_COMPARISON, _SECONDS_A_COLUMN, _COLUMNS_A_PAIR = 5e10, 2e-9, 3e-9, 64


def warn_long(strategy: str, seconds: float, n: int, n_queries: int) -> None:
    """Warn before a choice of minutes, with the estimate and what to do."""
    span = f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.0f} hours"
    if seconds < 120:
        span = f"{seconds:.0f} seconds"
    warn_user(
        f"{strategy} will take about {span} on one core for {n_queries} of {n} candidates. "
        f"skada_active.query.Prefilter({strategy}(...)) chooses among the rows on a short list, which takes seconds."
    )


def neighbor_seconds(view: PoolView, n_neighbors: int, metric: Literal["cosine", "euclidean"] = "cosine") -> float:
    """Return how long the search for the neighbours of all candidates takes, 0 where it was made before."""
    if view.has_neighbors(n_neighbors, metric):
        return 0.0
    comparisons = float(len(view)) ** 2
    return _scale(view) * comparisons * (view.features.shape[1] / _PRODUCTS_A_SECOND + _SECONDS_A_COMPARISON)


def cluster_seconds(view: PoolView, n_clusters: int, n_init: int) -> float:
    """Return how long a k-means of the candidates takes."""
    pairs = float(len(view)) * n_clusters * n_init
    return _scale(view) * pairs * (view.features.shape[1] + _COLUMNS_A_PAIR) * _SECONDS_A_COLUMN


def product_seconds(view: PoolView, n_products: float) -> float:
    """Return how long so many multiplications take."""
    return _scale(view) * n_products / _PRODUCTS_A_SECOND


def _scale(view: PoolView) -> float:
    """Return the time of computations in the type of the features relative to float32, next to 0 on an accelerator."""
    return 0.0 if on_device(view.features) else max(4, view.features.dtype.itemsize) / 4
