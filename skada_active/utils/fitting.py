"""Fit any classifier on what is known: domain-aware ones on all rows, the others on the labelled rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import has_fit_parameter

from skada_active.domains import Roles
from skada_active.labels import mask_labels, native_labels
from skada_active.utils._sklearn import check_feature_names, check_n_features
from skada_active.utils.rows import is_dataset, take_rows
from skada_active.utils.steps import fitted_on_labels
from skada_active.utils.weights import fit_weighted, labeled_weights

__all__ = [
    "continue_fitting",
    "continues_training",
    "domain_params",
    "explain_dataset",
    "fit_estimator",
    "fits_without_labels",
    "is_domain_aware",
    "is_frozen",
    "keeps_grad_mode",
    "known_labels",
    "remember_columns",
    "seed_estimator",
    "split_pipeline",
]

P = ParamSpec("P")
T = TypeVar("T")

#: Folds that are stratified, and held-out rows for early stopping, need up to so many rows of every class.
_FEW_ROWS = 10


def split_pipeline(estimator: Any) -> tuple[Pipeline | None, Any]:
    """Return the steps before the last one (or None) and the last step, looking inside `FrozenEstimator`."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    if not isinstance(estimator, Pipeline):
        return None, estimator
    before = estimator[:-1] if len(estimator) > 1 else None
    deeper, last = split_pipeline(estimator[-1])
    if deeper is None:
        return before, last
    return deeper if before is None else Pipeline([("before", before), ("deeper", deeper)]), last


def is_domain_aware(estimator: Any) -> bool:
    """Tell whether ``fit`` of the estimator (the last step of a Pipeline) takes ``sample_domain``; never if frozen."""
    return not is_frozen(estimator) and has_fit_parameter(split_pipeline(estimator)[1], "sample_domain")


def fits_without_labels(estimator: Any) -> bool:
    """Tell whether the estimator (the last step of a Pipeline) starts from a trained model, and needs no label."""
    return bool(getattr(split_pipeline(estimator)[1], "fits_without_labels", False))


