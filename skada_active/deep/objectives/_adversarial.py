"""Parameters, modules and checks that the objectives with domain discriminators share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skada_active.deep.objectives._base import Objective, ObjectiveTerm
from skada_active.deep.schedules import reversal_coefficient
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["AdversarialObjective", "AdversarialTerm", "DomainTerm", "make_discriminator"]


class AdversarialObjective(Objective):
    """Objective that trains domain discriminators, and the features against them: base class."""

    reads_source: ClassVar[bool] = True  # one domain alone cannot be told from another
    compares_domains = True
    hidden: Sequence[int]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "schedule": [StrOptions({"dann", "tll", "constant"})],
        "max_reversal": [Interval(Real, 0, None, closed="left")],
        "hidden": ["array-like"],
    }

    def _validate_params(self) -> None:
        super()._validate_params()
        if not all(isinstance(width, Integral) and width >= 1 for width in self.hidden):
            raise ValueError(f"hidden must hold integers >= 1, the widths of the layers, got {self.hidden!r}.")


class AdversarialTerm(ObjectiveTerm):
    """Module of a loss that domain discriminators minimise and the features raise.

    Parameters
    ----------
    config : AdversarialObjective
        The objective.
    n_flags : tuple of int, default=()
        Shape of `is_trained`, the record of what was trained.
    """

    is_trained: Tensor

    def __init__(self, config: Any, n_flags: tuple[int, ...] = ()) -> None:
        super().__init__(config)
        self.register_buffer("is_trained", torch.zeros(n_flags, dtype=torch.bool))

    def reversal(self, step: Step) -> float:
        """Return the coefficient of the gradient reversal of a step."""
        return self.config.max_reversal * reversal_coefficient(self.config.schedule, step.progress, step.iteration)

    def mark_trained(self, step: Step) -> None:
        """Record that a step trains the discriminators, unless their loss has no weight."""
        if self.config.trade_off:
            self.is_trained.fill_(True)

    def check_trained(self, name: str = "domain discriminator") -> None:
        """Raise a ValueError if nothing was trained."""
        if not self.is_trained.any():
            raise ValueError(
                f"The {name} is untrained: no training step saw source and target rows together, or trade_off=0. Fit "
                "with rows of both (sample_domain >= 0 and < 0) and trade_off > 0."
            )


class DomainTerm(AdversarialTerm, ABC):
    """Module of a loss with a discriminator that tells source from target: it supplies ``source_logit``."""

    def source_logit(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the logit of P(source) of rows, shape (n,); refused before the discriminator was trained.

        Parameters
        ----------
        features : Tensor of shape (n, D)
            Embedding.
        logits : Tensor of shape (n, C)
            Logits of the classifier.
        """
        self.check_trained()
        return self.logit_of(self.discriminator_input(features, logits))

    @abstractmethod
    def logit_of(self, inputs: Tensor) -> Tensor:
        """Return the discriminator's logit of P(source) of its inputs, shape (n,)."""

    def discriminator_input(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return what the discriminator reads of each row."""
        return features


def make_discriminator(n_features: int, hidden: Sequence[int], n_outputs: int) -> nn.Sequential:
    """Return linear layers with a ReLU between any two of them."""
    widths = [n_features, *hidden]
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs))
