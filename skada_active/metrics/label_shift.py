"""Class shares of the target without its labels: from the source's confusion (BBSE), by maximum likelihood (EM)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, nnls
from scipy.special import log_softmax, softmax

from skada_active.labels import encode_labels

__all__ = ["bbse_shares", "calibrate_proba", "check_proba", "check_source_proba", "em_shares"]

#: Probabilities below this one are raised to it before a logarithm is taken.
_TINY = 1e-12
#: Weight of the source's shares in a system of equations.
_NUDGE = 1e-3


def bbse_shares(
    source_proba: ArrayLike,
    source_y: ArrayLike,
    target_proba: ArrayLike,
    *,
    soft: bool = False,
    classes: ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Return the class shares of the target by black-box shift estimation (BBSE).

    Under label shift, where p(x | y) is shared, the predictions of any classifier satisfy

    .. math:: P_T(\hat y = i) = \sum_c P_S(\hat y = i \mid y = c)\, q_c

    whose left side and confusion matrix are counted, and whose shares q are solved for.

    Parameters
    ----------
    source_proba : array-like of shape (s, C)
        Class probabilities of source rows that the classifier was not trained on.
    source_y : array-like of shape (s,)
        Their labels; every class has at least one row.
    target_proba : array-like of shape (t, C)
        Class probabilities of the target rows.
    soft : bool, default=False
        Whether to take mean probabilities in place of counts of the most probable class.
    classes : array-like of shape (C,), default=None
        Labels of the columns, sorted; ``None``: the distinct labels of `source_y`.

    Returns
    -------
    ndarray of shape (C,)
        Shares >= 0 with sum 1, by non-negative least squares.

    Raises
    ------
    ValueError
        If arrays do not fit together, rows are no probabilities, or a class has no source row.

    See Also
    --------
    em_shares : The maximum likelihood, more precise where probabilities are calibrated.

    Notes
    -----
    Known failure: where P(x | y) changes, too, the answer is wrong without a sign of it. Classes that the classifier
    takes for each other cannot be told apart; the shares are then the solution that is nearest to those of the source.
    O((s + t) C + C³).

    References
    ----------
    .. [1] Lipton et al., "Detecting and Correcting for Label Shift with Black Box Predictors", ICML 2018.

    Examples
    --------
    >>> from skada_active.metrics import bbse_shares
    >>> source = [[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]]
    >>> bbse_shares(source, ["a", "a", "b", "b"], [[0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]])
    array([0.25, 0.75])
    """
    source, codes, target = check_source_proba(source_proba, source_y, target_proba, classes)
    return bbse_from_codes(source, codes, target, soft)


def bbse_from_codes(
    source: NDArray[np.float64], codes: NDArray[np.int64], target: NDArray[np.float64], soft: bool = False
) -> NDArray[np.float64]:
    """Return the shares (C,) of `bbse_shares` from checked arrays and class positions."""
    n_classes = source.shape[1]
    if not soft:
        source, target = (np.eye(n_classes)[proba.argmax(axis=1)] for proba in (source, target))
    confusion = np.zeros((n_classes, n_classes))
    np.add.at(confusion, codes, source)
    counts = np.bincount(codes, minlength=n_classes)
    system, wanted = confusion.T / counts, target.mean(axis=0)
    if np.linalg.matrix_rank(system) < n_classes:  # of many solutions, the one that is nearest to the source
        system = np.vstack([system, np.full(n_classes, 100.0), _NUDGE * np.eye(n_classes)])
        wanted = np.concatenate([wanted, [100.0], _NUDGE * counts / counts.sum()])
    shares, _ = nnls(system, wanted)
    return shares / shares.sum()


