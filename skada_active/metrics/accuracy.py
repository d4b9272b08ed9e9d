"""Accuracies on target rows: the scorer for searches, and those that a loop's history keeps apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.domains import Roles, check_inputs
from skada_active.labels import as_labels, is_missing, native_labels
from skada_active.metrics.scoring import BUILT_IN, Scoring
from skada_active.utils.rows import take_rows
from skada_active.utils.scores import known_positions, score_known

__all__ = [
    "accuracies",
    "are_correct",
    "class_codes",
    "class_counts",
    "known_accuracies",
    "listed",
    "mean_recall",
    "per_class_accuracy",
    "target_accuracy",
]

_GROUPS = ("transductive", "unqueried", "holdout")


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
        If no target row has a label, or the labels cannot be compared with those of the estimator.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skada_active.metrics import target_accuracy
    >>> model = DummyClassifier(strategy="constant", constant=1).fit([[0], [1]], [0, 1])
    >>> target_accuracy(model, [[0], [1], [2]], [1, 0, -1])
    0.5
    """
    X, labels, roles = check_inputs(X, y, sample_domain, allow_missing=True)
    rows = np.arange(len(labels)) if sample_domain is None else roles.labeled_target
    return score_known(estimator, take_rows(X, rows), labels[rows])


def per_class_accuracy(
    estimator: Any, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None
) -> dict[Any, float]:
    """Return the accuracy on the target rows of every class, whose mean is what VisDA and others report.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier.
    X : array-like of shape (n, ...) or dataset
        Rows.
    y : array-like of shape (n,)
        Labels; rows whose label is missing (-1, NaN or None) are left out.
    sample_domain : array-like of shape (n,) of int, default=None
        Domain number per row; ``None``: all rows are target rows.

    Returns
    -------
    dict of label to float
        Share of the class's rows that are predicted right, for the classes that the target rows have, in the order of
        the labels. The mean of its values is the ``balanced_accuracy`` of a loop's history.

    Raises
    ------
    ValueError
        If no target row has a label.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skada_active.metrics import per_class_accuracy
    >>> model = DummyClassifier(strategy="constant", constant=1).fit([[0], [1]], [0, 1])
    >>> per_class_accuracy(model, [[0], [1], [2], [3]], [1, 0, 1, -1])
    {0: 0.0, 1: 1.0}
    """
    X, labels, roles = check_inputs(X, y, sample_domain, allow_missing=True)
    rows = np.arange(len(labels)) if sample_domain is None else roles.target
    rows = rows[known_positions(labels[rows], getattr(estimator, "classes_", ()))]
    if not len(rows):
        raise ValueError("y has no label of a target row to score against; score on rows whose labels are known.")
    known = native_labels(labels[rows])
    correct = are_correct(known, estimator.predict(take_rows(X, rows)))
    classes, codes = np.unique(known, return_inverse=True)
    shares = np.bincount(codes, weights=correct) / np.bincount(codes)
    return dict(zip(classes.tolist(), shares.tolist(), strict=True))


def accuracies(
    estimator: Any,
    X: Any,
    roles: Roles,
    query_round: NDArray[np.int64],
    y_true: NDArray[Any] | None,
    eval_set: tuple[Any, Any] | None,
    scoring: Scoring | None = None,
    must_succeed: bool = True,
) -> dict[str, dict[str, float | None]]:
    """Return accuracy, balanced accuracy and the metrics of `scoring`, by name and group of rows; known labels only.

    The groups are *transductive* (target rows), *unqueried* (those of them never bought) and *holdout* (`eval_set`);
    None where nobody knows a label. A metric of `scoring` that cannot be computed is an error, or, unless
    `must_succeed`, NaN with a warning.
    """
    groups = {}
    if y_true is not None:
        target = roles.target[~is_missing(y_true[roles.target])]
        predicted = np.asarray(estimator.predict(take_rows(X, target))) if len(target) else np.empty(0)
        never = query_round[target] == -1
        groups["transductive"] = X, target, y_true[target], predicted
        groups["unqueried"] = X, target[never], y_true[target[never]], predicted[never]
    if eval_set is not None:
        labels = as_labels(eval_set[1])
        known = known_positions(labels, estimator.classes_)
        groups["holdout"] = eval_set[0], known, labels[known], estimator.predict(take_rows(eval_set[0], known))
    names = [*BUILT_IN, *(scoring.names if scoring else ())]
    scores: dict[str, dict[str, float | None]] = {name: dict.fromkeys(_GROUPS) for name in names}
    for group, (of_all, rows, labels, predicted) in groups.items():
        if len(labels):
            correct = are_correct(labels, predicted)
            balanced = mean_recall(class_codes(labels), correct)
            measured = {"accuracy": float(correct.mean()), "balanced_accuracy": balanced}
            if scoring is not None:
                measured |= scoring.measure(estimator, take_rows(of_all, rows), labels, group, must_succeed)
            for name, value in measured.items():
                scores.setdefault(name, dict.fromkeys(_GROUPS))[group] = value
    return scores


def class_counts(labels: NDArray[Any]) -> dict[Any, int]:
    """Return how often each label was revealed."""
    classes, counts = np.unique(labels, return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def class_codes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return known labels (n,) of any one type as numbers from 0, in the order in which they come, shape (n,)."""
    values = labels.tolist()
    number = {label: position for position, label in enumerate(dict.fromkeys(values))}
    return np.array([number[label] for label in values], dtype=np.int64)


def mean_recall(codes: NDArray[np.int64], correct: NDArray[np.bool_]) -> float:
    """Return the mean over the classes that have rows of the share that is right; NaN without a row."""
    # scikit-learn's balanced accuracy refuses labels held as objects, and warns of predicted classes without rows.
    counts = np.bincount(codes)
    has_rows = counts > 0
    return float((np.bincount(codes, weights=correct)[has_rows] / counts[has_rows]).mean()) if len(codes) else math.nan


def known_accuracies(
    accuracy: Mapping[str, Any], balanced: Mapping[str, Any] | None = None, before: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return the accuracies that are known, and the balanced ones with them, as people are shown them.

    What was audited is shown with its interval, beside that of the model `before` any purchase.
    """
    accuracy, audited = dict(accuracy), accuracy.get("audit")
    accuracy.pop("audit", None)
    with_balanced = dict.fromkeys(accuracy, "") | {
        group: f" (balanced {value:.3f})" for group, value in (balanced or {}).items() if value is not None
    }
    texts = {group: f"{value:.3f}{with_balanced[group]}" for group, value in accuracy.items() if value is not None}
    if audited is not None and audited.n_audit:
        source = (before or {}).get("audit")
        texts["audited"] = f"{audited}" if source is None else f"{audited}, source model {100 * source.value:.0f} %"
    return texts


def listed(values: dict[str, str]) -> str:
    """Return names and values as one line."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def are_correct(labels: NDArray[Any], predicted: ArrayLike) -> NDArray[np.bool_]:
    """Tell which of the known labels (n,) were predicted, whatever the two types, shape (n,)."""
    # Compared as objects: labels that were held with missing ones are objects, which scikit-learn's metrics refuse,
    # and a hidden label need not be of the type of those that are known.
    return labels.astype(object) == np.asarray(predicted).astype(object)
