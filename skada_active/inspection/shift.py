"""Diagnosis of a shift: whether and how the target differs from the source, and what of it explains the accuracy."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skada_active.inspection._diagnosis import Diagnosis
from skada_active.inspection._sample import draw_sample, look_at
from skada_active.inspection.shift_report import ShiftReport
from skada_active.utils.fitting import keeps_grad_mode
from skada_active.utils.random import RandomStateLike, check_rng

__all__ = ["diagnose_shift"]


@keeps_grad_mode
def diagnose_shift(
    X: Any,
    sample_domain: ArrayLike,
    y: ArrayLike | None = None,
    estimator: Any = None,
    *,
    level: float = 0.95,
    significance: float = 0.005,
    cv: int = 5,
    max_rows: int = 5000,
    n_bootstrap: int = 100,
    random_state: RandomStateLike = None,
) -> ShiftReport:
    r"""Return a report of how the target differs from the source, and of which kind of shift explains it.

    The report says how well the domains can be told apart, which columns moved, whether class shares did, which target
    rows look like no source row, and what of the accuracy's fall each kind of shift accounts for. Its verdict names the
    kind:

    ========= ==================================== ===================================================
    cause     what changed                         what stayed
    ========= ==================================== ===================================================
    covariate p(x)                                 P(y | x)
    label     the class shares p(y)                p(x | y)
    concept   P(y | x)                             p(x)
    several   more than one of these can explain
    none      nothing is seen to
    ========= ==================================== ===================================================

    Parameters
    ----------
    X : array-like of shape (n, ...), sparse matrix, DataFrame or dataset
        Rows of all domains. Numbers with gaps (NaN), texts and categories are compared as they are; images and datasets
        by the features that `estimator` has of them.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target, at least 10 rows each. Several sources, or targets, are
        one.
    y : array-like of shape (n,), default=None
        Labels; missing ones of target rows hold -1, NaN or None. Labels of 10 target rows at least, drawn at random,
        are needed for all that is said of P(y | x). ``None``: nothing is said of classes and accuracies.
    estimator : estimator, default=None
        Classifier with ``predict_proba`` whose accuracy is explained, and whose predictions tell of the class shares.
        It is cloned and trained on the source rows of all folds but one; a fitted one in
        `sklearn.frozen.FrozenEstimator` predicts as it is, and the source rows of `X` must then be rows that it was not
        trained on. ``None``: logistic regression on the rows as numbers (see Notes).
    level : float, default=0.95
        Confidence level of all intervals.
    significance : float, default=0.005
        p-value below which a test rejects. It is small, for a verdict rests on up to six tests.
    cv : int, default=5
        Folds: every score, probability and accuracy is of a row that the model was not trained on.
    max_rows : int, default=5000
        At most half of so many rows of each domain are looked at, drawn at random, and further labelled target rows
        where there are fewer than 1000 among them.
    n_bootstrap : int, default=100
        Samples from which the intervals of class shares and accuracies come.
    random_state : int, RandomState, Generator or None, default=None
        Seed of all chance, the estimator's included where its own is None; ``None`` differs from call to call.

    Returns
    -------
    ShiftReport
        It prints as text, shows as tables in a notebook, and `ShiftReport.to_dict` makes plain values of it.

    Raises
    ------
    ValueError
        If a domain has fewer than 10 rows or the source one class, a column holds infinity or dates, `X` is no table
        and there is no estimator with features of it, or an argument is not valid.

    Notes ----- *The verdict.* Each kind of shift leaves something as it was, which is tested: that held-out rows of the
    domains cannot be told apart, by a classifier's scores [1]_ or by the classes that are predicted for them [2]_
    (concept); that they cannot after source rows are weighted by class, and that labelled rows of one class look and
    are predicted alike in both domains (label); that given x the label does not depend on the domain, by the
    generalised covariance measure [3]_ (covariate). The kind that no test speaks against is the cause. Where label
    shift is as good an explanation as covariate shift, it is taken where class shares leave less than half of the AUC
    above 1/2: it is the smaller change. On generated shifts with one cause, from synthetic and real rows,
    ``benchmarks/shift_diagnosis.py`` counts how often the verdict is right. "no" means that nothing is seen, by enough
    rows to see a change of some 10 to 15 points.

    *Without labels of the target* a changed P(y | x) is not identifiable: the verdict on it is "cannot tell", and the
    others hold if it did not change. Rows that a query chose are no random sample: of what is said with labels, the
    test of P(y | x) alone stands for them.

    *Class shares* are estimated as if label shift were all there is, see `skada_active.metrics.em_shares` and
    `skada_active.metrics.bbse_shares`.

    *Parts of the accuracy's fall* are approximate. Source rows, weighted by class or by the density ratio of the
    domains (from the held-out classifier, at most 20), have the accuracy that the target would have if only that had
    changed; where neither is excluded by the verdict, Shapley's mean over both orders is taken, and the rest is put
    down to P(y | x). So the errors of the weights are in it.

    *Rows like no source row* are those whose mean distance to their 5 nearest source rows is larger than is usual among
    the source rows: conformal p-values, of which Benjamini and Hochberg's rule picks so that at most one in 20 of the
    picked is expected to be a row of the source's distribution [4]_. They may be of a new class, and may as well lie
    where the source is thin: covariate shift that reaches beyond the source flags rows, too, while one within it, as
    in the tasks of the benchmark, flags next to none.

    *Rows as numbers*: normal scores of numeric columns, so that neither units nor outliers count, marks of gaps, and 0
    and 1 for the values of categories; beyond 50 columns, their first 50 principal components. The domains are told
    apart by the mean log-odds of logistic regression and boosted trees. For distances, numbers are scaled by the
    quartiles of the source instead.

    *Cost*: that of 10 fits of each of these to `max_rows` rows, of 5 random forests where target labels are known, and
    of `cv` of the estimator; 3 seconds on one core for 50,000 rows of 30 columns, of which 5000 are looked at.

    References
    ----------
    .. [1] Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    .. [2] Rabanser, Günnemann and Lipton, "Failing Loudly: An Empirical Study of Methods for Detecting Dataset Shift",
       NeurIPS 2019.
    .. [3] Shah and Peters, "The Hardness of Conditional Independence Testing and the Generalised Covariance Measure",
       Annals of Statistics 2020.
    .. [4] Bates et al., "Testing for Outliers with Conformal p-values", Annals of Statistics 2023.
    .. [5] Cai, Namkoong and Yadlowsky, "Diagnosing Model Performance Under Distribution Shift", 2023, for parts of the
       fall by kind of shift.

    Examples
    --------
    >>> from skada_active.datasets import make_label_shift
    >>> from skada_active.inspection import diagnose_shift
    >>> X, y, sample_domain = make_label_shift(cluster_std=2.0, random_state=0)
    >>> report = diagnose_shift(X, sample_domain, y, random_state=0)
    >>> report.cause, report.verdict.covariate, report.verdict.concept
    ('label', 'no', 'no')
    """
    _check_settings(level, significance, cv, max_rows, n_bootstrap)
    rng = np.random.RandomState() if random_state is None else check_rng(random_state)
    sample, roles = draw_sample(X, y, sample_domain, max_rows, rng)
    seen = look_at(sample, estimator, cv, rng)
    return Diagnosis(seen, level, significance, cv, n_bootstrap, rng).report(roles)


def _check_settings(level: Any, significance: Any, cv: Any, max_rows: Any, n_bootstrap: Any) -> None:
    for name, share in (("level", level), ("significance", significance)):
        if not isinstance(share, float | np.floating) or not 0 < share < 1:
            raise ValueError(f"{name} must be a number between 0 and 1, got {share!r}.")
    for name, count, least in (("cv", cv, 2), ("max_rows", max_rows, 100), ("n_bootstrap", n_bootstrap, 20)):
        if not isinstance(count, Integral) or isinstance(count, bool) or count < least:
            raise ValueError(f"{name} must be an integer >= {least}, got {count!r}.")
