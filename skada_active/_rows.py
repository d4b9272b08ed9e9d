"""Rows of any container the package accepts: arrays, DataFrames, CSR, and index-addressed datasets."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

__all__ = ["as_rows", "is_dataset", "n_rows", "take_rows"]


def is_dataset(X: Any) -> bool:
    """Tell whether `X` is an index-addressed torch dataset (torch is not imported to find out)."""
    torch_data = sys.modules.get("torch.utils.data")
    return torch_data is not None and isinstance(X, torch_data.Dataset)


def as_rows(X: Any) -> Any:
    """Return `X` itself where its rows can be taken by number, otherwise as an array."""
    if sparse.issparse(X):
        return X.tocsr()
    return X if is_dataset(X) or (hasattr(X, "shape") and hasattr(X, "__getitem__")) else np.asarray(X)


def n_rows(X: Any) -> int:
    """Return the number of rows of `X`."""
    return len(X) if is_dataset(X) else _num_samples(X)


def take_rows(X: Any, index: NDArray[np.int64]) -> Any:
    """Return the rows `index` of `X`; `X` itself, without a copy, where these are all rows in order."""
    if len(index) == n_rows(X) and np.array_equal(index, np.arange(len(index))):
        return X
    if is_dataset(X):
        return sys.modules["torch.utils.data"].Subset(X, index.tolist())
    return _safe_indexing(X, index)