def em_shares(
    source_shares: ArrayLike,
    target_proba: ArrayLike,
    *,
    known_counts: ArrayLike | None = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
) -> NDArray[np.float64]:
    r"""Return the class shares of the target that make its rows most likely under label shift (EM).

    .. math::

        q_c \leftarrow \frac1t \sum_i \frac{p_{ic}\, q_c / \pi_c}{\sum_k p_{ik}\, q_k / \pi_k}

    from :math:`q = \pi`, the shares of the source, until no share moves by more than `tol`.

    Parameters
    ----------
    source_shares : array-like of shape (C,)
        Share of every class in the source, above 0, or its count.
    target_proba : array-like of shape (t, C)
        Class probabilities of the target rows, calibrated on the source (see `calibrate_proba`).
    known_counts : array-like of shape (C,), default=None
        How many further target rows are known to be of each class; they count as rows without doubt.
    max_iter : int, default=1000
        At most so many passes over the rows.
    tol : float, default=1e-6
        Largest change of a share at which to stop.

    Returns
    -------
    ndarray of shape (C,)
        Shares >= 0 with sum 1.

    Raises
    ------
    ValueError
        If arrays do not fit together, rows are no probabilities, or a share of the source is not above 0.

    See Also
    --------
    bbse_shares : From the confusion matrix, for probabilities that are not calibrated.

    Notes
    -----
    Known failure: probabilities that are too sure make shares that are too extreme, and where P(x | y) changes, too,
    the answer is wrong without a sign of it. O(t C) time for each pass.

    References
    ----------
    .. [1] Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities: A
       Simple Procedure", Neural Computation 2002, Eq. 2.10.
    .. [2] Alexandari, Kundaje and Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at
       Label Shift Adaptation", ICML 2020.

    Examples
    --------
    >>> from skada_active.metrics import em_shares
    >>> em_shares([0.5, 0.5], [[0.99, 0.01], [0.01, 0.99], [0.02, 0.98], [0.01, 0.99]]).round(2)
    array([0.25, 0.75])
    """
    target, prior = check_proba("target_proba", target_proba), np.asarray(source_shares, dtype=np.float64)
    if prior.shape != target.shape[1:] or not ((prior > 0) & np.isfinite(prior)).all():
        raise ValueError(
            f"source_shares must hold one number above 0 for each of the {target.shape[1]} columns of target_proba, "
            f"got {source_shares!r}; leave out the columns of classes without source rows."
        )
    prior = prior / prior.sum()
    known = np.zeros(len(prior)) if known_counts is None else np.asarray(known_counts, dtype=np.float64)
    if known.shape != prior.shape or not ((known >= 0) & np.isfinite(known)).all():
        raise ValueError(f"known_counts must hold {len(prior)} counts >= 0, got {known_counts!r}.")
    return em_from_ratios(target / prior, prior, known=known, max_iter=max_iter, tol=tol)


def em_from_ratios(
    ratios: NDArray[np.float64],
    start: NDArray[np.float64],
    *,
    known: NDArray[np.float64] | float = 0.0,
    weights: NDArray[np.float64] | None = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
) -> NDArray[np.float64]:
    """Return the shares (C,) that rows of likelihood ratios (t, C) make most likely, by EM from `start`."""
    weights = np.ones(len(ratios)) if weights is None else weights
    total, shares = weights.sum() + np.sum(known), start
    for _ in range(max_iter):
        # By products alone: no array of the rows' posteriors is made.
        mixture = np.maximum(ratios @ shares, _TINY)
        updated = (shares * ((weights / mixture) @ ratios) + known) / total
        updated /= updated.sum()
        shares, change = updated, float(np.abs(updated - shares).max())
        if change <= tol:
            break
    return shares


