"""Generators of Gaussian classes that move from domain to domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.datasets._stacking import Arrays, Dataset, stacked
from skada_active.datasets._validation import check_class_sizes, check_number, check_sizes, seeded

if TYPE_CHECKING:
    from numpy.random import RandomState

__all__ = ["blobs", "class_centers", "make_multi_source_blobs", "make_shifted_blobs"]

CENTER_BOX = 5.0


def make_shifted_blobs(
    n_source: int = 200,
    n_target: int = 200,
    *,
    n_classes: int = 3,
    n_features: int = 2,
    shift: float | ArrayLike = 2.0,
    cluster_std: float = 1.0,
    random_state: int | RandomState | None = None,
) -> Dataset:
    """Make Gaussian classes that all move by the same vector in the target.

    Class centres are uniform in [-5, 5] per feature; every class is an isotropic normal cloud.

    Parameters
    ----------
    n_source, n_target : int, default=200
        Rows of each domain, at least ``n_classes``; classes are equally frequent, up to one row.
    n_classes : int, default=3
        Number of classes, at least 2.
    n_features : int, default=2
        Number of features.
    shift : float or array-like of shape (n_features,), default=2.0
        Float: how far the target lies from the source, in a random direction. Array: the vector itself.
    cluster_std : float, default=1.0
        Standard deviation of a class in every feature, above 0.
    random_state : int, RandomState or None, default=None
        Seed of centres, direction and rows.

    Returns
    -------
    X : ndarray of shape (n_source + n_target, n_features), float64
    y : ndarray of shape (n_source + n_target,), int64
        Classes 0 to ``n_classes - 1``, of the target rows too.
    sample_domain : ndarray of shape (n_source + n_target,), int64
        1 for source rows, -2 for target rows.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or ``shift`` has the wrong shape.

    Notes
    -----
    Time and memory are linear in the size of X.

    Examples
    --------
    >>> from skada_active.datasets import make_shifted_blobs
    >>> X, y, sample_domain = make_shifted_blobs(30, 20, shift=[3.0, 0.0], random_state=0)
    >>> X.shape, sorted(set(sample_domain.tolist()))
    ((50, 2), [-2, 1])
    """
    check_sizes(n_features=n_features)
    check_class_sizes(n_classes, n_source=n_source, n_target=n_target)
    rng = seeded(random_state)
    centers = class_centers(n_classes, n_features, rng)
    moved = centers + _translations(shift, (n_features,), rng)
    domains = {1: blobs(n_source, centers, cluster_std, rng), 2: blobs(n_target, moved, cluster_std, rng)}
    return stacked(domains, target=2)


def make_multi_source_blobs(
    n_sources: int = 3,
    n_source: int = 100,
    n_target: int = 100,
    *,
    n_classes: int = 3,
    n_features: int = 2,
    shift: float | ArrayLike = 2.0,
    cluster_std: float = 1.0,
    random_state: int | RandomState | None = None,
) -> Dataset:
    """Make several sources of Gaussian classes, each moved by its own vector.

    The target has the classes of `make_shifted_blobs` at their place, every source has the same classes elsewhere.

    Parameters
    ----------
    n_sources : int, default=3
        Number of source domains.
    n_source : int, default=100
        Rows of each source domain, at least ``n_classes``.
    n_target : int, default=100
        Rows of the target domain, at least ``n_classes``.
    n_classes : int, default=3
        Number of classes, at least 2.
    n_features : int, default=2
        Number of features.
    shift : float or array-like of shape (n_sources, n_features), default=2.0
        Float: how far every source lies from the target, in a random direction of its own. Array: the vectors.
    cluster_std : float, default=1.0
        Standard deviation of a class in every feature, above 0.
    random_state : int, RandomState or None, default=None
        Seed of centres, directions and rows.

    Returns
    -------
    X : ndarray of shape (n_sources * n_source + n_target, n_features), float64
    y : ndarray of shape (n_sources * n_source + n_target,), int64
        Classes 0 to ``n_classes - 1``, of the target rows too.
    sample_domain : ndarray of shape (n_sources * n_source + n_target,), int64
        1 to ``n_sources`` for source rows, ``-(n_sources + 1)`` for target rows.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or ``shift`` has the wrong shape.

    Notes
    -----
    Time and memory are linear in the size of X.

    Examples
    --------
    >>> from skada_active.datasets import make_multi_source_blobs
    >>> X, y, sample_domain = make_multi_source_blobs(n_sources=2, n_source=10, n_target=20, random_state=0)
    >>> X.shape, sorted(set(sample_domain.tolist()))
    ((40, 2), [-3, 1, 2])
    """
    check_sizes(n_sources=n_sources, n_features=n_features)
    check_class_sizes(n_classes, n_source=n_source, n_target=n_target)
    rng = seeded(random_state)
    centers = class_centers(n_classes, n_features, rng)
    moves = _translations(shift, (n_sources, n_features), rng)
    domains = {number: blobs(n_source, centers + move, cluster_std, rng) for number, move in enumerate(moves, start=1)}
    return stacked({**domains, n_sources + 1: blobs(n_target, centers, cluster_std, rng)}, target=n_sources + 1)


def class_centers(n_classes: int, n_features: int, rng: RandomState) -> NDArray[np.float64]:
    """Draw one centre per class, uniformly in the box of the documented size."""
    return rng.uniform(-CENTER_BOX, CENTER_BOX, size=(n_classes, n_features))


def blobs(
    n_samples: int | NDArray[np.int64], centers: NDArray[np.float64], cluster_std: float, rng: RandomState
) -> Arrays:
    """Draw rows of all classes, shuffled; an array of ``n_samples`` gives the rows of each class."""
    from sklearn.datasets import make_blobs

    check_number(cluster_std, "cluster_std", above=0)
    X, y = make_blobs(n_samples, centers=centers, cluster_std=cluster_std, random_state=rng)
    return X, y.astype(np.int64)


def _translations(shift: float | ArrayLike, shape: tuple[int, ...], rng: RandomState) -> NDArray[np.float64]:
    """Return the moves as an array of ``shape``: as given, or of length ``shift`` in random directions."""
    moves = np.asarray(shift, dtype=np.float64)
    if moves.ndim == 0:
        directions = rng.normal(size=shape)
        moves = moves * directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    if moves.shape != shape or not np.isfinite(moves).all():
        raise ValueError(f"shift={shift!r} must be one finite number or finite numbers of shape {shape}")
    return moves
