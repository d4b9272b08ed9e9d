"""Report of a shift as an object: as text, as HTML for notebooks, and as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.inspection import _html, _text
from skada_active.inspection._drop import Accuracies, Estimated
from skada_active.inspection._moved_columns import MovedColumn
from skada_active.inspection._verdict import Evidence, Verdict

__all__ = ["ClassShare", "ShiftReport", "Strangers"]


@dataclass(frozen=True)
class ClassShare:
    """Share of a class in source and target.

    Parameters
    ----------
    label : label
        The class.
    source : Estimated
        Share of the source rows.
    em, bbse : Estimated
        Share of the target rows, estimated from what the classifier says of them by maximum likelihood and from its
        confusion matrix. Both are right under label shift alone.
    labeled : Estimated or None
        Share of the labelled target rows; None without enough of them.
    """

    label: Any
    source: Estimated
    em: Estimated
    bbse: Estimated
    labeled: Estimated | None


@dataclass(frozen=True, eq=False)
class Strangers:
    """Target rows that look like no source row.

    Parameters
    ----------
    ids : ndarray of int64
        Their row numbers in X, the strangest first.
    share : Estimated
        Their share of the target rows that were looked at.
    p_values : ndarray of shape (len(ids),)
        Of each, the conformal p-value of 'it is a row like those of the source'.
    """

    ids: NDArray[np.int64]
    share: Estimated
    p_values: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ShiftReport:
    """Report of how a target differs from its source, as `diagnose_shift` returns it.

    It prints as text, and shows as tables in a notebook. `to_dict` makes plain values of it.

    Parameters
    ----------
    cause : {"covariate", "label", "concept", "several", "none", "cannot tell"}
        The kind of shift that explains what is seen.
    verdict : Verdict
        The answers for each kind: ``covariate``, ``label``, ``concept``.
    auc : Estimated
        Area under the ROC curve of a classifier that tells target rows from source rows, on held-out rows.
    columns : list of MovedColumn
        What became of every column, that which moved most first; empty where `X` is no table.
    class_shares : list of ClassShare
        Shares of every class; empty without labels.
    accuracies : Accuracies or None
        Accuracies of the classifier in both domains and the parts of their difference; None without labels.
    strangers : Strangers
        Rows of the target that look like no source row.
    evidence : Evidence
        The p-values that the verdict rests on.
    n_source, n_target, n_labeled : int
        Rows of the source, of the target, and among those with a known label.
    n_source_seen, n_target_seen : int
        How many of them were looked at.
    level : float
        Confidence level of all intervals.
    significance : float
        The p-value below which a test rejects.
    notes : list of str
        What to bear in mind.
    """

    cause: str
    verdict: Verdict
    auc: Estimated
    columns: list[MovedColumn]
    class_shares: list[ClassShare]
    accuracies: Accuracies | None
    strangers: Strangers
    evidence: Evidence
    n_source: int
    n_target: int
    n_labeled: int
    n_source_seen: int
    n_target_seen: int
    level: float
    significance: float
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, which JSON can hold; what is not known is None.

        Returns
        -------
        dict
            The attributes by name; estimates are dicts of ``value``, ``low`` and ``high``.
        """
        return _plain({name: getattr(self, name) for name in self.__dataclass_fields__})

    def __repr__(self) -> str:
        return _text.as_text(self)

    def _repr_html_(self) -> str:
        return _html.as_html(self)


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return _plain({name: getattr(value, name) for name in value.__dataclass_fields__})
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | np.ndarray):
        return [_plain(item) for item in (value if isinstance(value, list) else value.tolist())]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
