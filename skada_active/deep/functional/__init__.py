"""Losses of domain adaptation as pure functions of tensors."""

from skada_active.deep.functional._adversarial import domain_adversarial_loss, gradient_reversal
from skada_active.deep.functional._anchors import anchor_acceptance
from skada_active.deep.functional._class_adversarial import transferability_loss
from skada_active.deep.functional._confidence import minimax_entropy_loss, minimum_class_confusion_loss
from skada_active.deep.functional._gradient_synchronization import (
    class_balance_weights,
    domain_gradient_magnitudes,
    feature_gradient_magnitudes,
    gradient_synchronization_loss,
    weighted_domain_losses,
)
from skada_active.deep.functional._margin import margin_loss
from skada_active.deep.functional._moments import moment_matching_loss

__all__ = [
    "anchor_acceptance",
    "class_balance_weights",
    "domain_adversarial_loss",
    "domain_gradient_magnitudes",
    "feature_gradient_magnitudes",
    "gradient_reversal",
    "gradient_synchronization_loss",
    "margin_loss",
    "minimax_entropy_loss",
    "minimum_class_confusion_loss",
    "moment_matching_loss",
    "transferability_loss",
    "weighted_domain_losses",
]
