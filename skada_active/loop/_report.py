"""What the history says of a model: accuracies that are kept apart, and class counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from skada_active._rows import take_rows
from skada_active.domains import Roles, is_missing

__all__ = ["accuracies", "class_counts"]


def accuracies(
    estimator: Any,
    X: Any,
    roles: Roles,
    query_round: NDArray[np.int64],
    answers: NDArray[Any] | None,
    eval_set: tuple[Any, Any] | None,
) -> dict[str, float | None]:
    """Return transductive, unqueried and holdout accuracy, None where nobody knows the labels."""
    transductive = unqueried = holdout = None
    if answers is not None:
        rows = roles.target[~is_missing(answers[roles.target])]
        if len(rows):
            # Compared as objects: a hidden label need not be of the type of those that are known.
            predicted = estimator.predict(take_rows(X, rows))
            correct = predicted.astype(object) == answers[rows].astype(object)
            transductive = float(correct.mean())
            never = query_round[rows] == -1
            unqueried = float(correct[never].mean()) if never.any() else None
    if eval_set is not None:
        holdout = float(accuracy_score(eval_set[1], estimator.predict(eval_set[0])))
    return {"transductive": transductive, "unqueried": unqueried, "holdout": holdout}


def class_counts(labels: NDArray[Any]) -> dict[Any, int]:
    """Return how often each label was revealed."""
    classes, counts = np.unique(labels, return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))
