"""Domains of one's own stacked into ``X, y, sample_domain``: the rows, labels and number of every domain."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Mapping
from difflib import get_close_matches
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skada_active.labels import as_labels, is_missing, known_values, label_kinds, mask_labels, native_labels
from skada_active.utils.rows import as_rows, is_dataset, is_reordered, n_rows, refuse_what_has_no_rows, table_columns

__all__ = ["stack_domains"]

_KINDS = {"b": "booleans", "i": "integers", "u": "integers", "f": "floats", "U": "strings", "S": "bytes", "M": "dates"}
#: What the values of a column, or of an array, may be stacked with.
_VALUES = {"b": "booleans", "i": "numbers", "u": "numbers", "f": "numbers", "U": "text", "S": "text", "M": "dates"}


def stack_domains(domains: Mapping[Any, tuple[Any, Any]], target: Any) -> tuple[Any, NDArray[Any], NDArray[np.int64]]:
    """Stack the rows and labels of several domains into ``X, y, sample_domain``.

    Parameters
    ----------
    domains : dict of name to (X, y)
        One entry per domain. `X`: an array (tables, images), a DataFrame, a sparse matrix, a torch dataset, or a list,
        such as one of image files; all domains of the same form. `y`: the labels, of one type in all domains; in a
        target some may be missing (-1 in integers, NaN in floats, None in objects), or all of them (`y` is None).
    target : name or sequence of names
        Which domains are targets; the others are sources.

    Returns
    -------
    X : ndarray, DataFrame, CSR matrix, dataset or list of n rows
        The rows in the order of `domains`. Columns of DataFrames are aligned by name, in the order of the first domain.
        Their index is kept, so it may hold a label twice: a row number, such as a query returns, is a position,
        ``X.iloc[ids]``.
    y : ndarray of shape (n,)
        The labels, those that miss by the convention of their type, as in `mask_target`.
    sample_domain : ndarray of shape (n,), int64
        The k-th entry of `domains` has the number k (from 1) where it is a source, and -k where it is a target.

    Raises
    ------
    TypeError
        If `domains` is not a dict of pairs, or domains are of different forms.
    ValueError
        If `target` names no domain or one twice, a domain is empty, lengths, columns, shapes or types of values or of
        labels differ, or a source row has no label. The error names the domain.

    Notes
    -----
    Arrays are copied, datasets are not read beyond their first row. Whole floats in a domain where labels miss stand
    for integers where those of another domain are integers: tables of numbers have no other way to let one miss.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active import stack_domains
    >>> ward_a, ward_b = np.zeros((2, 4)), np.ones((3, 4))
    >>> X, y, sample_domain = stack_domains({"ward A": (ward_a, [0, 1]), "ward B": (ward_b, None)}, target="ward B")
    >>> X.shape, y, sample_domain
    ((5, 4), array([ 0,  1, -1, -1, -1]), array([ 1,  1, -2, -2, -2]))
    """
    if not isinstance(domains, Mapping) or not domains:
        raise TypeError(
            'domains must be a dict of names to pairs, such as {"site A": (X_a, y_a), "site B": (X_b, None)}, got '
            f"{domains if isinstance(domains, Mapping) else type(domains).__name__}."
        )
    targets = _chosen(target, list(domains))
    rows, labels = {}, {}
    for name, pair in domains.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"domains[{name!r}] must be a pair (X, y), (X, None) where no label is known; got a "
                f"{type(pair).__name__}{f' of {len(pair)}' if isinstance(pair, tuple) else ''}."
            )
        rows[name] = _rows_of(name, pair[0])
        labels[name] = _labels_of(name, *pair, n_rows(rows[name]), is_target=name in targets)
    numbers = [-number if name in targets else number for number, name in enumerate(domains, start=1)]
    counts = [len(of_domain) for of_domain in labels.values()]
    return _stack_rows(rows), _stack_labels(labels), np.repeat(np.array(numbers, dtype=np.int64), counts)


def _chosen(target: Any, names: list[Hashable]) -> list[Hashable]:
    is_name = isinstance(target, str) or not isinstance(target, Iterable)
    targets = [target] if is_name or (isinstance(target, tuple) and target in names) else list(target)
    for name in targets:
        if name not in names:
            near = get_close_matches(str(name), map(str, names), n=1, cutoff=0.4)
            raise ValueError(
                f"target={target!r} names {name!r}, which is none of the domains {names}"
                f"{f'; did you mean {near[0]!r}?' if near else '.'}"
            )
    if not targets or len(set(targets)) < len(targets):
        raise ValueError(f"target={target!r} must name at least one of the domains {names}, each of them once.")
    return targets


def _rows_of(name: Any, X: Any) -> Any:
    """Return the rows of a domain in the form that they are stacked in."""
    if isinstance(X, np.ma.MaskedArray):
        raise ValueError(f"domains[{name!r}]: X is a masked array, whose mask would be lost; use X.filled(numpy.nan).")
    if (
        X is None
        or isinstance(X, str | Mapping)
        or hasattr(X, "to_frame")
        or (is_dataset(X) and not hasattr(X, "__len__"))
    ):
        raise TypeError(
            f"domains[{name!r}]: X is a {type(X).__name__}; give rows: an array, a DataFrame (of one column: "
            "X.to_frame()), a sparse matrix, a dataset of known length or a list."
        )
    try:
        refuse_what_has_no_rows(X)
    except TypeError as error:
        raise TypeError(f"domains[{name!r}]: {error}") from error
    if not (sparse.issparse(X) or table_columns(X) is not None or is_dataset(X)):
        listed = isinstance(X, list | tuple)
        if listed and any(not (isinstance(row, Number | list | tuple) or hasattr(row, "shape")) for row in X):
            X = list(X)  # names of files, texts, images: nothing that an array of numbers could be made of
        else:
            try:
                X = np.asarray(X)
            except ValueError as error:
                raise ValueError(f"domains[{name!r}]: the rows of X differ in shape ({error}).") from error
    elif isinstance(X, list) or sparse.issparse(X):
        X = as_rows(X)
    if isinstance(X, np.ndarray) and X.ndim == 0:  # a dataset would be read to the end for its ndim
        raise TypeError(f"domains[{name!r}]: X={X.item()!r} is no table of rows.")
    if not n_rows(X):
        raise ValueError(f"domains[{name!r}]: X has no rows; leave the domain out.")
    return X


def _labels_of(name: Any, X: Any, y: Any, n: int, *, is_target: bool) -> NDArray[Any]:
    if y is None:
        labels = np.full(n, None, dtype=object)
    else:
        try:
            labels = as_labels(y)
        except ValueError as error:
            raise ValueError(f"domains[{name!r}]: {error}") from error
    if len(labels) != n:
        raise ValueError(f"domains[{name!r}]: X has {n} rows and y has {len(labels)} labels.")
    if hasattr(y, "iloc") and hasattr(X, "iloc") and not is_dataset(X) and is_reordered(X.index, y.index):
        raise ValueError(f"domains[{name!r}]: X and y have the same index in another order; use y.loc[X.index].")
    missing = np.flatnonzero(is_missing(labels))
    if len(missing) and not is_target:
        raise ValueError(
            f"domains[{name!r}] is a source, but {len(missing)} of its {n} rows have no label, the first is row "
            f"{missing[0]} (y={labels[missing[:1]].tolist()[0]!r}; -1 in integer y, NaN in float y and None in object "
            "y mean 'missing'). Give every source row a label, drop it, or name the domain in target."
        )
    return labels


def _stack_labels(labels: Mapping[Any, NDArray[Any]]) -> NDArray[Any]:
    """Return all labels in one array of their common type; what misses in a domain misses in it."""
    missing = {name: is_missing(of_domain) for name, of_domain in labels.items()}
    known = {name: native_labels(of_domain[~missing[name]]) for name, of_domain in labels.items()}
    known = {name: of_domain for name, of_domain in known.items() if len(of_domain)}
    if not known:
        return np.concatenate(list(labels.values()))
    if any(of_domain.dtype.kind in "iu" for of_domain in known.values()):
        known = {name: _as_integers(of_domain, bool(missing[name].any())) for name, of_domain in known.items()}
    _check_alike(
        {name: _kinds(of_domain, _KINDS) for name, of_domain in known.items()},
        "y holds",
        "Convert the labels of one of them",
    )
    stacked, is_masked = np.concatenate(list(known.values())), np.concatenate(list(missing.values()))
    if not is_masked.any():
        return stacked
    if stacked.dtype.kind == "i" and (stacked == -1).any():
        stacked = stacked.astype(object)  # in which -1 stays a label
    full = np.zeros(len(is_masked), dtype=stacked.dtype)
    full[~is_masked] = stacked
    return mask_labels(full, is_masked)


def _as_integers(known: NDArray[Any], some_missing: bool) -> NDArray[Any]:
    is_stand_in = known.dtype.kind == "f" and some_missing and (known == np.trunc(known)).all()
    return known.astype(np.int64) if known.dtype.kind in "iu" or is_stand_in else known


def _kinds(values: NDArray[Any], names: Mapping[str, str]) -> str:
    return " and ".join(sorted({names.get(kind, "objects") for kind in label_kinds(values)}))


def _check_alike(described: Mapping[Any, str], what: str, remedy: str, error: type[Exception] = ValueError) -> None:
    """Raise an error that names two domains that are described differently, or one that mixes two things."""
    for name, text in described.items():
        first, of_first = next(iter(described.items()))
        if text != of_first or " and " in text:
            than = "" if name == first else f" but {of_first} in domains[{first!r}]"
            raise error(f"{what} {text} in domains[{name!r}]{than}. {remedy}.")


def _stack_rows(rows: Mapping[Any, Any]) -> Any:
    _check_alike(
        {name: _form(X) for name, X in rows.items()}, "X is", "Give the rows of all domains in one form", TypeError
    )
    first, *_ = parts = list(rows.values())
    if isinstance(first, list):
        return [row for part in parts for row in part]
    if table_columns(first) is not None:
        return _stack_tables(rows)
    shapes = {name: _shape(X) for name, X in rows.items()}
    if all(shapes.values()):
        _check_alike(shapes, "The shape of a row is", "Give all domains the same columns or images of one size")
    if is_dataset(first):
        if hasattr(first, "join_rows") and all(type(X) is type(first) for X in parts):
            return first.join_rows(*parts[1:])
        from torch.utils.data import ConcatDataset  # here, for the package imports without torch

        return ConcatDataset(parts)
    if sparse.issparse(first):
        return sparse.vstack(parts, format="csr")
    kinds = {name: _VALUES.get(X.dtype.kind, "objects") for name, X in rows.items()}
    _check_alike(kinds, "X holds", "Convert those of one of them")
    if first.ndim > 2:
        # Bytes are 0 to 255, floats mostly 0 to 1.
        kinds = {name: "bytes" if X.dtype == np.uint8 else "no bytes" for name, X in rows.items()}
        _check_alike(kinds, "Images are", "Convert those of one of them, which may need another scale")
    return np.ascontiguousarray(np.concatenate(parts))


def _form(X: Any) -> str:
    if isinstance(X, list):
        return "a list"
    if (columns := table_columns(X)) is not None:
        return f"a table of {type(X).__module__.partition('.')[0]}" if len(columns) else "a table without columns"
    return "a sparse matrix" if sparse.issparse(X) else "a dataset" if is_dataset(X) else "an array"


def _shape(X: Any) -> str:
    """Return the shape of a row as text; nothing where the first item of a dataset does not say it."""
    if not is_dataset(X):
        return str(X.shape[1:])
    item = X[0][0] if isinstance(X[0], tuple | list) else X[0]
    return str(tuple(item.shape)) if hasattr(item, "shape") else ""


def _stack_tables(tables: Mapping[Any, Any]) -> Any:
    first_name, first = next(iter(tables.items()))
    columns = table_columns(first) or []
    for name, table in tables.items():
        own = table_columns(table) or []
        if twice := [column for column in dict.fromkeys(own) if own.count(column) > 1]:
            raise ValueError(f"domains[{name!r}]: X has two columns of the name {twice[0]!r}; rename or drop one.")
        missing, more = ([c for c in a if c not in b] for a, b in ((columns, own), (own, columns)))
        if missing or more:
            found = [f"{text} {which}" for text, which in (("lacks", missing), ("has besides", more)) if which]
            raise ValueError(
                f"domains[{name!r}]: X {' and '.join(found)}, compared with domains[{first_name!r}]. Give all domains "
                "the same columns: rename them, drop what only some have, or add it filled with NaN."
            )
    for column in columns:
        known = {name: known_values(np.asarray(table[column])) for name, table in tables.items()}
        kinds = {name: _kinds(values, _VALUES) for name, values in known.items() if len(values)}
        _check_alike(kinds, f"Column {column!r} holds", "Convert it in one of them")
    parts = [table if table_columns(table) == columns else _select(table, columns) for table in tables.values()]
    package = sys.modules[type(first).__module__.partition(".")[0]]
    if hasattr(package, "concat_tables"):  # pyarrow
        return package.concat_tables(parts, promote_options="permissive")
    if hasattr(first, "iloc"):
        return package.concat(_with_common_types(parts, columns))
    return package.concat(parts, how="vertical_relaxed")


def _select(table: Any, columns: list[Any]) -> Any:
    return table.select(columns) if hasattr(table, "column_names") or not hasattr(table, "iloc") else table[columns]


def _with_common_types(frames: list[Any], columns: list[Any]) -> list[Any]:
    """Return frames of pandas whose columns keep their type when stacked: one set of categories, no type of nothing."""
    for column in columns:
        known = [frame for frame in frames if not frame[column].isna().all()]
        dtypes = list(dict.fromkeys(frame[column].dtype for frame in known))
        if not known or (len(dtypes) == 1 and len(known) == len(frames)):
            continue
        common = dtypes[0]
        if all(hasattr(dtype, "categories") and not dtype.ordered for dtype in dtypes):
            values = [value for dtype in dtypes for value in dtype.categories]
            common, known = type(common)(list(dict.fromkeys(values))), []
        elif isinstance(common, np.dtype) and common.kind in "iub":
            common = np.dtype(np.float64)
        is_known = {id(frame) for frame in known}
        frames = [frame if id(frame) in is_known else frame.astype({column: common}) for frame in frames]
    return frames
