"""Trained network that another one starts from."""

from __future__ import annotations

import os
from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skada_active.deep._state import is_alike
from skada_active.io.estimators import load
from skada_active.utils._sklearn import check_feature_names, check_n_features
from skada_active.utils.rows import is_dataset

__all__ = ["check_columns", "inherited_parameters", "initial_model"]

#: Parameters of `AdaptationClassifier` that the initial network brings along, with their defaults.
_INHERITED = {"module": None, "standardize": "auto", "head": "linear", "head_temperature": 0.05}


def initial_model(init: Any) -> Any:
    """Return the fitted `AdaptationClassifier` that `init` stands for, None for None.

    Raises
    ------
    TypeError
        If it is another model.
    NotFittedError
        If it was not trained.
    """
    if init is None:
        return None
    model = load(init) if isinstance(init, str | os.PathLike) else init
    while isinstance(model, FrozenEstimator):
        model = model.estimator
    if isinstance(model, Pipeline):
        raise TypeError(
            "init holds a Pipeline; start from the network in it, init=FrozenEstimator(pipeline[-1]), and put the "
            "fitted steps before it into the new one, make_pipeline(FrozenEstimator(pipeline[:-1]), "
            "AdaptationClassifier(init=...))."
        )
    if not hasattr(model, "_inputs") and not hasattr(type(model), "pool_outputs"):
        raise TypeError(
            f"init must hold an AdaptationClassifier, got {type(model).__name__}; any other model goes on by "
            "HypothesisTransfer(FrozenEstimator(model))."
        )
    if not hasattr(model, "net_"):
        raise NotFittedError(f"init holds {type(model).__name__} that was not trained; fit it on source rows first.")
    return model


def inherited_parameters(model: Any, config: Any) -> dict[str, Any]:
    """Return the parameters that a network takes over from its initial one; a ValueError where it asks for others."""
    inherited = {name: getattr(model._config, name) for name in _INHERITED}
    for name, value in inherited.items():
        wanted = getattr(config, name)
        if not (is_alike(wanted, _INHERITED[name]) or is_alike(wanted, value)):
            raise ValueError(
                f"{name}={wanted!r} is not what the network in init has, {value!r}; leave it out, for the new network "
                "is like that one."
            )
    return {**inherited, "init": None}


def check_columns(model: Any, X: Any) -> None:
    """Raise a ValueError if rows have other columns than those that the initial network was trained on."""
    if is_dataset(X):
        return
    check_feature_names(model, X, reset=False)
    if hasattr(model, "n_features_in_"):
        check_n_features(model, X, reset=False)
