"""What objectives with domain discriminators share."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from skada_active.deep.objectives._base import Objective, TargetTerm
from skada_active.deep.objectives._discriminator import check_hidden
from skada_active.deep.schedules import reversal_coefficient
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["AdversarialObjective", "AdversarialTerm", "SourceLogit"]


class AdversarialObjective(Objective):
    """Hold the parameters that every objective with domain discriminators has."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "trade_off": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions({"dann", "tll", "constant"})],
        "max_reversal": [Interval(Real, 0, None, closed="left")],
        "hidden": ["array-like"],
    }

    def _validate_params(self) -> None:
        super()._validate_params()
        check_hidden(self.hidden)


class AdversarialTerm(TargetTerm):
    """Compute a loss that domain discriminators minimise and features raise.

    Parameters
    ----------
    config : AdversarialObjective
        The parameters.
    n_flags : tuple of int, default=()
        Shape of `is_trained`, the record of what was trained.
    """

    def __init__(self, config: Any, n_flags: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("is_trained", torch.zeros(n_flags, dtype=torch.bool))

    def reversal(self, step: Step) -> float:
        """Return the coefficient of the gradient reversal of a step."""
        return self.config.max_reversal * reversal_coefficient(self.config.schedule, step.progress, step.iteration)


class SourceLogit:
    """Give an `AdversarialTerm` the logit of P(source), by its method ``_logit``."""

    def source_logit(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the logit of P(source) of rows, shape (n,); refused before the discriminator was trained.

        Parameters
        ----------
        features : Tensor of shape (n, D)
            Embedding.
        logits : Tensor of shape (n, C)
            Logits of the classifier.
        """
        if not self.is_trained.any():
            raise ValueError(
                "The domain discriminator is untrained: no training step saw source and target rows together, or "
                "trade_off=0. Fit with rows of both (sample_domain >= 0 and < 0) and trade_off > 0."
            )
        return self._logit(self.discriminator_input(features, logits))

    def discriminator_input(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return what the discriminator reads, one row per row."""
        return features
