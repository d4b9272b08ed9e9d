"""Rows in two dimensions: a sample of them, and their first two principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.extmath import randomized_svd

from skada_active.domains import Roles
from skada_active.pool.readers import ModelReader
from skada_active.utils.random import RandomStateLike, check_rng
from skada_active.utils.rows import take_rows

if TYPE_CHECKING:
    from skada_active.session import AdaptationSession

__all__ = ["Plane", "limits", "plane_of", "sample_rows"]


class Plane(NamedTuple):
    """Rows as points.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        Places.
    axes : tuple of str
        Names of the two axes.
    """

    points: NDArray[np.float64]
    axes: tuple[str, str]


def sample_rows(
    roles: Roles, keep: ArrayLike, max_points: int, random_state: RandomStateLike = None
) -> NDArray[np.int64]:
    """Return the rows `keep`, and at most `max_points` others, half of them source rows where there are so many."""
    rng, kept = check_rng(random_state), np.unique(np.asarray(keep, dtype=np.int64))
    source, target = (np.setdiff1d(rows, kept, assume_unique=True) for rows in (roles.source, roles.target))
    n_source = min(len(source), max(max_points // 2, max_points - len(target)))
    n_target = min(len(target), max_points - n_source)
    drawn = [rng.permutation(rows)[:count] for rows, count in ((source, n_source), (target, n_target))]
    return np.sort(np.concatenate([kept, *drawn]))


def plane_of(session: AdaptationSession, rows: NDArray[np.int64], coordinates: ArrayLike | None = None) -> Plane:
    """Return rows of a session as points: of given coordinates (n, D) of all rows, or of the features of its model.

    Two columns that are given are taken as they are, of others the first two principal components, in which either
    domain has the same weight. Missing values count as the mean of their column.
    """
    is_target = session.state.initial_roles.is_target
    if coordinates is not None:
        given = np.asarray(coordinates)
        if given.ndim != 2 or given.dtype.kind not in "biuf" or not given.shape[1]:
            raise ValueError(f"coordinates must be an array of numbers (n, D), got {given.dtype} of {given.shape}.")
        if len(given) != len(is_target):
            raise ValueError(f"coordinates must have a row for each of the {len(is_target)} rows, got {len(given)}.")
        if given.shape[1] == 2:
            return Plane(given[rows].astype(np.float64), ("first coordinate", "second coordinate"))
        return _principal(given[rows], is_target[rows], is_scaled=False)
    if session.X is None:
        raise ValueError("The loop was loaded without its rows; give them to load(path, X=X), or give coordinates.")
    reader = ModelReader.from_estimator(session.estimator_)
    features = np.asarray(reader.outputs(take_rows(session.X, rows), {"features"})["features"])
    # Embeddings keep their proportions; columns of a table have units, which say nothing.
    return _principal(features, is_target[rows], is_scaled=not hasattr(reader.model, "pool_outputs"))


def _principal(features: NDArray[Any], is_target: NDArray[np.bool_], is_scaled: bool) -> Plane:
    values = features.reshape(len(features), -1).astype(np.float64)
    missing = ~np.isfinite(values)
    values[missing] = 0.0
    # Halved, so that no difference of finite numbers is infinite.
    values /= 2 * np.maximum(np.abs(values).max(axis=0 if is_scaled else None, initial=0.0), 1e-300)
    # The larger domain would choose the axes, and hide what sets the domains apart.
    weight = 1 / np.maximum(np.where(is_target, is_target.sum(), (~is_target).sum()), 1)[:, None]
    values -= (weight * values).sum(axis=0) / np.maximum((weight * ~missing).sum(axis=0), 1e-300)
    values[missing] = 0.0
    if is_scaled:
        deviation = np.sqrt((weight * np.square(values)).sum(axis=0))
        values /= np.where(deviation > 1e-12, deviation, 1.0)
    weighted = np.sqrt(weight) * values
    points, shares = np.zeros((len(values), 2)), np.zeros(2)
    n_components, total = min(2, *values.shape), float(np.square(weighted).sum())
    if n_components and total > 0:
        _, scale, components = randomized_svd(weighted, n_components, random_state=0)
        points[:, :n_components] = values @ components.T
        shares[:n_components] = np.square(scale) / total
    first, second = (f" ({100 * share:.0f} %)" if share > 0 else "" for share in shares)
    return Plane(points, (f"first principal component{first}", f"second principal component{second}"))


def limits(points: NDArray[np.float64], is_target: NDArray[np.bool_], always: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the limits (2, 2) of a picture: those of either domain without its outliers, and of some rows `always`.

    Single rows far away would leave a speck of all others. Outliers are the highest and lowest 1 % along an axis, where
    they are farther from the quartiles than one and a half times their distance.
    """
    finite = np.isfinite(points).all(axis=1)
    parts = [points[mask & finite] for mask in (is_target, ~is_target)]
    ends = [_usual_range(part) for part in parts if len(part)] + [points[always & finite]]
    both = np.concatenate([end for end in ends if len(end)] or [np.zeros((1, 2))])
    low, high = both.min(axis=0), both.max(axis=0)
    margin = np.maximum(0.06 * (high - low), 1e-9 * np.maximum(np.abs(low), np.abs(high)) + 1e-12)
    return np.stack([low - margin, high + margin])


def _usual_range(points: NDArray[np.float64]) -> NDArray[np.float64]:
    lower, upper = np.quantile(points, [0.25, 0.75], axis=0)
    # Values of rows, not between them, where an outlier would count.
    first, last = np.quantile(points, 0.01, axis=0, method="higher"), np.quantile(points, 0.99, axis=0, method="lower")
    low = np.minimum(first, lower - 1.5 * (upper - lower))
    high = np.maximum(last, upper + 1.5 * (upper - lower))
    return np.stack([np.maximum(low, points.min(axis=0)), np.minimum(high, points.max(axis=0))])
