"""Labels of every convention: what is missing, what is known, and at which position among the classes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

__all__ = [
    "as_labels",
    "check_label_types",
    "encode_labels",
    "is_missing",
    "known_values",
    "label_kinds",
    "labels_from_list",
    "labels_to_list",
    "looks_missing",
    "mask_labels",
    "native_labels",
]

_LARGEST = int(np.iinfo(np.int64).max)

#: What None, NaN, pandas.NA, NaT, an empty cell and -1 are as text, in small letters ...
_MISSING_TEXT = frozenset(
    ["nan", "none", "<na>", "nat", "", "na", "n/a", "#n/a", "null", "-1", "-1.0", "-", "?", "missing", "unlabeled"]
)
#: ... and -1 and NaN after a cast to other numbers, next to what old files have in their place.
_MISSING_NUMBERS = frozenset(
    {-1, -99, -999, -9999, *(2**bits - 1 for bits in (8, 16, 32, 64)), *(-(2**bits) for bits in (15, 31, 63))}
)


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


def known_values(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a column that are neither NaN nor None; in integers, -1 is a value."""
    return values[~is_missing(values)] if values.dtype.kind in "fO" else values


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
        if all(isinstance(label, str) for label in _checked_strings(labels.ravel())):
            labels = labels.astype(str)
    elif labels.dtype.kind == "f" and not isinstance(getattr(y, "dtype", None), np.dtype):
        labels = _exact(y, labels)
    if labels.dtype.kind in "mM":
        raise ValueError(
            f"y holds dates or times ({labels.dtype}), which are no class labels; write them as strings, and None "
            "where a label is missing."
        )
    if labels.dtype.kind == "u" and labels.size and int(labels.max()) > _LARGEST:
        raise ValueError(
            f"y holds {labels.max()}, more than int64 holds; renumber the classes, for example by LabelEncoder, and "
            "write a missing label as -1 in signed integers."
        )
    if not labels.ndim:
        raise ValueError(
            f"y should be a 1d array, got {type(y).__name__} instead ({y!r:.60}); give one label per row, in a list."
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {labels.shape} instead; of one column per class "
            "y.argmax(axis=1) makes labels."
        )
    if labels.dtype.kind == "O":
        _checked_strings(labels.ravel())
    return column_or_1d(labels, warn=True)


def _checked_strings(labels: NDArray[Any]) -> Iterable[Any]:
    cut = next((label for label in labels if isinstance(label, str) and label.endswith("\0")), None)
    if cut is not None:
        raise ValueError(
            f"The label {cut!r} ends in a NUL character, which numpy's strings drop; take it off: label.rstrip('\\0')."
        )
    return labels


def _exact(y: Any, floats: NDArray[Any]) -> NDArray[Any]:
    """Return labels that numpy reads as floats as the integers (next to missing labels) that they are."""
    # Extension arrays of pandas, polars and pyarrow; for Categorical even numpy's objects have been floats.
    read = next((getattr(y, name) for name in ("to_pylist", "tolist", "to_list") if hasattr(y, name)), None)
    values = np.empty(floats.shape, dtype=object)
    values[...] = read() if read is not None else np.asarray(y.astype(object) if hasattr(y, "iloc") else y, object)
    known = values[~is_missing(values.ravel()).reshape(values.shape)]
    integers = [label for label in known if not isinstance(label, float | np.floating)]
    # A list of numbers is what numpy makes of it, as long as floats can hold them.
    is_kept = all(abs(label) <= 2**53 for label in integers) if isinstance(y, list | tuple) else not integers
    return floats if is_kept else values


def label_kinds(labels: NDArray[Any]) -> set[str]:
    """Return the kinds of dtype (``"i"``, ``"U"``, ...) that the labels are of; objects are looked at one by one."""
    if labels.dtype.kind != "O":
        return {labels.dtype.kind}
    examples = map(np.asarray, {type(label): label for label in labels}.values())
    return {"O" if example.ndim else example.dtype.kind for example in examples}


def check_label_types(labels: NDArray[Any]) -> None:
    """Raise a ValueError unless known labels are all integers, all floats, all booleans or all strings."""
    kinds = label_kinds(labels)
    if kinds and kinds not in ({"b"}, {"i"}, {"u"}, {"f"}, {"U"}) and labels.dtype.kind == "O":
        types = {type(label).__name__: label for label in labels}
        raise ValueError(
            f"y holds labels of type {' and '.join(sorted(types))}, such as {str(list(types.values())[:3])[1:-1]}; "
            "give all of them as integers, as booleans or as strings, for example by [str(label) for label in y], with "
            "None where a label is missing."
        )


def looks_missing(label: Any, among: Collection[Any] = ()) -> bool:
    """Tell whether a label, not missing by the convention of its type, is what a cast makes of one that is.

    A number in the range of the labels `among` which it stands is an ordinary one.
    """
    if isinstance(label, str):
        return label.strip().lower() in _MISSING_TEXT
    if isinstance(label, bool) or not isinstance(label, int | float) or label not in _MISSING_NUMBERS:
        return False
    return not among or not min(among) <= label <= max(among) + 1


def native_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return known labels that were held as objects, next to missing ones, in their own type."""
    # scikit-learn takes numbers and booleans for classes only if their array is not one of objects.
    if labels.dtype.kind != "O" or label_kinds(labels) not in ({"b"}, {"i"}, {"u"}, {"f"}, {"U"}):
        return labels
    return np.array(labels.tolist())


def _is_missing_object(label: Any) -> bool:
    # pandas.NA is neither equal nor unequal to anything, so it is known by its type's name, as NaT is: pandas stays
    # optional.
    return (
        label is None
        or type(label).__name__ in ("NAType", "NaTType")
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
