"""Weights of labelled rows: how target rows count against source rows, handed to any estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skada_active.domains import Roles
from skada_active.utils._sklearn import BaseSearchCV
from skada_active.utils.methods import gets_at_fit
from skada_active.utils.rows import take_rows
from skada_active.utils.warn import warn_user

__all__ = ["fit_weighted", "labeled_weights", "repeated_rows", "weight_parameters"]

#: Repeated rows are at most so many times the labelled ones.
_MOST_ROWS = 10
_REFUSALS = ("sample_weight", "sample weight")


def labeled_weights(roles: Roles, target_weight: Any) -> NDArray[np.float64] | None:
    """Return the weights of the labelled rows: 1 for those of the source, another one for those of the target.

    Parameters
    ----------
    roles : Roles
        Role of every row.
    target_weight : "balanced", float or None
        Weight of a labelled target row; ``"balanced"``: so much that source and labelled target have the same sum,
        ``n_source / n_labeled_target``; ``None``: all rows count the same.

    Returns
    -------
    ndarray of shape (n_labeled,), float64, or None
        Weights in the order of ``roles.labeled``; None where all of them are the same, so that there is nothing to
        weigh: no source row, no labelled target row, or a weight of 1.

    Examples
    --------
    >>> from skada_active.domains import resolve_roles
    >>> from skada_active.utils.weights import labeled_weights
    >>> roles = resolve_roles([0, 1, 1, 0, -1], sample_domain=[1, 1, 1, -2, -2])
    >>> labeled_weights(roles, "balanced"), labeled_weights(roles, 0.5), labeled_weights(roles, None)
    (array([1., 1., 1., 3.]), array([1. , 1. , 1. , 0.5]), None)
    """
    n_source, n_target = len(roles.source), len(roles.labeled_target)
    if target_weight is None or not (n_source and n_target):
        return None
    of_target = n_source / n_target if isinstance(target_weight, str) else float(target_weight)
    return None if of_target == 1 else np.where(roles.is_target[roles.labeled], of_target, 1.0)


def fit_weighted(estimator: Any, X: Any, y: NDArray[Any], weights: NDArray[np.float64] | None) -> Any:
    """Fit and return an estimator on weighted rows: by ``sample_weight`` where it takes it, by repeated rows where not.

    Parameters
    ----------
    estimator : estimator
        Classifier that is not domain-aware, a Pipeline or a meta-estimator included.
    X : array-like of shape (n, ...) or dataset
        Rows.
    y : ndarray of shape (n,)
        Their labels.
    weights : ndarray of shape (n,), float64, or None
        Their weights; ``None``: a plain call of ``fit``.

    Returns
    -------
    estimator
        The same one, fitted.

    Warns
    -----
    UserWarning
        If rows would have to be repeated so often that the memory is a concern, see `repeated_rows`.

    Notes
    -----
    Weights go by the names of the steps of a Pipeline, whether metadata routing is on or off, so that no request has to
    be set. The steps before the last one see every row once; where rows are repeated they see the copies, too. An
    estimator that takes weights and complains of them when it is fitted gets repeated rows.
    """
    names = None if weights is None else weight_parameters(estimator)
    if weights is None or names == []:
        return estimator.fit(X, y)
    if names is not None:
        try:
            with _weights_by_name(estimator, names):
                return estimator.fit(X, y, **dict.fromkeys(names, weights))
        except (TypeError, ValueError, NotImplementedError) as error:
            if not any(words in str(error).lower() for words in _REFUSALS):
                raise
    rows = repeated_rows(weights, type(estimator).__name__)
    return estimator.fit(take_rows(X, rows), y[rows])


def weight_parameters(estimator: Any) -> list[str] | None:
    """Return the parameters of ``fit`` by which weights reach whatever learns from the labels.

    Parameters
    ----------
    estimator : estimator
        Not fitted.

    Returns
    -------
    list of str or None
        Such as ``["sample_weight"]``, or ``["svc__sample_weight"]`` of a Pipeline; the steps before its last one are
        not weighted. Empty where nothing learns (`FrozenEstimator`). None where ``fit`` takes no weights, or would keep
        them from an estimator inside: a vote of k nearest neighbours, a search among such candidates.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.svm import SVC
    >>> from skada_active.utils.weights import weight_parameters
    >>> weight_parameters(make_pipeline(StandardScaler(), SVC())), weight_parameters(KNeighborsClassifier())
    (['svc__sample_weight'], None)
    """
    if isinstance(estimator, FrozenEstimator):
        return []
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = None if getattr(estimator, "transform_input", None) else weight_parameters(last)
        return None if inner is None else [f"{name}__{parameter}" for parameter in inner]
    if isinstance(estimator, BaseSearchCV):
        return _of_search(estimator)
    # Both take weights without naming them in `fit`.
    takes_weights = isinstance(estimator, VotingClassifier | StackingClassifier)
    if not takes_weights and not (hasattr(estimator, "fit") and has_fit_parameter(estimator, "sample_weight")):
        return None
    parts = [weight_parameters(part) for part in _parts(estimator)]
    if isinstance(estimator, CalibratedClassifierCV) and None not in parts:
        return sorted({"sample_weight", *(name for part in parts for name in part or ())})
    # Without a bootstrap, weights only say which rows are drawn, and all of them may be.
    unweighted = isinstance(estimator, BaggingClassifier) and not estimator.bootstrap
    return ["sample_weight"] if not unweighted and all(part == ["sample_weight"] for part in parts) else None


def repeated_rows(weights: NDArray[np.float64], name: str = "The estimator") -> NDArray[np.int64]:
    """Return row numbers in which rows stand as often as they weigh, for estimators that take no weights.

    Parameters
    ----------
    weights : ndarray of shape (n,), float64
        Weights above 0.
    name : str, default="The estimator"
        What the rows are repeated for, for the warning.

    Returns
    -------
    ndarray of int64
        Row numbers, ascending, the copies of a row next to each other: unshuffled folds keep nearly all of them
        together. The lightest rows stand once, any other ones as often as the ratio of the weights says, rounded to the
        nearest integer (halves up).

    Warns
    -----
    UserWarning
        If that makes more than ten times the rows; the heaviest then stand less often.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.utils.weights import repeated_rows
    >>> repeated_rows(np.array([1.0, 1.0, 2.6])), repeated_rows(np.array([1.0, 0.5]))
    (array([0, 1, 2, 2, 2]), array([0, 0, 1]))
    """
    with np.errstate(over="ignore"):
        copies = np.floor(weights / weights.min() + 0.5)
    heaviest, n_rows = copies == copies.max(), len(weights)
    most = (_MOST_ROWS * n_rows - np.count_nonzero(~heaviest)) // np.count_nonzero(heaviest)
    if copies.max() > most:
        warn_user(
            f"{name} takes no sample_weight, so rows are repeated; target_weight asks for {copies.max():g} copies of "
            f"{np.count_nonzero(heaviest)} row(s), which would be more than {_MOST_ROWS} times the {n_rows} labelled "
            f'ones. They are repeated {most} times. Use a weight nearer to 1, "balanced", or an estimator that takes '
            "weights."
        )
    return np.repeat(np.arange(n_rows), np.minimum(copies, most).astype(np.int64))


def _parts(estimator: Any) -> list[Any]:
    """Return the estimators inside of a meta-estimator that predict, frozen ones left out."""
    values = estimator.get_params(deep=False).values() if hasattr(estimator, "get_params") else ()
    listed = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    parts = [item[1] if isinstance(item, tuple) and len(item) > 1 else item for item in listed]
    return [part for part in parts if _is_predictor(part) and not isinstance(part, FrozenEstimator)]


def _is_predictor(part: Any) -> bool:
    if isinstance(part, type) or not hasattr(part, "fit"):
        return False
    return hasattr(part, "predict") or gets_at_fit(part, "predict")


def _of_search(search: Any) -> list[str] | None:
    """Return the parameters by which every candidate of a search takes weights, None where they differ."""
    names = weight_parameters(search.estimator)
    grids = getattr(search, "param_grid", getattr(search, "param_distributions", {}))
    for grid in [grids] if isinstance(grids, Mapping) else grids:
        for path, values in grid.items():
            for value in [] if hasattr(values, "rvs") else values:
                if not (hasattr(value, "fit") or isinstance(value, list | tuple)):
                    continue
                try:
                    candidate = clone(search.estimator).set_params(**{path: value})
                except ValueError:  # a part of another candidate
                    return None
                if weight_parameters(candidate) != names:
                    return None
    return names


@contextmanager
def _weights_by_name(estimator: Any, names: list[str]) -> Iterator[None]:
    """Context in which fit parameters go by the names of the steps."""
    last = estimator
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    # With routing every consumer inside would have to request weights, and scikit-learn refuses those that do not say.
    with config_context(enable_metadata_routing=False):
        if not isinstance(last, CalibratedClassifierCV) and len(names) == 1:
            yield
            return
        with warnings.catch_warnings():
            # It looks for `sample_weight` alone, and does not see the parameter that a Pipeline inside is given.
            warnings.filterwarnings("ignore", message=".*does not appear to accept sample_weight")
            yield
