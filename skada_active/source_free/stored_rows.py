"""Rows of the training data that a fitted model holds, as nearest neighbours and support vectors do."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["n_stored_rows"]


class _Arrays(pickle.Pickler):
    """Pickler that keeps the arrays which it meets, whatever holds them."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.found: list[NDArray[Any]] = []

    def persistent_id(self, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            self.found.append(value)


def n_stored_rows(model: Any, *tables: Any) -> int:
    """Return how many rows of any of the tables (n, d), d >= 2, a fitted model holds among its arrays.

    Numbers are compared as float32, which models store at least. A row of zeros, and a table that holds no numbers,
    such as one of texts, count for nothing.
    """
    pickler = _Arrays()
    pickler.dump(model)
    wanted = [rows for rows in map(_numbers, tables) if rows is not None]
    return max((sum(_n_shared(array, rows) for array in pickler.found) for rows in wanted), default=0)


def _numbers(table: Any) -> NDArray[np.float32] | None:
    table = table.toarray() if sparse.issparse(table) else table
    try:
        rows = np.asarray(table, dtype=np.float32)
    except (TypeError, ValueError):
        return None
    return rows.reshape(len(rows), -1) if rows.ndim > 1 and rows[0].size > 1 else None


def _n_shared(array: NDArray[Any], rows: NDArray[np.float32]) -> int:
    """Return how many distinct rows of a table the rows or columns of an array are."""
    width = rows.shape[1]
    if array.ndim < 2 or width not in (array.shape[-1], array.shape[0]) or not array.size:
        return 0
    known = set(_bytes_of(rows[rows.any(axis=1)]))
    turned = array.T if array.ndim == 2 and array.shape[0] == width else array
    forms = (form for form in (array, turned) if form.shape[-1] == width)
    return max(len(known.intersection(_bytes_of(form.reshape(-1, width)))) for form in forms)


def _bytes_of(rows: NDArray[Any]) -> Iterator[bytes]:
    return (row.tobytes() for row in np.ascontiguousarray(rows, dtype=np.float32) + 0.0)  # no negative zeros
