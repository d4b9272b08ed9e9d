"""Fingerprint of the data of a session: small enough for a file, and it tells which rows or columns differ."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skada_active.io.hashing import array_hash
from skada_active.labels import as_labels, is_missing
from skada_active.utils.rows import as_rows, is_dataset, n_rows

__all__ = ["check_fingerprint", "fingerprint"]

_BLOCK_BYTES, _MIN_BLOCKS, _MAX_BLOCKS = 8 * 2**20, 64, 256
_SAMPLED_ROWS = 64
_REPETITIONS = 32  # readings beyond the first, so that a coin that a transform flips is hardly ever missed
_SHOWN = 5  # ranges of rows, or columns, that an error names

#: What is cheap to know of an input, and a function that hashes the rest in blocks of so many rows (None: its choice).
_Reading = tuple[dict[str, Any], Callable[[int | None], dict[str, Any]]]


def fingerprint(X: Any, y: ArrayLike, domain: ArrayLike) -> dict[str, Any]:
    """Return what identifies the data of a session, as a tree of JSON's own types.

    Values, shapes, types, column names and, in sparse data, stored zeros count. The layout in memory, the order of
    bytes, the labels of rows and the format of sparse data do not.

    Parameters
    ----------
    X : array-like of shape (n, ...), sparse matrix, DataFrame or dataset
        All rows. Of a dataset at most 64 rows, spread evenly, are read, each twice or more; where that gives two
        results, their content does not count.
    y : array-like of shape (n,)
        Labels, missing ones included.
    domain : array-like of shape (n,) of int
        Domain number per row.

    Returns
    -------
    dict
        ``"X"``, ``"y"`` and ``"sample_domain"``: kind, shape, type and names, and a hash for every block of rows. There
        are at least 64 blocks, where there are so many rows, and at most 256 blocks, of 8 MB or more.

    Notes
    -----
    Time is linear in the bytes of `X`: about 2 s per GB of numbers, and about 1 us per string or other object. One
    block of rows is copied at a time.
    """
    return {name: {**head, **hash_blocks(None)} for name, (head, hash_blocks) in _read(X, y, domain).items()}


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
    now = _read(X, y, domain)
    made = f"{what} was made with"
    found = {name: list(_head_differences(name, recorded[name], head, made)) for name, (head, _) in now.items()}
    if now["X"][0]["shape"][0] != recorded["X"]["shape"][0]:
        found = {"X": found["X"]}
    elif not any(found.values()):
        found = {
            name: _content_differences(name, recorded[name], head | hash_blocks(recorded[name]["block_rows"]), made)
            for name, (head, hash_blocks) in now.items()
        }
    if found.get("y"):
        found["y"].append("a label that became known since belongs in tell, not in y")
    if words := "; ".join(line for lines in found.values() for line in lines):
        raise ValueError(f"{words}. Give the same data, or start a new session in another file.")


def _read(X: Any, y: ArrayLike, domain: ArrayLike) -> dict[str, _Reading]:
    X = as_rows(X)
    pandas = sys.modules.get("pandas")
    if sparse.issparse(X):
        reading = _read_sparse(X)
    elif is_dataset(X):
        reading = _read_dataset(X)
    elif pandas is not None and isinstance(X, pandas.DataFrame):
        reading = _read_pandas(X, pandas.util.hash_pandas_object)
    elif hasattr(X, "columns") or hasattr(X, "__dataframe__"):
        reading = _read_table(X)
    else:
        reading = _read_array(X)
    return {"X": reading, "y": _read_labels(as_labels(y)), "sample_domain": _read_array(np.asarray(domain, np.int64))}


def _read_array(X: Any) -> _Reading:
    rows = np.asarray(X) if isinstance(X, np.ndarray) else X  # a view without the overhead of a memory map
    head = {"kind": "array", "shape": list(X.shape), "dtype": _type_name(np.asarray(rows[:0]).dtype)}
    return head, _in_blocks(len(X), getattr(X, "nbytes", 0), lambda start, stop: [np.asarray(rows[start:stop])])


def _read_labels(y: NDArray[Any]) -> _Reading:
    known = ~is_missing(y)
    if y.dtype.kind == "O":
        y = np.where(known, y, np.array(None, dtype=object))  # None, NaN and pandas.NA say the same
    head, hash_blocks = _read_array(y.astype(object) if y.dtype.kind == "U" else y)
    # The width of a type of strings is that of the longest one, which may be yet to come.
    name = "str" if y.dtype.kind == "U" else head["dtype"]
    return {**head, "dtype": name, "n_known": int(known.sum())}, hash_blocks


def _read_sparse(X: Any) -> _Reading:
    def parts(start: int, stop: int) -> list[NDArray[Any]]:
        rows = X[start:stop].sorted_indices()
        return [np.diff(rows.indptr).astype(np.int64), rows.indices.astype(np.int64, copy=False), rows.data]

    head = {"kind": "sparse matrix", "shape": list(X.shape), "dtype": _type_name(X.dtype)}
    return head, _in_blocks(X.shape[0], X.nnz * (X.dtype.itemsize + 8), parts)


def _read_pandas(X: Any, hash_rows: Callable[..., Any]) -> _Reading:
    types = [_type_name(dtype) for dtype in X.dtypes]
    columns = {name: [i for i, other in enumerate(types) if other == name] for name in dict.fromkeys(types)}

    def parts(start: int, stop: int) -> Iterator[NDArray[Any]]:
        for positions in columns.values():
            block = X.iloc[start:stop, positions]
            if isinstance(X.dtypes.iloc[positions[0]], np.dtype):
                yield block.to_numpy()
            else:
                # To pandas' hash a missing value and the word "nan" are one.
                yield from (hash_rows(block, index=False).to_numpy(), block.isna().to_numpy())

    head = {"kind": "DataFrame", "shape": list(X.shape), "columns": list(map(repr, X.columns)), "dtypes": types}
    return head, _in_blocks(len(X), int(X.memory_usage(index=False).sum()), parts)


def _read_table(X: Any) -> _Reading:
    head, hash_blocks = _read_array(np.asarray(X))
    columns = list(map(repr, getattr(X, "column_names", None) or X.columns))  # 0 and "0" are two names
    types = [str(dtype) for dtype in getattr(X, "dtypes", [head["dtype"]] * len(columns))]
    return {"kind": "DataFrame", "shape": head["shape"], "columns": columns, "dtypes": types}, hash_blocks


def _read_dataset(X: Any) -> _Reading:
    n = n_rows(X)
    sample = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED_ROWS)).round().astype(np.int64)).tolist()
    n_readings = 1 + -(-_REPETITIONS // max(len(sample), 1))
    hashes, forms, repeatable = [], set(), True
    for row in sample:
        readings = [_row_of(X, row) for _ in range(n_readings)]
        forms |= {(reading.shape, _type_name(reading.dtype)) for reading in readings}
        results = {array_hash(reading) for reading in readings}
        repeatable &= len(results) == 1
        hashes += sorted(results)[:1]
    shape, dtype = forms.pop() if len(forms) == 1 else ((None,), "not one for all rows")
    blocks = {"block_rows": None, "sampled": sample, "repeatable": repeatable, "blocks": hashes if repeatable else []}
    return {"kind": "dataset", "shape": [n, *shape], "dtype": dtype}, lambda _: blocks


def _row_of(X: Any, row: int) -> NDArray[Any]:
    item = X[row]
    return np.asarray(item[0] if isinstance(item, tuple | list) else item)


def _in_blocks(n: int, n_bytes: int, parts: Callable[[int, int], Any]) -> Callable[[int | None], dict[str, Any]]:
    def hash_blocks(block_rows: int | None) -> dict[str, Any]:
        n_blocks = min(max(n_bytes // _BLOCK_BYTES, _MIN_BLOCKS), _MAX_BLOCKS)
        size = block_rows or max(1, -(-n // n_blocks))
        hashes = [
            joblib.hash([array_hash(part) for part in parts(start, min(start + size, n))])
            for start in range(0, n, size)
        ]
        return {"block_rows": size, "blocks": hashes}

    return hash_blocks


def _type_name(dtype: Any) -> str:
    """Return the name of a dtype of numpy or pandas, which says nothing of the order of bytes."""
    if isinstance(dtype, np.dtype):
        return str(dtype.newbyteorder("<"))
    if not hasattr(dtype, "categories"):
        return str(dtype)
    order = "ordered" if dtype.ordered else "unordered"
    return f"category ({len(dtype.categories)} {order}, {array_hash(np.asarray(dtype.categories, dtype=object))})"


def _head_differences(name: str, then: dict[str, Any], now: dict[str, Any], made: str) -> Iterator[str]:
    if then["kind"] != now["kind"]:
        yield f"{name} is of the kind {now['kind']}, {made} the kind {then['kind']}"
        return
    (n_then, *shape_then), (n_now, *shape_now) = then["shape"], now["shape"]
    if n_then != n_now:
        yield f"{name} has {n_now} rows, {made} {n_then}"
    if "columns" in now:
        yield from _column_differences(then, now, made)
    elif shape_then != shape_now:
        if len(shape_then) == len(shape_now) == 1 and now["kind"] != "dataset":
            yield f"{name} has {shape_now[0]} columns, {made} {shape_then[0]}"
        else:
            yield f"{name} has rows of the shape {tuple(shape_now)}, {made} {tuple(shape_then)}"
    if then.get("dtype") != now.get("dtype"):
        yield f"{name} is of the type {now['dtype']}, {made} {then['dtype']}"
    if then.get("n_known") != now.get("n_known"):
        yield f"y has {now['n_known']} known labels, {made} {then['n_known']}"


def _column_differences(then: dict[str, Any], now: dict[str, Any], made: str) -> list[str]:
    before, after = then["columns"], now["columns"]
    gone = [f"column {name} of X is missing, {made} it" for name in before if name not in after]
    new = [f"column {name} of X is new, {made} others" for name in after if name not in before]
    if gone or new:
        return [*gone[:_SHOWN], *new[:_SHOWN]]
    if before != after:
        return [f"the columns of X are in the order {', '.join(after)}, {made} {', '.join(before)}"]
    types = zip(after, now["dtypes"], then["dtypes"], strict=True)
    changed = [f"column {name} of X is of the type {new}, {made} {old}" for name, new, old in types if new != old]
    return changed[:_SHOWN]


def _content_differences(name: str, then: dict[str, Any], now: dict[str, Any], made: str) -> list[str]:
    if then.get("repeatable") != now.get("repeatable"):
        results = {True: "the same", False: "another"}
        again = f"reading a row of {name} again gives {results[now['repeatable']]} result"
        return [f"{again}, {made} rows that gave {results[then['repeatable']]} one"]
    ranges = _changed_rows(then, now)
    words = [f"rows {first} to {last}" if last > first else f"row {first}" for first, last in ranges]
    more = f" and {len(words) - _SHOWN} more ranges" if len(words) > _SHOWN else ""
    return [f"{', '.join(words[:_SHOWN])}{more} of {name} are not those that {made}"] if words else []


def _changed_rows(then: dict[str, Any], now: dict[str, Any]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for block, (old, new) in enumerate(zip(then["blocks"], now["blocks"], strict=True)):
        if old == new:
            continue
        size = now["block_rows"]
        first, last = (block * size, (block + 1) * size - 1) if size else (now["sampled"][block],) * 2
        last = min(last, now["shape"][0] - 1)
        if ranges and ranges[-1][1] + 1 == first:
            first = ranges.pop()[0]
        ranges.append((first, last))
    return ranges
