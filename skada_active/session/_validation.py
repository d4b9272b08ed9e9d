"""Checks of what a session is given: answers, annotators, costs and rounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Set
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.labels import as_labels, is_missing, label_kinds, mask_labels

__all__ = [
    "check_annotator",
    "check_annotators",
    "check_answers",
    "check_costs",
    "check_ids",
    "check_rounds",
    "label_order",
]


def check_ids(
    ids: ArrayLike, among: Collection[int], what: str, describe_row: Callable[[int], str] = lambda row: ""
) -> list[int]:
    """Return row numbers; a repeated one, or one that is not `among` the rows that are `what`, is an error.

    `describe_row` says in the error what such a row is instead.
    """
    if isinstance(ids, np.ma.MaskedArray):
        raise ValueError(
            "ids is a masked array, whose mask says nothing here; pass the row numbers alone: ids.compressed()."
        )
    try:
        array = np.atleast_1d(np.asarray(ids))
    except ValueError:
        raise ValueError(f"ids must be a list of row numbers, got lists of several lengths: {ids!r}.") from None
    if array.ndim > 1:
        raise ValueError(f"ids must be a list of row numbers, got an array of shape {array.shape}.")
    if len(array) and array.dtype.kind == "b":
        raise ValueError("ids must be row numbers, got a boolean mask; turn it into them by numpy.flatnonzero(mask).")
    rows = array.tolist()
    is_whole = array.dtype.kind in "iu" or all(isinstance(row, Integral) and not isinstance(row, bool) for row in rows)
    if not is_whole or array.dtype.kind in "mM":
        raise ValueError(
            f"ids must be row numbers (integers), got {rows[:3]} (dtype {array.dtype}); convert them by "
            "numpy.asarray(ids).astype(int)."
        )
    rows = [int(row) for row in rows]
    if len(set(rows)) < len(rows):
        raise ValueError("ids names a row twice; give each row one label.")
    known = among if len(rows) < 2 or isinstance(among, dict) else set(among)
    other = next((row for row in rows if row not in known), None)
    if other is not None:
        examples = list(among)[:10]
        raise ValueError(
            f"ids holds row {other}, which is not {what}{describe_row(other)}; {len(among)} row(s) are: {examples}"
            f"{'...' if len(among) > 10 else ''}."
        )
    return rows


def label_order(labels: Any, rows: list[int], *, names: Any = None, ids_index: Any = None) -> list[int]:
    """Return the positions of the labels of the rows in the Series `labels`, of as many.

    Its index has to tell whose labels these are: by the index of the ids, where these are a Series too, by the row
    numbers, by the `names` of these rows in the index of the data, or, if it is 0 to k - 1, by their order.
    """
    given, n = labels.index.tolist(), len(rows)
    if ids_index is not None and (order := _order_by(given, ids_index.tolist())) is not None:
        return order
    orders = [_order_by(given, rows), None if names is None else _order_by(given, names.tolist())]
    orders += [list(range(n))] if given == list(range(n)) else []
    found = [order for order in orders if order is not None]
    if not found:
        raise ValueError(
            f"labels is a Series whose index ({str(given[:5])[1:-1]}{', ...' if n > 5 else ''}) holds neither the ids "
            "nor 0, 1, 2, ..., so that it does not say whose labels these are; pass labels.to_numpy() if they are in "
            "the order of the ids."
        )
    if any(order != found[0] for order in found):
        raise ValueError(
            "labels is a Series whose index may mean the ids or their order, and the two disagree; pass "
            "labels.to_numpy() if they are in the order of the ids, labels.loc[ids].to_numpy() if the index holds ids."
        )
    return found[0]


def _order_by(given: list[Any], names: list[Any]) -> list[int] | None:
    if given == names:
        return list(range(len(names)))
    position = {name: number for number, name in enumerate(given)}
    return [position[name] for name in names] if len(position) == len(given) and position.keys() == set(names) else None


def check_answers(
    ids: Any,
    labels: Any,
    among: Collection[int],
    y: NDArray[Any],
    *,
    kinds: set[str],
    what: str = "an open question",
    describe_row: Callable[[int], str] = lambda row: "",
    classes: Any = None,
    index: Any = None,
) -> tuple[list[int], NDArray[Any]]:
    """Return row numbers and labels (of the type of `y`, missing by its convention), or raise a ValueError.

    `kinds` are those of the labels that are known (`label_kinds`), empty where none is. With `classes`, a label that is
    none of them is refused. Labels in a Series go by its index, see `label_order`.
    """
    if isinstance(labels, Mapping | Set | Iterator):
        raise ValueError(
            f"labels must hold one label for each of the {np.size(ids)} ids, in their order, got "
            f"{type(labels).__name__}; give a list, such as list(labels) of a generator "
            "or [labels[row] for row in ids] of a dict."
        )
    # Not by numpy, which would cut a string at its end.
    listed: Any = labels if np.ndim(labels) else [labels.item() if hasattr(labels, "item") else labels]
    answers = as_labels(listed)
    rows = check_ids(ids, among, what, describe_row)
    if len(rows) != len(answers):
        raise ValueError(
            f"labels must hold one label for each of the {len(rows)} ids, got {len(answers)}; a row that nobody can "
            "label gets a missing label (-1 or None)."
        )
    if hasattr(labels, "iloc"):
        names, ids_index = None if index is None else index[rows], ids.index if hasattr(ids, "iloc") else None
        answers = answers[label_order(labels, rows, names=names, ids_index=ids_index)]
    answers = _of_type(answers, y, kinds)
    if classes is not None:
        _refuse_new_classes(answers[~is_missing(answers)].tolist(), np.asarray(classes).tolist())
    return rows, answers


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
        raise ValueError(f"annotator must be a name (one line, without leading or trailing blanks), got {annotator!r}.")
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
    if labels.dtype.kind in "fO" and y.dtype.kind != "f":
        _refuse_nan(labels, y)
    missing = is_missing(labels)
    known = labels[~missing]
    if labels.dtype.kind == "i" and y.dtype.kind == "f" and missing.any() and (y == -1).any():
        raise ValueError(
            "labels holds the integer -1, which means 'missing', but y holds floats and -1.0 is one of its classes; "
            "give floats, NaN for missing ones."
        )
    converted = _converted(known, y, kinds)
    if converted is None:
        raise ValueError(
            f"labels must be of the type of y ({y.dtype}), got {known[:3].tolist()} ({labels.dtype}); convert them."
        )
    if not missing.any():
        return converted
    result = mask_labels(np.zeros(len(labels), dtype=y.dtype), missing)
    result[~missing] = converted
    return result


def _refuse_nan(labels: NDArray[Any], y: NDArray[Any]) -> None:
    # NaN is what a failed computation or an empty cell leaves; it is a missing label only where y holds floats.
    is_nan = np.array([isinstance(label, float | np.floating) and label != label for label in labels], dtype=bool)
    if is_nan.any():
        raise ValueError(
            f"labels holds NaN at position {int(np.argmax(is_nan))}, which is no label of dtype {y.dtype}; give "
            f"the label, or {'-1' if y.dtype.kind == 'i' else 'None'} to abstain."
        )


def _converted(known: NDArray[Any], y: NDArray[Any], kinds: set[str]) -> NDArray[Any] | None:
    """Return the labels in the type of `y`, None where that loses something or a value is not a class."""
    if y.dtype.kind == "O" and kinds == {"i"} and known.dtype.kind == "f":
        whole = _converted(known, np.empty(0, dtype=np.int64), kinds)
        return None if whole is None else whole.astype(object)
    if y.dtype.kind == "O":
        return known.astype(object) if not len(known) or not kinds or label_kinds(known) <= kinds else None
    try:
        with np.errstate(invalid="ignore"):
            converted = known.astype(y.dtype)
    except (TypeError, ValueError):
        return None
    is_class = np.array_equal(converted, known) and np.isfinite(converted).all()
    return converted if is_class and (converted == np.rint(converted)).all() else None


def check_costs(costs: ArrayLike, n: int) -> NDArray[np.float64]:
    """Return what the label of every row costs, each above 0."""
    array = np.asarray(costs)
    if array.shape != (n,) or array.dtype.kind not in "iuf":
        raise ValueError(
            f"costs must hold one number for each of the {n} rows, got {array.dtype} of {array.shape}; give None where "
            "every label costs the same."
        )
    bad = np.flatnonzero(~(np.isfinite(array) & (array > 0)))
    if len(bad):
        raise ValueError(
            f"costs must be above 0 and finite, got {array[bad[0]]} for row {bad[0]}; leave rows that cannot be bought "
            "out of the data."
        )
    return array.astype(np.float64)


def check_annotators(n_annotators: Any) -> int:
    """Return how many annotators answer for a row."""
    if not isinstance(n_annotators, Integral) or isinstance(n_annotators, bool) or n_annotators < 1:
        raise ValueError(f"n_annotators must be an integer >= 1, got {n_annotators!r}.")
    return int(n_annotators)


def check_rounds(rounds: Any) -> list[int]:
    """Return what new rounds may spend, a list of int."""
    sizes = np.asarray(rounds)
    if sizes.ndim != 1 or (len(sizes) and (sizes.dtype.kind not in "iu" or sizes.min() < 0)):
        raise ValueError(f"rounds must be a list of integers >= 0, one for each new round, got {rounds!r}.")
    return [int(size) for size in sizes]
