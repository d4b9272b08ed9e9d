"""Check what an oracle or a person answered before anything is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.domains import as_labels, is_missing, label_kinds, mask_labels

__all__ = ["check_answers"]


def check_answers(
    ids: ArrayLike, labels: ArrayLike, open_ids: NDArray[np.int64], y: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return ids (int64) and labels (of the type of `y`, missing by its convention), or raise a ValueError."""
    ids = np.atleast_1d(np.asarray(ids))
    if ids.ndim > 1:
        raise ValueError(f"ids must be a list of row numbers, got an array of shape {ids.shape}.")
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
    known = labels[~missing]
    if labels.dtype.kind == "i" and y.dtype.kind == "f" and missing.any() and (y == -1).any():
        raise ValueError(
            "labels holds the integer -1, which means 'missing', but y is of floats and -1.0 is one of its classes; "
            "give floats, NaN for missing ones."
        )
    converted = _converted(known, y)
    if converted is None:
        raise ValueError(
            f"labels must be of the type of y ({y.dtype}), got {known[:3].tolist()} ({labels.dtype}); convert them."
        )
    result = mask_labels(np.zeros(len(labels), dtype=y.dtype), missing)
    result[~missing] = converted
    return result


def _converted(known: NDArray[Any], y: NDArray[Any]) -> NDArray[Any] | None:
    """Return the labels in the type of `y`, None where that loses something or they are no classes."""
    if y.dtype.kind == "O":
        kinds = label_kinds(y[~is_missing(y)])
        return known.astype(object) if not len(known) or not kinds or label_kinds(known) <= kinds else None
    try:
        with np.errstate(invalid="ignore"):
            converted = known.astype(y.dtype)
    except (TypeError, ValueError):
        return None
    is_class = np.array_equal(converted, known) and np.isfinite(converted).all()
    return converted if is_class and (converted == np.rint(converted)).all() else None
