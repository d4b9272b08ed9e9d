"""Learning curves as one number, and their means over seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from sklearn.metrics import auc

__all__ = ["area_under_curve", "mean_interval"]


def area_under_curve(n_queries: ArrayLike, values: ArrayLike) -> NDArray[np.float64] | float:
    """Return the area under learning curves, over their width: the mean accuracy along the budget.

    Parameters
    ----------
    n_queries : array-like of shape (n_rounds + 1,)
        Labels bought, ascending.
    values : array-like of shape (..., n_rounds + 1)
        Accuracies, such as `learning_curves` returns: the last axis goes along `n_queries`.

    Returns
    -------
    float or ndarray of shape (...)
        Area by the trapezoidal rule divided by the last `n_queries` minus the first, between the smallest and the
        largest value of the curve; ndarray for more than one curve.

    Raises
    ------
    ValueError
        If there are fewer than two points, `n_queries` do not ascend, lengths differ, or a value is NaN.

    Examples
    --------
    >>> from skada_active.metrics import area_under_curve
    >>> area_under_curve([0, 10, 20], [0.5, 0.7, 0.9])
    0.7
    >>> area_under_curve([0, 5, 20], [[0.5, 0.7, 0.9], [0.6, 0.6, 0.6]])
    array([0.75, 0.6 ])
    """
    labels, curves = np.asarray(n_queries, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if labels.ndim != 1 or len(labels) < 2 or not (np.diff(labels) > 0).all():
        raise ValueError(f"n_queries must be at least two ascending numbers, got {n_queries!r}.")
    if not curves.ndim or curves.shape[-1] != len(labels):
        raise ValueError(f"values must have {len(labels)} numbers per curve, as n_queries, got shape {curves.shape}.")
    if np.isnan(curves).any():
        raise ValueError("values hold NaN: the accuracy of some round is not known; leave the curve or the round out.")
    areas = [auc(labels, curve) for curve in curves.reshape(-1, len(labels))]
    means = np.array(areas).reshape(curves.shape[:-1]) / (labels[-1] - labels[0])
    return means if means.ndim else float(means)


def mean_interval(
    values: ArrayLike, *, confidence: float = 0.95
) -> tuple[NDArray[np.float64] | float, NDArray[np.float64] | float]:
    """Return the mean over seeds, and half the width of its confidence interval.

    Parameters
    ----------
    values : array-like of shape (n_seeds, ...)
        A measurement per seed: curves, or their areas. For the difference of two methods, give the differences seed by
        seed, which vary less than either.
    confidence : float, default=0.95
        Probability with which the interval covers the mean of further seeds, between 0 and 1.

    Returns
    -------
    mean, half_width : float or ndarray of shape (...)
        The interval is ``mean - half_width`` to ``mean + half_width``: by Student's t distribution with
        ``n_seeds - 1`` degrees of freedom, which takes the values of the seeds for normally distributed.

    Raises
    ------
    ValueError
        If there are fewer than two seeds, or `confidence` is out of range.

    Examples
    --------
    >>> from skada_active.metrics import mean_interval
    >>> mean, half_width = mean_interval([0.70, 0.72, 0.74])
    >>> round(mean, 3), round(half_width, 3)
    (0.72, 0.05)
    """
    measured = np.asarray(values, dtype=np.float64)
    if not measured.ndim or len(measured) < 2:
        raise ValueError(f"values must hold at least two seeds along the first axis, got shape {measured.shape}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    n_seeds = len(measured)
    mean = measured.mean(axis=0)
    half_width = stdtrit(n_seeds - 1, (1 + confidence) / 2) * measured.std(axis=0, ddof=1) / np.sqrt(n_seeds)
    return (mean, half_width) if measured.ndim > 1 else (float(mean), float(half_width))
