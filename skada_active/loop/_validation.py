"""Check what the loop was given before anything is trained."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_regressor
from sklearn.utils.validation import check_consistent_length

from skada_active.domains import Roles, check_inputs
from skada_active.labels import as_labels, is_missing
from skada_active.query import MarginSampling
from skada_active.utils.rows import as_rows, n_rows

__all__ = [
    "check_annotators",
    "check_costs",
    "check_data",
    "check_eval_set",
    "check_oracle",
    "check_reply",
    "check_rounds",
    "estimator_of",
    "hide_target",
    "strategy_of",
]


def estimator_of(loop: Any) -> Any:
    """Return the estimator of a loop, which is a network where none is given."""
    if loop.estimator is not None:
        return loop.estimator
    from skada_active.deep import AdaptationClassifier  # here, for the package imports without torch

    return AdaptationClassifier()


def strategy_of(loop: Any) -> Any:
    """Return the query strategy of a loop, margin sampling where none is given."""
    return MarginSampling() if loop.strategy is None else loop.strategy


def check_data(loop: Any, X: Any, y: ArrayLike, sample_domain: ArrayLike | None) -> tuple[Any, NDArray[Any], Roles]:
    """Return rows, labels and roles; parameters of the loop that are not valid are an error."""
    loop._validate_params()
    X, y, roles = check_inputs(X, y, sample_domain)
    _check_round_epochs(loop.round_epochs)
    _check_estimator_kind(loop.estimator)
    return X, y, roles


def hide_target(y: NDArray[Any], roles: Roles, labeled_target: ArrayLike | None) -> Roles:
    """Return the roles in which only those target labels are known that the mask `labeled_target` names."""
    known = np.zeros(len(y), dtype=bool)
    if labeled_target is not None:
        known = np.asarray(labeled_target)
        if known.shape != (len(y),) or known.dtype != bool:
            raise ValueError(
                f"labeled_target must be a boolean mask of shape ({len(y)},), got {known.dtype} of {known.shape}; "
                "make one with numpy.isin(numpy.arange(n), ids)."
            )
        unknown = np.flatnonzero(known & roles.is_target & is_missing(y))
        if len(unknown):
            raise ValueError(f"labeled_target names row {unknown[0]}, but y has no label for it.")
    return roles.hide(roles.is_target & ~known)


def _check_round_epochs(round_epochs: Any) -> None:
    """Raise a ValueError unless `round_epochs` is a number of epochs or a list of them."""
    epochs = np.atleast_1d(round_epochs)
    if epochs.ndim > 1 or not len(epochs) or epochs.dtype.kind not in "iu" or epochs.min() < 0:
        raise ValueError(f"round_epochs must be an integer >= 0 or a list of them, one a round, got {round_epochs!r}.")


def check_oracle(oracle: Any) -> None:
    """Raise a TypeError unless `oracle` can be called."""
    if not callable(oracle):
        raise TypeError(
            f"oracle must be a callable oracle(ids, X_rows) -> labels, got {type(oracle).__name__}; wrap an array of "
            "labels in ArrayOracle(y)."
        )


def _check_estimator_kind(estimator: Any) -> None:
    """Raise a ValueError if `estimator` predicts something else than classes."""
    if estimator is not None and is_regressor(estimator):
        raise ValueError(f"estimator must be a classifier, got the regressor {estimator!r}.")


def check_eval_set(eval_set: Any) -> tuple[Any, NDArray[Any]] | None:
    """Return the held-out rows and labels as the package holds rows and labels."""
    if eval_set is None:
        return None
    if not isinstance(eval_set, tuple | list) or len(eval_set) != 2:
        raise ValueError(f"eval_set must be a tuple (X, y) of held-out rows and their labels, got {type(eval_set)}.")
    X, y = as_rows(eval_set[0]), as_labels(eval_set[1])
    check_consistent_length(range(n_rows(X)), y)
    return X, y


def check_reply(labels: Any) -> Any:
    """Return what an oracle answered; that it answered nothing is an error, not an abstention."""
    if labels is None:
        raise ValueError("oracle returned None; it must return one label a row, a missing one (-1, None) to abstain.")
    return labels


def check_costs(costs: ArrayLike | None, n: int) -> NDArray[np.float64] | None:
    """Return what the label of every row costs, each above 0."""
    if costs is None:
        return None
    costs = np.asarray(costs)
    if costs.shape != (n,) or costs.dtype.kind not in "iuf":
        raise ValueError(f"costs must hold one number for each of the {n} rows, got {costs.dtype} of {costs.shape}.")
    bad = np.flatnonzero(~(np.isfinite(costs) & (costs > 0)))
    if len(bad):
        raise ValueError(f"costs must be above 0 and finite, got {costs[bad[0]]} for row {bad[0]}.")
    return costs.astype(np.float64)


def check_annotators(n_annotators: Any) -> int:
    """Return how many annotators answer for a row."""
    if not isinstance(n_annotators, Integral) or isinstance(n_annotators, bool) or n_annotators < 1:
        raise ValueError(f"n_annotators must be an integer >= 1, got {n_annotators!r}.")
    return int(n_annotators)


def check_rounds(rounds: Any) -> list[int]:
    """Return what new rounds may spend, a list of int."""
    sizes = np.asarray(rounds)
    if sizes.ndim != 1 or (len(sizes) and (sizes.dtype.kind not in "iu" or sizes.min() < 0)):
        raise ValueError(f"rounds must be a list of integers >= 0, one for each new round, got {rounds!r}.")
    return [int(size) for size in sizes]
