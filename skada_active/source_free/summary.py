"""Summary of the source rows that a model was trained on: counts and moments by domain and class, and no row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.preprocessing import StandardScaler

from skada_active.metrics import AccuracyEstimate
from skada_active.source_free.transfer import log_proba

__all__ = ["SourceSummary", "calibration_temperature", "held_out_accuracy", "moments_by_class"]

#: Between which logarithms the temperature is looked for: from a twentieth to twenty.
_LOG_TEMPERATURES = (-3.0, 3.0)
_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class SourceSummary:
    """Counts and moments of source rows by domain and class, temperature and held-out accuracy: no row.

    Parameters
    ----------
    classes : ndarray of shape (C,)
        Labels, those of the model.
    domains : ndarray of shape (S,), int
        Source domains of which anything was kept.
    count : ndarray of shape (S, C), int
        Rows of each class in each domain; 0 where they were too few to be kept.
    mean, std : ndarray of shape (S, C, D), float64
        Mean and population standard deviation of the embedding, NaN where the count is 0.
    temperature : float
        What logits have to be divided by to be calibrated on held-out source rows: above 1 for a model that is too
        sure.
    accuracy : AccuracyEstimate
        Accuracy on held-out source rows, with Wilson's interval.
    left_out : tuple of (int, label)
        Domains and classes that had rows, but too few to be kept; how many is not told.
    """

    classes: NDArray[Any]
    domains: NDArray[np.int64]
    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    temperature: float
    accuracy: AccuracyEstimate
    left_out: tuple[tuple[int, Any], ...] = ()

    def __repr__(self) -> str:
        n_domains, n_classes, width = self.mean.shape
        return (
            f"SourceSummary({self.count.sum()} rows of {n_domains} domain(s) and {n_classes} classes, embedding of "
            f"{width}, temperature {self.temperature:.3g}, held-out accuracy {self.accuracy})"
        )

    @property
    def class_shares(self) -> NDArray[np.float64]:
        """Share of each class among the rows that were kept, shape (C,)."""
        return self.count.sum(axis=0) / self.count.sum()

    @property
    def source_count(self) -> NDArray[np.int64]:
        """Rows of each domain that were kept, shape (S,)."""
        return self.count.sum(axis=1)

    @property
    def source_mean(self) -> NDArray[np.float64]:
        """Mean of the embedding in each domain, shape (S, D)."""
        return self._over_classes(self.mean)

    @property
    def source_std(self) -> NDArray[np.float64]:
        """Population standard deviation of the embedding in each domain, shape (S, D)."""
        between = np.square(self.mean - self.source_mean[:, None])
        return np.sqrt(self._over_classes(np.square(self.std) + between))

    def _over_classes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        weight = self.count / self.count.sum(axis=1, keepdims=True)
        return np.einsum("sc,scd->sd", weight, np.where(self.count[:, :, None] > 0, values, 0.0))


def moments_by_class(
    features: NDArray[Any], codes: NDArray[np.int64], domain: NDArray[np.int64], n_classes: int, min_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], list[tuple[int, int]]]:
    """Return domains (S,), counts (S, C), means and deviations (S, C, D), and what had fewer than `min_rows` rows.

    A domain of which nothing is left is none of the S.
    """
    domains, position = np.unique(domain, return_inverse=True)
    count = np.zeros((len(domains), n_classes), dtype=np.int64)
    np.add.at(count, (position, codes), 1)
    few = [(int(domains[s]), int(c)) for s, c in np.argwhere((count > 0) & (count < min_rows))]
    count[count < min_rows] = 0
    mean = np.full((*count.shape, features.shape[1]), np.nan)
    std = mean.copy()
    for s, c in np.argwhere(count):
        scaler = StandardScaler().fit(np.asarray(features[(position == s) & (codes == c)], dtype=np.float64))
        mean[s, c], std[s, c] = scaler.mean_, np.sqrt(scaler.var_)
    kept = count.any(axis=1)
    return domains[kept], count[kept], mean[kept], std[kept], few


def calibration_temperature(proba: NDArray[Any], codes: NDArray[np.int64]) -> float:
    """Return the temperature of least log loss of class probabilities (n, C) on rows whose classes are known.

    Probabilities below 1e-4 count as 1e-4.

    References
    ----------
    .. [1] Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, Sec. 4.2.
    """
    logs, rows = log_proba(proba), np.arange(len(codes))

    def log_loss(log_temperature: float) -> float:
        # A weak pull to 1: classes that are told apart without an error would make the model ever surer.
        fit = -float(log_softmax(logs / np.exp(log_temperature), axis=1)[rows, codes].mean())
        return fit + 1e-3 * log_temperature**2

    return float(np.exp(minimize_scalar(log_loss, bounds=_LOG_TEMPERATURES, method="bounded").x))


def held_out_accuracy(is_correct: NDArray[np.bool_]) -> AccuracyEstimate:
    """Return the share of right answers on rows that a model was not trained on, with Wilson's interval."""
    n_correct, n = int(is_correct.sum()), len(is_correct)
    interval = binomtest(n_correct, n).proportion_ci(_LEVEL, method="wilson")
    return AccuracyEstimate(n_correct / n, float(interval.low), float(interval.high), n, _LEVEL, "held-out source rows")
