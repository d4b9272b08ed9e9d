"""Check and convert what a strategy is asked, what it reads, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.pool import PoolView
from skada_active.utils.arrays import namespace, to_host

__all__ = ["check_finite", "check_n_queries", "check_positions"]


def check_n_queries(n_queries: Any) -> int:
    """Return `n_queries` as an int; anything but an integer >= 0 is an error."""
    if not isinstance(n_queries, Integral) or isinstance(n_queries, bool) or n_queries < 0:
        raise ValueError(f"n_queries must be an integer >= 0, got {n_queries!r}.")
    return int(n_queries)


def check_positions(strategy: Any, positions: Any, n_queries: int, n: int) -> NDArray[np.int64]:
    """Return what a strategy chose as int64; anything but `n_queries` distinct positions below `n` is an error."""
    positions = np.asarray(positions)
    distinct = np.unique(positions)
    valid = positions.ndim == 1 and positions.dtype.kind in "iu" and len(positions) == len(distinct) == n_queries
    if not valid or distinct[0] < 0 or distinct[-1] >= n:
        raise ValueError(
            f"{type(strategy).__name__}.select must return {n_queries} distinct positions from 0 to {n - 1} as a 1-D "
            f"integer array, got {positions!r}."
        )
    return positions.astype(np.int64, copy=False)


def check_finite(strategy: Any, view: PoolView, names: Iterable[str]) -> None:
    """Raise a ValueError that names the field and the row if a field that `strategy` reads holds NaN or infinity."""
    for name in sorted(names):
        # Probabilities are checked by the view itself, unless they derive from logits.
        derived = name == "proba" and "proba" not in vars(view) and "logits" in vars(view)
        name = "logits" if derived else name
        values = getattr(view, name)
        if name == "class_discriminator" and not all(np.isfinite(to_host(part)).all() for part in values):
            raise ValueError(
                "class_discriminator of the pool view holds NaN or infinity: the training of the model diverged. Lower "
                "its lr, or the trade_off of its objective."
            )
        if name in ("proba", "committee_proba") or "float" not in str(getattr(values, "dtype", "")):
            continue
        # A sum is finite only if all values are, and needs no array of flags.
        with np.errstate(over="ignore", invalid="ignore"):
            total = to_host(values.sum())
        if np.isfinite(total) or namespace(values).isfinite(values).all():
            continue
        row = np.argwhere(~np.isfinite(to_host(values)))[0, 0]
        raise ValueError(
            f"{name} of the pool view holds NaN or infinity, first in its row {row}, and {type(strategy).__name__} "
            f"cannot compute with that. Give an estimator whose {name} are finite: impute X before the last step, for "
            "example with make_pipeline(SimpleImputer(), ...), or clean X; a strategy that reads only probabilities, "
            "such as MarginSampling, leaves NaN in X to the model."
        )
