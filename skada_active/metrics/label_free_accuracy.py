"""Accuracy of an estimator on the target without a label of it, from held-out source rows, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.domains import check_domain_coding, check_inputs
from skada_active.labels import native_labels
from skada_active.metrics.estimate import AccuracyEstimate
from skada_active.metrics.held_out import held_out_proba
from skada_active.metrics.label_free import (
    average_thresholded_confidence,
    committee_agreement,
    difference_of_confidences,
    label_shift_accuracy,
)
from skada_active.utils.fitting import is_frozen, keeps_grad_mode
from skada_active.utils.random import RandomStateLike, check_rng

__all__ = ["label_free_accuracy"]

LabelFreeMethod = Literal["atc", "doc", "agreement", "em", "bbse"]

_OF_PROBA: dict[str, Callable[..., float]] = {
    "atc": average_thresholded_confidence,
    "doc": difference_of_confidences,
    "em": partial(label_shift_accuracy, shares="em"),
    "bbse": partial(label_shift_accuracy, shares="bbse"),
}
_N_MEMBERS = 5


@keeps_grad_mode
def label_free_accuracy(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    sample_domain: ArrayLike,
    *,
    method: LabelFreeMethod = "atc",
    cv: int = 5,
    n_bootstrap: int = 100,
    level: float = 0.95,
    random_state: RandomStateLike = None,
) -> AccuracyEstimate:
    """Estimate the accuracy of an estimator on the target rows without a label of theirs.

    Clones are trained on the source rows of all folds but one (domain-aware ones on all target rows, too, without
    labels). Source rows are predicted by the clone that did not see them, and target rows by one of the clones each, so
    that the source tells how the outputs of such a model go with its accuracy.

    Parameters
    ----------
    estimator : estimator
        Classifier with ``predict_proba``, not fitted; or a fitted one in `sklearn.frozen.FrozenEstimator`, and then the
        source rows of `X` must be rows that it was not trained on.
    X : array-like of shape (n, ...) or dataset
        Rows of all domains.
    y : array-like of shape (n,)
        Labels; those of target rows are never read, and may be missing.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target.
    method : {"atc", "doc", "agreement", "em", "bbse"}, default="atc"
        `average_thresholded_confidence`, `difference_of_confidences`, `committee_agreement` of 5 members that are
        trained on halves of the source each, or `label_shift_accuracy` by either estimate of the class shares. Each
        says when it fails.
    cv : int, default=5
        Folds of the source.
    n_bootstrap : int, default=100
        Samples of the rows of both domains, from which the interval comes.
    level : float, default=0.95
        Confidence level of the interval.
    random_state : int, RandomState, Generator or None, default=None
        Seed of folds, samples, and of every ``random_state`` of the estimator that is None.

    Returns
    -------
    AccuracyEstimate
        Estimate with ``n_audit=0`` and the name of the method. The interval tells what chance does to a sample of rows;
        it knows nothing of the failure of the method, so that it covers the accuracy only where its assumption holds.

    Raises
    ------
    ValueError
        If there is no target row, a class has one source row, the estimator has no probabilities, or an argument is not
        valid.

    Notes
    -----
    `cv` fits on the source; for ``"agreement"`` two for each member. The accuracy is that of the clones, trained on
    (cv - 1) / cv of the source.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active.datasets import make_label_shift
    >>> from skada_active.metrics import label_free_accuracy
    >>> X, y, sample_domain = make_label_shift(cluster_std=1.5, random_state=3)
    >>> estimate = label_free_accuracy(LogisticRegression(), X, y, sample_domain, random_state=0)
    >>> estimate.method, bool(estimate.low < estimate.value < estimate.high)
    ('atc', True)
    """
    _check_settings(method, cv, n_bootstrap, level)
    X, labels, roles = check_inputs(X, y, sample_domain)
    check_domain_coding(roles)
    if not len(roles.target) or not len(roles.source):
        raise ValueError("sample_domain must name source rows (>= 0) and target rows (< 0); it lacks one of them.")
    if method == "agreement" and is_frozen(estimator):
        raise ValueError('method="agreement" trains a committee, which a FrozenEstimator cannot become; take "atc".')
    rng = np.random.RandomState() if random_state is None else check_rng(random_state)
    members = [
        held_out_proba(estimator, X, labels, roles, n_folds, rng)
        for n_folds in ([2] * _N_MEMBERS if method == "agreement" else [cv])
    ]
    classes = members[0][1]
    proba = np.stack([member for member, _ in members])
    codes = np.searchsorted(classes, native_labels(labels[roles.source]))
    value = _estimate(method, proba[:, roles.source], codes, proba[:, roles.target])
    draws = [_estimate(method, *_resampled(proba, codes, roles.source, roles.target, rng)) for _ in range(n_bootstrap)]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return AccuracyEstimate(value, float(min(low, value)), float(max(high, value)), 0, level, method)


def _estimate(method: str, source: NDArray[np.float64], codes: NDArray[np.int64], target: NDArray[np.float64]) -> float:
    """Return the estimate from the probabilities (M, s, C) and (M, t, C) of the members, one but for a committee."""
    if method == "agreement":
        return committee_agreement(target.argmax(axis=2), source.argmax(axis=2), codes)
    return _OF_PROBA[method](source[0], codes, target[0], classes=np.arange(source.shape[2]))


def _resampled(
    proba: NDArray[np.float64],
    codes: NDArray[np.int64],
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    rng: np.random.RandomState,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return probabilities and classes of rows of both domains, drawn with replacement; of each class as many."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    first, size = (np.repeat(values, counts) for values in (np.cumsum(counts) - counts, counts))
    rows = order[first + np.floor(rng.random_sample(len(codes)) * size).astype(np.int64)]
    return proba[:, source[rows]], codes[rows], proba[:, rng.choice(target, len(target))]


def _check_settings(method: Any, cv: Any, n_bootstrap: Any, level: Any) -> None:
    if method not in (*_OF_PROBA, "agreement"):
        raise ValueError(f'method must be "atc", "doc", "agreement", "em" or "bbse", got {method!r}.')
    for name, count, least in (("cv", cv, 2), ("n_bootstrap", n_bootstrap, 20)):
        if not isinstance(count, Integral) or isinstance(count, bool) or count < least:
            raise ValueError(f"{name} must be an integer >= {least}, got {count!r}.")
    if not isinstance(level, float | np.floating) or not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, got {level!r}.")
