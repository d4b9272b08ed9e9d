"""Accuracies on target rows: the scorer for searches, and those that a loop's history keeps apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.domains import Roles, check_inputs
from skada_active.labels import as_labels, is_missing
from skada_active.utils.rows import take_rows

__all__ = ["accuracies", "class_counts", "known_accuracies", "target_accuracy"]


def target_accuracy(estimator: Any, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None) -> float:
    """Score an estimator by its accuracy on target rows.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier.
    X : array-like of shape (n, ...) or dataset
        Rows.
    y : array-like of shape (n,)
        Labels; rows whose label is missing (-1, NaN or None) are left out.
    sample_domain : array-like of shape (n,) of int, default=None
        Domain number per row; ``None``: all rows are target rows, as in the test folds of `TargetShuffleSplit`.

    Returns
    -------
    float
        Accuracy in [0, 1].

    Raises
    ------
    ValueError
        If no target row has a label.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skada_active.metrics import target_accuracy
    >>> model = DummyClassifier(strategy="constant", constant=1).fit([[0], [1]], [0, 1])
    >>> target_accuracy(model, [[0], [1], [2]], [1, 0, -1])
    0.5
    """
    X, labels, roles = check_inputs(X, y, sample_domain, allow_missing=True)
    rows = np.flatnonzero(~is_missing(labels)) if sample_domain is None else roles.labeled_target
    if not len(rows):
        raise ValueError("y has no label of a target row to score against; score on rows whose labels are known.")
    return float(_are_correct(labels[rows], estimator.predict(take_rows(X, rows))).mean())


def accuracies(
    estimator: Any,
    X: Any,
    roles: Roles,
    query_round: NDArray[np.int64],
    y_true: NDArray[Any] | None,
    eval_set: tuple[Any, Any] | None,
) -> dict[str, float | None]:
    """Return transductive, unqueried and holdout accuracy, None where nobody knows the labels."""
    transductive = unqueried = holdout = None
    if y_true is not None:
        rows = roles.target[~is_missing(y_true[roles.target])]
        if len(rows):
            correct = _are_correct(y_true[rows], estimator.predict(take_rows(X, rows)))
            transductive = float(correct.mean())
            never = query_round[rows] == -1
            unqueried = float(correct[never].mean()) if never.any() else None
    if eval_set is not None:
        holdout = float(_are_correct(as_labels(eval_set[1]), estimator.predict(eval_set[0])).mean())
    return {"transductive": transductive, "unqueried": unqueried, "holdout": holdout}


def class_counts(labels: NDArray[Any]) -> dict[Any, int]:
    """Return how often each label was revealed."""
    classes, counts = np.unique(labels, return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def known_accuracies(accuracy: dict[str, float | None]) -> dict[str, str]:
    """Return the accuracies that are known, as a progress bar shows them."""
    return {name: f"{value:.3f}" for name, value in accuracy.items() if value is not None}


def _are_correct(labels: NDArray[Any], predicted: ArrayLike) -> NDArray[np.bool_]:
    """Tell which of the known labels (n,) were predicted, whatever the two types, shape (n,)."""
    # Compared as objects: labels that were held with missing ones are objects, which scikit-learn's metrics refuse,
    # and a hidden label need not be of the type of those that are known.
    return labels.astype(object) == np.asarray(predicted).astype(object)
