"""Columns of any table as numbers or categories, and as the rows of numbers that classifiers of the domains read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.preprocessing import QuantileTransformer

from skada_active.labels import is_missing, known_values, label_kinds
from skada_active.utils.rows import is_dataset, table_columns

__all__ = ["Column", "embedded", "read_columns"]

#: Embedded rows have at most so many columns, and a category so many values of its own.
MAX_WIDTH, MAX_VALUES = 50, 20
#: Normal scores end here, so that no single row is far from all others.
_FARTHEST = 3.5


@dataclass(frozen=True, eq=False)
class Column:
    """Column of a table.

    Parameters
    ----------
    name : str
        Name, or position in a table without names.
    values : ndarray of shape (n,)
        float64 with NaN where a value is missing; of a category the code of the value, int64, -1 where it is missing.
    categories : list of str or None
        Values by code; None for numbers.
    """

    name: str
    values: NDArray[Any]
    categories: list[str] | None = None

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        """Which values are missing, shape (n,)."""
        return np.isnan(self.values) if self.categories is None else self.values < 0

    def take(self, rows: NDArray[np.int64]) -> Column:
        """Return the column of some of the rows."""
        return Column(self.name, self.values[rows], self.categories)


def read_columns(X: Any) -> list[Column] | None:
    """Return the columns of a table, dense or sparse; None for what is none, such as images or a dataset."""
    if sparse.issparse(X):
        X = X.toarray()
    names = table_columns(X)
    if names is not None:
        return [_column(str(name), *_series(X, position)) for position, name in enumerate(names)]
    if is_dataset(X) or np.ndim(X) != 2:
        return None
    X = np.asarray(X)
    if X.dtype.kind == "U":
        raise ValueError(
            "X is an array of texts, in which numbers and gaps are texts too; give a DataFrame, or an array of "
            "objects: numpy.array(rows, dtype=object)."
        )
    return [_column(str(position), X[:, position], False) for position in range(X.shape[1])]


def embedded(columns: list[Column]) -> NDArray[np.float64]:
    """Return the rows as numbers (n, D): normal scores of numbers, gaps at their median and marked, 0 and 1 for values.

    Columns have variance 1; beyond 50 they are replaced by their first 50 principal components. Only the order of the
    numbers counts, so that neither units nor outliers do.
    """
    n = len(columns[0].values)
    parts = [np.empty((n, 0))]
    numbers = [column.values for column in columns if column.categories is None and not column.is_missing.all()]
    if numbers:
        table = np.column_stack(numbers)
        table = np.where(np.isnan(table), np.nanmedian(table, axis=0), table)
        # Of its own many-valued table, so that equal values get equal scores.
        scores = QuantileTransformer(n_quantiles=min(n, 1000), output_distribution="normal", subsample=None)
        parts.append(np.clip(scores.fit_transform(table), -_FARTHEST, _FARTHEST))
    for column in columns:
        gaps = column.is_missing
        if gaps.any():
            parts.append(gaps[:, None].astype(np.float64))
        if column.categories is not None:
            counts = np.bincount(column.values[~gaps], minlength=len(column.categories))
            frequent = np.argsort(-counts, kind="stable")[:MAX_VALUES]
            parts.append((column.values[:, None] == frequent).astype(np.float64))
    return _narrowed(np.hstack(parts))


def _narrowed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0))[:, deviation > 1e-9] / deviation[deviation > 1e-9]
    if not rows.shape[1]:
        return np.zeros((len(rows), 1))
    if min(rows.shape) > MAX_WIDTH:
        rows = PCA(MAX_WIDTH, svd_solver="covariance_eigh").fit_transform(rows)
        rows /= max(rows[:, 0].std(), 1e-12)
    return rows


def _series(X: Any, position: int) -> tuple[NDArray[Any], bool]:
    """Return the values of a column of a table, and whether its type is one of categories."""
    if hasattr(X, "iloc"):
        series = X.iloc[:, position]
    else:
        series = X.column(position) if hasattr(X, "column_names") else X.to_series(position)
    return np.asarray(series), hasattr(getattr(series, "dtype", None), "categories")


def _column(name: str, values: NDArray[Any], is_category: bool) -> Column:
    if values.dtype.kind in "biuf" and not is_category:
        numbers = values.astype(np.float64)
    else:
        known = known_values(values)
        kinds = label_kinds(known)
        if not kinds <= {"b", "i", "u", "f"} or (is_category and len(known)):
            return _category(name, values, kinds)
        numbers = np.full(len(values), np.nan)
        numbers[~is_missing(values)] = known.astype(np.float64)
    if np.isinf(numbers).any():
        raise ValueError(f"X: column {name!r} holds infinity; write NaN for what is missing, or drop the rows.")
    return Column(name, numbers)


def _category(name: str, values: NDArray[Any], kinds: set[str]) -> Column:
    if kinds & {"M", "m"}:
        raise ValueError(f"X: column {name!r} holds dates or times; make numbers of them, such as days since a start.")
    objects = values.astype(object)
    gaps = is_missing(objects)
    texts = np.array([str(value) for value in objects[~gaps].tolist()], dtype=object)
    distinct, found = np.unique(texts.astype(str), return_inverse=True)
    codes = np.full(len(values), -1)
    codes[~gaps] = found
    return Column(name, codes, distinct.tolist())
