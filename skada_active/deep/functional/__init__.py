"""Losses of domain adaptation as pure functions of tensors."""

from skada_active.deep.functional._adversarial import domain_adversarial_loss, gradient_reversal
from skada_active.deep.functional._confidence import minimax_entropy_loss, minimum_class_confusion_loss
from skada_active.deep.functional._margin import margin_loss

__all__ = [
    "domain_adversarial_loss",
    "gradient_reversal",
    "margin_loss",
    "minimax_entropy_loss",
    "minimum_class_confusion_loss",
]
