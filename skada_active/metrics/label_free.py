"""Accuracy on the target without its labels: estimates from the model's outputs, calibrated on held-out source rows."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.metrics.label_shift import bbse_from_codes, calibrate_proba, check_source_proba, em_from_ratios

__all__ = [
    "average_thresholded_confidence",
    "committee_agreement",
    "difference_of_confidences",
    "label_shift_accuracy",
]

ConfidenceScore = Literal["max_confidence", "neg_entropy"]


def average_thresholded_confidence(
    source_proba: ArrayLike,
    source_y: ArrayLike,
    target_proba: ArrayLike,
    *,
    score: ConfidenceScore = "max_confidence",
    classes: ArrayLike | None = None,
) -> float:
    r"""Return the share of target rows that the model is sure enough of (ATC), an estimate of its accuracy.

    The threshold is the one above which, on held-out source rows, lies just the share of them that is predicted right.

    Parameters
    ----------
    source_proba : array-like of shape (s, C)
        Class probabilities of source rows that the model was not trained on.
    source_y : array-like of shape (s,)
        Their labels.
    target_proba : array-like of shape (t, C)
        Class probabilities of the target rows.
    score : {"max_confidence", "neg_entropy"}, default="max_confidence"
        What is compared with the threshold: the largest probability, or :math:`\sum_c p_c \log p_c`.
    classes : array-like of shape (C,), default=None
        Labels of the columns, sorted; ``None``: the distinct labels of `source_y`.

    Returns
    -------
    float
        Estimate in [0, 1]. Rows that tie with the threshold count in part, by the same part in both domains.

    Raises
    ------
    ValueError
        If arrays do not fit together, rows are no probabilities, or `score` is unknown.

    Notes
    -----
    Known failure: a changed P(y | x) leaves no trace in the outputs, and a model that is sure of rows far from the
    source makes the estimate too high. O((s + t) (C + log s)).

    References
    ----------
    .. [1] Garg et al., "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", ICLR 2022.

    Examples
    --------
    >>> from skada_active.metrics import average_thresholded_confidence
    >>> source = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
    >>> average_thresholded_confidence(source, [0, 0, 1, 1], [[0.95, 0.05], [0.55, 0.45]])
    0.5
    """
    source, codes, target = check_source_proba(source_proba, source_y, target_proba, classes, every_class=False)
    if score not in ("max_confidence", "neg_entropy"):
        raise ValueError(f'score must be "max_confidence" or "neg_entropy", got {score!r}.')
    return _above_threshold(_confidence(source, score), _is_right(source, codes), _confidence(target, score))


def difference_of_confidences(
    source_proba: ArrayLike, source_y: ArrayLike, target_proba: ArrayLike, *, classes: ArrayLike | None = None
) -> float:
    """Return the accuracy on the source less the fall of the mean confidence (DoC), an estimate of the accuracy.

    Parameters
    ----------
    source_proba : array-like of shape (s, C)
        Class probabilities of source rows that the model was not trained on.
    source_y : array-like of shape (s,)
        Their labels.
    target_proba : array-like of shape (t, C)
        Class probabilities of the target rows.
    classes : array-like of shape (C,), default=None
        Labels of the columns, sorted; ``None``: the distinct labels of `source_y`.

    Returns
    -------
    float
        Estimate in [0, 1].

    Raises
    ------
    ValueError
        If arrays do not fit together, or rows are no probabilities.

    Notes
    -----
    Known failure: confidence seldom falls as far as accuracy does, so the estimate is too high after a large shift; a
    changed P(y | x) leaves no trace in it. The paper learns the slope between the two differences from shifts with
    known labels; here it is 1, the slope of a calibrated model. O((s + t) C).

    References
    ----------
    .. [1] Guillory et al., "Predicting with Confidence on Unseen Distributions", ICCV 2021.

    Examples
    --------
    >>> from skada_active.metrics import difference_of_confidences
    >>> source = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]]
    >>> difference_of_confidences(source, [0, 0, 1, 0], [[0.6, 0.4], [0.5, 0.5]])
    0.55
    """
    source, codes, target = check_source_proba(source_proba, source_y, target_proba, classes, every_class=False)
    fall = source.max(axis=1).mean() - target.max(axis=1).mean()
    return _rounded(_is_right(source, codes).mean() - fall)


def committee_agreement(
    target_predictions: ArrayLike,
    source_predictions: ArrayLike | None = None,
    source_y: ArrayLike | None = None,
) -> float:
    """Return how often two members of a committee agree on target rows (GDE), an estimate of a member's accuracy.

    Members are models of one kind that were trained with different seeds or on different samples. In the source, mean
    accuracy and agreement may differ; where held-out source rows are given, the difference is added.

    Parameters
    ----------
    target_predictions : array-like of shape (M, t)
        Labels that each of M >= 2 members predicts for the target rows.
    source_predictions : array-like of shape (M, s), default=None
        The same for source rows that no member was trained on; ``None``: the agreement as it is, as in the paper.
    source_y : array-like of shape (s,), default=None
        Labels of these rows.

    Returns
    -------
    float
        Estimate in [0, 1].

    Raises
    ------
    ValueError
        If there are fewer than two members, a domain has no row, or only one of `source_predictions` and `source_y`
        is given.

    Notes
    -----
    Known failure: members that share a mistake agree on it, so the estimate is too high where all of them go wrong
    together; so do members of a convex model, such as logistic regressions that differ in their seeds alone, which
    agree everywhere: train them on different samples of rows. O(M (s + t)) for each class.

    References
    ----------
    .. [1] Jiang et al., "Assessing Generalization of SGD via Disagreement", ICLR 2022.
    .. [2] Baek et al., "Agreement-on-the-Line: Predicting the Performance of Neural Networks under Distribution Shift",
       NeurIPS 2022, for the comparison with the source.

    Examples
    --------
    >>> from skada_active.metrics import committee_agreement
    >>> committee_agreement([["a", "b", "b", "a"], ["a", "b", "a", "a"]])
    0.75
    >>> committee_agreement([[0, 1], [0, 0]], [[0, 1, 1, 0], [0, 1, 1, 1]], [0, 1, 0, 0])
    0.375
    """
    if (source_predictions is None) != (source_y is None):
        raise ValueError("source_predictions and source_y belong together; give both of them, or neither.")
    agreement = _agreement(_predictions("target_predictions", target_predictions))
    if source_predictions is not None:
        of_source, labels = _predictions("source_predictions", source_predictions), np.asarray(source_y)
        if labels.shape != of_source.shape[1:]:
            raise ValueError(f"source_y must hold one label for each of {of_source.shape[1]} row(s).")
        agreement += float((of_source == labels).mean()) - _agreement(of_source)
    return _rounded(agreement)


def label_shift_accuracy(
    source_proba: ArrayLike,
    source_y: ArrayLike,
    target_proba: ArrayLike,
    *,
    shares: Literal["em", "bbse"] = "em",
    classes: ArrayLike | None = None,
) -> float:
    r"""Return the accuracy on the target if nothing but the class shares changed: :math:`\sum_c q_c\, r_c`.

    :math:`r_c` is the share of held-out source rows of class c that is predicted right, and q are the class shares of
    the target by `em_shares` on calibrated probabilities, or by `bbse_shares`.

    Parameters
    ----------
    source_proba : array-like of shape (s, C)
        Class probabilities of source rows that the model was not trained on.
    source_y : array-like of shape (s,)
        Their labels; every class has at least one row.
    target_proba : array-like of shape (t, C)
        Class probabilities of the target rows.
    shares : {"em", "bbse"}, default="em"
        How the class shares are found.
    classes : array-like of shape (C,), default=None
        Labels of the columns, sorted; ``None``: the distinct labels of `source_y`.

    Returns
    -------
    float
        Estimate in [0, 1].

    Raises
    ------
    ValueError
        If arrays do not fit together, rows are no probabilities, or `shares` is unknown.

    Notes
    -----
    Known failure: anything but label shift. Rows that moved, or whose P(y | x) changed, are taken for rows of other
    classes, and the accuracy stays between those of the classes in the source however wrong the model is.

    References
    ----------
    .. [1] Lipton et al., "Detecting and Correcting for Label Shift with Black Box Predictors", ICML 2018.
    .. [2] Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities: A
       Simple Procedure", Neural Computation 2002.

    Examples
    --------
    >>> from skada_active.metrics import label_shift_accuracy
    >>> source = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.6, 0.4]]
    >>> label_shift_accuracy(source, [0, 0, 1, 1], [[0.3, 0.7], [0.2, 0.8], [0.7, 0.3], [0.8, 0.2]], shares="bbse")
    0.5
    """
    source, codes, target = check_source_proba(source_proba, source_y, target_proba, classes)
    if shares not in ("em", "bbse"):
        raise ValueError(f'shares must be "em" or "bbse", got {shares!r}.')
    if shares == "bbse":
        found = bbse_from_codes(source, codes, target)
    else:
        prior = np.bincount(codes, minlength=source.shape[1]) / len(codes)
        found = em_from_ratios(calibrate_proba(source, codes, target)[1] / prior, prior)
    recalls = np.bincount(codes, weights=_is_right(source, codes)) / np.bincount(codes)
    return _rounded(float(found @ recalls))


def _is_right(proba: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    return proba.argmax(axis=1) == codes


def _confidence(proba: NDArray[np.float64], score: ConfidenceScore) -> NDArray[np.float64]:
    if score == "max_confidence":
        return proba.max(axis=1)
    return np.sum(proba * np.log(proba, where=proba > 0, out=np.zeros_like(proba)), axis=1)


def _above_threshold(source: NDArray[np.float64], is_right: NDArray[np.bool_], target: NDArray[np.float64]) -> float:
    """Return the share of target scores above the threshold that leaves as many source scores as are right."""
    n_right = int(is_right.sum())
    if not n_right:
        return 0.0
    threshold = np.partition(source, len(source) - n_right)[len(source) - n_right]
    ties = (source == threshold).sum()
    # Among equal scores, as many as are needed for the source to come out exactly.
    part = (n_right - (source > threshold).sum()) / ties
    return _rounded((target > threshold).mean() + part * (target == threshold).mean())


def _predictions(name: str, predictions: ArrayLike) -> NDArray[np.object_]:
    array = np.asarray(predictions)
    if array.ndim != 2 or len(array) < 2 or not array.shape[1]:
        raise ValueError(
            f"{name} must hold the predictions (M, n) of M >= 2 members for n >= 1 rows; got {array.shape}."
        )
    return array


def _agreement(predictions: NDArray[np.object_]) -> float:
    """Return how often two different members predict the same, of predictions (M, n)."""
    n_members = len(predictions)
    classes, codes = np.unique(predictions, return_inverse=True)
    codes = codes.reshape(predictions.shape)
    pairs = sum(np.square((codes == code).sum(axis=0)).sum() for code in range(len(classes)))
    return float((pairs / predictions.shape[1] - n_members) / (n_members * (n_members - 1)))


def _rounded(value: float) -> float:
    """Return an accuracy between 0 and 1, without what floating point adds to a sum of shares."""
    return float(np.clip(round(float(value), 12), 0, 1))
