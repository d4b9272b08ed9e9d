"""Weights of candidates in a clustering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["floored_weights"]

# Share of the mean weight that every candidate keeps, so that each belongs to some cluster.
_FLOOR = 1e-8


def floored_weights(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights over their mean, those next to 0 raised to a floor; all 1 where there is nothing to weigh by."""
    mean = weights.mean() if len(weights) else 0.0
    return np.maximum(weights / mean, _FLOOR) if mean > np.finfo(np.float64).tiny else np.ones_like(weights)
