"""Accuracies on the target: scores, estimates from audited rows, learning curves as numbers, what a history keeps."""

from skada_active.metrics.accuracy import per_class_accuracy, target_accuracy
from skada_active.metrics.curves import area_under_curve, mean_interval
from skada_active.metrics.estimate import (
    AccuracyEstimate,
    audit_estimate,
    audit_metric_estimate,
    systematic_sample,
    weighted_estimate,
)
from skada_active.metrics.history import history_records
from skada_active.metrics.stability import prediction_stability

__all__ = [
    "AccuracyEstimate",
    "area_under_curve",
    "audit_estimate",
    "audit_metric_estimate",
    "history_records",
    "mean_interval",
    "per_class_accuracy",
    "prediction_stability",
    "systematic_sample",
    "target_accuracy",
    "weighted_estimate",
]
