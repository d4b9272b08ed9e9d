"""Check what an oracle or a person answered before anything is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.domains import as_labels, is_missing, mask_labels

__all__ = ["check_answers"]


def check_answers(
    ids: ArrayLike, labels: ArrayLike, open_ids: NDArray[np.int64], y: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return ids (int64) and labels (of the type of `y`, missing by its convention), or raise a ValueError."""
    ids = np.atleast_1d(np.asarray(ids))
    labels = as_labels(np.atleast_1d(labels) if np.ndim(labels) == 0 else labels)
    if len(ids) != len(labels):
        raise ValueError(
            f"labels must hold one label for each of the {len(ids)} ids, got {len(labels)}; a row that nobody can "
            "label gets a missing label (-1, NaN or None)."
        )
    if len(ids) and ids.dtype.kind not in "iu":
        raise ValueError(f"ids must be row numbers (integers), got dtype {ids.dtype}.")
    ids = ids.astype(np.int64)
    if len(np.unique(ids)) < len(ids):
        raise ValueError("ids names a row twice; give each row one label.")
    unasked = ids[~np.isin(ids, open_ids)]
    if len(unasked):
        raise ValueError(
            f"ids holds row {unasked[0]}, which is not an open question; open are {open_ids[:10].tolist()}"
            f"{'...' if len(open_ids) > 10 else ''}. Call ask() to get the rows to label."
        )
    return ids, _of_type(labels, y)


def _of_type(labels: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    missing = is_missing(labels)
    if y.dtype.kind == "O":
        return mask_labels(labels.astype(object), missing)
    known = labels[~missing]
    try:
        converted = known.astype(y.dtype)
        lossless = np.array_equal(converted, known)
    except (TypeError, ValueError):
        lossless = False
    if not lossless:
        raise ValueError(
            f"labels must be of the type of y ({y.dtype}), got {known[:3].tolist()} ({labels.dtype}); convert them."
        )
    result = mask_labels(np.zeros(len(labels), dtype=y.dtype), missing)
    result[~missing] = converted
    return result
