"""Rows of any container the package accepts: arrays, DataFrames, CSR, and index-addressed datasets."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skada_active.utils._sklearn import num_samples, safe_indexing

__all__ = ["as_row_numbers", "as_rows", "is_dataset", "n_rows", "take_rows"]

# What numpy reads as an array, and pandas-like tables: rows are taken from them at once, not one by one.
_ARRAY_LIKE = ("shape", "__array__", "__array_interface__", "__dataframe__", "iloc")


def is_dataset(X: Any) -> bool:
    """Tell whether `X` is an index-addressed dataset, of torch or of the same form (torch is not imported for it).

    So is a list of the tuples that a dataset yields, which is what scikit-learn makes of it when it takes rows.
    """
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is not None and isinstance(X, torch_data.Dataset):
        return True
    if isinstance(X, Sequence | Mapping | type) or any(hasattr(X, name) for name in _ARRAY_LIKE):
        return _is_list_of_items(X)
    return hasattr(X, "__len__") and hasattr(X, "__getitem__")


def as_rows(X: Any) -> Any:
    """Return `X` itself where its rows can be taken by number, otherwise as an array."""
    if sparse.issparse(X):
        return X.tocsr()
    if _is_list_of_items(X):
        return np.stack([np.asarray(item[0]) for item in X])
    return X if is_dataset(X) or (hasattr(X, "shape") and hasattr(X, "__getitem__")) else np.asarray(X)


def as_row_numbers(name: str, values: Any, what: str = "integers") -> NDArray[np.int64]:
    """Return a list of integers, such as an argument `name` holds, as int64; anything else is an error."""
    array = np.asarray(values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name} is a masked array in which {np.ma.count_masked(values)} of {values.size} are masked, and which of "
            "them count is not clear; give those that do, by .compressed()."
        )
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be a list of {what}, got dtype {array.dtype} of shape {array.shape}; put a single number "
            "into a list, make one of a set or generator by list(...), and turn a mask into numbers with "
            "numpy.flatnonzero(mask)."
        )
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} holds {array.max()}, which is no row number.")
    return array.astype(np.int64, copy=False)


def n_rows(X: Any) -> int:
    """Return the number of rows of `X`."""
    return len(X) if is_dataset(X) else num_samples(X)


def take_rows(X: Any, index: NDArray[np.int64]) -> Any:
    """Return the rows `index` of `X`; `X` itself, without a copy, where these are all rows in order."""
    if len(index) == n_rows(X) and np.array_equal(index, np.arange(len(index))):
        return X
    if is_dataset(X):
        from torch.utils.data import Subset  # here, for the package imports without torch

        return Subset(X, index.tolist())
    return safe_indexing(X, index)


def _is_list_of_items(X: Any) -> bool:
    # A tuple of plain numbers is a row; one that starts with an array is (row, label, ...).
    if not (isinstance(X, list) and X and isinstance(X[0], tuple) and X[0]):
        return False
    return hasattr(X[0][0], "shape") and len(X[0][0].shape) > 0
