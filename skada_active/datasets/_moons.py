"""Generator of two moons that are rotated in the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skada_active.datasets._stacking import Dataset, stacked
from skada_active.datasets._validation import check_number, check_sizes, seeded

if TYPE_CHECKING:
    from numpy.random import RandomState

__all__ = ["make_shifted_moons"]

MOONS_CENTER = np.array([0.5, 0.25])


def make_shifted_moons(
    n_source: int = 200,
    n_target: int = 200,
    *,
    rotation: float = 30.0,
    noise: float = 0.1,
    random_state: int | RandomState | None = None,
) -> Dataset:
    """Make two interleaving half circles that are rotated in the target.

    Parameters
    ----------
    n_source, n_target : int, default=200
        Rows of each domain, at least 2; the two classes are equally frequent, up to one row.
    rotation : float, default=30.0
        Angle in degrees, counter-clockwise, by which the target is turned about the middle (0.5, 0.25) of the moons.
    noise : float, default=0.1
        Standard deviation of the normal noise in both features; the circles have radius 1.
    random_state : int, RandomState or None, default=None
        Seed of order and noise.

    Returns
    -------
    X : ndarray of shape (n_source + n_target, 2), float64
    y : ndarray of shape (n_source + n_target,), int64
        0 for the upper moon, 1 for the lower one (before the rotation), of the target rows too.
    sample_domain : ndarray of shape (n_source + n_target,), int64
        1 for source rows, -2 for target rows.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Notes
    -----
    Time and memory are linear in the number of rows.

    Examples
    --------
    >>> from skada_active.datasets import make_shifted_moons
    >>> X, y, sample_domain = make_shifted_moons(30, 20, rotation=45, random_state=0)
    >>> X.shape, sorted(set(sample_domain.tolist()))
    ((50, 2), [-2, 1])
    """
    from sklearn.datasets import make_moons

    check_sizes(2, n_source=n_source, n_target=n_target)
    check_number(rotation, "rotation")
    check_number(noise, "noise", at_least=0)
    rng = seeded(random_state)
    X, y = make_moons(n_source, noise=noise, random_state=rng)
    X_target, y_target = make_moons(n_target, noise=noise, random_state=rng)
    rotated = _rotate(X_target, rotation)
    return stacked({1: (X, y.astype(np.int64)), 2: (rotated, y_target.astype(np.int64))}, target=2)


def _rotate(X: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return (X - MOONS_CENTER) @ np.array([[cos, sin], [-sin, cos]]) + MOONS_CENTER
