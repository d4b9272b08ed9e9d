"""ADDA: adversarial discriminative domain adaptation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep.objectives._adversarial import AdversarialObjective, DomainTerm, make_discriminator
from skada_active.deep.objectives._base import Objective
from skada_active.deep.objectives._own_classifiers import loss_of_inputs
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["ADDA"]


class ADDA(AdversarialObjective):
    """Adversarial discriminative domain adaptation: a target encoder that misleads a discriminator, after pretraining.

    First the network learns the labelled rows alone. Then a frozen copy of it embeds the source rows, the network
    becomes the target encoder, and a discriminator tells its embedding of target rows from the copy's of source rows.
    The encoder learns to have its target rows taken for source rows (inverted labels in place of a gradient reversal).

    Parameters
    ----------
    pretrain : float, default=0.5
        Share of training that comes first, in [0, 1]. It counts in the first call of training that gets there; whatever
        follows (`partial_fit`, later rounds) goes on with the second stage.
    encoder_weight : float, default=0.01
        Weight of the encoder's loss beside that of the discriminator: nothing else holds the encoder in the second
        stage, so that it has to go slowly.
    trade_off : float, default=1.0
        Weight of both losses.
    hidden : sequence of int, default=(256,)
        Widths of the hidden layers of the discriminator.
    discriminator_input : {"features", "proba"}, default="features"
        What the domains are told apart by: the embedding, as in the paper, or the class probabilities of the head.

    See Also
    --------
    DANN : One encoder for both domains, and a gradient reversal.

    Notes
    -----
    Our reading, with one network: the source encoder is the frozen copy, in evaluation mode. In the second stage the
    source rows leave the labelled losses, those of other objectives too; labelled target rows keep theirs, and they
    alone train the head, which gets no gradient without them, as in the paper. The two losses come from one forward
    pass and are one step of the optimiser, where the paper takes turns. Adaptive optimisers such as Adam enlarge the
    encoder's small gradients in the long run; on embeddings that a pretrained network made beforehand, SGD or
    ``discriminator_input="proba"`` keeps classes from being mixed up.

    Supplies ``source_logit`` (the logit of P(source) of what the target encoder makes of rows) to query strategies and
    `AdaptationClassifier.domain_logit`, once the second stage has begun.

    References
    ----------
    .. [1] Tzeng et al., "Adversarial Discriminative Domain Adaptation", CVPR 2017, Eq. 9.

    Examples
    --------
    >>> from skada_active.deep import ADDA, AdaptationClassifier
    >>> AdaptationClassifier(ADDA(pretrain=0.7)).objective
    ADDA(pretrain=0.7)
    """

    supplies = frozenset({"source_logit"})
    loss_name: ClassVar[str | None] = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "pretrain": [Interval(Real, 0, 1, closed="both")],
        "encoder_weight": [Interval(Real, 0, None, closed="left")],
        "hidden": ["array-like"],
        "discriminator_input": [StrOptions({"features", "proba"})],
    }

    def __init__(
        self,
        pretrain: float = 0.5,
        encoder_weight: float = 0.01,
        trade_off: float = 1.0,
        hidden: Sequence[int] = (256,),
        discriminator_input: str = "features",
    ) -> None:
        super().__init__(trade_off)
        self.pretrain = pretrain
        self.encoder_weight = encoder_weight
        self.hidden = hidden
        self.discriminator_input = discriminator_input

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the losses with its discriminator; it takes its copy of the network when attached."""
        return _ADDA(self, n_features if self.discriminator_input == "features" else n_classes)


class _ADDA(DomainTerm):
    # `is_trained` says that the second stage has begun.
    def __init__(self, config: ADDA, n_inputs: int) -> None:
        super().__init__(config)
        self.discriminator = make_discriminator(n_inputs, config.hidden, 1)
        self.source_network = nn.Module()

    def attach(self, network: nn.Module) -> None:
        self.source_network = copy.deepcopy(network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> _ADDA:
        super().train(mode)
        self.source_network.eval()  # its batch statistics are frozen, too
        return self

    def prepare(self, step: Step) -> None:
        if not self.is_trained and step.progress >= self.config.pretrain:
            _copy_weights(step.forward, self.source_network)
            self.mark_trained(step)
        if self.is_trained:
            step.weigh_source(step.features.new_zeros(step.n_source))

    def loss(self, step: Step) -> Tensor:
        if not self.is_trained:
            return step.logits.new_zeros(())
        with torch.no_grad():
            logits, features = self.source_network(step.inputs[step.source])
        source = self.discriminator_input(features, logits)
        features = step.features[step.target]
        target = self.discriminator_input(features, step.logits[step.target])
        # The same without a way back to the encoder; see `loss_of_inputs`.
        constant = self.discriminator_input(features.detach(), step.head(features.detach()))
        logit = self.logit_of(torch.cat([source, constant.detach()]))
        loss = functional.domain_adversarial_loss(*logit.tensor_split([len(source)]))
        of_encoder = loss_of_inputs(_taken_for_source, self.logit_of(target), self.logit_of(constant))
        step.log("domain_loss", loss)
        step.log("encoder_loss", of_encoder)
        return loss + self.config.encoder_weight * of_encoder

    def discriminator_input(self, features: Tensor, logits: Tensor) -> Tensor:
        return features if self.config.discriminator_input == "features" else logits.softmax(dim=1)

    def logit_of(self, inputs: Tensor) -> Tensor:
        return self.discriminator(inputs)[:, 0]


def _taken_for_source(logit: Tensor) -> Tensor:
    return F.softplus(-logit).mean()


def _copy_weights(network: Any, twin: nn.Module) -> None:
    # In order, not by name: a compiled network has other names.
    theirs, mine = (chain(one.parameters(), one.buffers()) for one in (network, twin))
    with torch.no_grad():
        for value, own in zip(theirs, mine, strict=True):
            own.copy_(value)
