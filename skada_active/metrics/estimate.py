"""Estimates of the accuracy on the target from a few audited rows, with intervals that hold for small counts."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from skada_active.utils.random import RandomStateLike, check_rng

__all__ = ["AccuracyEstimate", "audit_estimate", "systematic_sample"]


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
    """Return rows at equal steps along the confidence from a random start: each is drawn with the same probability.

    Parameters
    ----------
    confidence : array-like of shape (n,)
        Confidence of the model in its prediction, row by row; constant for a simple random sample.
    n_samples : int
        How many rows to draw; all if there are no more.
    random_state : int, RandomState instance or None, default=None
        Seed of the start, and of the order of equal confidences.

    Returns
    -------
    ndarray of shape (min(n_samples, n),) of int64
        Distinct positions, ascending.
    """
    values, rng = np.asarray(confidence, dtype=np.float64), check_rng(random_state)
    n = len(values)
    n_samples = min(n_samples, n)
    order = np.lexsort((rng.permutation(n), values))
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
        Whether the model is right on the audited rows.
    n_pool : int
        Rows of the pool, the audited among them.
    confidence : array-like of shape (n_pool,), default=None
        Confidence of the model in its prediction on every row of the pool; ``None``: Wilson's interval, unstratified.
    audited : array-like of shape (n_audit,) of int, default=None
        Positions of the audited rows in the pool; needed with `confidence`.
    level : float, default=0.95
        Confidence level of the interval.

    Returns
    -------
    AccuracyEstimate
        The accuracy on the pool.
    """
    correct = np.asarray(is_correct, dtype=np.float64)
    n = len(correct)
    if not n:
        return AccuracyEstimate(math.nan, 0.0, 1.0, 0, level, "none")
    strata = np.zeros(n, dtype=np.int64)
    if confidence is not None:
        rank = np.empty(n_pool, dtype=np.int64)
        rank[np.argsort(np.asarray(confidence), kind="stable")] = np.arange(n_pool)
        strata = rank[np.asarray(audited)] * max(1, min(5, n // 5)) // n_pool
    counts = np.bincount(strata)
    means = np.bincount(strata, weights=correct) / np.maximum(counts, 1)
    weights = counts / n  # refined below
    value = float(weights @ means)
    z2 = ndtri((1 + level) / 2) ** 2
    center, half = (value + z2 / (2 * n)) / (1 + z2 / n), math.sqrt(value * (1 - value) * z2 / n + z2**2 / (4 * n * n))
    half /= 1 + z2 / n
    return AccuracyEstimate(value, max(0.0, center - half), min(1.0, center + half), n, level, "stratified")
