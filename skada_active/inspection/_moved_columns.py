"""Columns that moved from source to target: standardised effects, distances, and missing values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import chi2_contingency, fisher_exact, ks_2samp

from skada_active.inspection._table import Column

__all__ = ["MovedColumn", "moved_columns"]

#: Values farther from the quartiles than this many times their distance are drawn in before means are taken.
_FENCE = 3.0
_DRAWS = 200


@dataclass(frozen=True)
class MovedColumn:
    """What became of a column between source and target.

    Parameters
    ----------
    name : str
        Name of the column, or its position in a table without names.
    kind : {"number", "category"}
        What it holds.
    effect, low, high : float
        Of numbers, Cohen's d: difference of the means, target minus source, over the deviation within the domains,
        after outliers were drawn in. Of categories, the total variation: half the sum of the differences of shares.
        With its confidence interval. NaN where a domain has no value.
    distance : float
        Largest difference of the distribution functions (Kolmogorov-Smirnov), or the total variation: from 0 to 1.
    p_value : float
        That of 'the values have one distribution in both domains' or of 'as many are missing', whichever is smaller and
        corrected for both; and for all columns by Benjamini and Hochberg's rule.
    missing_source, missing_target : float
        Shares of missing values.
    rank : int
        1 for the column of the largest `distance` or difference in missing values.
    """

    name: str
    kind: str
    effect: float
    low: float
    high: float
    distance: float
    p_value: float
    missing_source: float
    missing_target: float
    rank: int


def moved_columns(
    columns: list[Column], is_target: NDArray[np.bool_], level: float, rng: np.random.RandomState
) -> list[MovedColumn]:
    """Return what became of every column, that of rank 1 first."""
    measured = [_measured(column, is_target, level, rng) for column in columns]
    adjusted = _benjamini_hochberg(np.array([p_value for *_, p_value in measured]))
    missing = [[float(column.is_missing[mask].mean()) for mask in (~is_target, is_target)] for column in columns]
    moved = [max(distance, abs(a - b)) for (_, distance, _), (a, b) in zip(measured, missing, strict=True)]
    order = np.argsort(-np.array(moved), kind="stable").tolist()
    return [
        MovedColumn(
            name=columns[position].name,
            kind="number" if columns[position].categories is None else "category",
            effect=measured[position][0][0],
            low=measured[position][0][1],
            high=measured[position][0][2],
            distance=measured[position][1],
            p_value=float(adjusted[position]),
            missing_source=missing[position][0],
            missing_target=missing[position][1],
            rank=rank,
        )
        for rank, position in enumerate(order, start=1)
    ]


def _measured(
    column: Column, is_target: NDArray[np.bool_], level: float, rng: np.random.RandomState
) -> tuple[tuple[float, float, float], float, float]:
    """Return effect with its interval, distance and p-value of a column."""
    gaps = column.is_missing
    counts = np.array([[(mask & gaps).sum(), (mask & ~gaps).sum()] for mask in (~is_target, is_target)])
    p_missing = 1.0 if not (gaps.any() and (~gaps).any()) else float(fisher_exact(counts)[1])
    source, target = (column.values[mask & ~gaps] for mask in (~is_target, is_target))
    if not (len(source) and len(target)):
        return (np.nan, np.nan, np.nan), 0.0, min(1.0, 2 * p_missing)
    if column.categories is None:
        test = ks_2samp(source, target, method="asymp")
        effect, distance, p_values = _cohens_d(source, target, level), float(test.statistic), float(test.pvalue)
    else:
        effect, p_values = _total_variation(source, target, len(column.categories), level, rng)
        distance = effect[0]
    return effect, distance, min(1.0, 2 * min(p_values, p_missing))


def _cohens_d(source: NDArray[np.float64], target: NDArray[np.float64], level: float) -> tuple[float, float, float]:
    n = len(source), len(target)
    both = np.concatenate([source, target]) / 16  # so that no fence of finite numbers is infinite
    lower, upper = np.quantile(both, [0.25, 0.75])
    if upper > lower:
        both = np.clip(both, lower - _FENCE * (upper - lower), upper + _FENCE * (upper - lower))
    both = both / max(np.abs(both).max(), np.finfo(np.float64).tiny)  # outliers are drawn in: nothing is lost
    first, second = both[: n[0]], both[n[0] :]
    gap = second.mean() - first.mean()
    deviation = np.sqrt((np.square(first - first.mean()).sum() + np.square(second - second.mean()).sum()) / sum(n))
    deviation = deviation if deviation > 1e-12 else both.std()  # constant in each domain: they differ by 2 at most
    if deviation <= 1e-12 or abs(gap) <= 1e-14:
        gap, deviation = 0.0, 1.0
    effect = gap / deviation
    half = ndtri((1 + level) / 2) * np.sqrt(1 / n[0] + 1 / n[1] + effect**2 / (2 * sum(n)))
    return float(effect), float(effect - half), float(effect + half)


def _total_variation(
    source: NDArray[np.int64], target: NDArray[np.int64], n_values: int, level: float, rng: np.random.RandomState
) -> tuple[tuple[float, float, float], float]:
    counts = np.stack([np.bincount(codes, minlength=n_values) for codes in (source, target)])
    counts = counts[:, counts.sum(axis=0) > 0]
    shares = counts / counts.sum(axis=1, keepdims=True)
    value = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if counts.shape[1] == 1:
        return (0.0, 0.0, 0.0), 1.0
    draws = [
        rng.multinomial(len(codes), share, size=_DRAWS) / len(codes)
        for codes, share in zip((source, target), shares, strict=True)
    ]
    drawn = np.abs(draws[0] - draws[1]).sum(axis=1) / 2
    # Chance adds to a sum of absolute differences: the basic bootstrap takes off as much again.
    low, high = 2 * value - np.quantile(drawn, [(1 + level) / 2, (1 - level) / 2])
    return (value, max(0.0, float(low)), min(1.0, max(value, float(high)))), float(chi2_contingency(counts).pvalue)


def _benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values corrected so that, among all below a level, the expected share of false ones is at most it."""
    n, order = len(p_values), np.argsort(p_values)
    adjusted = p_values[order] * n / np.arange(1, n + 1)
    corrected = np.empty(n)
    corrected[order] = np.minimum(np.minimum.accumulate(adjusted[::-1])[::-1], 1)
    return corrected
