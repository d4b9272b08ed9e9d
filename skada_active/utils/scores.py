"""Accuracy on the rows whose label is known: the one way in which `score` methods and scorers read labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skada_active.labels import as_labels, is_missing, looks_missing, native_labels
from skada_active.utils.rows import as_rows, n_rows, take_rows
from skada_active.utils.warn import warn_user

__all__ = ["known_positions", "score_known", "warn_of_strangers"]


def known_positions(labels: NDArray[Any], classes: Any) -> NDArray[np.int64]:
    """Return the positions of the labels (n,) that are known; -1 is one where it is among the `classes` of a model."""
    missing = is_missing(labels)
    if labels.dtype.kind == "i" and missing.any() and -1 in np.asarray(classes).tolist():
        missing[:] = False
    return np.flatnonzero(~missing)


def score_known(estimator: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the accuracy of a fitted classifier on the rows of `X` whose label in `y` is known.

    Without any, it is a ValueError; so are labels that cannot be compared with those of the classifier.
    """
    X, labels = as_rows(X), as_labels(y)
    weights = None if sample_weight is None else column_or_1d(sample_weight)
    check_consistent_length(range(n_rows(X)), labels, weights)
    classes = getattr(estimator, "classes_", ())
    rows = known_positions(labels, classes)
    if not len(rows):
        raise ValueError("y has no label of a target row to score against; score on rows whose labels are known.")
    predicted = estimator.predict(take_rows(X, rows))
    known = native_labels(labels[rows])
    score = accuracy_score(known, predicted, sample_weight=None if weights is None else weights[rows])
    if len(classes):
        warn_of_strangers(known, np.asarray(classes), "y")
    return float(score)


def warn_of_strangers(labels: NDArray[Any], classes: NDArray[Any], what: str) -> None:
    """Warn if known labels, in `what`, cannot be right: some only stand for missing ones, or none is a class."""
    known = set(classes.tolist())
    given = labels.tolist()
    new = set(given) - known
    disguised = [label for label in new if looks_missing(label, among=known)]
    if disguised:
        warn_user(
            f"{what} holds {disguised[0]!r} for {given.count(disguised[0])} of {len(given)} row(s), which is no class "
            "of the model, so that these rows count as wrong. If it stands for a missing label, write -1 (integers), "
            "NaN (floats) or None (anything else), and they are left out."
        )
    elif len(new) == len(set(given)):
        warn_user(
            f"{what} holds labels such as {given[0]!r}, none of which is among the {len(known)} classes of the model "
            f"({str(classes.tolist()[:10])[1:-1]}{', ...' if len(known) > 10 else ''}), so that no row can be right. "
            "Write the labels of both in the same way."
        )
