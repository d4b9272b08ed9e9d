"""Fingerprint of the data of a session: small enough for a file, and it tells which rows or columns differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skada_active.io.hashing import array_hash
from skada_active.labels import as_labels, labels_to_list
from skada_active.utils.rows import as_row, as_rows, column_names, is_dataset, n_rows

__all__ = ["check_fingerprint", "fingerprint"]

_BLOCKS = 64
_REPETITIONS = 32  # readings beyond the first, so that a coin that a transform flips is hardly ever missed
_SHOWN = 5  # ranges of rows, or columns, that an error names


class _Reading(NamedTuple):
    """What is cheap to know of an input, its blocks by their first and last row, and what hashes every block."""

    head: dict[str, Any]
    blocks: list[tuple[int, int]]
    hash_blocks: Callable[[], list[str]]


def fingerprint(X: Any, y: ArrayLike, domain: ArrayLike) -> dict[str, Any]:
    """Return what identifies the data of a session, as a tree of JSON's own types.

    Values, shapes, types, column names and, in sparse data, stored zeros count. The layout in memory, the order of
    bytes, the labels of rows, the order of pandas' categories and the format of sparse data do not.

    Parameters
    ----------
    X : array-like of shape (n, ...), sparse matrix, DataFrame or dataset
        All rows. Of a dataset at most 64 rows, spread evenly, are read, each twice or more; where that gives two
        results, their content does not count. One that has ``fingerprint_rows(start, stop)``, arrays that identify
        these rows, and ``row_type``, a text, such as `skada_active.datasets.ImageFiles`, is asked for all rows.
    y : array-like of shape (n,)
        Labels, missing ones included.
    domain : array-like of shape (n,) of int
        Domain number per row.

    Returns
    -------
    dict
        ``"X"``, ``"y"`` and ``"sample_domain"``: kind, shape, type and columns, and a hash for each of at most 64
        blocks of rows.

    Notes
    -----
    Time is linear in the bytes of `X`: 1 to 2 s per GB of numbers, and about 1 us per string or other object, such as
    the values of pandas' own types. One block of rows is copied at a time.
    """
    return {name: read.head | {"blocks": read.hash_blocks()} for name, read in _read_all(X, y, domain).items()}


def check_fingerprint(recorded: dict[str, Any], X: Any, y: ArrayLike, domain: ArrayLike, what: str) -> None:
    """Raise a ValueError that says what differs, unless the data are those of the recorded fingerprint.

    Parameters
    ----------
    recorded : dict
        What `fingerprint` returned, perhaps written and read as JSON.
    X, y, domain
        The data now.
    what : str
        What was made with the data, for the error, such as "the journal labels.db".

    Notes
    -----
    Costs what `fingerprint` does, and next to nothing where a shape, type or name differs.
    """
    readings = _read_all(X, y, domain).items()
    found = [text for name, read in readings for text in _head_differences(name, recorded[name], read.head)]
    if not found:
        found = [text for name, read in readings for text in _row_differences(name, recorded[name], read)]
    if found:
        raise ValueError(
            f"{'; '.join(found)}. Give the data that {what} was made with, or start a new session in another file."
        )


def _read_all(X: Any, y: ArrayLike, domain: ArrayLike) -> dict[str, _Reading]:
    X, labels = X if column_names(X) else as_rows(X), as_labels(y)
    # The width of a type of strings is that of the longest one, which may be yet to come.
    label_type = "str" if labels.dtype.kind == "U" else _type_name(labels.dtype)
    if labels.dtype.kind in "OU":
        labels = np.array(labels_to_list(labels), dtype=object)  # None, NaN and pandas.NA say the same
    read_y = _read_rows(labels)
    return {
        "X": _read_dataset(X) if is_dataset(X) else _read_rows(X),
        "y": read_y._replace(head=read_y.head | {"type": label_type}),
        "sample_domain": _read_rows(np.asarray(domain, np.int64)),
    }


def _read_rows(X: Any) -> _Reading:
    X = X.to_frame() if hasattr(X, "to_frame") and hasattr(X, "iloc") else X  # a Series, such as one of texts
    head, arrays = _read_sparse(X) if sparse.issparse(X) else _read_frame(X) if hasattr(X, "iloc") else _read_array(X)
    return _in_blocks(n_rows(X), {"shape": list(X.shape), "columns": [], **head}, arrays)


def _in_blocks(n: int, head: dict[str, Any], arrays: Callable[[int, int], list[NDArray[Any]]]) -> _Reading:
    size = max(1, -(-n // _BLOCKS))
    blocks = [(start, min(start + size, n) - 1) for start in range(0, n, size)]
    return _Reading(
        head,
        blocks,
        lambda: [joblib.hash([array_hash(array) for array in arrays(first, last + 1)]) for first, last in blocks],
    )


def _read_array(X: Any) -> tuple[dict[str, Any], Callable[[int, int], list[NDArray[Any]]]]:
    columns = list(map(repr, column_names(X)))  # 0 and "0" are two names
    # An array of its own for a memory map, which has an overhead per view, and for a table that is not pandas'.
    rows = np.asarray(X) if columns or isinstance(X, np.ndarray) else X
    head = {"kind": "DataFrame" if columns else "array", "type": _type_name(np.asarray(rows[:0]).dtype)}
    return {**head, "columns": columns}, lambda start, stop: [np.asarray(rows[start:stop])]


def _read_sparse(X: Any) -> tuple[dict[str, Any], Callable[[int, int], list[NDArray[Any]]]]:
    def arrays(start: int, stop: int) -> list[NDArray[Any]]:
        rows = X[start:stop].sorted_indices()
        return [np.diff(rows.indptr).astype(np.int64), rows.indices.astype(np.int64), rows.data]

    return {"kind": "sparse matrix", "type": _type_name(X.dtype)}, arrays


def _read_frame(X: Any) -> tuple[dict[str, Any], Callable[[int, int], list[NDArray[Any]]]]:
    types = list(map(_type_name, X.dtypes))
    of_type = [[i for i, other in enumerate(types) if other == name] for name in dict.fromkeys(types)]

    def arrays(start: int, stop: int) -> list[NDArray[Any]]:
        frames = [X.iloc[start:stop, positions] for positions in of_type]
        # What is no type of numpy has no one form as an array, but for objects.
        return [frame.to_numpy(None if isinstance(frame.dtypes.iloc[0], np.dtype) else object) for frame in frames]

    columns = [f"{name!r} ({dtype})" for name, dtype in zip(X.columns, types, strict=True)]
    return {"kind": "DataFrame", "type": "that of its columns", "columns": columns}, arrays


def _read_dataset(X: Any) -> _Reading:
    n = n_rows(X)
    if hasattr(X, "fingerprint_rows"):
        head = {"kind": type(X).__name__, "shape": [n, *_row_of(X, 0).shape], "type": X.row_type, "columns": []}
        return _in_blocks(n, head, X.fingerprint_rows)
    sample = np.linspace(0, n - 1, min(n, _BLOCKS)).round().astype(int).tolist()
    readings = [[_row_of(X, row) for _ in range(1 + -(-_REPETITIONS // len(sample)))] for row in sample]
    forms = {(row.shape, _type_name(row.dtype)) for again in readings for row in again}
    hashes = [{array_hash(row) for row in again} for again in readings]
    shape, dtype = forms.pop() if len(forms) == 1 else ((None,), "not one for all rows")
    # What is random in one row is no less so in the others.
    fixed = [found.pop() for found in hashes] if all(len(found) == 1 for found in hashes) else []
    head = {"kind": "dataset", "shape": [n, *shape], "type": dtype, "columns": []}
    return _Reading(head, [(row, row) for row in sample], lambda: fixed)


def _row_of(X: Any, row: int) -> NDArray[Any]:
    return as_row(X[row], row)


def _type_name(dtype: Any) -> str:
    """Return the name of a dtype of numpy or pandas, which says nothing of the order of bytes."""
    return str(dtype.newbyteorder("<") if isinstance(dtype, np.dtype) else dtype)


def _head_differences(name: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key in ("kind", "shape", "type"):
        if now[key] != then[key]:
            yield f"{name} has the {key} {now[key]}, not {then[key]}"
    before, after = then["columns"], now["columns"]
    if gone := [column for column in before if column not in after]:
        yield f"{name} lacks the columns {', '.join(gone[:_SHOWN])}"
    if new := [column for column in after if column not in before]:
        yield f"{name} has the new columns {', '.join(new[:_SHOWN])}"
    elif not gone and before != after:
        yield f"{name} has its columns in another order, {', '.join(after[:_SHOWN])}"


def _row_differences(name: str, then: dict[str, Any], now: _Reading) -> Iterator[str]:
    old, new = then["blocks"], now.hash_blocks()
    if len(old) != len(new):
        yield f"reading a row of {name} again gives {'the same' if new else 'another'} result, unlike before"
        return
    # Rows that are random have blocks without hashes.
    changed = groupby(zip(now.blocks, old, new, strict=False), lambda block: block[1] != block[2])
    ranges = [list(blocks) for differs, blocks in changed if differs]
    words = [f"rows {blocks[0][0][0]} to {blocks[-1][0][1]}" for blocks in ranges]
    if words:
        more = f" and {len(words) - _SHOWN} more ranges" if len(words) > _SHOWN else ""
        hint = " (a label that became known since belongs in tell, not in y)" if name == "y" else ""
        yield f"{', '.join(words[:_SHOWN])}{more} of {name} are others{hint}"
