"""DANN: domain-adversarial training."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep.functional._weighting import relative_weight
from skada_active.deep.objectives._adversarial import AdversarialObjective, DomainTerm, make_discriminator
from skada_active.deep.objectives._parallel import ParallelDiscriminators, packed_rows, take_rows
from skada_active.deep.step import Step
from skada_active.utils._sklearn import StrOptions

__all__ = ["DANN"]


class DANN(AdversarialObjective):
    """Domain-adversarial training: a domain discriminator on the embedding, and an embedding that misleads it.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the discriminator's loss.
    schedule : {"dann", "tll", "constant"}, default="dann"
        How the coefficient of the gradient reversal grows, see `reversal_coefficient`.
    max_reversal : float, default=1.0
        Coefficient of the gradient reversal that the schedule ends at.
    hidden : sequence of int, default=(256,)
        Widths of the hidden layers of the discriminator.
    discriminator : {"binary", "per_source", "multiclass"}, default="binary"
        What is told apart where there are several source domains. ``"binary"``: all sources together from the target.
        ``"per_source"``: each source from the target, by a discriminator of its own; the loss is the mean over the
        sources in the batch. ``"multiclass"``: all sources and the target from one another, by one classifier of
        domains; every domain in the batch counts the same. Several target domains are one target.
    discriminator_input : {"features", "logits", "proba"}, default="features"
        What the domains are told apart by: the embedding, as in the paper, or what the classifier makes of it. With
        ``"proba"`` (or ``"logits"``) the classifier, too, learns to mislead the discriminator.

    See Also
    --------
    skada_active.deep.functional.domain_adversarial_loss : The loss as a function.
    TSF : A discriminator with an output per class.
    GSDA : Discriminators of domain, groups and classes.
    M3SDA : Alignment without a discriminator.

    Notes
    -----
    On embeddings that a pretrained network made beforehand, two domains stay easy to tell apart, and ``"features"``
    gains little before it mixes up classes; ``"proba"`` then does much better (see the benchmarks).

    With one source the three have the same loss. A source that a batch lacks is left out of its loss.

    Supplies ``source_logit`` (the logit of P(source)) to query strategies and `AdaptationClassifier.domain_logit`. With
    ``"per_source"`` it is the logarithm of the mean of the odds of the sources: that of the mixture of the sources
    against the target. With ``"multiclass"`` P(source) is the sum over the sources, each of which weighs as much as the
    target.

    As only the number of domains is known when the network is made, there is room for all but one of them to be
    sources; with several targets a few discriminators (or outputs) stay unused.

    References
    ----------
    .. [1] Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016.
    .. [2] Zhao et al., "Adversarial Multiple Source Domain Adaptation", NeurIPS 2018, where the losses of
       a discriminator per source are combined in another way.
    .. [3] Tsai et al., "Learning to Adapt Structured Output Space for Semantic Segmentation", CVPR 2018, where the
       discriminator reads class probabilities.

    Examples
    --------
    >>> from skada_active.deep import DANN, AdaptationClassifier
    >>> AdaptationClassifier(DANN(schedule="constant")).objective
    DANN(schedule='constant')
    """

    supplies = frozenset({"source_logit"})
    loss_name: ClassVar[str | None] = "domain_loss"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialObjective._parameter_constraints,
        "discriminator": [StrOptions({"binary", "per_source", "multiclass"})],
        "discriminator_input": [StrOptions({"features", "logits", "proba"})],
    }

    def __init__(
        self,
        trade_off: float = 1.0,
        schedule: str = "dann",
        max_reversal: float = 1.0,
        hidden: Sequence[int] = (256,),
        discriminator: str = "binary",
        discriminator_input: str = "features",
    ) -> None:
        super().__init__(trade_off)
        self.schedule = schedule
        self.max_reversal = max_reversal
        self.hidden = hidden
        self.discriminator = discriminator
        self.discriminator_input = discriminator_input

    @property
    def needs_source(self) -> bool:
        """Whether it is made for the number of source domains: with several discriminators or outputs."""
        return self.discriminator != "binary"

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss with its discriminator."""
        kinds: dict[str, Callable[..., _DANN]] = {
            "binary": _Binary,
            "per_source": _PerSource,
            "multiclass": _Multiclass,
        }
        width = n_features if self.discriminator_input == "features" else n_classes
        return kinds[self.discriminator](self, width, max(1, n_domains - 1))


