"""Entropy of rows of probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

__all__ = ["row_entropy"]

# Logarithms of a block of rows stay in the cache until they are summed.
_BLOCK_BYTES = 2**17


def row_entropy(proba: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``-sum_c p_c ln p_c`` of each row of (n, C) non-negative numbers, in nats; a 0 adds nothing."""
    entropy = np.empty(len(proba))
    dtype = np.result_type(np.float32, proba)
    for rows in gen_batches(len(proba), max(1, _BLOCK_BYTES // (max(1, proba.shape[1]) * dtype.itemsize))):
        block = proba[rows].astype(dtype, copy=False)
        entropy[rows] = np.einsum("ij,ij->i", block, np.log(np.maximum(block, np.finfo(dtype).tiny)))
    return np.negative(entropy, out=entropy)
