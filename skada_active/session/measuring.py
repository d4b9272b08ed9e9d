"""Measures of a round's model on rows that it is not trained on: by audited labels, and without any label."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.metrics.accuracy import are_correct, class_codes, mean_recall
from skada_active.metrics.estimate import AccuracyEstimate, audit_estimate, audit_metric_estimate
from skada_active.metrics.scoring import RecordedOutputs, Scoring
from skada_active.metrics.stability import prediction_stability
from skada_active.pool import snapshot
from skada_active.pool.readers import ModelReader
from skada_active.session.state import Audit
from skada_active.utils.rows import take_rows

__all__ = ["Baseline", "audit_scores", "pool_confidence", "predictions", "stability"]


class Baseline(NamedTuple):
    """Predictions of the model before any purchase, which every later audit measures too.

    Parameters
    ----------
    codes : ndarray of shape (n,), int64
        Predicted class of every row of the pool, as a position in `classes`; 0 elsewhere.
    classes : ndarray of shape (n_classes,)
        Labels that it knew.
    confidence : ndarray of shape (n,), float32
        Confidence in each prediction.
    """

    codes: NDArray[np.int64]
    classes: NDArray[Any]
    confidence: NDArray[np.float32]

    @classmethod
    def of(cls, estimator: Any, X: Any, roles: Roles, confidence: NDArray[np.float32]) -> Baseline:
        """Return the predictions of a fitted estimator for the pool."""
        codes, classes = np.zeros(len(roles), dtype=np.int64), np.asarray(estimator.classes_)
        predicted = predictions(estimator, X, roles.candidates)
        codes[roles.candidates] = (predicted[:, None] == classes).argmax(axis=1)
        return cls(codes, classes, confidence)

    @classmethod
    def restored(cls, saved: Any) -> Baseline | None:
        """Return the predictions that a file holds, None where it holds none."""
        return None if saved is None else cls(*saved)

    def estimate(self, audit: Audit) -> AccuracyEstimate:
        """Return the accuracy that it has by an audit."""
        return _accuracy(audit, self.classes[self.codes[audit.rows]], self.confidence)


def pool_confidence(estimator: Any, X: Any, roles: Roles) -> NDArray[np.float32]:
    """Return the highest class probability of every candidate, shape (n,); 0 without probabilities, and elsewhere."""
    confidence = np.zeros(len(roles), dtype=np.float32)
    if len(roles.candidates) and "proba" in ModelReader.from_estimator(estimator).supplies:
        confidence[roles.candidates] = snapshot(estimator, X, roles, {"proba"}).proba.max(axis=1)
    return confidence


def audit_scores(
    estimator: Any, X: Any, audit: Audit, confidence: NDArray[np.float32], scoring: Scoring | None = None
) -> dict[str, Any]:
    """Return what the audited labels say of a fitted estimator, as keys of an entry of the history."""
    predicted = predictions(estimator, X, audit.rows)
    correct = are_correct(audit.labels, predicted)
    codes = class_codes(audit.labels)
    metrics: dict[str, Any] = {"balanced_accuracy": lambda rows: mean_recall(codes[rows], correct[rows])}
    if scoring is not None and len(audit.rows):
        recorded = RecordedOutputs(estimator, take_rows(X, audit.rows))
        measure = partial(_scores, scoring, recorded, audit.labels)
        metrics |= {name: partial(_score, measure, name) for name in measure(np.arange(len(audit.rows)))}
    return {
        "audit_counts": (int(correct.sum()), len(audit.rows), len(audit.pool)),
        "accuracy": {"audit": _accuracy(audit, predicted, confidence)},
        **{
            name: {"audit": audit_metric_estimate(measure, audit.labels, len(audit.pool))}
            for name, measure in metrics.items()
        },
    }


def _scores(scoring: Scoring, model: Any, labels: NDArray[Any], rows: NDArray[np.int64]) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is left out has no recall, and the like
        return scoring.measure(model, rows, labels[rows], "audited", False)


def _score(measure: Callable[..., dict[str, float]], name: str, rows: NDArray[np.int64]) -> float:
    return measure(rows).get(name, math.nan)


def stability(before: NDArray[Any], after: NDArray[Any], audit: Audit) -> dict[str, Any]:
    """Return how far the predictions (n_pool,) of two models agree on the rows that an audit stands for."""
    return prediction_stability(before, after, np.searchsorted(audit.pool, audit.rows), audit.labels)


def predictions(estimator: Any, X: Any, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return the predicted labels of rows of `X`, shape (n_rows,)."""
    return np.asarray(estimator.predict(take_rows(X, rows))) if len(rows) else np.empty(0, dtype=object)


def _accuracy(audit: Audit, predicted: NDArray[Any], confidence: NDArray[np.float32]) -> AccuracyEstimate:
    positions = np.searchsorted(audit.pool, audit.rows)
    return audit_estimate(are_correct(audit.labels, predicted), len(audit.pool), confidence[audit.pool], positions)
