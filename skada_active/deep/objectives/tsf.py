"""TSF: domain-adversarial training class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep._class_gradient import ClassDomainGradient
from skada_active.deep.objectives._adversarial import AdversarialObjective, AdversarialTerm, make_discriminator
from skada_active.deep.objectives._labels import known_or_predicted
from skada_active.deep.step import Step

__all__ = ["TSF"]


class TSF(AdversarialObjective):
    """Transferability loss: a domain discriminator per class, and an embedding that misleads them.

    One discriminator on the embedding with C outputs, of which a source row counts the one of its label and a
    target row all of them by its predicted probabilities. It reads the source rows and the target batch; the batch of
    labelled target rows, which come back again and again, belongs to the labelled loss alone.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the loss.
    schedule : {"dann", "tll", "constant"}, default="dann"
        How the coefficient of the gradient reversal grows, see `reversal_coefficient`.
    max_reversal : float, default=1.0
        Coefficient of the gradient reversal that the schedule ends at.
    hidden : sequence of int, default=(256,)
        Widths of the hidden layers of the discriminator.
    use_target_labels : bool, default=True
        Whether a target row whose label is known counts by its label (the paper's Section 3.1) or, like the others, by
        its prediction.
    detach : bool, default=True
        Whether predictions are constants for the gradient, which the paper does not say. Otherwise they play against
        the discriminator, as the embedding does: both through the gradient reversal.

    See Also
    --------
    skada_active.deep.functional.transferability_loss : The loss as a function.
    skada_active.query.SAGE : The query that reads the discriminator.
    DANN : A discriminator of the domains alone.
    skada_active.recipes : Query and training of the method together.

    Notes
    -----
    Supplies ``class_domain_grad`` to query strategies, and with one hidden layer ``class_discriminator``: what `SAGE`
    reads. The paper's regularisers are ``labeled_loss="joint"`` (S∪T), the default labelled loss (S+T), and
    ``AdaptationClassifier(TSF() + MME(trade_off=0.1), head="cosine")`` (MME).

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Eq. 2 and
       Alg. 2.

    Examples
    --------
    >>> from skada_active.deep import TSF, AdaptationClassifier
    >>> AdaptationClassifier(TSF(hidden=(64,))).objective
    TSF(hidden=(64,))
    """

    loss_name: ClassVar[str | None] = "transferability_loss"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialObjective._parameter_constraints,
        "use_target_labels": ["boolean"],
        "detach": ["boolean"],
    }

    def __init__(
        self,
        trade_off: float = 1.0,
        schedule: str = "dann",
        max_reversal: float = 1.0,
        hidden: Sequence[int] = (256,),
        use_target_labels: bool = True,
        detach: bool = True,
    ) -> None:
        super().__init__(trade_off)
        self.schedule = schedule
        self.max_reversal = max_reversal
        self.hidden = hidden
        self.use_target_labels = use_target_labels
        self.detach = detach

    @property
    def supplies(self) -> frozenset[str]:
        """Fields of a `PoolView` that the trained module can fill; ``class_discriminator`` with one hidden layer."""
        one_layer = np.shape(self.hidden) == (1,)
        return frozenset({"class_domain_grad", "class_discriminator"} if one_layer else {"class_domain_grad"})

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss with its discriminator."""
        return _TSF(self, n_features, n_classes)


class _TSF(AdversarialTerm):
    def __init__(self, config: TSF, n_features: int, n_classes: int) -> None:
        super().__init__(config)
        self.discriminator = make_discriminator(n_features, config.hidden, n_classes)

    def class_domain_grad(self) -> ClassDomainGradient:
        """Return the function of embedded rows (m, D) that computes the gradients of -ln d_c(z), shape (m, C, D)."""
        self.check_trained("class-wise domain discriminator")
        return ClassDomainGradient(self.discriminator)

    def class_discriminator(self) -> tuple[NDArray[Any], ...]:
        """Return copies of (W1, b1, W2, b2) of the discriminator, which has one hidden layer."""
        self.check_trained("class-wise domain discriminator")
        return tuple(parameter.detach().cpu().numpy().copy() for parameter in self.discriminator.parameters())

    def loss(self, step: Step) -> Tensor:
        features = functional.gradient_reversal(step.source_and_target(step.features), self.reversal(step))
        by_source, by_target = self.discriminator(features).tensor_split([step.source.stop])
        self.mark_trained(step)
        n_classes = step.logits.shape[1]
        return functional.transferability_loss(
            by_source,
            by_target,
            F.one_hot(step.labels[step.source], n_classes).to(by_source.dtype),
            self._target_proba(step),
            source_weight=step.source_importance,
        )

    def _target_proba(self, step: Step) -> Tensor:
        proba = step.logits[step.target].softmax(dim=1)
        proba = proba.detach() if self.config.detach else functional.gradient_reversal(proba, self.reversal(step))
        return known_or_predicted(step.labels[step.target], proba) if self.config.use_target_labels else proba
