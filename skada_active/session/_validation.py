"""Check what an oracle or a person answered before anything is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.labels import as_labels, is_missing, label_kinds, mask_labels

__all__ = ["OPEN", "check_annotator", "check_answers", "check_ids"]

#: What rows have to be that `tell` takes labels for.
OPEN = "an open question"


def check_ids(
    ids: ArrayLike, among: ArrayLike, what: str, state_of: Callable[[int], str] = lambda row: ""
) -> NDArray[np.int64]:
    """Return row numbers as int64; one that comes twice or is not `among` those that are `what` is an error.

    `state_of` says what a row is instead.
    """
    ids, among = np.atleast_1d(np.asarray(ids)), np.asarray(among, dtype=np.int64)
    if ids.ndim > 1:
        raise ValueError(f"ids must be a list of row numbers, got an array of shape {ids.shape}.")
    if len(ids) and ids.dtype.kind not in "iu":
        raise ValueError(f"ids must be row numbers (integers), got dtype {ids.dtype}; convert them by ids.astype(int).")
    if len(np.unique(ids)) < len(ids):
        raise ValueError("ids names a row twice; give each row one label.")
    others = ids[~np.isin(ids, among)]
    if len(others):
        raise ValueError(
            f"ids holds row {others[0]}, which is not {what}{state_of(int(others[0]))}; {len(among)} row(s) are: "
            f"{among[:10].tolist()}"
            f"{'...' if len(among) > 10 else ''}."
        )
    return ids.astype(np.int64)


def check_answers(
    ids: ArrayLike,
    labels: ArrayLike,
    among: ArrayLike,
    y: NDArray[Any],
    *,
    kinds: set[str],
    what: str = OPEN,
    state_of: Callable[[int], str] = lambda row: "",
    classes: Any = None,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return ids (int64) and labels (of the type of `y`, missing by its convention), or raise a ValueError.

    `kinds` are those of the labels that are known (`label_kinds`), empty where none is. With `classes`, a label that is
    none of them is refused.
    """
    labels = as_labels(np.atleast_1d(labels) if np.ndim(labels) == 0 else labels)
    n_ids = len(np.atleast_1d(np.asarray(ids)))
    if n_ids != len(labels):
        raise ValueError(
            f"labels must hold one label for each of the {n_ids} ids, got {len(labels)}; a row that nobody can label "
            "gets a missing label (-1 or None)."
        )
    ids = check_ids(ids, among, what, state_of)
    labels = _of_type(labels, y, kinds)
    if classes is not None:
        _refuse_new_classes(labels[~is_missing(labels)].tolist(), np.asarray(classes).tolist())
    return ids, labels


def check_annotator(annotator: Any, n_annotators: int = 1) -> str | None:
    """Return the name of an annotator, which sessions with several of them need."""
    if annotator is None and n_annotators > 1:
        raise ValueError(
            f"annotator=None, but {n_annotators} annotators answer for every row; say whose answers these are, for "
            'example annotator="anna".'
        )
    if annotator is None:
        return None
    if not isinstance(annotator, str) or not annotator.isprintable() or annotator != annotator.strip() or not annotator:
        raise ValueError(f"annotator must be a name (one line, without blanks around it), got {annotator!r}.")
    return annotator


def _refuse_new_classes(labels: list[Any], classes: list[Any]) -> None:
    known = set(classes)
    new = [label for label in labels if label not in known]
    if new:
        raise ValueError(
            f"labels holds {new[0]!r}, which is none of the {len(classes)} classes that the model knows "
            f"({str(classes[:10])[1:-1]}{', ...' if len(classes) > 10 else ''}). Correct it, or set "
            'new_classes="learn" on the loop if it is a new class.'
        )


def _of_type(labels: NDArray[Any], y: NDArray[Any], kinds: set[str]) -> NDArray[Any]:
    _refuse_nan(labels, y)
    missing = is_missing(labels)
    known = labels[~missing]
    if labels.dtype.kind == "i" and y.dtype.kind == "f" and missing.any() and (y == -1).any():
        raise ValueError(
            "labels holds the integer -1, which means 'missing', but y is of floats and -1.0 is one of its classes; "
            "give floats, NaN for missing ones."
        )
    converted = _converted(known, y, kinds)
    if converted is None:
        raise ValueError(
            f"labels must be of the type of y ({y.dtype}), got {known[:3].tolist()} ({labels.dtype}); convert them."
        )
    result = mask_labels(np.zeros(len(labels), dtype=y.dtype), missing)
    result[~missing] = converted
    return result


def _refuse_nan(labels: NDArray[Any], y: NDArray[Any]) -> None:
    # NaN is what a failed computation or an empty cell leaves; it is a missing label only where y is of floats.
    if y.dtype.kind == "f" or labels.dtype.kind not in "fO":
        return
    is_nan = np.array([isinstance(label, float | np.floating) and label != label for label in labels], dtype=bool)
    if is_nan.any():
        raise ValueError(
            f"labels holds NaN at position {int(np.argmax(is_nan))}, which is no label where y is of {y.dtype}; give "
            f"the label, or {'-1' if y.dtype.kind == 'i' else 'None'} to abstain."
        )


def _converted(known: NDArray[Any], y: NDArray[Any], kinds: set[str]) -> NDArray[Any] | None:
    """Return the labels in the type of `y`, None where that loses something or they are no classes."""
    if y.dtype.kind == "O":
        return known.astype(object) if not len(known) or not kinds or label_kinds(known) <= kinds else None
    try:
        with np.errstate(invalid="ignore"):
            converted = known.astype(y.dtype)
    except (TypeError, ValueError):
        return None
    is_class = np.array_equal(converted, known) and np.isfinite(converted).all()
    return converted if is_class and (converted == np.rint(converted)).all() else None
