"""Checks of what a strategy is asked, what it reads, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.pool import PoolView
from skada_active.pool.fields import Field, named
from skada_active.utils.arrays import Array, namespace, to_host

__all__ = ["check_candidates", "check_finite", "check_n_queries", "check_positions", "check_utilities"]


def check_n_queries(n_queries: Any) -> int:
    """Return `n_queries` as an int; anything but an integer >= 0 is an error."""
    if not isinstance(n_queries, Integral) or isinstance(n_queries, bool) or n_queries < 0:
        raise ValueError(f"n_queries must be an integer >= 0, got {n_queries!r}.")
    return int(n_queries)


def check_candidates(candidates: ArrayLike, pool: PoolView) -> NDArray[np.int64]:
    """Return the positions of the rows `candidates` of X in the pool, ascending; a row not in it is an error."""
    ids = np.asarray(candidates)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"candidates must be a list of row numbers of X, got dtype {ids.dtype} of shape {ids.shape}; turn a mask "
            "into row numbers with numpy.flatnonzero(mask)."
        )
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


def check_utilities(strategy: str, utilities: Any, n: int) -> NDArray[np.float64]:
    """Return the utilities of `n` candidates; anything but one number for each is an error."""
    utilities = np.asarray(utilities)
    if utilities.shape != (n,) or utilities.dtype.kind not in "fiu":
        raise ValueError(
            f"{strategy}._utilities must return one number for each of the {n} candidate(s), got dtype "
            f"{utilities.dtype} of shape {utilities.shape}."
        )
    return utilities


def check_finite(strategy: str, view: PoolView, needs: Iterable[str]) -> None:
    """Raise a ValueError that names the field and the row if a field that a strategy reads holds NaN or infinity.

    A field that is not filled is an error only when it is read: some are read in large pools only.
    """
    for field in named(needs):
        name, value = _filled(field, vars(view))
        if isinstance(value, tuple) and not all(np.isfinite(to_host(part)).all() for part in value):
            raise ValueError(
                f"{name} of the pool view holds NaN or infinity: the training of the model diverged. Lower its lr, or "
                "the trade_off of its objective."
            )
        row = _first_bad_row(value)
        if row is not None:
            raise ValueError(
                f"{name} of the pool view holds NaN or infinity, first in its row {row}, and {strategy} "
                f"cannot compute with that. Give an estimator whose {name} are finite: impute X before the last step, "
                "for example with make_pipeline(SimpleImputer(), ...), or clean X; a strategy that reads only "
                "probabilities, such as MarginSampling, leaves NaN in X to the model."
            )


def _filled(field: Field, filled: dict[str, Any]) -> tuple[str, Any]:
    """Return the name and the value of what is read for a field; None where it has been checked, or is not filled."""
    if field.alternative in filled:
        return field.alternative, filled[field.alternative]
    if field.is_probability and field.name in filled:
        return field.name, None  # the view itself checks probabilities
    name = "logits" if field.name == "proba" else field.name
    return name, filled.get(name)


def _first_bad_row(values: Array) -> int | None:
    """Return the number of the first row that holds NaN or infinity, or None."""
    if "float" not in str(getattr(values, "dtype", "")):
        return None
    # A sum is finite only if all values are, and needs no array of flags.
    with np.errstate(over="ignore", invalid="ignore"):
        total = to_host(values.sum())
    if np.isfinite(total) or namespace(values).isfinite(values).all():
        return None
    return int(np.argwhere(~np.isfinite(to_host(values)))[0, 0])
