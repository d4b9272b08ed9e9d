"""Accuracy on the rows whose label is known: the one way in which `score` methods and scorers read labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skada_active.labels import as_labels, is_missing, native_labels
from skada_active.utils.rows import as_rows, n_rows, take_rows

__all__ = ["known_positions", "score_known"]


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
    rows = known_positions(labels, getattr(estimator, "classes_", ()))
    if not len(rows):
        raise ValueError("y has no label of a target row to score against; score on rows whose labels are known.")
    predicted = estimator.predict(take_rows(X, rows))
    known = native_labels(labels[rows])
    return float(accuracy_score(known, predicted, sample_weight=None if weights is None else weights[rows]))
