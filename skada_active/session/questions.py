"""Open questions of a session as columns of a table, for people to fill in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from skada_active.session.state import Round
from skada_active.utils.rows import take_rows

__all__ = ["question_columns"]

_OWN = ("id", "index", "prediction", "probability", "utility", "round", "label")


def question_columns(X: Any, ids: list[int], estimator: Any, current: Round | None) -> dict[Any, Any]:
    """Return the columns of a table of the open rows `ids` of `X`, with what the fitted estimator makes of them.

    A column of `X` that has the name of one of the others gets ``x_`` before its name.
    """
    rows = take_rows(X, np.array(ids, dtype=np.int64))
    columns: dict[Any, Any] = {"id": ids}
    if hasattr(X, "iloc"):
        columns["index"] = rows.index.tolist()
    features = _feature_columns(rows)
    taken = {*_OWN, *(str(name) for name, _ in features)}
    for name, values in features:
        if str(name) in _OWN or name in columns:
            while name in columns or str(name) in taken:
                name = f"x_{name}"
        columns[name] = values
    predicted = np.asarray(estimator.predict(rows)) if ids else np.empty(0, dtype=object)
    columns["prediction"] = predicted
    columns["probability"] = np.full(len(ids), np.nan)
    if ids and hasattr(estimator, "predict_proba"):
        position = (np.asarray(estimator.classes_) == predicted[:, None]).argmax(axis=1)
        columns["probability"] = np.asarray(estimator.predict_proba(rows))[np.arange(len(ids)), position]
    # Rows that were drawn to measure the model have no utility, and nobody who answers may know which they are.
    hidden = current is not None and current.audit_ids
    columns["utility"] = [math.nan if hidden or current is None else current.utilities[row] for row in ids]
    columns["round"] = [] if current is None else [current.number] * len(ids)
    return {**columns, "label": np.full(len(ids), None, dtype=object)}


def _feature_columns(rows: Any) -> list[tuple[Any, Any]]:
    if hasattr(rows, "to_frame") and hasattr(rows, "iloc"):  # a Series, such as one of texts
        return [("x0" if rows.name is None else rows.name, rows.array)]
    if hasattr(rows, "iloc") and hasattr(rows, "columns"):
        return [(name, rows.iloc[:, position].array) for position, name in enumerate(rows.columns)]
    if hasattr(rows, "schema"):  # a table of pyarrow or polars
        columns = rows.to_pydict() if hasattr(rows, "to_pydict") else rows.to_dict(as_series=False)
        return list(columns.items())
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        return [(f"x{position}", rows[:, position]) for position in range(rows.shape[1])]
    if isinstance(rows, np.ndarray) and rows.ndim == 1:  # texts
        return [("x0", rows)]
    return []
