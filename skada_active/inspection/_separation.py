"""Classifiers that tell target rows from source rows: held-out scores, and the area under their ROC curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

__all__ = ["class_proba", "domain_logits", "odds_ratio_weights", "rank_z", "recalibrated", "weighted_auc"]

#: Probabilities stay this far from 0 and 1 before logarithms are taken.
_EDGE = 1e-3


def domain_logits(
    rows: NDArray[np.float64],
    is_target: NDArray[np.bool_],
    folds: NDArray[np.int64],
    weight: NDArray[np.float64],
    rng: np.random.RandomState,
) -> NDArray[np.float64]:
    """Return the held-out log-odds (n,) that a row is of the target: mean of a linear model and of boosted trees.

    They are trained on rows that occur as often as their weights say, rounded up or down by chance.
    """
    # As weights of the trees they would be right, too, but make the bins of the columns slow to find.
    repeats = np.floor(weight + rng.random_sample(len(weight))).astype(np.int64)
    models = [
        LogisticRegression(C=0.3, max_iter=300),
        HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=8, min_samples_leaf=10, early_stopping=False, random_state=0
        ),
    ]
    return logit(_held_out(models, rows, is_target.astype(np.int64), 2, folds, repeats)[:, 1])


def class_proba(
    rows: NDArray[np.float64], codes: NDArray[np.int64], n_classes: int, folds: NDArray[np.int64], seed: int = 0
) -> NDArray[np.float64]:
    """Return held-out class probabilities (n, C): geometric mean of a linear model and of randomised trees."""
    models = [
        LogisticRegression(C=0.3, max_iter=300),
        ExtraTreesClassifier(60, min_samples_leaf=8, random_state=seed),
    ]
    return _held_out(models, rows, codes, n_classes, folds, np.ones(len(codes), dtype=np.int64))


def _held_out(
    models: list[Any],
    rows: NDArray[np.float64],
    codes: NDArray[np.int64],
    n_classes: int,
    folds: NDArray[np.int64],
    repeats: NDArray[np.int64],
) -> NDArray[np.float64]:
    proba = np.empty((len(codes), n_classes))
    for fold in np.unique(folds):
        test = folds == fold
        train = np.repeat(np.flatnonzero(~test), repeats[~test])
        logs = np.zeros((int(test.sum()), n_classes))
        present = np.unique(codes[train])
        for model in models:
            found = np.full((len(logs), n_classes), _EDGE)
            if len(present) > 1:
                with threadpool_limits(1):  # so little work is only slowed down by more threads
                    fitted = clone(model).fit(rows[train], codes[train])
                    found[:, present] = np.maximum(fitted.predict_proba(rows[test]), _EDGE)
            else:
                found[:, present] = 1
            logs += np.log(found / found.sum(axis=1, keepdims=True)) / len(models)
        mixed = np.exp(logs)
        proba[test] = mixed / mixed.sum(axis=1, keepdims=True)
    return proba


def weighted_auc(
    scores: NDArray[np.float64], is_target: NDArray[np.bool_], weight: NDArray[np.float64] | None = None
) -> tuple[float, float]:
    """Return the probability that a target row scores above a source row, and its standard error (DeLong's).

    Rows count by their weights; ties count half. O(n log n).
    """
    weight = np.ones(len(scores)) if weight is None else weight
    of_source, of_target = (weight[mask] / weight[mask].sum() for mask in (~is_target, is_target))
    above = _share_below(scores[is_target], scores[~is_target], of_source)
    below = 1 - _share_below(scores[~is_target], scores[is_target], of_target)
    auc = float(np.clip(np.round(of_target @ above, 12), 0, 1))
    variance = np.square(of_target) @ np.square(above - auc) + np.square(of_source) @ np.square(below - auc)
    return auc, float(np.sqrt(variance))


def _share_below(
    values: NDArray[np.float64], others: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    order = np.argsort(others)
    sums, ranked = np.concatenate([[0.0], np.cumsum(weight[order])]), others[order]
    return (sums[np.searchsorted(ranked, values, "left")] + sums[np.searchsorted(ranked, values, "right")]) / 2


def rank_z(scores: NDArray[np.float64], is_target: NDArray[np.bool_], strata: NDArray[np.int64] | None = None) -> float:
    """Return how many standard errors target rows score above source rows of the same stratum (van Elteren's test).

    Strata without rows of both domains, or with equal scores alone, do not count; 0 where none does.
    """
    strata = np.zeros(len(scores), dtype=np.int64) if strata is None else strata
    excess = variance = 0.0
    for stratum in np.unique(strata):
        mask = strata == stratum
        n, n_target = int(mask.sum()), int(is_target[mask].sum())
        if 0 < n_target < n:
            ranks = rankdata(scores[mask])
            weight = 1 / (n + 1)
            excess += weight * (ranks[is_target[mask]].sum() - n_target * (n + 1) / 2)
            variance += weight**2 * n_target * (n - n_target) / n * ranks.var(ddof=1)
    return float(excess / np.sqrt(variance)) if variance > 0 else 0.0


def odds_ratio_weights(
    logits: NDArray[np.float64], is_target: NDArray[np.bool_], largest: float
) -> NDArray[np.float64]:
    """Return the density ratio of target to source (n,) from log-odds, at most `largest`, of mean 1 over the source."""
    ratio = np.minimum(np.exp(logits) * (~is_target).sum() / max(is_target.sum(), 1), largest)
    return ratio / ratio[~is_target].mean()


def recalibrated(logits: NDArray[np.float64], is_target: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return P(target) of rows (n,) from log-odds that were learned where the domains had other shares."""
    model = LogisticRegression(C=1e6, max_iter=300).fit(logits[:, None], is_target)
    return expit(model.decision_function(logits[:, None]))
