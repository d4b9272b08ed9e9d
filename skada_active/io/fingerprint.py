"""What identifies the data of a session, small enough for a file, and what differs from it in words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skada_active.io._digests import array_digest, feed_array, type_name
from skada_active.labels import as_labels, is_missing
from skada_active.utils.rows import as_rows, is_dataset, n_rows

__all__ = ["check_fingerprint", "fingerprint"]

_BLOCK_BYTES, _MIN_BLOCKS, _MAX_BLOCKS = 8 * 2**20, 64, 256
_SAMPLED_ROWS = 64
_REPETITIONS = 32  # readings beyond the first, so that a coin that a transform flips is hardly ever missed
_SHOWN = 5  # ranges of rows, or columns, that an error names

# What is cheap to know, and the function that hashes the rest, in blocks of so many rows (None: as it thinks fit).
_Reading = tuple[dict[str, Any], Callable[[int | None], dict[str, Any]]]


def fingerprint(X: Any, y: ArrayLike, domain: ArrayLike) -> dict[str, Any]:
    """Return what identifies the data of a session, as a tree of JSON's own types.

    Values, shapes, types, column names and, in sparse data, stored zeros count. The layout in memory, the order of
    bytes, the labels of rows and the format of sparse data do not.

    Parameters
    ----------
    X : array-like of shape (n, ...), sparse matrix, DataFrame or dataset
        All rows. Of a dataset at most 64 rows, spread evenly, are looked at, each twice or more; where that gives two
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
    Time is linear in the bytes of `X`: about 1 s per GB of numbers (1.4 s in a DataFrame or CSR matrix), and 0.5 us for
    each string or other object. At most 8 MB of an array are copied at a time, and one block of a DataFrame or CSR
    matrix.
    """
    return {name: {**head, **content(None)} for name, (head, content) in _read(X, y, domain).items()}


def check_fingerprint(recorded: dict[str, Any], X: Any, y: ArrayLike, domain: ArrayLike, what: str) -> None:
    """Raise a ValueError that says what differs, unless the data are those of the recorded fingerprint.

    Parameters
    ----------
    recorded : dict
        What `fingerprint` returned, perhaps written and read as JSON.
    X, y, domain
        The data now.
    what : str
        What was made with the data, for the error, such as "the journal in labels/".

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
            name: _content_differences(name, recorded[name], head | content(recorded[name]["block_rows"]), made)
            for name, (head, content) in now.items()
        }
    if found.get("y"):
        found["y"].append("a label that became known since belongs in tell, not in y")
    if words := "; ".join(line for lines in found.values() for line in lines):
        raise ValueError(f"{words}. Give the same data, or begin anew.")


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
    head = {"kind": "array", "shape": list(X.shape), "dtype": type_name(np.asarray(rows[:0]).dtype)}

    def update(digest: Any, start: int, stop: int) -> None:
        feed_array(digest, np.asarray(rows[start:stop]))

    return head, _in_blocks(len(X), getattr(X, "nbytes", 0), update)


def _read_labels(y: NDArray[Any]) -> _Reading:
    known = ~is_missing(y)
    if y.dtype.kind == "O":
        y = np.where(known, y, None)  # None, NaN and pandas.NA say the same
    head, content = _read_array(y.astype(object) if y.dtype.kind == "U" else y)
    # The width of a type of strings is that of the longest one, which may be yet to come.
    name = "str" if y.dtype.kind == "U" else head["dtype"]
    return {**head, "dtype": name, "n_known": int(known.sum())}, content


def _read_sparse(X: Any) -> _Reading:
    sorted_indices = X.has_sorted_indices

    def update(digest: Any, start: int, stop: int) -> None:
        bounds = X.indptr[start : stop + 1]
        lengths = np.diff(bounds).astype(np.int64)
        indices, data = X.indices[bounds[0] : bounds[-1]], X.data[bounds[0] : bounds[-1]]
        if not sorted_indices:
            order = np.lexsort((indices, np.repeat(np.arange(len(lengths)), lengths)))
            indices, data = indices[order], data[order]
        for part in (lengths, indices.astype(np.int64, copy=False), data):
            feed_array(digest, part)

    head = {"kind": "sparse matrix", "shape": list(X.shape), "dtype": type_name(X.dtype)}
    return head, _in_blocks(X.shape[0], X.nnz * (X.dtype.itemsize + 8), update)


def _read_pandas(X: Any, hash_rows: Callable[..., Any]) -> _Reading:
    types = [type_name(dtype) for dtype in X.dtypes]
    columns = {name: [i for i, other in enumerate(types) if other == name] for name in dict.fromkeys(types)}

    def update(digest: Any, start: int, stop: int) -> None:
        for positions in columns.values():
            block = X.iloc[start:stop, positions]
            if isinstance(X.dtypes.iloc[positions[0]], np.dtype):
                feed_array(digest, block.to_numpy())
            else:
                # To pandas' hash a missing value and the word "nan" are one.
                feed_array(digest, hash_rows(block, index=False).to_numpy())
                feed_array(digest, block.isna().to_numpy())

    head = {"kind": "DataFrame", "shape": list(X.shape), "columns": _names(X.columns), "dtypes": types}
    return head, _in_blocks(len(X), int(X.memory_usage(index=False).sum()), update)


def _read_table(X: Any) -> _Reading:
    head, content = _read_array(np.asarray(X))
    columns = _names(getattr(X, "column_names", None) or X.columns)
    types = [str(dtype) for dtype in getattr(X, "dtypes", [head["dtype"]] * len(columns))]
    return {"kind": "DataFrame", "shape": head["shape"], "columns": columns, "dtypes": types}, content


def _read_dataset(X: Any) -> _Reading:
    n = n_rows(X)
    sample = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED_ROWS)).round().astype(np.int64)).tolist()
    n_readings = 1 + -(-_REPETITIONS // max(len(sample), 1))
    hashes, forms, repeatable = [], set(), True
    for row in sample:
        readings = [_row_of(X, row) for _ in range(n_readings)]
        forms |= {(reading.shape, type_name(reading.dtype)) for reading in readings}
        results = {array_digest(reading) for reading in readings}
        repeatable &= len(results) == 1
        hashes += sorted(results)[:1]
    shape, dtype = forms.pop() if len(forms) == 1 else ((None,), "not one for all rows")
    content = {
        "block_rows": None,
        "sampled": sample,
        "repeatable": repeatable,
        "blocks": hashes if repeatable else [],
    }
    return {"kind": "dataset", "shape": [n, *shape], "dtype": dtype}, lambda _: content


def _row_of(X: Any, row: int) -> NDArray[Any]:
    item = X[row]
    return np.asarray(item[0] if isinstance(item, tuple | list) else item)


def _in_blocks(n: int, n_bytes: int, update: Callable[[Any, int, int], None]) -> Callable[[int | None], dict[str, Any]]:
    def content(block_rows: int | None) -> dict[str, Any]:
        n_blocks = min(max(n_bytes // _BLOCK_BYTES, _MIN_BLOCKS), _MAX_BLOCKS)
        size = block_rows or max(1, -(-n // n_blocks))
        hashes = []
        for start in range(0, n, size):
            digest = blake2b(digest_size=8)
            update(digest, start, min(start + size, n))
            hashes.append(digest.hexdigest())
        return {"block_rows": size, "blocks": hashes}

    return content


def _names(columns: Any) -> list[str]:
    return [repr(name) for name in columns]  # 0 and "0" are two names


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
