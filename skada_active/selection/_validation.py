"""Checks of arguments that the selection primitives share."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["check_at_least_one", "check_count", "check_position", "check_weights"]


def check_count(k: int, n: int, name: str = "k") -> int:
    """Return k as an integer between 0 and n."""
    try:
        k = operator.index(k)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {k!r}; round it first.") from None
    return min(max(k, 0), n)


def check_at_least_one(value: int, name: str) -> int:
    """Return value as an integer, refusing anything below 1."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}.") from None
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    return value


def check_position(position: int, n: int, name: str) -> int:
    """Return position as an integer that addresses one of n rows."""
    try:
        position = operator.index(position)
    except TypeError:
        raise TypeError(f"{name} must be a row position (an integer) or None, got {position!r}.") from None
    if not 0 <= position < n:
        raise ValueError(f"{name} must be a row position from 0 to {n - 1}, got {position}.")
    return position


def check_weights(sample_weight: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Return (n,) float64 weights; None and all zeros both mean equal weights."""
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), one weight per row, got {weights.shape}.")
    if not np.isfinite(weights).all():
        raise ValueError("sample_weight contains NaN or infinity; replace these weights first.")
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {weights.min()}; clip it at 0.")
    return weights if weights.any() else np.ones(n)
