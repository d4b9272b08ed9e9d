"""Metrics that a user adds to the history of a loop, by scikit-learn's ``scoring``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import check_scoring

from skada_active.labels import native_labels
from skada_active.utils.warn import warn_user

__all__ = ["BUILT_IN", "RecordedOutputs", "Scoring"]

#: Metrics that are measured anyway.
BUILT_IN = ("accuracy", "balanced_accuracy")
_ENTRY = (
    "round",
    "ids",
    "utilities",
    "abstained_ids",
    "n_queries",
    "class_counts",
    "seconds",
    "loss",
    "audit_ids",
    "audit_counts",
    "stability",
    *BUILT_IN,
)


class Scoring:
    """Metrics of a history beside accuracy and balanced accuracy, which are measured anyway.

    Parameters
    ----------
    scoring : str, callable, list, tuple, set or dict
        As in `sklearn.model_selection.cross_validate`; a callable is named ``"score"``, or returns a dict by name.
    estimator : estimator
        Classifier that is measured, fitted or not.

    Attributes
    ----------
    names : list of str
        Names of the metrics; those of a callable are known once it was called.
    description : list of str
        What is measured: two of equal descriptions give equal histories.
    """

    def __init__(self, scoring: Any, estimator: Any) -> None:
        self.given = scoring
        if isinstance(scoring, str | set):
            scoring = [scoring] if isinstance(scoring, str) else sorted(scoring, key=str)
        if isinstance(scoring, Mapping):
            scoring = {name: scorer for name, scorer in scoring.items() if scorer != name or name not in BUILT_IN}
        elif isinstance(scoring, list | tuple):
            scoring = [name for name in scoring if name not in BUILT_IN]
        self.names: list[str] = [] if callable(scoring) else list(scoring or ())
        _refuse_taken(self.names)
        self._scorer = check_scoring(estimator, scoring) if scoring else lambda estimator, X, labels: {}
        scorers = scoring.items() if isinstance(scoring, Mapping) else [("score", scoring)] if callable(scoring) else []
        self.description = [*self.names, *(f"{name}: {_described(scorer)}" for name, scorer in scorers)]

    def measure(self, estimator: Any, X: Any, labels: NDArray[Any], group: str, must_succeed: bool) -> dict[str, float]:
        """Return the metrics by name for rows whose labels are known; one that fails is an error or NaN."""
        try:
            found = self._scorer(estimator, X, native_labels(labels))
            found = dict(found) if isinstance(found, Mapping) else {"score": found}
            _refuse_taken(found)
            if wrong := [name for name, value in found.items() if not isinstance(value, Real)]:
                raise ValueError(f"{wrong[0]!r} is {found[wrong[0]]!r}, which is no number")
        except Exception as error:
            words = f"scoring={self.given!r} cannot be computed on the {len(labels)} {group} row(s): {error}"
            if must_succeed:
                raise ValueError(
                    f"{words.rstrip('.')}. Give metrics that take these labels, or scoring=None."
                ) from error
            warn_user(f"{words.rstrip('.')}. It is NaN in this round.")
            return dict.fromkeys(self.names, float("nan"))
        self.names = list(found)
        return {name: float(value) for name, value in found.items()}


class RecordedOutputs(ClassifierMixin, BaseEstimator):
    """Outputs of a fitted classifier for some rows, as a classifier that reads the numbers of these rows.

    Scorers evaluate it on many subsets without another pass through the model.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier.
    X : array-like of shape (n, ...) or dataset
        Rows.
    """

    def __init__(self, estimator: Any, X: Any) -> None:
        self.estimator = estimator
        self.X = X
        self.classes_ = estimator.classes_
        self._outputs: dict[str, NDArray[Any]] = {}

    def fit(self, X: Any, y: Any) -> RecordedOutputs:
        """Return itself: it is fitted."""
        return self

    def __getattr__(self, name: str) -> Any:
        if name not in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            raise AttributeError(name)
        method = getattr(self.estimator, name)  # an AttributeError where the model has none

        def recorded(rows: NDArray[np.int64]) -> NDArray[Any]:
            if name not in self._outputs:
                self._outputs[name] = np.asarray(method(self.X))
            return self._outputs[name][rows]

        recorded.__name__ = name
        return recorded

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _refuse_taken(names: Collection[Any]) -> None:
    if taken := [name for name in _ENTRY if name in names]:
        raise ValueError(
            f"scoring names a metric {taken[0]!r}, which entries of the history hold already; give it another name."
        )


def _described(scorer: Any) -> str:
    # The repr of a function says where it is in memory.
    named = hasattr(scorer, "__qualname__")
    return f"{scorer.__module__}.{scorer.__qualname__}" if named else repr(scorer).partition(" at 0x")[0]
