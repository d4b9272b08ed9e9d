"""Class probabilities of rows that a model was not trained on, of both domains alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skada_active.domains import Roles
from skada_active.labels import native_labels
from skada_active.utils.fitting import fit_estimator, is_frozen, seed_estimator
from skada_active.utils.rows import take_rows

__all__ = ["held_out_proba", "spread_folds"]


def spread_folds(strata: NDArray[np.int64], n_folds: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Return the fold of every row (n,), 0 to `n_folds` - 1: each stratum is spread over them as evenly as it can be.

    Strata of fewer rows than folds are welcome.
    """
    order = np.lexsort((rng.permutation(len(strata)), strata))
    folds = np.empty(len(strata), dtype=np.int64)
    folds[order] = (np.arange(len(strata)) + rng.randint(n_folds)) % n_folds
    return folds


def held_out_proba(
    estimator: Any, X: Any, y: NDArray[Any], roles: Roles, n_folds: int, rng: np.random.RandomState
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return class probabilities (n, C) of all rows, and the C classes, those of the source rows.

    Clones of the estimator are fitted on the source rows of all folds but one, a domain-aware one on all target rows,
    too, without any of their labels. A source row is predicted by the clone that did not see it and a target row by any
    one of them, so that both domains are predicted by the same models. A frozen estimator predicts all rows as it is.
    """
    classes = np.unique(native_labels(y[roles.source]))
    if len(classes) < 2:
        raise ValueError(
            f"The source rows are of {len(classes)} class(es) {classes.tolist()}, and a classifier needs two; give "
            "labelled source rows (sample_domain >= 0) of all classes."
        )
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"estimator={estimator!r} has no predict_proba; wrap it in sklearn.calibration.CalibratedClassifierCV."
        )
    if is_frozen(estimator):
        return _aligned(estimator.predict_proba(X), estimator.classes_, classes), classes
    folds = _folds(y, roles, classes, n_folds, rng)
    proba = np.empty((len(roles), len(classes)))
    for fold in range(n_folds):
        rows = np.flatnonzero(roles.is_target | (folds != fold))
        seen = Roles(roles.domain[rows], ~roles.is_target[rows])
        model = seed_estimator(clone(estimator), int(rng.randint(np.iinfo(np.int32).max)))
        model = fit_estimator(model, take_rows(X, rows), y[rows], seen)
        held_out = np.flatnonzero(folds == fold)
        if len(held_out):
            proba[held_out] = _aligned(model.predict_proba(take_rows(X, held_out)), model.classes_, classes)
    return proba, classes


def _folds(
    y: NDArray[Any], roles: Roles, classes: NDArray[Any], n_folds: int, rng: np.random.RandomState
) -> NDArray[np.int64]:
    strata = np.full(len(roles), len(classes))
    strata[roles.source] = np.searchsorted(classes, native_labels(y[roles.source]))
    smallest = np.bincount(strata)[: len(classes)].min()
    if smallest < 2:
        label = classes.tolist()[int(np.bincount(strata)[: len(classes)].argmin())]
        raise ValueError(
            f"Class {label!r} has one source row, which cannot be held out and trained on; give two at least, leave it "
            "out, or give a fitted model in sklearn.frozen.FrozenEstimator and source rows that it was not trained on."
        )
    return spread_folds(strata, n_folds, rng)


def _aligned(proba: Any, columns: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities with a column for each of the `classes`, which add up to 1 among them."""
    given = np.asarray(proba, dtype=np.float64)
    aligned = np.zeros((len(given), len(classes)))
    known = {label: position for position, label in enumerate(np.asarray(columns).tolist())}
    for position, label in enumerate(classes.tolist()):
        if label in known:
            aligned[:, position] = given[:, known[label]]
    total = aligned.sum(axis=1, keepdims=True)
    # A row of another class altogether says nothing of these.
    return np.where(total > 0, aligned / np.where(total > 0, total, 1), 1 / len(classes))
