"""Labels of every convention: what is missing, what is known, and at which position among the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

__all__ = [
    "as_labels",
    "encode_labels",
    "is_missing",
    "label_kinds",
    "labels_from_list",
    "labels_to_list",
    "mask_labels",
    "native_labels",
]


def mask_labels(y: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a copy of `y` in which the rows in `mask` hold the missing label of its type."""
    if y.dtype.kind not in "iuf":
        objects = y.astype(object)
        objects[mask] = None
        return objects
    masked = y.astype(np.int64) if y.dtype.kind == "u" else y.copy()
    masked[mask] = np.nan if y.dtype.kind == "f" else -1
    return masked


def is_missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which labels are missing by the convention of the type of `y`, shape (n,)."""
    if y.dtype.kind == "i":
        return y == -1
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype.kind == "O":
        return np.fromiter((_is_missing_object(label) for label in y), dtype=bool, count=len(y))
    return np.zeros(len(y), dtype=bool)


def encode_labels(labels: ArrayLike, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the position of every label in the sorted `classes`, shape (n,); an unknown label is an error."""
    known = np.asarray(labels)
    if not len(known):
        return np.empty(0, dtype=np.int64)
    positions = np.minimum(np.searchsorted(classes, known), len(classes) - 1)
    unknown = classes[positions] != known
    if unknown.any():
        raise ValueError(
            f"y holds the label {known[unknown].tolist()[0]!r}, which is not among the {len(classes)} classes that "
            f"the model was fitted on ({classes[:10].tolist()}{'...' if len(classes) > 10 else ''}). Fit it again with "
            "that class, or leave these rows out."
        )
    return positions.astype(np.int64)


def as_labels(y: ArrayLike) -> NDArray[Any]:
    """Return `y` as a 1-D array without losing a missing label (numpy turns ``["a", nan]`` into strings)."""
    if y is None:
        raise ValueError("This estimator requires y to be passed, but the target y is None.")
    if isinstance(y, np.ma.MaskedArray):
        raise ValueError(
            "y is a masked array, whose mask says nothing here; fill it with the missing label of its type: "
            "y.filled(-1) for integers, y.filled(np.nan) for floats, and "
            "np.where(np.ma.getmaskarray(y), None, y.data) for anything else."
        )
    labels = np.asarray(y)
    # Kind T is numpy's StringDType, which scikit-learn does not read.
    if labels.dtype.kind == "T" or (labels.dtype.kind == "U" and not hasattr(y, "dtype")):
        labels = np.asarray(y, dtype=object)
        if all(isinstance(label, str) for label in labels.ravel()):
            labels = labels.astype(str)
    return column_or_1d(labels, warn=True)


def label_kinds(labels: NDArray[Any]) -> set[str]:
    """Return the kinds of dtype (``"i"``, ``"U"``, ...) that the labels are of; objects are looked at one by one."""
    if labels.dtype.kind != "O":
        return {labels.dtype.kind}
    return {np.asarray(example).dtype.kind for example in {type(label): label for label in labels}.values()}


def native_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return known labels that were held as objects, next to missing ones, in their own type."""
    # scikit-learn takes numbers and booleans for classes only if their array is not one of objects.
    if labels.dtype.kind != "O" or label_kinds(labels) not in ({"b"}, {"i"}, {"u"}, {"f"}, {"U"}):
        return labels
    return np.array(labels.tolist())


def _is_missing_object(label: Any) -> bool:
    # pandas.NA is neither equal nor unequal to anything, so it is known by its type's name: pandas stays optional.
    return (
        label is None
        or type(label).__name__ == "NAType"
        or (isinstance(label, float | np.floating) and bool(label != label))
    )


def labels_to_list(labels: NDArray[Any]) -> list[Any]:
    """Return labels as a list of Python's own values, None where a label is missing."""
    values = [label.item() if isinstance(label, np.generic) else label for label in labels.tolist()]
    return [None if missing else value for value, missing in zip(values, is_missing(labels), strict=True)]


def labels_from_list(values: Sequence[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of a list in the type of the labels `like`."""
    missing = np.array([value is None for value in values], dtype=bool)
    labels = np.zeros(len(values), dtype=like.dtype)
    if missing.any():
        labels = mask_labels(labels, missing)
    labels[~missing] = [value for value in values if value is not None]
    return labels
