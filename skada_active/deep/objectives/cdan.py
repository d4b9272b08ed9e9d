"""CDAN: conditional domain-adversarial training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._adversarial import AdversarialObjective, DomainTerm, make_discriminator
from skada_active.deep.step import Step

__all__ = ["CDAN"]

#: A product of features and class probabilities that is wider than this is mapped at random to fewer numbers.
_WIDEST_PRODUCT, _RANDOM_WIDTH = 4096, 1024


class CDAN(AdversarialObjective):
    """Conditional domain-adversarial training: the discriminator reads the features together with the predictions.

    Parameters
    ----------
    entropy_weighted : bool, default=False
        Whether rows that the model is sure of count more (CDAN+E).
    trade_off : float, default=1.0
        Weight of the discriminator's loss.
    schedule : {"dann", "tll", "constant"}, default="dann"
        How the coefficient of the gradient reversal grows, see `reversal_coefficient`.
    max_reversal : float, default=1.0
        Coefficient of the gradient reversal that the schedule ends at.
    hidden : sequence of int, default=(256,)
        Widths of the hidden layers of the discriminator.

    See Also
    --------
    skada_active.deep.functional.cdan_loss : The loss as a function.
    DANN : The embedding alone, or the probabilities alone.
    MADA : A discriminator per class.

    Notes
    -----
    The discriminator reads the product of class probabilities and features; where it has more than 4096 numbers, 1024
    products of random projections of the two stand for it, which keep inner products on average. The probabilities are
    constants for the gradient: embedding and discriminator play, the classifier does not. All rows of source and target
    batch count the same, so that a larger batch of a domain counts more, unlike in `DANN`.

    Supplies ``source_logit`` (the logit of P(source)) to query strategies. With H the width of the first hidden layer a
    step costs O(n C D H) time, for wide products O(n (C + D + H)) times 1024.

    References
    ----------
    .. [1] Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018.

    Examples
    --------
    >>> from skada_active.deep import CDAN, AdaptationClassifier
    >>> AdaptationClassifier(CDAN(entropy_weighted=True)).objective
    CDAN(entropy_weighted=True)
    """

    supplies = frozenset({"source_logit"})
    loss_name: ClassVar[str | None] = "domain_loss"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialObjective._parameter_constraints,
        "entropy_weighted": ["boolean"],
    }

    def __init__(
        self,
        entropy_weighted: bool = False,
        trade_off: float = 1.0,
        schedule: str = "dann",
        max_reversal: float = 1.0,
        hidden: Sequence[int] = (256,),
    ) -> None:
        super().__init__(trade_off)
        self.entropy_weighted = entropy_weighted
        self.schedule = schedule
        self.max_reversal = max_reversal
        self.hidden = hidden

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss with its discriminator."""
        return _CDAN(self, n_features, n_classes)


class _CDAN(DomainTerm):
    def __init__(self, config: CDAN, n_features: int, n_classes: int) -> None:
        super().__init__(config)
        self.map = _RandomMap(n_features, n_classes) if n_features * n_classes > _WIDEST_PRODUCT else None
        width = n_features * n_classes if self.map is None else _RANDOM_WIDTH
        self.discriminator = make_discriminator(width, config.hidden, 1)

    def loss(self, step: Step) -> Tensor:
        features = functional.gradient_reversal(step.features, self.reversal(step))
        proba = step.logits.softmax(dim=1)
        loss = functional.cdan_loss(
            features[step.source],
            features[step.target],
            proba[step.source],
            proba[step.target],
            self.discriminator,
            entropy_weighted=self.config.entropy_weighted,
            product=self.product,
            source_weight=step.source_importance,
        )
        self.mark_trained(step)
        return loss

    def product(self, features: Tensor, proba: Tensor) -> Tensor:
        return (functional.multilinear_map if self.map is None else self.map)(features, proba)

    def discriminator_input(self, features: Tensor, logits: Tensor) -> Tensor:
        return self.product(features, logits.softmax(dim=1))

    def logit_of(self, inputs: Tensor) -> Tensor:
        return self.discriminator(inputs)[:, 0]


class _RandomMap(nn.Module):
    """Products of random projections of features and class probabilities, which keep inner products on average."""

    of_features: Tensor
    of_proba: Tensor

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("of_features", torch.randn(n_features, _RANDOM_WIDTH))
        self.register_buffer("of_proba", torch.randn(n_classes, _RANDOM_WIDTH))

    def forward(self, features: Tensor, proba: Tensor) -> Tensor:
        return (features @ self.of_features) * (proba @ self.of_proba) / math.sqrt(_RANDOM_WIDTH)
