"""One pass over rows: vectors from the cache where they are, from the encoder where not, each row once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from scipy import sparse
from tqdm.auto import tqdm

from skada_active.embedding.cache import VectorCache
from skada_active.embedding.encoders import Encoder
from skada_active.embedding.rows import Rows, UnreadRow
from skada_active.utils.arrays import to_host

__all__ = ["embed"]

#: Fewest rows that are read and looked up at once.
_LOOKED_UP = 64


def embed(
    rows: Rows,
    encoder: Encoder,
    cache: VectorCache | None,
    *,
    dtype: np.dtype[Any],
    n_jobs: int | None = None,
    verbose: bool = False,
) -> NDArray[Any]:
    """Return the vectors (n, D) of rows.

    Rows are read once, in order, and no more of them are held than one batch and those that are looked up at once.

    Parameters
    ----------
    rows : Rows
        At least one row.
    encoder : Encoder
        Computes the vectors that are not in the cache.
    cache : VectorCache or None
        Keeps the vectors of every batch.
    dtype : dtype
        Type of the result.
    n_jobs : int, default=None
        Threads that read and prepare rows.
    verbose : bool, default=False
        Whether to show a bar.

    Raises
    ------
    ValueError
        If the encoder returns other than one vector of finite numbers a row.
    """
    result = _Result(len(rows), dtype)
    first: dict[bytes, int] = {}  # the row that a hash came with first
    twins: list[tuple[int, int]] = []
    waiting: list[tuple[int, bytes, Any]] = []
    with tqdm(total=len(rows), desc="embedding", disable=not verbose) as bar:

        def prepare(row: Any, number: int) -> Any:
            return encoder.prepare(row.open() if isinstance(row, UnreadRow) else row, number)

        def compute(n_waiting: int) -> None:
            numbers, keys, held = zip(*waiting[:n_waiting], strict=True)
            del waiting[:n_waiting]
            prepared = _each(prepare, zip(held, numbers, strict=True), n_jobs)
            vectors = _checked(encoder.encode(prepared), numbers, dtype)
            if cache is not None:
                vectors = cache.write(keys, _as_type(vectors, np.dtype(np.float32), numbers))
            result.put(numbers, vectors)
            bar.update(n_waiting)

        for block in _blocks(len(rows), max(_LOOKED_UP, encoder.rows_at_once)):
            new = []
            for number, (key, row) in zip(block, _each(rows.read, ((n,) for n in block), n_jobs), strict=True):
                if first.setdefault(key, number) == number:
                    new.append((number, key, row))
                else:
                    twins.append((number, first[key]))
            found, vectors = ([], None) if cache is None else cache.read([key for _, key, _ in new])
            if found:
                result.put([new[position][0] for position in found], vectors)
                bar.update(len(found))
            known = set(found)
            waiting += [one for position, one in enumerate(new) if position not in known]
            while len(waiting) >= encoder.rows_at_once:
                compute(encoder.rows_at_once)
        if waiting:
            compute(len(waiting))
        bar.update(len(twins))
    return result.filled(twins)


class _Result:
    """Vectors by the numbers of their rows, made when the first of them says how wide they are."""

    def __init__(self, n_rows: int, dtype: np.dtype[Any]) -> None:
        self.n_rows, self.dtype = n_rows, dtype
        self.vectors: NDArray[Any] | None = None

    def put(self, numbers: Any, vectors: Any) -> None:
        if self.vectors is None:
            self.vectors = np.empty((self.n_rows, vectors.shape[1]), dtype=self.dtype)
        if vectors.shape[1] != self.vectors.shape[1]:
            raise ValueError(
                f"encoder returned vectors of {vectors.shape[1]} numbers for row {numbers[0]} and others, and of "
                f"{self.vectors.shape[1]} before; all have to be of one width."
            )
        self.vectors[list(numbers)] = _as_type(vectors, self.dtype, numbers)

    def filled(self, twins: list[tuple[int, int]]) -> NDArray[Any]:
        assert self.vectors is not None  # there is a row
        if twins:
            numbers, first = map(list, zip(*twins, strict=True))
            self.vectors[numbers] = self.vectors[first]
        return self.vectors


def _checked(vectors: Any, numbers: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return what an encoder gave for rows of these numbers as an array of finite floats (n, D)."""
    if sparse.issparse(vectors):
        raise TypeError("encoder returned a sparse matrix; return its .toarray(), of few columns.")
    array = to_host(vectors)
    if array.ndim != 2 or len(array) != len(numbers) or not array.shape[1] or array.dtype.kind not in "biuf":
        what = f"{type(vectors).__name__} of shape {array.shape} and type {array.dtype}"
        raise ValueError(
            f"encoder has to return one vector a row, numbers of shape ({len(numbers)}, D), got {what}; flatten or "
            "average the axes that are too many, and return one output alone."
        )
    if not (finite := np.isfinite(array).all(axis=1)).all():
        bad = [numbers[position] for position in np.flatnonzero(~finite)]
        raise ValueError(
            f"encoder returned NaN or infinity for {len(bad)} of {len(numbers)} rows, first for row {bad[0]}; nothing "
            "of this batch is kept. Look for NaN or huge numbers in the row and in the weights."
        )
    return array


def _as_type(vectors: NDArray[Any], dtype: np.dtype[Any], numbers: Any) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        cast = vectors.astype(dtype, copy=False)
    if cast.dtype.itemsize < vectors.dtype.itemsize and not (finite := np.isfinite(cast).all(axis=1)).all():
        row = numbers[int(np.flatnonzero(~finite)[0])]
        raise ValueError(f"The vector of row {row} holds numbers beyond the largest of {dtype}; scale them down.")
    return cast


def _each(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], n_jobs: int | None) -> list[Any]:
    if effective_n_jobs(n_jobs) == 1:
        return [function(*values) for values in arguments]
    return Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(function)(*values) for values in arguments)


def _blocks(n: int, size: int) -> Iterable[range]:
    return (range(start, min(start + size, n)) for start in range(0, n, size))