def fit_estimator(estimator: Any, X: Any, y: NDArray[Any], roles: Roles, target_weight: Any = None) -> Any:
    """Fit and return the estimator; a frozen one is returned as it is.

    A domain-aware estimator sees all rows, with the labels that are not known missing; any other one the labelled rows,
    with the weights that `labeled_weights` makes of `target_weight`. So do the steps before a domain-aware one that
    learn from labels, see `fitted_on_labels`, without weights.
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator
    if not len(roles.labeled) and not fits_without_labels(estimator):
        raise ValueError(
            "No row has a label, so there is nothing to train on. Give source rows (sample_domain >= 0), target rows "
            "whose label is known, a fitted model in sklearn.frozen.FrozenEstimator, or an estimator that goes on from "
            "one: HypothesisTransfer(FrozenEstimator(model)) or AdaptationClassifier(init=FrozenEstimator(network))."
        )
    labels = native_labels(y[roles.labeled])
    check_classification_targets(labels)
    try:
        if not is_domain_aware(estimator):
            weights = labeled_weights(roles, target_weight)
            return fit_weighted(estimator, take_rows(X, roles.labeled), labels, weights)
        with fitted_on_labels(estimator, roles.is_labeled):
            return estimator.fit(X, known_labels(y, roles), **domain_params(estimator, roles))
    except (TypeError, ValueError) as error:
        explain_dataset(estimator, X, error)
        raise _with_rarest_class(error, labels) from error.__cause__


def _with_rarest_class(error: Exception, labels: NDArray[Any]) -> Exception:
    """Return an error of an estimator, which seldom names the class that it has too few rows of, with its name."""
    classes, counts = np.unique(labels, return_counts=True)
    if type(error) not in (ValueError, np.linalg.LinAlgError) or counts.min(initial=_FEW_ROWS) >= _FEW_ROWS:
        return error
    rarest = classes.tolist()[counts.argmin()]
    named = ValueError(f"{error} (The rarest class, {rarest!r}, has {counts.min()} labelled row(s).)")
    return named.with_traceback(error.__traceback__)


def explain_dataset(estimator: Any, X: Any, error: Exception) -> None:
    """Raise a TypeError with the remedy if what an estimator complains of is a dataset, which it cannot read."""
    if is_dataset(X) and not hasattr(estimator, "pool_outputs"):  # what reads datasets explains itself
        raise TypeError(
            f"X is a dataset, which {type(estimator).__name__} could not read ({error}). Scikit-learn's models read "
            "arrays, such as numpy.stack([row for row, *_ in X]); AdaptationClassifier reads datasets."
        ) from error


def known_labels(y: NDArray[Any], roles: Roles) -> NDArray[Any]:
    """Return `y` in which every label that is not known is missing."""
    return y if roles.is_labeled.all() else mask_labels(y, ~roles.is_labeled)


def domain_params(estimator: Any, roles: Roles) -> dict[str, NDArray[Any]]:
    """Return the fit parameter that hands the domains to a domain-aware estimator."""
    # Nothing to say where nobody named a domain; and then -1 stays an ordinary label.
    return {_domain_keyword(estimator): roles.domain} if roles.has_domains else {}


def is_frozen(estimator: Any) -> bool:
    """Tell whether the estimator (the last step of a Pipeline) is a `FrozenEstimator`."""
    if isinstance(estimator, Pipeline):
        return is_frozen(estimator.steps[-1][1])
    return isinstance(estimator, FrozenEstimator)


def _domain_keyword(estimator: Any) -> str:
    # Without metadata routing a Pipeline passes a fit parameter on by the name of its step.
    if not isinstance(estimator, Pipeline) or get_config()["enable_metadata_routing"]:
        return "sample_domain"
    name, last = estimator.steps[-1]
    return f"{name}__{_domain_keyword(last)}"


def continues_training(estimator: Any) -> bool:
    """Tell whether the estimator (the last step of a Pipeline) can go on training as labels arrive."""
    if is_frozen(estimator):
        return False
    partial_fit = getattr(split_pipeline(estimator)[1], "partial_fit", None)
    return partial_fit is not None and {"sample_domain", "epochs"} <= set(signature(partial_fit).parameters)


def continue_fitting(estimator: Any, X: Any, y: NDArray[Any], roles: Roles, epochs: int) -> Any:
    """Train a fitted estimator for `epochs` more epochs on what is known now; earlier steps stay as they are."""
    transformer, last = split_pipeline(estimator)
    if transformer is not None:
        X = transformer.transform(X)
    last.partial_fit(
        X, known_labels(y, roles), sample_domain=roles.domain if roles.has_domains else None, epochs=epochs
    )
    return estimator


def remember_columns(estimator: Any, X: Any) -> None:
    """Set ``n_features_in_`` and ``feature_names_in_`` by `X`, which is not checked further; a dataset has neither."""
    for name in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(name, None)
    if not is_dataset(X):
        check_feature_names(estimator, X, reset=True)
        check_n_features(estimator, X, reset=True)


def seed_estimator(estimator: Any, seed: int, *, overwrite: bool = False) -> Any:
    """Give a seed to every ``random_state`` of the estimator, nested ones included, that is None, or to all."""
    if isinstance(estimator, FrozenEstimator):
        return estimator
    rng = np.random.default_rng(seed)
    unseeded = {
        name: int(rng.integers(np.iinfo(np.int32).max))
        for name, value in sorted(estimator.get_params().items())
        if name.rpartition("__")[2] == "random_state" and (overwrite or value is None)
    }
    return estimator.set_params(**unseeded)


def keeps_grad_mode(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function such that torch's gradients are on or off after a call as they were before it.

    An interrupt may come at any step of Python code, and so between those by which `torch.no_grad`, which even copies
    of tensors use, puts back what it changed: gradients would stay off for good. One call of C restores them here.
    """

    @wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        torch = sys.modules.get("torch")  # imported by those who need it
        mode = True if torch is None else torch.is_grad_enabled()
        try:
            return function(*args, **kwargs)
        finally:
            torch = torch or sys.modules.get("torch")
            if torch is not None:
                torch._C._set_grad_enabled(mode)

    return kept
