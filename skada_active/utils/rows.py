"""Rows of any container the package accepts: arrays, tables, CSR, lists of images, and index-addressed datasets."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skada_active.utils._sklearn import num_samples, safe_indexing
from skada_active.utils.arrays import is_tensor, to_host

__all__ = [
    "as_row",
    "as_row_numbers",
    "as_rows",
    "column_names",
    "is_dataset",
    "is_reordered",
    "n_rows",
    "refuse_what_has_no_rows",
    "table_columns",
    "take_rows",
]

# What numpy reads as an array, and tables: rows are taken from them at once, not one by one.
_ARRAY_LIKE = ("shape", "__array__", "__array_interface__", "__dataframe__")


def is_dataset(X: Any) -> bool:
    """Tell whether `X` is an index-addressed dataset, of torch or of the same form (torch is not imported for it).

    So is a list of the tuples that a dataset yields, which is what scikit-learn makes of it when it takes rows, unless
    the dataset has an ``iloc``, which then gives its rows as another dataset.
    """
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is not None and isinstance(X, torch_data.Dataset):
        return True
    if isinstance(X, Sequence | Mapping | type) or any(hasattr(X, name) for name in _ARRAY_LIKE):
        return _is_list_of_items(X)
    return hasattr(X, "__len__") and hasattr(X, "__getitem__")


def as_rows(X: Any) -> Any:
    """Return `X` itself where its rows can be taken by number, otherwise as an array.

    Tensors, lists of images (those of PIL become bytes (n, C, H, W)) and object arrays of them become arrays; a table
    of pandas, polars or pyarrow stays what it is, any other one becomes an array.

    Raises
    ------
    TypeError
        If `X` has no rows that can be taken by number, such as a generator, a `DataLoader` or a lazy frame.
    ValueError
        If the rows differ in shape, or `X` is a masked array.
    """
    if type(X) is np.ndarray and X.dtype != object and X.ndim:
        return X
    if sparse.issparse(X):
        return X.tocsr()
    if _is_module(X, "narwhals") and hasattr(X, "to_native"):
        X = X.to_native()
    if is_tensor(X) and X.ndim:
        return to_host(X)
    refuse_what_has_no_rows(X)
    if isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1):
        return _stacked(X)
    if is_dataset(X) or _gives_rows(X):
        return X
    if _is_arrow(X):  # a record batch would lose its names
        return sys.modules["pyarrow"].Table.from_batches([X])
    array = np.asarray(X)
    if not array.ndim:
        raise TypeError(f"X must hold one row of numbers per sample, got {_kind(X)}; give an array (n, d).")
    return array


def as_row(item: Any, number: int | None = None) -> NDArray[Any]:
    """Return the row in an item of a dataset or list: an array, a tensor, an image of PIL, or a tuple of it and more.

    An image of PIL becomes an array (C, H, W). `number` names the item in the error.
    """
    # A labelled dataset yields (row, label, ...): whoever labels the rows here, it is not the dataset.
    if isinstance(item, tuple | list) and item and (is_tensor(item[0]) or _is_one_row(item[0])):
        item = item[0]
    if _is_image(item):
        return _pixels(item, number)
    try:
        row = to_host(item)
    except ValueError:  # a nest of things
        row = np.empty(0, dtype=object)
    if row.ndim == 0 or row.dtype.kind not in "biuf":
        raise TypeError(
            f"X holds {_kind(item)} as {_item(number)}; each item must be a row of numbers (array, tensor or image of "
            "PIL), or a tuple that begins with one. Wrap X in a dataset whose __getitem__ returns the row; "
            "skada_active.datasets.ImageFiles(paths) is one of image files."
        )
    return row if row.dtype.isnative else row.astype(row.dtype.newbyteorder("="))


def column_names(X: Any) -> list[Any]:
    """Return the names of the columns of a table; none for anything else."""
    return list(getattr(X, "column_names", getattr(X, "columns", [])))


def table_columns(X: Any) -> list[Any] | None:
    """Return the names of the columns of a table of pandas, polars or pyarrow; None for anything else."""
    is_table = hasattr(X, "shape") and (hasattr(X, "column_names") or hasattr(X, "columns"))
    return column_names(X) if is_table else None


def is_reordered(index: Any, other: Any) -> bool:
    """Tell whether two indexes of pandas hold the same labels in another order."""
    is_as_long = len(index) == len(other) and not index.equals(other)
    return bool(is_as_long and index.symmetric_difference(other, sort=False).empty)


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
        if hasattr(X, "iloc"):
            return X.iloc[index]
        from torch.utils.data import Subset  # here, for the package imports without torch

        return Subset(X, index.tolist())
    # Older versions of scikit-learn know no tables of pyarrow.
    return X.take(index) if hasattr(X, "column_names") else safe_indexing(X, index)


def _gives_rows(X: Any) -> bool:
    if hasattr(X, "iloc") or _is_module(X, "polars") or hasattr(X, "column_names"):
        return hasattr(X, "shape") and not _is_record_batch(X)
    is_table = hasattr(X, "columns") or hasattr(X, "__dataframe__")
    return len(getattr(X, "shape", ())) > 0 and hasattr(X, "__getitem__") and not is_table


def refuse_what_has_no_rows(X: Any) -> None:
    """Raise an error with the remedy if rows of `X` cannot be taken by number, or if it hides some behind a mask."""
    remedy = None
    torch_data = sys.modules.get("torch.utils.data")
    if isinstance(X, np.ma.MaskedArray) and np.ma.getmaskarray(X).any():
        raise ValueError(
            "X is a masked array, whose mask says nothing here; fill it by X.filled(np.nan) and impute, or leave the "
            "rows out."
        )
    if hasattr(X, "__dask_graph__") and X.__dask_graph__() is not None:
        remedy = "give X.compute()"
    elif _is_module(X, "polars", "narwhals") and hasattr(X, "collect"):
        remedy = "give X.collect()"
    elif torch_data is not None and isinstance(X, torch_data.DataLoader):
        remedy = "give its dataset, X.dataset, and workers by net_params=dict(iterator_train__num_workers=...)"
    elif is_dataset(X) and not hasattr(X, "__len__"):
        remedy = "give a dataset that has __len__ and __getitem__ (an iterable one can be read into a list first)"
    elif isinstance(X, Iterator) and not is_dataset(X):
        remedy = "give list(X)"
    elif X is None or isinstance(X, Mapping | Set | str | bytes | PurePath):
        remedy = "give an array, a table, a list of rows or a dataset"
        if isinstance(X, str | PurePath):
            remedy += "; images on disk become one by skada_active.datasets.image_folders or ImageFiles"
    if remedy is not None:
        raise TypeError(f"X is {_kind(X)}, whose rows cannot be taken by number; {remedy}.")


def _stacked(X: Any) -> NDArray[Any]:
    """Return a list of rows as an array; texts, dicts and numbers stay what they are."""
    first = None if not len(X) else X[0][0] if _is_list_of_items(X) else X[0]
    if isinstance(first, str):
        return np.asarray(X, dtype=object)  # numpy's own texts all take the memory of the longest
    if not _is_one_row(first):
        try:
            return np.asarray(X)
        except ValueError as error:
            raise ValueError(f"X is a list of rows that differ in length; make them equal ({error}).") from error
    rows = [as_row(item, number) for number, item in enumerate(X)]
    other = next((number for number, row in enumerate(rows) if row.shape != rows[0].shape), None)
    if other is not None:
        raise ValueError(
            f"X holds rows of several shapes, {rows[0].shape} first and {rows[other].shape} as item {other}; crop or "
            "resize them to one."
        )
    return np.stack(rows)


def _is_list_of_items(X: Any) -> bool:
    # A tuple of plain numbers is a row; one that starts with an array is (row, label, ...).
    if not (isinstance(X, list) and X and isinstance(X[0], tuple) and X[0]):
        return False
    return _is_one_row(X[0][0])


def _is_one_row(value: Any) -> bool:
    return _is_image(value) or (hasattr(value, "shape") and len(value.shape) > 0)


def _pixels(image: Any, number: int | None) -> NDArray[Any]:
    if image.mode in ("P", "PA"):
        raise ValueError(
            f"X holds an image of mode {image.mode!r} as {_item(number)}, whose pixels are numbers of a palette; call "
            'image.convert("RGB") first.'
        )
    pixels = np.asarray(image)
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _is_image(value: Any) -> bool:
    return _is_module(value, "PIL") and hasattr(value, "getbands")


def _is_arrow(X: Any) -> bool:
    return _is_module(X, "pyarrow") and hasattr(X, "column_names")


def _is_record_batch(X: Any) -> bool:
    return _is_arrow(X) and not hasattr(X, "to_batches")


def _is_module(value: Any, *names: str) -> bool:
    return type(value).__module__.partition(".")[0] in names


def _kind(value: Any) -> str:
    return "None" if value is None else f"an object of type {type(value).__module__}.{type(value).__qualname__}"


def _item(number: int | None) -> str:
    return "an item" if number is None else f"item {number}"
