"""Rows as files without pickle: arrays, CSR matrices and DataFrames of numbers as npz."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skada_active.utils.rows import is_dataset

__all__ = ["data_files", "load_data"]

_CSR = ("data", "indices", "indptr")


def data_files(X: Any, name: str) -> tuple[dict[str, Any] | None, dict[str, Callable[[Path], Any]]]:
    """Return how rows are restored, JSON-able, and the writers of their files; None for rows of any other form.

    Arrays of numbers, CSR matrices and DataFrames of numbers have a form; datasets, strings and objects have none.
    """
    tree, arrays = _parts(X)
    if tree is None or any(array.dtype.kind not in "biuf" for array in arrays.values()):
        return None, {}
    file = f"{name}.npz"
    return {**tree, "file": file}, {file: partial(_save, arrays)}


def load_data(tree: dict[str, Any], files: dict[str, Path]) -> Any:
    """Return the rows that `data_files` wrote."""
    with np.load(files[tree["file"]], allow_pickle=False) as content:
        arrays = dict(content)
    if tree["kind"] == "array":
        return arrays["X"]
    if tree["kind"] == "csr":
        kind = sparse.csr_array if tree["is_array"] else sparse.csr_matrix
        return kind(tuple(arrays[part] for part in _CSR), shape=tree["shape"])
    from pandas import DataFrame  # rows that were a DataFrame came from a place that has it

    return DataFrame({column: arrays[str(number)] for number, column in enumerate(tree["columns"])})


def _parts(X: Any) -> tuple[dict[str, Any] | None, dict[str, NDArray[Any]]]:
    if isinstance(X, np.ndarray):
        return {"kind": "array"}, {"X": X}
    if sparse.issparse(X):
        tree = {"kind": "csr", "shape": list(X.shape), "is_array": isinstance(X, sparse.sparray)}
        return tree, {part: getattr(X, part) for part in _CSR}
    if type(X).__module__.partition(".")[0] == "pandas" and not is_dataset(X) and hasattr(X, "columns"):
        names = list(X.columns)
        if all(isinstance(dtype, np.dtype) for dtype in X.dtypes) and all(isinstance(name, str) for name in names):
            columns = {str(number): X.iloc[:, number].to_numpy() for number in range(len(names))}
            return {"kind": "frame", "columns": names}, columns
    return None, {}


def _save(arrays: dict[str, NDArray[Any]], path: Path) -> None:
    with path.open("wb") as file:  # given a path, numpy would add an ending to it
        np.savez(file, **arrays)
