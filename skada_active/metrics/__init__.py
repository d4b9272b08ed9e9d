"""Accuracies on the target: the score for model selection, and what a loop's history keeps of each round."""

from skada_active.metrics.accuracy import target_accuracy

__all__ = ["target_accuracy"]
