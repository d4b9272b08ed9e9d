"""Estimates of the accuracy on the target from a few audited rows, with intervals that hold for small counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc, logit, stdtrit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_consistent_length

from skada_active.utils.random import RandomStateLike, check_rng

__all__ = [
    "AccuracyEstimate",
    "audit_estimate",
    "audit_metric_estimate",
    "systematic_sample",
    "weighted_estimate",
]


@dataclass(frozen=True)
class AccuracyEstimate:
    """Estimate of an accuracy, or of another metric between 0 and 1, with its confidence interval.

    Parameters
    ----------
    value : float
        The estimate; NaN where nothing was audited.
    low, high : float
        Ends of the interval; 0 and 1 where nothing was audited.
    n_audit : int
        How many labels it rests on.
    level : float
        Probability with which such intervals cover the truth.
    method : str
        Name of the estimator.

    Examples
    --------
    >>> from skada_active.metrics import AccuracyEstimate
    >>> estimate = AccuracyEstimate(0.84, 0.79, 0.88, 50, 0.95, "wilson")
    >>> str(estimate), f"{estimate:.3f}", float(estimate)
    ('84 % (79 to 88)', '0.840', 0.84)
    """

    value: float
    low: float
    high: float
    n_audit: int
    level: float
    method: str

    def __float__(self) -> float:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else str(self)

    def __str__(self) -> str:
        if not 0 <= self.low <= self.high <= 1:  # a loss, which is no share
            return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"
        value = "unknown" if math.isnan(self.value) else f"{100 * self.value:.0f} %"
        return f"{value} ({100 * self.low:.0f} to {100 * self.high:.0f})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AccuracyEstimate):
            return NotImplemented
        # Nothing audited twice is the same, though NaN is not.
        return [None if item != item else item for item in astuple(self)] == [
            None if item != item else item for item in astuple(other)
        ]


def systematic_sample(confidence: ArrayLike, n_samples: int, random_state: RandomStateLike = None) -> NDArray[np.int64]:
    """Return rows at about equal steps along the confidence: each row is drawn with the same probability.

    Parameters
    ----------
    confidence : array-like of shape (n,)
        Confidence of the model in its prediction, row by row; constant for a simple random sample.
    n_samples : int
        How many rows to draw; all if there are no more.
    random_state : int, RandomState instance or None, default=None
        Seed of the start, of the order of equal confidences, and of where within a step a row is taken.

    Returns
    -------
    ndarray of shape (min(n_samples, n),) of int64
        Distinct positions, ascending.
    """
    values, rng = np.asarray(confidence, dtype=np.float64), check_rng(random_state)
    n = len(values)
    n_samples = min(n_samples, n)
    order = np.lexsort((rng.permutation(n), values))
    # Neighbours change places at random: an order that stands allows only as many samples as a step is long.
    order = order[np.lexsort((rng.permutation(n), np.arange(n) // max(1, n // max(n_samples, 1))))]
    ranks = np.floor((np.arange(n_samples) + rng.uniform()) * (n / max(n_samples, 1))).astype(np.int64)
    return np.sort(order[np.minimum(ranks, n - 1)])


def audit_estimate(
    is_correct: ArrayLike,
    n_pool: int,
    confidence: ArrayLike | None = None,
    audited: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> AccuracyEstimate:
    """Estimate the accuracy on a pool of which some rows, drawn with equal probability, were audited.

    Parameters
    ----------
    is_correct : array-like of shape (n_audit,) of bool
        Whether the model is right on the audited rows, none of which it was trained on.
    n_pool : int
        Rows of the pool, the audited among them.
    confidence : array-like of shape (n_pool,), default=None
        Confidence of the model in its prediction on every row of the pool: only the order of the rows counts. ``None``:
        the plain share of right answers.
    audited : array-like of shape (n_audit,) of int, default=None
        Positions of the audited rows in the pool; needed with `confidence`.
    level : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    AccuracyEstimate
        The accuracy on the pool; `method` is ``"model-assisted"`` where the confidence was of use, else ``"binomial"``.

    Raises
    ------
    ValueError
        If lengths do not agree, a confidence is no finite number, or `level` is not between 0 and 1.

    See Also
    --------
    systematic_sample : The draw.

    Notes
    -----
    Where right and wrong answers are both among them, a logistic regression of their correctness on the logit of the
    confidence's rank, shrunk (``C=10/3``), is averaged over the pool, and what it leaves on the audited rows is added:
    the difference estimator of survey sampling, which is consistent whatever the regression is worth [1]_. The gain,
    how far the mean variance of the fitted probabilities is below that of their mean, counts as so many more rows in
    the mid-P interval [2]_, which so is never longer than that of a plain sample. It shrinks by the root of the share
    of the pool that is not audited.

    With 20, 50 or 100 rows drawn by `systematic_sample` over five rounds, 1000 times on each of 17 real tasks that the
    constants were not chosen on, intervals of 95 % covered the accuracy in 96.5 % on average and in 93.7 % at worst.
    Where the confidence ranks errors with an AUROC of 0.8 or more they were shorter than Wilson's by 8, 14 and 18 % for
    20, 50 and 100 rows. See ``benchmarks/audit_coverage.py``. Time O(n log n).

    References
    ----------
    .. [1] Lehtonen and Veijanen, "Logistic Generalized Regression Estimators", Survey Methodology 1998.
    .. [2] Berry and Armitage, "Mid-P Confidence Intervals: A Brief Review", The Statistician 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.metrics import audit_estimate
    >>> str(audit_estimate([True] * 17 + [False] * 3, n_pool=1000))
    '85 % (65 to 96)'
    """
    correct = np.asarray(is_correct, dtype=bool)
    n = len(correct)
    _check_level(level)
    if not n:
        return AccuracyEstimate(math.nan, 0.0, 1.0, 0, level, "none")
    if not n <= n_pool:
        raise ValueError(
            f"n_pool={n_pool} is less than the {n} audited row(s), which are part of the pool; count them."
        )
    value, gain, method = float(correct.mean()), 1.0, "binomial"
    if confidence is not None and 0 < value < 1:
        value, gain = _assisted(correct, _logit_ranks(confidence, n_pool), _positions(audited, n, n_pool))
        method = "model-assisted"
    low, high = _interval(value, n, n * gain, n_pool, level)
    return AccuracyEstimate(value, low, high, n, level, method)


def audit_metric_estimate(
    measure: Callable[[NDArray[np.int64]], float], labels: ArrayLike, n_pool: int, *, level: float = 0.95
) -> AccuracyEstimate:
    """Estimate a metric on a pool of which some rows, drawn with equal probability, were audited.

    Parameters
    ----------
    measure : callable
        ``measure(positions) -> float``: the metric on some of the audited rows, by their positions; NaN where it has no
        value, as where a single class is left.
    labels : array-like of shape (n_audit,)
        Labels of the audited rows.
    n_pool : int
        Rows of the pool, the audited among them.
    level : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    AccuracyEstimate
        The metric on the pool. NaN, with ends 0 and 1, where it has no value on the audited rows.

    Notes
    -----
    The variance is that of the jackknife, n evaluations. For a value from 0 to 1 it is turned into the number of rows
    that would vary as much, at most n, in the interval of `audit_estimate`; other values get Student's interval. Where
    the jackknife sees no variance at all, the number is that of a mean over the classes, each with its rows. A class
    that is not audited is not in the metric, and the interval does not know of it: of few rows or many classes it
    covers less than it says.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics import f1_score
    >>> from skada_active.metrics import audit_metric_estimate
    >>> y, predicted = np.array([0, 1] * 10), np.array([0, 1] * 8 + [1, 1] * 2)
    >>> estimate = audit_metric_estimate(lambda rows: f1_score(y[rows], predicted[rows]), y, n_pool=500)
    >>> round(estimate.value, 3), estimate.method
    (0.909, 'jackknife')
    """
    classes = np.unique(np.asarray(labels).astype(str), return_counts=True)[1]
    n = int(classes.sum())
    _check_level(level)
    every = np.arange(n)
    value = measure(every) if n else math.nan
    left_out = np.array([measure(np.delete(every, row)) for row in every]) if n > 1 else np.empty(0)
    left_out = left_out[np.isfinite(left_out)]
    if not math.isfinite(value) or len(left_out) < 2:
        return AccuracyEstimate(value if n else math.nan, 0.0, 1.0, n, level, "none")
    variance = (n - 1) * float(np.var(left_out))
    if not 0 <= min(value, *left_out) <= max(value, *left_out) <= 1:
        half = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(variance * (1 - n / n_pool))
        return AccuracyEstimate(value, value - half, value + half, n, level, "jackknife")
    alike = len(classes) ** 2 / float(np.sum(1 / classes))
    n_effective = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else alike
    low, high = _interval(value, n, min(n_effective, n), n_pool, level)
    return AccuracyEstimate(value, low, high, n, level, "jackknife")


def weighted_estimate(
    is_correct: ArrayLike, inclusion_probabilities: ArrayLike, n_pool: int, *, level: float = 0.95
) -> AccuracyEstimate:
    """Estimate the accuracy on a pool from rows that were drawn with known, unequal probabilities.

    Parameters
    ----------
    is_correct : array-like of shape (n_drawn,) of bool
        Whether a model is right on the drawn rows: one that was not trained on them, such as that of the round before.
    inclusion_probabilities : array-like of shape (n_drawn,)
        Probability with which each of them was drawn, in (0, 1], such as `PowerSampling.inclusion_probabilities` says.
    n_pool : int
        Rows of the pool.
    level : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    AccuracyEstimate
        Accuracy by Hájek's estimator, in which a row weighs 1 over its probability, and the interval of
        `audit_estimate` for so many rows as the weights are worth (Kish's effective sample size).

    Raises
    ------
    ValueError
        If lengths do not agree, or a probability is not in (0, 1].

    Examples
    --------
    >>> from skada_active.metrics import weighted_estimate
    >>> str(weighted_estimate([True, True, False, True], [0.5, 0.5, 1.0, 0.25], n_pool=9))
    '89 % (41 to 98)'
    """
    correct, probability = np.asarray(is_correct, dtype=bool), np.asarray(inclusion_probabilities, dtype=np.float64)
    _check_level(level)
    check_consistent_length(correct, probability)
    if len(wrong := probability[~((probability > 0) & (probability <= 1))]):
        raise ValueError(
            f"inclusion_probabilities must be in (0, 1], got {wrong[0]}; leave out rows that could not be drawn."
        )
    if not len(correct):
        return AccuracyEstimate(math.nan, 0.0, 1.0, 0, level, "none")
    weights = 1 / probability
    value, n_effective = float(np.average(correct, weights=weights)), float(weights.sum() ** 2 / (weights**2).sum())
    low, high = _interval(value, n_effective, n_effective, n_pool, level)
    return AccuracyEstimate(value, low, high, len(correct), level, "inverse probability")


def _assisted(
    correct: NDArray[np.bool_], covariate: NDArray[np.float64], audited: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the difference estimate, and by how much the confidence multiplies the audited rows."""
    model = LogisticRegression(C=10 / 3).fit(covariate[audited, None], correct)
    fitted = model.predict_proba(covariate[:, None])[:, 1]
    mean = float(fitted.mean())
    value = min(1.0, max(0.0, mean + float((correct - fitted[audited]).mean())))
    # Two parameters were fitted.
    within = float((fitted * (1 - fitted)).mean()) * len(correct) / max(len(correct) - 2, 1)
    return value, max(1.0, mean * (1 - mean) / within)


def _interval(value: float, n: float, n_effective: float, n_pool: int, level: float) -> tuple[float, float]:
    """Return the mid-P interval of a share in so many rows, for a pool of which n rows are known."""
    right, tail = value * n_effective, (1 - level) / 2

    def upper(share: float) -> float:
        at_least = 1.0 if right <= 0 else float(betainc(right, n_effective - right + 1, share))
        more = 0.0 if right >= n_effective else float(betainc(right + 1, n_effective - right, share))
        return (at_least + more) / 2

    low = 0.0 if right <= 0 else brentq(lambda share: upper(share) - tail, 0.0, 1.0)
    high = 1.0 if right >= n_effective else brentq(lambda share: upper(share) - (1 - tail), 0.0, 1.0)
    unknown = math.sqrt(max(0.0, 1 - n / n_pool))
    return max(0.0, value - max(0.0, value - low) * unknown), min(1.0, value + max(0.0, high - value) * unknown)


def _logit_ranks(confidence: ArrayLike, n_pool: int) -> NDArray[np.float64]:
    values = np.asarray(confidence, dtype=np.float64)
    if values.shape != (n_pool,) or not np.isfinite(values).all():
        raise ValueError(
            f"confidence must be {n_pool} finite numbers, one per row of the pool, got shape {values.shape} with "
            f"{np.count_nonzero(~np.isfinite(values))} that are not finite."
        )
    return logit((rankdata(values) - 0.5) / n_pool) / 2


def _positions(audited: ArrayLike | None, n: int, n_pool: int) -> NDArray[np.int64]:
    positions = np.asarray([] if audited is None else audited, dtype=np.int64)
    if len(np.unique(positions)) != n or not ((positions >= 0) & (positions < n_pool)).all():
        raise ValueError(
            f"audited must be the {n} distinct positions of the audited rows in the pool of {n_pool}, got "
            f"{audited!r:.80}."
        )
    return positions


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}.")
