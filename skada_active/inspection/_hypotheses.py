"""Tests of what stayed the same between source and target: p(x), p(x | y), P(y | x), the class shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orth
from scipy.special import ndtr
from scipy.stats import chi2, chi2_contingency, fisher_exact

from skada_active.inspection._separation import rank_z

__all__ = ["conditional_p", "moments_p", "outputs_p", "shares_p", "surprise_p", "within_class_p"]

#: Draws of the null distribution of the largest of several statistics.
_DRAWS = 1999
#: Of so many columns, products of two are moments, too.
_MAX_PRODUCTS = 10


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

    Under label shift the predictions for the target have the frequencies ``M q``, where M (C, C) is how often source
    rows of each class are predicted to be of each, and q the class shares of the labelled target rows. No system is
    solved for q, so that classes that are taken for each other cost power and no more.

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


def moments_p(
    rows: NDArray[np.float64],
    is_target: NDArray[np.bool_],
    codes: NDArray[np.int64],
    shares: NDArray[np.float64],
    rng: np.random.RandomState,
) -> float:
    """Return the p-value of 'the target has the moments of a mixture of the source's classes', whatever their shares.

    Moments are means of the columns and of their squares, of up to 10 columns of all products, too. Differences that
    other class shares would explain are projected out, and the largest of those that are left is compared with its
    distribution under random signs of the rows' deviations. With one class, the moments themselves are compared.

    Parameters
    ----------
    rows : ndarray of shape (n, D)
        The rows, columns of variance 1.
    is_target : ndarray of shape (n,), bool
        Which of them are of the target.
    codes : ndarray of shape (n,)
        Classes of the source rows.
    shares : ndarray of shape (C,)
        An estimate of the class shares of the target, for the variances.
    rng : RandomState
        What signs are drawn from.
    """
    moments = _moments(rows)
    target, source, n_classes = moments[is_target], moments[~is_target], len(shares)
    codes = codes[~is_target]
    in_class = np.eye(n_classes)[codes] / np.bincount(codes, minlength=n_classes)
    means = in_class.T @ source
    gap = target.mean(axis=0) - shares @ means
    deviations = np.vstack(
        [(target - target.mean(axis=0)) / len(target), -(in_class @ shares)[:, None] * (source - means[codes])]
    )
    basis = orth((means[:-1] - means[-1]).T) if n_classes > 1 else np.empty((len(gap), 0))
    if basis.shape[1] >= len(gap):  # some class shares explain any moments
        return 1.0
    gap, deviations = gap - basis @ (basis.T @ gap), deviations - (deviations @ basis) @ basis.T
    return _largest_p(gap, deviations, rng)


def _moments(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    width = rows.shape[1]
    first, second = np.triu_indices(width) if width <= _MAX_PRODUCTS else (np.arange(width), np.arange(width))
    moments = np.hstack([rows, rows[:, first] * rows[:, second]])
    return (moments - moments.mean(axis=0)) / np.maximum(moments.std(axis=0), 1e-12)


def within_class_p(
    logits: NDArray[np.float64],
    proba: NDArray[np.float64],
    codes: NDArray[np.int64],
    is_target: NDArray[np.bool_],
) -> float:
    """Return the p-value of 'given its class, a row has one distribution in both domains' (label shift alone).

    Within the classes, three things are compared: how much a row looks like the target, by ranks of held-out log-odds
    that do not know the class shares; how probable its own class is to the classifier, by ranks; and how often it is
    predicted, by Fisher's test class by class. Bonferroni's correction for all of them.
    """
    looks = ndtr(-rank_z(logits, is_target, codes))
    agrees = 2 * ndtr(-abs(rank_z(proba[np.arange(len(codes)), codes], is_target, codes)))
    is_right = proba.argmax(axis=1) == codes
    present = np.unique(codes)
    by_class = []
    for code in present:
        of_class = codes == code
        counts = [np.bincount(is_right[of_class & mask], minlength=2) for mask in (~is_target, is_target)]
        by_class.append(float(fisher_exact(np.stack(counts)).pvalue))
    return float(min(1.0, 3 * min(looks, agrees, len(present) * min(by_class))))


def conditional_p(
    proba: NDArray[np.float64],
    of_source: NDArray[np.float64],
    codes: NDArray[np.int64],
    is_target: NDArray[np.bool_],
    p_target: NDArray[np.float64],
    rng: np.random.RandomState,
) -> tuple[float, float]:
    r"""Return the p-value of 'given x, the label does not depend on the domain', and how many rows speak to it.

    Products :math:`(1\{y = c\} - P(c \mid x)) (d - P(d \mid x))` of held-out residuals have mean 0 given x, even if
    one of the two models is poor (generalised covariance measure). They are weighted by 1 and the class probabilities
    of the source's classifier, whose regions other labels would show in, and the largest of the standardised sums is
    compared with what it is for domains that are drawn by P(d | x) (conditional randomisation test). The number is
    :math:`\sum_i P(d | x_i) (1 - P(d | x_i))`.

    Shah and Peters, "The Hardness of Conditional Independence Testing and the Generalised Covariance Measure", Annals
    of Statistics 2020; Scheidegger, Hörrmann and Bühlmann, "The Weighted Generalised Covariance Measure", JMLR 2022;
    Candès et al., "Panning for Gold", JRSS B 2018, for the draws.

    Parameters
    ----------
    proba, of_source : ndarray of shape (n, C)
        Held-out class probabilities of labelled rows, from models of both domains and of the source.
    codes : ndarray of shape (n,)
        Their classes.
    is_target : ndarray of shape (n,), bool
        Which of them are of the target.
    p_target : ndarray of shape (n,)
        Held-out probability that a row with this x is.
    rng : RandomState
        What domains are drawn from.
    """
    residuals = np.eye(proba.shape[1])[codes] - proba
    weights = np.hstack([np.ones((len(codes), 1)), of_source])
    factors = (residuals[:, :, None] * weights[:, None, :]).reshape(len(codes), -1)
    by_chance = p_target * (1 - p_target)
    scale = np.sqrt(by_chance @ np.square(factors))
    factors = factors[:, scale > 1e-9] / scale[scale > 1e-9]
    if not factors.size:
        return 1.0, float(by_chance.sum())
    # Few rows are of the target, and few are wrong: the sums are far from normal, and so domains are drawn.
    null = np.abs(((rng.random_sample((_DRAWS, len(codes))) < p_target) - p_target) @ factors).max(axis=1)
    largest = np.abs((is_target - p_target) @ factors).max()
    return float((1 + (null >= largest).sum()) / (1 + _DRAWS)), float(by_chance.sum())


def _largest_p(sums: NDArray[np.float64], terms: NDArray[np.float64], rng: np.random.RandomState) -> float:
    """Return the p-value of the largest of standardised sums (k,), under random signs of their terms (n, k)."""
    scale = np.sqrt(np.square(terms).sum(axis=0))
    kept = scale > 1e-9
    if not kept.any():
        return 1.0
    signs = 2.0 * rng.randint(2, size=(_DRAWS, len(terms))) - 1
    null = np.abs(signs @ (terms[:, kept] / scale[kept])).max(axis=1)
    return float((1 + (null >= np.abs(sums[kept] / scale[kept]).max()).sum()) / (1 + _DRAWS))
