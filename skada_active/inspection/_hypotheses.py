"""Tests of what stayed the same between source and target: p(x), p(x | y), P(y | x), the class shares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import chi2, chi2_contingency
from sklearn.linear_model import Ridge

from skada_active.inspection._separation import rank_z

__all__ = ["conditional_p", "outputs_p", "shares_p", "surprise_p", "within_class_p"]

#: Draws of the null distribution of the largest of several statistics.
_DRAWS = 1999


def outputs_p(proba: NDArray[np.float64], is_target: NDArray[np.bool_]) -> float:
    """Return the p-value of 'what the classifier says has one distribution in both domains' (BBSD).

    Counts of the predicted classes are compared by a chi-squared test, as Lipton et al. (2018) and Rabanser et al.
    (2019) do; blind to what the classifier does not look at, and sensitive to class shares.
    """
    predicted = proba.argmax(axis=1)
    counts = np.stack([np.bincount(predicted[mask], minlength=proba.shape[1]) for mask in (~is_target, is_target)])
    return _table_p(counts)


def shares_p(codes: NDArray[np.int64], is_target: NDArray[np.bool_], n_classes: int) -> float:
    """Return the p-value of 'the labels have the same shares in both domains', by a chi-squared test."""
    return _table_p(np.stack([np.bincount(codes[mask], minlength=n_classes) for mask in (~is_target, is_target)]))


def _table_p(counts: NDArray[np.int64]) -> float:
    counts = counts[:, counts.sum(axis=0) > 0]
    return float(chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0


def surprise_p(
    source: NDArray[np.float64], codes: NDArray[np.int64], target: NDArray[np.float64], counts: NDArray[np.int64]
) -> float:
    """Return the p-value of 'classes are predicted as often as the labelled rows and the source's confusions imply'.

    Under label shift the predictions for the target have the frequencies ``M q``, where M (C, C) is how often source rows
    of each class are predicted to be of each, and q the class shares of the labelled target rows. No system is solved
    for q, so that classes that are taken for each other cost power and no more.

    Parameters
    ----------
    source, target : ndarray of shape (s, C), (t, C)
        Held-out class probabilities of source and target rows.
    codes : ndarray of shape (s,)
        Classes of the source rows.
    counts : ndarray of shape (C,)
        Labelled target rows by class.
    """
    n_classes, total = len(counts), counts.sum()
    confusion = np.zeros((n_classes, n_classes))
    np.add.at(confusion, (source.argmax(axis=1), codes), 1)
    sizes = confusion.sum(axis=0)
    confusion, shares = confusion / sizes, counts / total
    expected = confusion @ shares
    predicted = np.bincount(target.argmax(axis=1), minlength=n_classes) / len(target)
    # Half a row keeps what was never seen from being certain.
    by_labels = confusion @ _spread(shares + 0.5 / total, total) @ confusion.T
    by_source = sum(shares[c] ** 2 * _spread(confusion[:, c] + 0.5 / sizes[c], sizes[c]) for c in range(n_classes))
    variance = by_labels + by_source + _spread(expected + 0.5 / len(target), len(target))
    gap, variance = (predicted - expected)[:-1], variance[:-1, :-1]  # the last share follows from the others
    return float(chi2.sf(gap @ np.linalg.pinv(variance, hermitian=True) @ gap, len(gap)))


def _spread(shares: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    """Return the covariance of the shares of a multinomial sample."""
    shares = shares / shares.sum()
    return (np.diag(shares) - np.outer(shares, shares)) / total


def within_class_p(
    logits: NDArray[np.float64],
    proba: NDArray[np.float64],
    codes: NDArray[np.int64],
    is_target: NDArray[np.bool_],
) -> float:
    """Return the p-value of 'given its class, a row has one distribution in both domains' (label shift alone).

    Within the classes, ranks are compared of how much a row looks like the target, by held-out log-odds that do not
    know the class shares, and of how probable its own class is to the classifier; Bonferroni's correction for both.
    """
    looks = ndtr(-rank_z(logits, is_target, codes))
    agrees = 2 * ndtr(-abs(rank_z(proba[np.arange(len(codes)), codes], is_target, codes)))
    return float(min(1.0, 2 * min(looks, agrees)))


def conditional_p(
    rows: NDArray[np.float64],
    proba: NDArray[np.float64],
    codes: NDArray[np.int64],
    is_target: NDArray[np.bool_],
    p_target: NDArray[np.float64],
    folds: NDArray[np.int64],
    rng: np.random.RandomState,
) -> tuple[float, float]:
    r"""Return the p-value of 'given x, the label does not depend on the domain', and how many rows speak to it.

    Products :math:`(1\{y = c\} - P(c \mid x)) (d - P(d \mid x))` of held-out residuals have mean 0 given x, even if one of
    the two models is poor (generalised covariance measure). Two sets of weights look for where they do not: the class
    probabilities, by the largest statistic; and a ridge regression of the products on x that was fitted to the other
    folds. Bonferroni's correction for both. The number is :math:`\sum_i P(d | x_i) (1 - P(d | x_i))`.

    Shah and Peters, "The Hardness of Conditional Independence Testing and the Generalised Covariance Measure", Annals of
    Statistics 2020; Scheidegger, Hörrmann and Bühlmann, "The Weighted Generalised Covariance Measure", JMLR 2022.
    """
    in_class = np.eye(proba.shape[1])[codes]
    products = (in_class - proba) * (is_target - p_target)[:, None]
    weights = np.hstack([np.ones((len(codes), 1)), proba])
    by_class = (products[:, :, None] * weights[:, None, :]).reshape(len(codes), -1)
    described, learned = np.hstack([rows, proba]), np.zeros_like(products)
    for fold in np.unique(folds):
        train = folds != fold
        learned[~train] = Ridge(alpha=10.0).fit(described[train], products[train]).predict(described[~train])
    by_rule = (learned * products).sum(axis=1, keepdims=True)
    p_value = min(_sign_p(np.abs, by_class, rng), _sign_p(np.asarray, by_rule, rng))
    return min(1.0, 2 * p_value), float((p_target * (1 - p_target)).sum())


def _sign_p(
    side: Callable[[NDArray[np.float64]], NDArray[np.float64]], terms: NDArray[np.float64], rng: np.random.RandomState
) -> float:
    """Return the p-value of the largest of several standardised sums of terms (n, k), by random signs of the rows.

    A few large terms, such as those of the rare rows that a good classifier gets wrong, are far from normal.
    """
    scale = np.sqrt(np.square(terms).sum(axis=0))
    terms = terms[:, scale > 1e-9] / scale[scale > 1e-9]
    if not terms.size:
        return 1.0
    signs = 2.0 * rng.randint(2, size=(_DRAWS, len(terms))) - 1
    null = side(signs @ terms).max(axis=1)
    return float((1 + (null >= side(terms.sum(axis=0)).max()).sum()) / (1 + _DRAWS))
