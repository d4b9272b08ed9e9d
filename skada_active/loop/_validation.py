"""Checks of what a loop is given, before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_regressor
from sklearn.utils.validation import check_consistent_length

from skada_active.domains import Roles
from skada_active.labels import as_labels, is_missing
from skada_active.utils.rows import as_rows, n_rows

__all__ = ["check_eval_set", "check_loop", "check_oracle", "check_reply", "hide_target"]


def check_loop(estimator: Any, round_epochs: Any) -> None:
    """Raise a ValueError for parameters of a loop that scikit-learn's constraints cannot check."""
    if estimator is not None and is_regressor(estimator):
        raise ValueError(f"estimator must be a classifier, got the regressor {estimator!r}.")
    epochs = np.atleast_1d(round_epochs)
    if epochs.ndim > 1 or not len(epochs) or epochs.dtype.kind not in "iu" or epochs.min() < 0:
        raise ValueError(
            f"round_epochs must be an integer >= 0 or a list of them, one per round, got {round_epochs!r}."
        )


def hide_target(y: NDArray[Any], roles: Roles, labeled_target: ArrayLike | None) -> Roles:
    """Return the roles in which only those target labels are known that the mask `labeled_target` names."""
    known = np.zeros(len(y), dtype=bool) if labeled_target is None else np.asarray(labeled_target)
    if labeled_target is not None:
        if known.shape != (len(y),) or known.dtype != bool:
            raise ValueError(
                f"labeled_target must be a boolean mask of shape ({len(y)},), got {known.dtype} of {known.shape}; "
                "make one with numpy.isin(numpy.arange(n), ids)."
            )
        unknown = np.flatnonzero(known & roles.is_target & is_missing(y))
        if len(unknown):
            raise ValueError(
                f"labeled_target names row {unknown[0]}, but y has no label for it; take the row out of the mask."
            )
    return roles.hide(roles.is_target & ~known)


def check_oracle(oracle: Any) -> None:
    """Raise a TypeError unless `oracle` can be called."""
    if not callable(oracle):
        raise TypeError(
            f"oracle must be a callable oracle(ids, X_rows) -> labels, got {type(oracle).__name__}; wrap an array of "
            "labels in ArrayOracle(y)."
        )


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
