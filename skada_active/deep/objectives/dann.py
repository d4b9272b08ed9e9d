"""DANN: domain-adversarial training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective, TargetTerm
from skada_active.deep.schedules import reversal_coefficient
from skada_active.deep.step import Step

__all__ = ["DANN"]


class DANN(Objective):
    """Train a domain discriminator on the embedding, and the embedding against it.

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

    Notes
    -----
    Supplies ``source_logit`` (the logit of P(source)) to query strategies and `AdaptationClassifier.domain_logit`.

    References
    ----------
    .. [1] Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016.

    Examples
    --------
    >>> from skada_active.deep import DANN, AdaptationClassifier
    >>> AdaptationClassifier(DANN(schedule="constant")).objective
    DANN(schedule='constant')
    """

    supplies: ClassVar[frozenset[str]] = frozenset({"source_logit"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "trade_off": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions({"dann", "tll", "constant"})],
        "max_reversal": [Interval(Real, 0, None, closed="left")],
        "hidden": ["array-like"],
    }

    def __init__(
        self,
        trade_off: float = 1.0,
        schedule: str = "dann",
        max_reversal: float = 1.0,
        hidden: Sequence[int] = (256,),
    ) -> None:
        self.trade_off = trade_off
        self.schedule = schedule
        self.max_reversal = max_reversal
        self.hidden = hidden

    def _validate_params(self) -> None:
        super()._validate_params()
        if not all(isinstance(width, Integral) and width >= 1 for width in self.hidden):
            raise ValueError(f"hidden must hold integers >= 1, the widths of the layers, got {self.hidden!r}.")

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss with its discriminator."""
        # A copy: what set_params changes later counts from the next network, as for every other objective.
        return _DANN(clone(self), n_features)


class _DANN(TargetTerm):
    def __init__(self, config: DANN, n_features: int) -> None:
        super().__init__()
        self.config = config
        widths = [n_features, *config.hidden]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
        self.discriminator = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.register_buffer("is_trained", torch.zeros((), dtype=torch.bool))

    def source_logit(self, features: Tensor) -> Tensor:
        """Return the logit of P(source) of embedded rows, shape (n,); refused before the discriminator was trained."""
        if not self.is_trained:
            raise ValueError(
                "The domain discriminator is untrained: no training step saw source and target rows together, or "
                "trade_off=0. Fit with rows of both (sample_domain >= 0 and < 0) and trade_off > 0."
            )
        return self._logit(features)

    def _logit(self, features: Tensor) -> Tensor:
        return self.discriminator(features)[:, 0]

    def loss(self, step: Step) -> Tensor:
        if step.source.stop == 0:
            return step.logits.new_zeros(())  # one domain alone cannot be told from another
        coefficient = reversal_coefficient(self.config.schedule, step.progress, step.iteration)
        features = functional.gradient_reversal(step.features, self.config.max_reversal * coefficient)
        logit = self._logit(features)
        if self.config.trade_off:
            self.is_trained.fill_(True)
        loss = functional.domain_adversarial_loss(logit[step.source], logit[step.target])
        step.log("domain_loss", loss)
        return self.config.trade_off * loss
