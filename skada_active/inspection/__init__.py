"""Inspection: the shift between domains, displays of what a loop asked and learned, and a report of it on one page."""

from skada_active.inspection._drop import Accuracies, Estimated
from skada_active.inspection._moved_columns import MovedColumn
from skada_active.inspection._verdict import Evidence, Verdict
from skada_active.inspection.anchors import AnchorDisplay
from skada_active.inspection.critical_difference import CriticalDifferenceDisplay
from skada_active.inspection.learning_curve import LearningCurveDisplay
from skada_active.inspection.page import report
from skada_active.inspection.queries import QueryDisplay
from skada_active.inspection.shift import diagnose_shift
from skada_active.inspection.shift_display import ShiftDisplay
from skada_active.inspection.shift_report import ClassShare, ShiftReport, Strangers

__all__ = [
    "Accuracies",
    "AnchorDisplay",
    "ClassShare",
    "CriticalDifferenceDisplay",
    "Estimated",
    "Evidence",
    "LearningCurveDisplay",
    "MovedColumn",
    "QueryDisplay",
    "ShiftDisplay",
    "ShiftReport",
    "Strangers",
    "Verdict",
    "diagnose_shift",
    "report",
]
