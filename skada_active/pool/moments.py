"""Moments of the features of source domains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from skada_active.utils.arrays import Array, to_host

__all__ = ["source_moments"]

_BLOCK_BYTES = 2**22


def source_moments(features: Array, domain: Array) -> dict[str, NDArray[Any]]:
    """Return the fields ``source_mean`` and ``source_std`` (S, D), and ``source_count`` (S,), of rows (s, D).

    Domains are in the order of their numbers, deviations those of the population; sums are in float64, a block of rows
    at a time.
    """
    rows, numbers = to_host(features), to_host(domain)
    scalers = [_scaler(rows, np.flatnonzero(numbers == number)) for number in np.unique(numbers)]
    width = rows.shape[1]
    return {
        "source_mean": np.array([scaler.mean_ for scaler in scalers]).reshape(-1, width),
        "source_std": np.sqrt([scaler.var_ for scaler in scalers]).reshape(-1, width),
        "source_count": np.array([scaler.n_samples_seen_ for scaler in scalers], dtype=np.int64),
    }


def _scaler(features: NDArray[Any], rows: NDArray[np.int64]) -> StandardScaler:
    scaler = StandardScaler()
    for batch in gen_batches(len(rows), max(1, _BLOCK_BYTES // (8 * max(1, features.shape[1])))):
        scaler.partial_fit(features[rows[batch]])
    return scaler
