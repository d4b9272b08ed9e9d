"""Checks of what a loop is given, before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import check_inputs
from skada_active.labels import label_kinds
from skada_active.utils.scores import known_positions

__all__ = ["check_eval_set", "check_oracle", "check_reply"]


def check_oracle(oracle: Any) -> None:
    """Raise a TypeError unless `oracle` can be called."""
    if not callable(oracle):
        raise TypeError(
            f"oracle must be a callable oracle(ids, X_rows) -> labels, got {type(oracle).__name__}; wrap an array of "
            "labels in ArrayOracle(y)."
        )


def check_eval_set(eval_set: Any, known: NDArray[Any] | None = None) -> tuple[Any, NDArray[Any]]:
    """Return the held-out rows and labels as the package holds rows and labels.

    A ValueError without any label, or, where labels (n_known,) of the data are given, with none that could be theirs.
    """
    if not isinstance(eval_set, tuple | list) or len(eval_set) != 2:
        raise ValueError(f"eval_set must be a tuple (X, y) of held-out rows and their labels, got {eval_set!r:.80}.")
    try:
        X, y, _ = check_inputs(*eval_set)
    except ValueError as error:
        raise ValueError(f"eval_set=(X, y): {error}") from error
    known = np.empty(0) if known is None else known
    labels = y[known_positions(y, known)]
    if not len(labels):
        raise ValueError(
            f"eval_set=(X, y) has no label in its y of {len(y)} row(s), so that nothing can be measured on it; give "
            "held-out rows whose labels are known, or leave it out."
        )
    if len(known) and _are_text(labels).isdisjoint(_are_text(known)):
        raise ValueError(
            f"eval_set=(X, y) has labels such as {labels[:1].tolist()[0]!r}, and the data such as "
            f"{known[:1].tolist()[0]!r}: text and no text, so that none can be right. Convert the labels of one."
        )
    return X, y


def check_reply(labels: Any) -> Any:
    """Return the answer of an oracle; None is an error, not an abstention."""
    if labels is None:
        raise ValueError("oracle returned None; it must return one label per row, a missing one (-1, None) to abstain.")
    return labels


def _are_text(labels: NDArray[Any]) -> set[bool]:
    return {kind in "UT" for kind in label_kinds(labels)}
