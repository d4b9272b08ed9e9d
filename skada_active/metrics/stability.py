"""Stability of predictions from one model to the next: how many changed, and what that did to the audited rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length

__all__ = ["prediction_stability"]


def prediction_stability(
    before: ArrayLike, after: ArrayLike, audited: ArrayLike = (), labels: ArrayLike = ()
) -> dict[str, Any]:
    """Return how far two models agree on the same rows, as stopping rules read it.

    Parameters
    ----------
    before, after : array-like of shape (n,)
        Predictions of both models.
    audited : array-like of shape (n_audit,) of int, default=()
        Positions of the rows whose labels are known.
    labels : array-like of shape (n_audit,), default=()
        Their labels.

    Returns
    -------
    dict
        ``changed``: share of the rows that are predicted otherwise. ``kappa``: Cohen's kappa between both predictions,
        1 where both are one and the same class throughout. ``audit_pairs``: ``(n_better, n_worse, n_changed)``, of how
        many audited rows the prediction became right, became wrong, changed.

    Raises
    ------
    ValueError
        If lengths differ.

    Examples
    --------
    >>> from skada_active.metrics import prediction_stability
    >>> prediction_stability([0, 0, 1, 1], [0, 1, 1, 1], audited=[0, 1], labels=[0, 1])
    {'changed': 0.25, 'kappa': 0.5, 'audit_pairs': (1, 0, 1)}
    """
    check_consistent_length(before, after)
    check_consistent_length(audited, labels)
    old, new, truth = (np.asarray(values).astype(object) for values in (before, after, labels))
    rows, n = np.asarray(audited, dtype=np.int64), max(len(old), 1)
    differs = old != new
    pairs = np.array([0, 0, 0])
    if len(rows):
        was, now = old[rows] == truth, new[rows] == truth
        pairs = np.array([(now & ~was).sum(), (was & ~now).sum(), differs[rows].sum()])
    classes = set(old.tolist()) | set(new.tolist())
    by_chance = sum(np.mean(old == label) * np.mean(new == label) for label in classes)
    changed = float(differs.sum() / n)
    kappa = 1 - changed / (1 - by_chance) if by_chance < 1 else 1.0
    return {"changed": changed, "kappa": float(kappa), "audit_pairs": tuple(pairs.tolist())}
