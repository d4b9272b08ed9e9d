"""MADA: a domain discriminator per class, each on the features times the probability of its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep.objectives._adversarial import AdversarialObjective, AdversarialTerm
from skada_active.deep.objectives._parallel import ParallelDiscriminators
from skada_active.deep.step import Step

__all__ = ["MADA"]


class MADA(AdversarialObjective):
    """Multi-adversarial domain adaptation: a domain discriminator per class, and an embedding that misleads them.

    The discriminator of a class reads the features times the predicted probability of the class, in both domains: the
    source rows count by their predictions, too, not by their labels.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the discriminators' loss.
    schedule : {"dann", "tll", "constant"}, default="dann"
        How the coefficient of the gradient reversal grows, see `reversal_coefficient`.
    max_reversal : float, default=1.0
        Coefficient of the gradient reversal that the schedule ends at.
    hidden : sequence of int, default=(64,)
        Widths of the hidden layers of every discriminator.
    detach : bool, default=True
        Whether predictions are constants for the gradient, which the paper does not say. Otherwise they play against
        the discriminators, as the embedding does: both through the gradient reversal.

    See Also
    --------
    skada_active.deep.functional.multi_adversarial_loss : The loss as a function.
    TSF : The probabilities weigh the losses in place of the features.
    CDAN : One discriminator of the features times all probabilities.

    Notes
    -----
    The mean over the classes, in which each domain counts half. All discriminators are one batched product of O(C n D
    H) time and O(C n (D + H)) memory a step, hidden layer of width H and n rows.

    Supplies ``source_logit`` to query strategies: the logit of the mean of what the discriminators give for P(source),
    by the predicted probabilities of their classes. `TSF` is the one that `~skada_active.query.SAGE` can read: what
    these discriminators say of a class depends on the classifier, and not on the embedding alone.

    References
    ----------
    .. [1] Pei et al., "Multi-Adversarial Domain Adaptation", AAAI 2018.

    Examples
    --------
    >>> from skada_active.deep import MADA, AdaptationClassifier
    >>> AdaptationClassifier(MADA(max_reversal=0.1)).objective
    MADA(max_reversal=0.1)
    """

    supplies = frozenset({"source_logit"})
    loss_name: ClassVar[str | None] = "domain_loss"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialObjective._parameter_constraints,
        "detach": ["boolean"],
    }

    def __init__(
        self,
        trade_off: float = 1.0,
        schedule: str = "dann",
        max_reversal: float = 1.0,
        hidden: Sequence[int] = (64,),
        detach: bool = True,
    ) -> None:
        super().__init__(trade_off)
        self.schedule = schedule
        self.max_reversal = max_reversal
        self.hidden = hidden
        self.detach = detach

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss with its discriminators."""
        return _MADA(self, n_features, n_classes)


class _MADA(AdversarialTerm):
    def __init__(self, config: MADA, n_features: int, n_classes: int) -> None:
        super().__init__(config)
        self.discriminators = ParallelDiscriminators(n_classes, n_features, config.hidden)

    def loss(self, step: Step) -> Tensor:
        coefficient = self.reversal(step)
        features = functional.gradient_reversal(step.features, coefficient)
        proba = step.logits.softmax(dim=1)
        proba = proba.detach() if self.config.detach else functional.gradient_reversal(proba, coefficient)
        self.mark_trained(step)
        return functional.multi_adversarial_loss(
            features[step.source],
            features[step.target],
            proba[step.source],
            proba[step.target],
            self.discriminators,
            source_weight=step.source_importance,
        )

    def source_logit(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the logit of P(source) of rows, shape (n,); refused before the discriminators were trained.

        Parameters
        ----------
        features : Tensor of shape (n, D)
            Embedding.
        logits : Tensor of shape (n, C)
            Logits of the classifier.
        """
        self.check_trained("domain discriminator of the classes")
        logit = self.discriminators(functional.class_weighted_features(features, logits.softmax(dim=1)))
        log_proba = F.log_softmax(logits, dim=1).T
        # By logarithms: probabilities of sure discriminators would round to 0 and 1.
        of_source, of_target = ((log_proba + F.logsigmoid(sign * logit)).logsumexp(dim=0) for sign in (1, -1))
        return of_source - of_target
