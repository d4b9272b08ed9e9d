"""Parts of the difference between the accuracies on source and target, one for each cause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skada_active.inspection._verdict import Verdict

__all__ = ["Accuracies", "Estimated", "explain_drop"]


@dataclass(frozen=True)
class Estimated:
    """Estimate with its confidence interval.

    Parameters
    ----------
    value, low, high : float
        The estimate and the ends of its interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Accuracies:
    """Accuracies on source and target, and what the causes have to do with their difference.

    Parameters
    ----------
    source : Estimated
        Accuracy on held-out source rows.
    if_label : Estimated
        Accuracy that the target would have if class shares alone had changed: source rows weighted by class.
    if_covariate : Estimated
        Accuracy that it would have if p(x) alone had changed: source rows weighted by their density ratio.
    target : Estimated or None
        Accuracy on the labelled target rows; None, here and below, without enough of them.
    label, covariate, concept : Estimated or None
        Parts of ``target - source``, which they add up to.
    n_effective : float
        How many source rows the weighted ones are worth in `if_covariate`.
    """

    source: Estimated
    if_label: Estimated
    if_covariate: Estimated
    target: Estimated | None
    label: Estimated | None
    covariate: Estimated | None
    concept: Estimated | None
    n_effective: float


def explain_drop(
    source_right: NDArray[np.bool_],
    target_right: NDArray[np.bool_] | None,
    by_class: NDArray[np.float64],
    by_row: NDArray[np.float64],
    by_both: NDArray[np.float64],
    verdict: Verdict,
    level: float,
    n_draws: int,
    rng: np.random.RandomState,
) -> Accuracies:
    """Return the accuracies and the parts of their difference, with bootstrap intervals.

    Parameters
    ----------
    source_right, target_right : ndarray of shape (s,), (t,) of bool
        Which held-out source rows and which labelled target rows are predicted right; None: no target row.
    by_class : ndarray of shape (1 + n_draws, s)
        Weights of the source rows by class: the estimate, then replicates of it.
    by_row, by_both : ndarray of shape (s,)
        Their density ratios to the target, before and after they were weighted by class.
    verdict : Verdict
        A cause that it excludes has no part.
    level : float
        Confidence level.
    n_draws : int
        How many bootstrap samples.
    rng : RandomState
        What they are drawn from.
    """
    s = len(source_right)
    # Row 0 is the sample itself, the others count how often a row was drawn.
    counts = np.vstack([np.ones(s), rng.multinomial(s, np.full(s, 1 / s), size=n_draws)])
    source = _weighted_mean(source_right, counts)
    label = _weighted_mean(source_right, counts * by_class)
    covariate = _weighted_mean(source_right, counts * by_row)
    both = _weighted_mean(source_right, counts * by_class * by_both)
    whole = _interval(source, level), _interval(label, level), _interval(covariate, level)
    n_effective = float(by_row.sum() ** 2 / np.square(by_row).sum())
    if target_right is None:
        return Accuracies(*whole, target=None, label=None, covariate=None, concept=None, n_effective=n_effective)
    t = len(target_right)
    drawn = np.vstack([np.ones(t), rng.multinomial(t, np.full(t, 1 / t), size=n_draws)])
    target = _weighted_mean(target_right, drawn)
    of_label, of_covariate = _parts(source, label, covariate, both, verdict)
    return Accuracies(
        *whole,
        target=_interval(target, level),
        label=_interval(of_label, level),
        covariate=_interval(of_covariate, level),
        concept=_interval(target - source - of_label - of_covariate, level),
        n_effective=n_effective,
    )


def _parts(
    source: NDArray[np.float64],
    label: NDArray[np.float64],
    covariate: NDArray[np.float64],
    both: NDArray[np.float64],
    verdict: Verdict,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the parts of label shift and covariate shift: Shapley's values where neither is excluded."""
    nothing = np.zeros_like(source)
    if verdict.label == "no":
        return nothing, (nothing if verdict.covariate == "no" else covariate - source)
    if verdict.covariate == "no":
        return label - source, nothing
    return (label - source + both - covariate) / 2, (covariate - source + both - label) / 2


def _weighted_mean(right: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return (weight @ right.astype(np.float64)) / np.maximum(weight.sum(axis=1), 1e-12)


def _interval(values: NDArray[np.float64], level: float) -> Estimated:
    low, high = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return Estimated(float(values[0]), float(min(low, values[0])), float(max(high, values[0])))
