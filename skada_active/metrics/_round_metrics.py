"""Accuracies and class counts of one round, as the history of a loop or session keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.labels import as_labels, is_missing
from skada_active.metrics._target_accuracy import are_correct
from skada_active.utils.rows import take_rows

__all__ = ["accuracies", "class_counts", "known_accuracies"]


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
            correct = are_correct(answers[rows], estimator.predict(take_rows(X, rows)))
            transductive = float(correct.mean())
            never = query_round[rows] == -1
            unqueried = float(correct[never].mean()) if never.any() else None
    if eval_set is not None:
        holdout = float(are_correct(as_labels(eval_set[1]), estimator.predict(eval_set[0])).mean())
    return {"transductive": transductive, "unqueried": unqueried, "holdout": holdout}


def class_counts(labels: NDArray[Any]) -> dict[Any, int]:
    """Return how often each label was revealed."""
    classes, counts = np.unique(labels, return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def known_accuracies(accuracy: dict[str, float | None]) -> dict[str, str]:
    """Return the accuracies that are known, as a progress bar shows them."""
    return {name: f"{value:.3f}" for name, value in accuracy.items() if value is not None}