class _DANN(DomainTerm):
    def loss(self, step: Step) -> Tensor:
        inputs = self.discriminator_input(*map(step.source_and_target, (step.features, step.logits)))
        loss = self._domain_loss(functional.gradient_reversal(inputs, self.reversal(step)), step)
        self.mark_trained(step)
        return loss

    @abstractmethod
    def _domain_loss(self, inputs: Tensor, step: Step) -> Tensor:
        """Return the loss of what tells the domains apart, for its inputs of the source and the target rows."""

    def discriminator_input(self, features: Tensor, logits: Tensor) -> Tensor:
        kind = self.config.discriminator_input
        return features if kind == "features" else logits if kind == "logits" else logits.softmax(dim=1)


class _Binary(_DANN):
    def __init__(self, config: DANN, n_inputs: int, n_sources: int) -> None:
        super().__init__(config)
        self.discriminator = make_discriminator(n_inputs, config.hidden, 1)

    def logit_of(self, inputs: Tensor) -> Tensor:
        return self.discriminator(inputs)[:, 0]

    def _domain_loss(self, inputs: Tensor, step: Step) -> Tensor:
        logits = self.logit_of(inputs).tensor_split([step.source.stop])
        return functional.domain_adversarial_loss(*logits, source_weight=step.source_importance)


class _MultiSource(_DANN):
    # Domains are positions, sources first: those of the sources number the discriminators (or outputs).
    def __init__(self, config: DANN, n_sources: int) -> None:
        super().__init__(config, (n_sources,))

    def mark_trained(self, step: Step) -> None:
        if self.config.trade_off:
            self.is_trained.index_fill_(0, step.domain[step.source], True)

    @staticmethod
    def importance(step: Step) -> Tensor | float:
        """Return the weight of each source row, relative to the mean of its source."""
        weight = step.source_importance
        return 1.0 if weight is None else relative_weight(weight, step.domain[step.source])


class _PerSource(_MultiSource):
    def __init__(self, config: DANN, n_inputs: int, n_sources: int) -> None:
        super().__init__(config, n_sources)
        self.discriminators = ParallelDiscriminators(n_sources, n_inputs, config.hidden)

    def logit_of(self, inputs: Tensor) -> Tensor:
        logit = self.discriminators(inputs.expand(len(self.is_trained), -1, -1))[self.is_trained]
        return logit.logsumexp(dim=0) - math.log(len(logit))

    def _domain_loss(self, inputs: Tensor, step: Step) -> Tensor:
        n_source, n_target = step.source.stop, len(inputs) - step.source.stop
        of_source = F.one_hot(step.domain[step.source], len(self.is_trained)).T
        n_rows = of_source.sum(dim=1, keepdim=True)
        is_present = n_rows > 0
        # Each side of a discriminator counts half; neither does where the batch lacks the source.
        by_source, by_target = of_source / (2 * n_rows.clamp_min(1)), is_present / (2 * n_target)
        by_source = by_source * self.importance(step)
        weight = torch.cat([by_source, by_target.expand(-1, n_target)], dim=1)
        rows = packed_rows(weight)
        logit = self.discriminators(take_rows(inputs, rows))
        losses = functional.weighted_domain_losses(logit, rows < n_source, weight.gather(1, rows))
        return losses.sum() / is_present.sum()


class _Multiclass(_MultiSource):
    def __init__(self, config: DANN, n_inputs: int, n_sources: int) -> None:
        super().__init__(config, n_sources)
        self.discriminator = make_discriminator(n_inputs, config.hidden, n_sources + 1)

    def logit_of(self, inputs: Tensor) -> Tensor:
        logits = self.discriminator(inputs)
        return logits[:, :-1][:, self.is_trained].logsumexp(dim=1) - logits[:, -1]

    def _domain_loss(self, inputs: Tensor, step: Step) -> Tensor:
        domain = step.domain[step.source]
        # An output whose domain was never seen must not take part in the softmax.
        unseen = F.pad(~self.is_trained.index_fill(0, domain, True), (0, 1))
        logits = self.discriminator(inputs).masked_fill(unseen, -torch.inf)
        n_source = len(domain)
        domain = torch.cat([domain, domain.new_full((len(inputs) - n_source,), len(self.is_trained))])
        losses = functional.class_balance_weights(domain) * F.cross_entropy(logits, domain, reduction="none")
        return torch.cat([losses[:n_source] * self.importance(step), losses[n_source:]]).mean()
