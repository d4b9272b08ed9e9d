"""Checks of the rows that a strategy may choose from, and of those that it chose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from skada_active.pool import PoolView
from skada_active.utils.rows import as_row_numbers

__all__ = ["check_candidates", "check_positions", "check_table"]


def check_candidates(candidates: ArrayLike, pool: PoolView) -> NDArray[np.int64]:
    """Return the positions of the rows `candidates` of X in the pool, ascending; a row not in it is an error."""
    ids = as_row_numbers("candidates", candidates, "row numbers of X")
    distinct, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"candidates names row {distinct[counts > 1][0]} more than once; name every row once.")
    strangers = np.setdiff1d(distinct, pool.index, assume_unique=True)
    if len(strangers):
        raise ValueError(
            f"candidates names row {strangers[0]}, which is not in the pool of {len(pool)} row(s) to choose from; "
            "name rows among strategy.pool_.index."
        )
    return np.flatnonzero(np.isin(pool.index, distinct))


def check_table(X: Any, strategy: str) -> None:
    """Raise an error that names the remedy if a default estimator cannot be fitted on a table, such as one of text."""
    try:
        numeric = "float64" if hasattr(X, "iloc") else "numeric"  # an object column of a frame passes as a number
        check_array(X, dtype=numeric, accept_sparse=True, input_name="X", estimator="LogisticRegression")
    except (ValueError, TypeError) as error:
        if not any(words in str(error) for words in ("convert", "strings", "promoted")):
            raise
        raise ValueError(
            f"X holds columns that are no numbers ({error}), but the default estimator of {strategy} is a model of "
            "numbers. Give one that encodes them, such as estimator=make_pipeline(make_column_transformer("
            "(OneHotEncoder(), columns), remainder=StandardScaler()), LogisticRegression())."
        ) from error


def check_positions(strategy: str, positions: Any, n_queries: int, n: int) -> NDArray[np.int64]:
    """Return what a strategy chose as int64; anything but `n_queries` distinct positions below `n` is an error."""
    positions = np.asarray(positions)
    distinct = np.unique(positions)
    valid = positions.ndim == 1 and positions.dtype.kind in "iu" and len(positions) == len(distinct) == n_queries
    if not valid or distinct[0] < 0 or distinct[-1] >= n:
        raise ValueError(
            f"{strategy}._select must return {n_queries} distinct positions from 0 to {n - 1} as a 1-D "
            f"integer array, got {positions!r}."
        )
    return positions.astype(np.int64, copy=False)
