"""Columns of any table as numbers or categories, and as the rows of numbers that classifiers of the domains read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.decomposition import PCA

from skada_active.labels import is_missing, known_values, label_kinds
from skada_active.utils.rows import is_dataset, table_columns

__all__ = ["Column", "embedded", "read_columns"]

#: Embedded rows have at most so many columns, and a category so many values of its own.
MAX_WIDTH, MAX_VALUES = 50, 20
#: What is farther than this from the median of the source, in deviations, is far enough.
_FARTHEST = 10.0


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


def embedded(columns: list[Column], of_source: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return the rows as numbers (n, D): gaps at the median of their column and marked, 0 and 1 for values.

    Numbers become normal scores, so that neither units nor outliers count; or, with a mask of the source rows (n,),
    they are scaled by the quartiles of the source, so that what is far from it stays far. Columns have variance 1 in
    the first case; beyond 50 they are replaced by their first 50 principal components.
    """
    numbers = [column.values for column in columns if column.categories is None and not column.is_missing.all()]
    parts = [np.empty((len(columns[0].values), 0))]
    if numbers:
        table = np.column_stack(numbers)
        table = np.where(np.isnan(table), np.nanmedian(table, axis=0), table)
        parts.append(_scores(table) if of_source is None else _scaled(table, of_source))
    for column in columns:
        gaps = column.is_missing
        if gaps.any():
            parts.append(gaps[:, None].astype(np.float64))
        if column.categories is not None:
            counts = np.bincount(column.values[~gaps], minlength=len(column.categories))
            frequent = np.argsort(-counts, kind="stable")[:MAX_VALUES]
            parts.append((column.values[:, None] == frequent).astype(np.float64))
    rows = np.hstack(parts)
    return _narrowed(_standardized(rows) if of_source is None else rows)


def _scores(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normal scores of every column; equal values have equal ones."""
    return ndtri((rankdata(table, axis=0) - 0.5) / len(table))


def _scaled(table: NDArray[np.float64], of_source: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return columns centred at the median of the source, over the quartiles' distance there, at most 10 from 0."""
    largest = np.maximum(np.abs(table).max(axis=0), np.finfo(np.float64).tiny)
    table = table / largest  # so that no distance is infinite
    lower, middle, upper = np.quantile(table[of_source], [0.25, 0.5, 0.75], axis=0)
    spread = upper - lower
    for deviation in (table[of_source].std(axis=0), table.std(axis=0)):
        spread = np.where(spread > 1e-12, spread, 1.349 * deviation)
    return np.clip(1.349 * (table - middle) / np.maximum(spread, 1e-12), -_FARTHEST, _FARTHEST)


def _standardized(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = rows.std(axis=0)
    return (rows - rows.mean(axis=0))[:, deviation > 1e-9] / deviation[deviation > 1e-9]


def _narrowed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
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
