"""Paired tests of methods against a control, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, wilcoxon

from skada_active.metrics import mean_interval

__all__ = ["Comparison", "compare_pairs", "holm"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Paired tests of methods against a control.

    Parameters
    ----------
    control : str
        Name of the control.
    methods : list of str
        Names of the others.
    pairs : {"tasks", "seeds"}
        What a pair is: a task, by its means over the seeds, or, where there is one task, a seed.
    difference : ndarray of shape (n_methods,)
        Mean of method minus control.
    half_width : ndarray of shape (n_methods,)
        Half the width of its confidence interval, by Student's t over the pairs.
    p_t, p_wilcoxon : ndarray of shape (n_methods,)
        Two-sided p-values of the paired t-test and of Wilcoxon's signed-rank test, with Holm's correction for the
        number of methods.
    wins, ties, losses : ndarray of shape (n_methods,), int64
        Tasks where the interval of the differences over the seeds lies above zero, holds it, or lies below; with one
        seed, where the difference is positive, zero or negative.

    Notes
    -----
    Over tasks the t-test takes the differences for normally distributed; Wilcoxon's test does not, and needs six or
    more pairs to find anything at 5 % [1]_. Seeds of one task say how it is on this task, not on others.

    References
    ----------
    .. [1] Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006.
    .. [2] Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.experiments.paired_tests import compare_pairs
    >>> values = np.array([[[0.9], [0.8], [0.7]], [[0.7], [0.7], [0.7]]])  # methods, tasks, seeds
    >>> comparison = compare_pairs(values, ["margin", "random"], "random", 0.95)
    >>> comparison
    margin - random: +10.0 ± 24.8 (p = 0.23 t, 0.5 Wilcoxon), 2 wins, 1 ties, 0 losses
    """

    control: str
    methods: list[str]
    pairs: str
    difference: NDArray[np.float64]
    half_width: NDArray[np.float64]
    p_t: NDArray[np.float64]
    p_wilcoxon: NDArray[np.float64]
    wins: NDArray[np.int64]
    ties: NDArray[np.int64]
    losses: NDArray[np.int64]

    def __repr__(self) -> str:
        return "\n".join(
            f"{method} - {self.control}: {100 * self.difference[row]:+.1f} ± {100 * self.half_width[row]:.1f} "
            f"(p = {self.p_t[row]:.2g} t, {self.p_wilcoxon[row]:.2g} Wilcoxon), "
            f"{self.wins[row]} wins, {self.ties[row]} ties, {self.losses[row]} losses"
            for row, method in enumerate(self.methods)
        )


def compare_pairs(values: NDArray[np.float64], methods: Sequence[str], control: str, confidence: float) -> Comparison:
    """Return the tests of all other methods against a control.

    Parameters
    ----------
    values : ndarray of shape (n_methods, n_tasks, n_seeds)
        Measurements; NaN where there is none.
    methods : sequence of str
        Names of the methods.
    control : str
        Name of the control.
    confidence : float
        Level of the intervals.

    Raises
    ------
    ValueError
        If there are fewer than two pairs of a method and the control.
    """
    others = [method for method in methods if method != control]
    differences = np.stack([values[list(methods).index(method)] for method in others]) - values[methods.index(control)]
    by_task = differences.shape[1] > 1
    pairs = [_pairs(difference, by_task) for difference in differences]
    for method, of_method in zip(others, pairs, strict=True):
        if len(of_method) < 2:
            what = "tasks" if by_task else "seeds"
            raise ValueError(
                f"{method!r} and {control!r} have {len(of_method)} {what} in common, and a test takes two or more; run "
                f"more {what}."
            )
    intervals = [mean_interval(of_method, confidence=confidence) for of_method in pairs]
    signs = np.stack([[_sign(of_task, confidence) for of_task in difference] for difference in differences])
    return Comparison(
        control=control,
        methods=others,
        pairs="tasks" if by_task else "seeds",
        difference=np.array([mean for mean, _ in intervals]),
        half_width=np.array([width for _, width in intervals]),
        p_t=holm(np.array([_t_test(of_method) for of_method in pairs])),
        p_wilcoxon=holm(np.array([_signed_rank_test(of_method) for of_method in pairs])),
        wins=(signs == 1).sum(axis=1),
        ties=(signs == 0).sum(axis=1),
        losses=(signs == -1).sum(axis=1),
    )


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values (n,) with Holm's correction for their number.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.experiments.paired_tests import holm
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order = p.argsort()
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected


def _pairs(difference: NDArray[np.float64], by_task: bool) -> NDArray[np.float64]:
    """Return the differences (n_tasks, n_seeds) by pair: means of tasks, or those of the seeds of the one task."""
    known = [of_task[~np.isnan(of_task)] for of_task in difference]
    return np.array([of_task.mean() for of_task in known if len(of_task)]) if by_task else known[0]


def _t_test(pairs: NDArray[np.float64]) -> float:
    if np.ptp(pairs) == 0:  # which the test would divide by
        return float(pairs[0] == 0)
    return float(ttest_1samp(pairs, 0).pvalue)


def _signed_rank_test(pairs: NDArray[np.float64]) -> float:
    return float(wilcoxon(pairs).pvalue) if pairs.any() else 1.0


def _sign(differences: NDArray[np.float64], confidence: float) -> float:
    """Return 1, 0 or -1 where the interval of differences lies above, around or below zero; NaN without any."""
    known = differences[~np.isnan(differences)]
    if len(known) < 2:
        return float(np.sign(known[0])) if len(known) else np.nan
    mean, width = mean_interval(known, confidence=confidence)
    return float(np.sign(mean)) if np.abs(mean) > width else 0.0
