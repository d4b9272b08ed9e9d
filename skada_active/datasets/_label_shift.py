"""Generator of domains that differ in their class proportions alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skada_active.datasets._blobs import blobs, class_centers
from skada_active.datasets._stacking import Dataset, stacked
from skada_active.datasets._validation import check_class_sizes, check_sizes, seeded

if TYPE_CHECKING:
    from numpy.random import RandomState

__all__ = ["make_label_shift"]


def make_label_shift(
    n_source: int = 300,
    n_target: int = 300,
    *,
    source_proportions: Sequence[float] = (0.6, 0.3, 0.1),
    target_proportions: Sequence[float] = (0.1, 0.3, 0.6),
    n_features: int = 2,
    cluster_std: float = 1.0,
    random_state: int | RandomState | None = None,
) -> Dataset:
    """Make two domains that differ in how frequent the classes are, and in nothing else.

    Given its class, a row has the same distribution in both domains: p(x | y) is shared, p(y) is not.

    Parameters
    ----------
    n_source, n_target : int, default=300
        Rows of each domain, at least the number of classes.
    source_proportions, target_proportions : sequence of float, default=(0.6, 0.3, 0.1), (0.1, 0.3, 0.6)
        Share of every class in the domain: at least two numbers >= 0 with sum 1. A share of 0 leaves a class out.
    n_features : int, default=2
        Number of features.
    cluster_std : float, default=1.0
        Standard deviation of a class in every feature, above 0.
    random_state : int, RandomState or None, default=None
        Seed of centres and rows.

    Returns
    -------
    X : ndarray of shape (n_source + n_target, n_features), float64
    y : ndarray of shape (n_source + n_target,), int64
        Classes 0 to ``len(source_proportions) - 1``, of the target rows too. The number of rows of a class is
        its share of the rows, rounded up or down.
    sample_domain : ndarray of shape (n_source + n_target,), int64
        1 for source rows, -2 for target rows.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or the two lists of proportions differ in length.

    Notes
    -----
    Time and memory are linear in the size of X.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.datasets import make_label_shift
    >>> X, y, sample_domain = make_label_shift(20, 10, random_state=0)
    >>> np.bincount(y[sample_domain > 0]), np.bincount(y[sample_domain < 0])
    (array([12,  6,  2]), array([1, 3, 6]))
    """
    source_shares = _proportions("source_proportions", source_proportions)
    target_shares = _proportions("target_proportions", target_proportions)
    n_classes = len(source_shares)
    if len(target_shares) != n_classes:
        raise ValueError(
            f"target_proportions={target_proportions!r} has {len(target_shares)} classes and source_proportions has "
            f"{n_classes}: give one share per class in both, 0 for a class that is absent"
        )
    check_sizes(n_features=n_features)
    check_class_sizes(n_classes, n_source=n_source, n_target=n_target)
    rng = seeded(random_state)
    centers = class_centers(n_classes, n_features, rng)
    return stacked(
        {
            1: blobs(_class_counts(n_source, source_shares), centers, cluster_std, rng),
            2: blobs(_class_counts(n_target, target_shares), centers, cluster_std, rng),
        },
        target=2,
    )


def _proportions(name: str, proportions: Sequence[float]) -> NDArray[np.float64]:
    shares = np.asarray(proportions, dtype=np.float64)
    # Written so that NaN fails too.
    if shares.ndim != 1 or len(shares) < 2 or not (shares >= 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"{name}={proportions!r} must be at least two numbers >= 0 with sum 1")
    return shares / shares.sum()


def _class_counts(n_samples: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Split ``n_samples`` by shares: rounding the running total keeps the sum exact."""
    # Rounding to 9 digits first: a half that is short by one float error must not take a row from its class.
    bounds = np.floor(np.round(n_samples * np.cumsum(shares), 9) + 0.5)
    return np.diff(bounds, prepend=0).astype(np.int64)
