"""Losses of domain adaptation as pure functions of tensors."""

from skada_active.deep.functional._adversarial import (
    cdan_loss,
    domain_adversarial_loss,
    gradient_reversal,
    multilinear_map,
)
from skada_active.deep.functional._anchors import anchor_acceptance
from skada_active.deep.functional._class_adversarial import (
    class_weighted_features,
    multi_adversarial_loss,
    transferability_loss,
)
from skada_active.deep.functional._classifier_discrepancy import (
    class_balance_loss,
    classifier_discrepancy,
    margin_disparity_discrepancy,
)
from skada_active.deep.functional._confidence import minimax_entropy_loss, minimum_class_confusion_loss
from skada_active.deep.functional._discrepancy import coral_loss, fused_mmd, joint_mmd, multi_kernel_mmd
from skada_active.deep.functional._evidential import dirichlet_uncertainties, evidential_divergence, evidential_loss
from skada_active.deep.functional._feature_norms import adaptive_feature_norm, batch_spectral_penalty
from skada_active.deep.functional._gradient_synchronization import (
    class_balance_weights,
    domain_gradient_magnitudes,
    feature_gradient_magnitudes,
    gradient_synchronization_loss,
    weighted_domain_losses,
)
from skada_active.deep.functional._margin import margin_loss
from skada_active.deep.functional._moments import moment_matching_loss
from skada_active.deep.functional._prototypes import (
    class_prototypes,
    prototype_agreement_loss,
    prototype_alignment_loss,
    prototype_logits,
)
from skada_active.deep.functional._pseudo_labels import (
    adversarial_clustering_loss,
    free_energy_alignment_loss,
    information_maximization_loss,
    neighbor_label_loss,
    pseudo_label_loss,
    self_ensembling_loss,
)
from skada_active.deep.functional._symmetric import (
    category_confusion_loss,
    domain_confusion_loss,
    domain_discrimination_loss,
    merged_entropy_loss,
)
from skada_active.deep.functional._virtual_adversarial import (
    virtual_adversarial_divergence,
    virtual_adversarial_loss,
    virtual_adversarial_perturbation,
)

__all__ = [
    "adaptive_feature_norm",
    "adversarial_clustering_loss",
    "anchor_acceptance",
    "batch_spectral_penalty",
    "category_confusion_loss",
    "cdan_loss",
    "class_balance_loss",
    "class_balance_weights",
    "class_prototypes",
    "class_weighted_features",
    "classifier_discrepancy",
    "coral_loss",
    "dirichlet_uncertainties",
    "domain_adversarial_loss",
    "domain_confusion_loss",
    "domain_discrimination_loss",
    "domain_gradient_magnitudes",
    "evidential_divergence",
    "evidential_loss",
    "feature_gradient_magnitudes",
    "free_energy_alignment_loss",
    "fused_mmd",
    "gradient_reversal",
    "gradient_synchronization_loss",
    "information_maximization_loss",
    "joint_mmd",
    "margin_disparity_discrepancy",
    "margin_loss",
    "merged_entropy_loss",
    "minimax_entropy_loss",
    "minimum_class_confusion_loss",
    "moment_matching_loss",
    "multi_adversarial_loss",
    "multi_kernel_mmd",
    "multilinear_map",
    "neighbor_label_loss",
    "prototype_agreement_loss",
    "prototype_alignment_loss",
    "prototype_logits",
    "pseudo_label_loss",
    "self_ensembling_loss",
    "transferability_loss",
    "virtual_adversarial_divergence",
    "virtual_adversarial_loss",
    "virtual_adversarial_perturbation",
    "weighted_domain_losses",
]
