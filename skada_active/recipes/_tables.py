"""Tables as they come, with gaps and texts, made ready for a network: the recipes' ``preprocessor="auto"``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted

from skada_active.labels import is_missing, known_values, label_kinds
from skada_active.utils._sklearn import check_feature_names, check_n_features
from skada_active.utils.rows import as_rows, is_dataset, table_columns

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TablePreparation"]

#: More texts than this in a column are no categories; more numbers written as text than this are no codes.
_MAX_CATEGORIES, _MAX_CODES = 100, 20


class TablePreparation(TransformerMixin, BaseEstimator):
    """Preparation of a table for a network: gaps are filled, texts and categories become columns of 0 and 1.

    A gap (NaN, None) becomes the median of its column, in texts and categories the most frequent value, of all rows
    that were fitted; in a column without any value it becomes 0. A text that was not fitted is none of the known ones.
    A table of numbers without a gap is returned as it is, and so is what is no table: images, datasets, sparse rows.

    Attributes
    ----------
    kinds_ : list of str
        ``"number"``, ``"text"`` or ``"category"`` by column; empty where no table was fitted.
    numbers_ : SimpleImputer
        Medians of the columns of numbers, where there are any.
    texts_ : Pipeline
        Most frequent values and categories of the others, where there are any.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn medians, most frequent values and categories; a ValueError names a column of something else."""
        X = _as_table(X)
        self.kinds_ = [] if X is None else [_kind(name, *column) for name, column in _columns(X)]
        if X is None:
            return self
        check_feature_names(self, X, reset=True)
        check_n_features(self, X, reset=True)
        if "number" in self.kinds_:
            self.numbers_ = SimpleImputer(strategy="median", keep_empty_features=True).fit(self._numbers(X))
        if {"text", "category"} & {*self.kinds_}:
            encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
            fill = SimpleImputer(missing_values=None, strategy="most_frequent")
            self.texts_ = make_pipeline(fill, encoder).fit(self._texts(X))
        return self

    def transform(self, X: Any) -> Any:
        """Return the rows without gaps and texts, in a table of the same kind where there are names."""
        check_is_fitted(self)
        table = _as_table(X)
        if not self.kinds_ or table is None:
            return X
        if table_columns(table) is not None:
            check_feature_names(self, table, reset=False)
        check_n_features(self, table, reset=False)
        numbers, has_texts = self._numbers(table), hasattr(self, "texts_")
        has_gaps = bool(np.isnan(numbers).any())
        if not (has_gaps or has_texts):
            return X
        parts = [self.numbers_.transform(numbers) if has_gaps else numbers]
        names = self._names_of(table_columns(table), texts=False)
        if has_texts:
            parts.append(self.texts_.transform(self._texts(table)))
            names += self.texts_[-1].get_feature_names_out(self._names_of(table_columns(table), texts=True)).tolist()
        return _like(table, np.hstack(parts), names)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def _numbers(self, X: Any) -> NDArray[Any]:
        if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
            return X if X.dtype.kind == "f" else X.astype(np.float64)
        chosen = zip(self.kinds_, _columns(X), strict=True)
        columns = [_as_numbers(name, values) for kind, (name, (values, _)) in chosen if kind == "number"]
        return np.column_stack(columns) if columns else np.empty((X.shape[0], 0))

    def _texts(self, X: Any) -> NDArray[Any]:
        chosen = zip(self.kinds_, _columns(X), strict=True)
        return np.column_stack(
            [_as_texts(name, values, kind) for kind, (name, (values, _)) in chosen if kind != "number"]
        )

    def _names_of(self, names: list[Any] | None, *, texts: bool) -> list[str]:
        names = [f"x{position}" for position in range(len(self.kinds_))] if names is None else names
        return [str(name) for name, kind in zip(names, self.kinds_, strict=True) if (kind != "number") == texts]


def _as_table(X: Any) -> Any:
    """Return `X` as a table whose columns can be taken, None where it is none."""
    if is_dataset(X) or sparse.issparse(X) or table_columns(X) is not None:
        return X if table_columns(X) else None
    X = np.asarray(as_rows(X))
    if X.dtype.kind == "U" and X.ndim == 2:
        raise ValueError(
            "X is an array of texts, in which numbers and gaps are texts too; give a DataFrame, or an array of "
            "objects: numpy.array(rows, dtype=object)."
        )
    return X if X.ndim == 2 and X.dtype.kind in "biufO" else None


def _columns(X: Any) -> list[tuple[Any, tuple[NDArray[Any], bool]]]:
    """Return the name and the values of every column, and whether its type is one of categories."""
    if isinstance(X, np.ndarray):
        return [(position, (X[:, position], False)) for position in range(X.shape[1])]
    series = (
        [X.iloc[:, position] if hasattr(X, "iloc") else X[position] for position in range(X.shape[1])]
        if not hasattr(X, "get_column")
        else X.get_columns()
    )
    is_category = [hasattr(getattr(column, "dtype", None), "categories") for column in series]
    return [
        (name, (np.asarray(column), of_categories))
        for name, column, of_categories in zip(table_columns(X) or [], series, is_category, strict=True)
    ]


def _kind(name: Any, values: NDArray[Any], is_category: bool) -> str:
    """Return what a column holds; a ValueError where it is nothing that a network can be given."""
    known = known_values(values)
    kinds = label_kinds(known)
    if kinds <= {"b", "i", "u", "f"} and not (is_category and len(known)):
        return "number"
    if is_category:
        return "category"
    if kinds != {"U"}:
        raise ValueError(
            f"X: column {name!r} holds {_described(known)}; preprocessor='auto' takes numbers, texts and categories. "
            "Convert the column, or give a preprocessor of your own."
        )
    distinct = {str(text) for text in known.tolist()}
    numbers = sorted(filter(_is_number, distinct))
    if len(distinct) > _MAX_CODES and 2 * len(numbers) > len(distinct):
        raise ValueError(
            f"X: column {name!r} holds numbers written as text, such as {numbers[0]!r}; make them numbers by "
            "pandas.to_numeric(column, errors='coerce'), or a category where they are codes: column.astype('category')."
        )
    if len(distinct) > _MAX_CATEGORIES:
        raise ValueError(
            f"X: column {name!r} holds {len(distinct)} different texts, too many for categories; drop it, encode "
            "it by a preprocessor of your own, or say that it is one by column.astype('category')."
        )
    return "text"


def _as_numbers(name: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    gaps = is_missing(values)
    if not label_kinds(values[~gaps]) <= {"b", "i", "u", "f"}:
        raise ValueError(f"X: column {name!r} held numbers when fitted, and holds {_described(values[~gaps])} now.")
    numbers = np.full(len(values), np.nan)
    numbers[~gaps] = values[~gaps]
    return numbers


def _as_texts(name: Any, values: NDArray[Any], kind: str) -> NDArray[Any]:
    texts = values.astype(object)
    gaps = is_missing(texts)
    if kind == "text" and not label_kinds(texts[~gaps]) <= {"U"}:
        raise ValueError(f"X: column {name!r} held texts when fitted, and holds {_described(texts[~gaps])} now.")
    texts[gaps] = None
    return texts


def _described(values: NDArray[Any]) -> str:
    return " and ".join(sorted({type(value).__name__ for value in values.tolist()}))


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return True
    return False


def _like(X: Any, values: NDArray[Any], names: list[str]) -> Any:
    if hasattr(X, "iloc"):
        return type(X)(values, columns=names if any(isinstance(name, str) for name in X) else None, index=X.index)
    if hasattr(X, "column_names"):
        return type(X).from_arrays(list(values.T), names)
    return values if isinstance(X, np.ndarray) else type(X)(values, schema=names)
