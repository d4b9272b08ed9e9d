"""Adaptation without source rows: what one site hands over of its model, and how another goes on with it."""

from skada_active.source_free.hypothesis_transfer import HypothesisTransfer
from skada_active.source_free.source_model import SourceModel
from skada_active.source_free.summary import SourceSummary

__all__ = ["HypothesisTransfer", "SourceModel", "SourceSummary"]