def calibrate_proba(
    source_proba: ArrayLike, source_y: ArrayLike, target_proba: ArrayLike, *, classes: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return class probabilities that are calibrated on held-out source rows: temperature and bias (BCTS).

    The probabilities become :math:`\mathrm{softmax}(\log p / T + b)`, with the T > 0 and b of the least log loss on the
    source rows.

    Parameters
    ----------
    source_proba : array-like of shape (s, C)
        Class probabilities of source rows that the classifier was not trained on.
    source_y : array-like of shape (s,)
        Their labels.
    target_proba : array-like of shape (t, C)
        Class probabilities of the target rows.
    classes : array-like of shape (C,), default=None
        Labels of the columns, sorted; ``None``: the distinct labels of `source_y`.

    Returns
    -------
    source_proba : ndarray of shape (s, C)
    target_proba : ndarray of shape (t, C)

    Raises
    ------
    ValueError
        If arrays do not fit together, rows are no probabilities, or a class has no source row.

    References
    ----------
    .. [1] Alexandari, Kundaje and Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at
       Label Shift Adaptation", ICML 2020, Sec. 3.

    Examples
    --------
    >>> from skada_active.metrics import calibrate_proba
    >>> sure = [[0.99, 0.01], [0.99, 0.01], [0.99, 0.01], [0.01, 0.99], [0.01, 0.99], [0.01, 0.99]]
    >>> source, target = calibrate_proba(sure, [0, 0, 1, 1, 1, 0], [[0.99, 0.01]])
    >>> target.round(2)
    array([[0.67, 0.33]])
    """
    source, codes, target = check_source_proba(source_proba, source_y, target_proba, classes)
    logs, of_target = (np.log(np.maximum(proba, _TINY)) for proba in (source, target))
    rows, n_classes = np.arange(len(codes)), source.shape[1]
    truth = np.eye(n_classes)[codes]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = np.exp(parameters[0]), parameters[1:]
        logits = log_softmax(scale * logs + bias, axis=1)
        residual = (np.exp(logits) - truth) / len(codes)
        # A weak pull to 'as it is' keeps classes that are told apart without an error from running away.
        value = -logits[rows, codes].mean() + 1e-3 * np.square(parameters).mean()
        gradient = np.concatenate([[scale * (residual * logs).sum()], residual.sum(axis=0)])
        return value, gradient + 2e-3 * parameters / len(parameters)

    found = minimize(
        loss, np.zeros(1 + n_classes), jac=True, method="L-BFGS-B", bounds=[(-3, 3)] + [(-5, 5)] * n_classes
    )
    scale, bias = np.exp(found.x[0]), found.x[1:]
    return softmax(scale * logs + bias, axis=1), softmax(scale * of_target + bias, axis=1)


def check_proba(name: str, proba: ArrayLike) -> NDArray[np.float64]:
    """Return class probabilities as float64 (n, C); anything else is a ValueError."""
    array = np.asarray(proba, dtype=np.float64)
    if array.ndim != 2 or not len(array) or array.shape[1] < 2:
        raise ValueError(f"{name} must be class probabilities of shape (n, C), C >= 2, n >= 1; got {array.shape}.")
    # float32 rows add up to 1 but for their rounding; NaN fails, too.
    if not ((array >= 0).all() and np.allclose(array.sum(axis=1), 1, atol=1e-3)):
        raise ValueError(
            f"{name} must hold numbers >= 0 that add up to 1 in every row; turn scores into probabilities by "
            "scipy.special.softmax(scores, axis=1)."
        )
    return array / array.sum(axis=1, keepdims=True)


def check_source_proba(
    source_proba: ArrayLike,
    source_y: ArrayLike,
    target_proba: ArrayLike,
    classes: Any = None,
    every_class: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the probabilities of both domains and the class positions of the source rows, checked together."""
    source, target = check_proba("source_proba", source_proba), check_proba("target_proba", target_proba)
    labels = np.asarray(source_y)
    if labels.shape != (len(source),):
        raise ValueError(f"source_y must hold one label for each of {len(source)} row(s), got shape {labels.shape}.")
    if target.shape[1] != source.shape[1]:
        raise ValueError(
            f"source_proba has {source.shape[1]} columns and target_proba {target.shape[1]}; give the probabilities "
            "of one classifier."
        )
    names = np.unique(labels) if classes is None else np.asarray(classes)
    if len(names) != source.shape[1]:
        raise ValueError(
            f"source_proba has {source.shape[1]} columns for {len(names)} classes; pass classes=estimator.classes_."
        )
    codes = encode_labels(labels, names)
    counts = np.bincount(codes, minlength=len(names))
    if every_class and not counts.all():
        raise ValueError(
            f"source_y has no row of class {names.tolist()[int(counts.argmin())]!r}; leave the column of that class "
            "out and scale the rows to 1, or give source rows of all classes."
        )
    return source, codes, target
