"""Inspection of a shift: what differs between source and target, and why a model does worse there."""

from __future__ import annotations

from skada_active.inspection._drop import Accuracies, Estimated
from skada_active.inspection._moved_columns import MovedColumn
from skada_active.inspection._verdict import Evidence, Verdict
from skada_active.inspection.report import ClassShare, ShiftReport, Strangers
from skada_active.inspection.shift import diagnose_shift

__all__ = [
    "Accuracies",
    "ClassShare",
    "Estimated",
    "Evidence",
    "MovedColumn",
    "ShiftReport",
    "Strangers",
    "Verdict",
    "diagnose_shift",
]
