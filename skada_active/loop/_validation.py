"""Checks of what a loop is given, before anything is trained."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from skada_active.domains import check_inputs

__all__ = ["check_eval_set", "check_oracle", "check_reply"]


def check_oracle(oracle: Any) -> None:
    """Raise a TypeError unless `oracle` can be called."""
    if not callable(oracle):
        raise TypeError(
            f"oracle must be a callable oracle(ids, X_rows) -> labels, got {type(oracle).__name__}; wrap an array of "
            "labels in ArrayOracle(y)."
        )


def check_eval_set(eval_set: Any) -> tuple[Any, NDArray[Any]]:
    """Return the held-out rows and labels as the package holds rows and labels."""
    if not isinstance(eval_set, tuple | list) or len(eval_set) != 2:
        raise ValueError(f"eval_set must be a tuple (X, y) of held-out rows and their labels, got {type(eval_set)}.")
    return check_inputs(*eval_set)[:2]


def check_reply(labels: Any) -> Any:
    """Return the answer of an oracle; None is an error, not an abstention."""
    if labels is None:
        raise ValueError("oracle returned None; it must return one label per row, a missing one (-1, None) to abstain.")
    return labels
