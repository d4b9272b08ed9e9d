"""Accuracies on the target: the score for model selection, and what a loop's history keeps of each round."""

from skada_active.metrics.accuracy import target_accuracy
from skada_active.metrics.history import history_records

__all__ = ["history_records", "target_accuracy"]
