"""Histories of loops and sessions as plain values, for JSON and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from skada_active.metrics.estimate import AccuracyEstimate

__all__ = ["history_records"]


def history_records(fitted: Any) -> list[dict[str, Any]]:
    """Return the history of a fitted loop or a session as plain values: lists, dicts by string, numbers and None.

    Parameters
    ----------
    fitted : ActiveAdaptationLoop or AdaptationSession
        What has a history; a list of its entries is taken as well.

    Returns
    -------
    list of dict
        One record per model, the first for the one before any purchase, with the keys of ``history_``. `json.dumps`
        takes it, and so do ``pandas.DataFrame`` and ``pandas.json_normalize`` (a column per value, such as
        ``accuracy.unqueried``). NaN and infinities, which JSON does not have, are None; class labels as keys are text.

    Examples
    --------
    >>> import json
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.metrics import history_records
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> loop = ActiveAdaptationLoop(LogisticRegression(), budget=4, n_rounds=2, random_state=0)
    >>> records = history_records(loop.fit(X, y, sample_domain=sample_domain))
    >>> [record["n_queries"] for record in json.loads(json.dumps(records))]
    [0, 2, 4]
    """
    entries = fitted if isinstance(fitted, list) else [fitted.initial_, *fitted.history_]
    return [_plain(entry) for entry in entries]


def _plain(value: Any) -> Any:
    if isinstance(value, AccuracyEstimate):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
