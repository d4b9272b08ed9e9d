"""Splits and scores on target rows, the papers' protocols as roles of rows, and learning curves over several seeds."""

from skada_active.metrics import target_accuracy
from skada_active.model_selection._curves import learning_curves
from skada_active.model_selection._protocols import labeled_per_class, leave_one_domain_out, single_domain
from skada_active.model_selection._splits import TargetShuffleSplit, holdout_target

__all__ = [
    "TargetShuffleSplit",
    "holdout_target",
    "labeled_per_class",
    "learning_curves",
    "leave_one_domain_out",
    "single_domain",
    "target_accuracy",
]
