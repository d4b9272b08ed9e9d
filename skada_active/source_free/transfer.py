"""Logistic regression that starts at another model: its fit, and how hard it is pulled there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from skada_active.metrics.held_out import spread_folds

__all__ = ["Transfer", "choose_C", "fit_transfer", "log_proba"]

#: Least probability of a class: what a tree has never seen in a leaf is not impossible.
_LEAST = 1e-4
#: Values of C that cross-validation compares; None: the other model as it is, 0: no weights, but a scale and a bias.
_GRID = (None, 0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: With fewer labels than this there is nothing to hold out.
_FEWEST = 5

Rows = NDArray[np.float64]
Split = tuple[NDArray[np.int64], NDArray[np.int64]]


class Transfer(NamedTuple):
    """Change of a model, whose logits become ``scale * offset + Z @ weight.T + bias``.

    Parameters
    ----------
    weight : ndarray of shape (C, D)
        Weights of the features.
    bias : ndarray of shape (C,)
        Bias of each class.
    scale : float
        Factor of the other model's log-probabilities, the inverse of a temperature.
    """

    weight: Rows
    bias: Rows
    scale: float

    def logits(self, Z: Rows, offset: Rows) -> Rows:
        """Return the logits (n, C) of rows with features (n, D) and log-probabilities (n, C)."""
        return self.scale * offset + Z @ self.weight.T + self.bias


def log_proba(proba: ArrayLike) -> Rows:
    """Return the logarithms of class probabilities (n, C), of which none counts as less than 1e-4."""
    return log_softmax(np.log(np.maximum(np.asarray(proba, dtype=np.float64), _LEAST)), axis=1)


def fit_transfer(
    Z: Rows, offset: Rows, codes: NDArray[np.int64], C: float | None, weight: Rows | None = None
) -> Transfer:
    r"""Return the change that makes labelled rows likely and stays near the other model.

    It minimises, with row weights v,

    .. math::

        -\sum_i v_i \log \mathrm{softmax}(e^t o_i + W z_i + b)_{y_i} + \frac{\|W\|^2}{2 C} + \frac{\|b\|^2 + t^2}{2}.

    Parameters
    ----------
    Z : ndarray of shape (n, D)
        Features.
    offset : ndarray of shape (n, n_classes)
        Log-probabilities of the other model, o.
    codes : ndarray of shape (n,), int
        Column positions of the labels.
    C : float or None
        Inverse strength of the pull on the weights, as in `sklearn.linear_model.LogisticRegression`; 0: there are none.
        None: nothing changes.
    weight : ndarray of shape (n,), default=None
        How often each row counts; ``None``: once.

    Returns
    -------
    Transfer
        The minimum; without rows the model as it is.

    Notes
    -----
    The weights lie in the span of the rows: O(n min(n, D) D) once, and O(n min(n, D) n_classes) for each step.
    """
    if C is None or not len(codes):
        return _unchanged(offset.shape[1], Z.shape[1])
    reduced, turned = _in_span(Z)
    found = _solve(reduced, offset, codes, np.ones(len(codes)) if weight is None else weight, C)
    return found._replace(weight=found.weight @ turned)


def choose_C(  # noqa: N802, the name of the parameter
    Z: Rows,
    offset: Rows,
    codes: NDArray[np.int64],
    cv: int | Iterable[Split],
    rng: np.random.RandomState,
    weight: Rows | None = None,
    *,
    may_stay: bool = True,
) -> float | None:
    """Return the C of least log loss on labelled rows that are held out.

    Parameters
    ----------
    Z, offset, codes, weight
        As in `fit_transfer`.
    cv : int or iterable of (train, test)
        Number of folds, over which the classes are spread, or the folds.
    rng : RandomState
        Draws these folds.
    may_stay : bool, default=True
        Whether None, the other model as it is, is a candidate.

    Returns
    -------
    float or None
        Of equal ones the one that changes least. With fewer than 5 rows it is 0.
    """
    n = len(codes)
    if n < _FEWEST:
        return 0.0
    weight = np.ones(n) if weight is None else weight
    if isinstance(cv, int | np.integer):
        folds = spread_folds(codes, min(cv, n), rng)
        cv = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]
    grid = _GRID if may_stay else _GRID[1:]
    losses = np.zeros(len(grid))
    for train, test in cv:
        reduced, turned = _in_span(Z[train])
        rows, found = Z[test] @ turned.T, None
        for number, C in enumerate(grid):
            if C is None:
                logits = offset[test]
            else:
                found = _solve(reduced, offset[train], codes[train], weight[train], C, found)
                logits = found.logits(rows, offset[test])
            losses[number] -= weight[test] @ log_softmax(logits, axis=1)[np.arange(len(test)), codes[test]]
    return grid[int(np.argmin(losses.round(9)))]


def _unchanged(n_classes: int, width: int) -> Transfer:
    return Transfer(np.zeros((n_classes, width)), np.zeros(n_classes), 1.0)


def _in_span(Z: Rows) -> tuple[Rows, Rows]:
    """Return features (n, r) of the same inner products, r = min(n, D), and the (r, D) that turns weights back."""
    if len(Z) >= Z.shape[1]:
        return Z, np.eye(Z.shape[1])
    basis, values, turned = np.linalg.svd(Z, full_matrices=False)
    return basis * values, turned


def _solve(
    Z: Rows, offset: Rows, codes: NDArray[np.int64], counts: Rows, C: float, start: Transfer | None = None
) -> Transfer:
    """Return the minimum of the loss of `fit_transfer`, looked for from `start` on."""
    n_classes, width = offset.shape[1], Z.shape[1] if C else 0
    rows, truth = Z[:, :width], np.eye(n_classes)[codes]
    weight, bias, scale = _unchanged(n_classes, 0) if start is None else start
    if weight.shape[1] != width or not weight.any():
        weight = np.zeros((n_classes, width))

    def loss(parameters: Rows) -> tuple[float, Rows]:
        weight, bias, log_scale = _parts(parameters, n_classes)
        scaled = np.exp(log_scale) * offset
        logits = log_softmax(scaled + rows @ weight.T + bias, axis=1)
        residual = counts[:, None] * (np.exp(logits) - truth)
        pull = weight / C if C else weight
        value = -counts @ (logits * truth).sum(axis=1) + ((pull * weight).sum() + bias @ bias + log_scale**2) / 2
        of_scale = (residual * scaled).sum() + log_scale
        return value, np.concatenate([(residual.T @ rows + pull).ravel(), residual.sum(axis=0) + bias, [of_scale]])

    begin = np.concatenate([weight.ravel(), bias, [np.log(scale)]])
    options = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-6}
    weight, bias, log_scale = _parts(minimize(loss, begin, jac=True, method="L-BFGS-B", options=options).x, n_classes)
    padded = weight if width else np.zeros((n_classes, Z.shape[1]))
    return Transfer(padded, bias, float(np.exp(log_scale)))


def _parts(parameters: Rows, n_classes: int) -> tuple[Rows, Rows, float]:
    weight = parameters[: -n_classes - 1].reshape(n_classes, -1)
    return weight, parameters[-n_classes - 1 : -1], parameters[-1]
