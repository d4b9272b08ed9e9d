"""Inspection: displays of what a loop asked and learned, and a report of it on one page."""

from skada_active.inspection.anchors import AnchorDisplay
from skada_active.inspection.learning_curve import LearningCurveDisplay
from skada_active.inspection.page import report
from skada_active.inspection.queries import QueryDisplay

__all__ = ["AnchorDisplay", "LearningCurveDisplay", "QueryDisplay", "report"]
