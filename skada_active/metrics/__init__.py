"""Accuracies on the target."""
