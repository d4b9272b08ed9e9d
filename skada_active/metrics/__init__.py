"""Accuracies on the target: scores, estimates with few labels or none, learning curves, values of a history."""

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
from skada_active.metrics.label_free import (
    average_thresholded_confidence,
    committee_agreement,
    difference_of_confidences,
    label_shift_accuracy,
)
from skada_active.metrics.label_free_accuracy import label_free_accuracy
from skada_active.metrics.label_shift import bbse_shares, calibrate_proba, em_shares
from skada_active.metrics.stability import prediction_stability

__all__ = [
    "AccuracyEstimate",
    "area_under_curve",
    "audit_estimate",
    "audit_metric_estimate",
    "average_thresholded_confidence",
    "bbse_shares",
    "calibrate_proba",
    "committee_agreement",
    "difference_of_confidences",
    "em_shares",
    "history_records",
    "label_free_accuracy",
    "label_shift_accuracy",
    "mean_interval",
    "per_class_accuracy",
    "prediction_stability",
    "systematic_sample",
    "target_accuracy",
    "weighted_estimate",
]
