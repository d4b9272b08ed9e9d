"""Accuracies on the target: scores, learning curves as numbers, and what a loop's history keeps of each round."""

from skada_active.metrics.accuracy import per_class_accuracy, target_accuracy
from skada_active.metrics.curves import area_under_curve, mean_interval
from skada_active.metrics.history import history_records

__all__ = ["area_under_curve", "history_records", "mean_interval", "per_class_accuracy", "target_accuracy"]
