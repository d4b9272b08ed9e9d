"""EADA's free energy alignment."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective, ObjectiveTerm
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval, StrOptions

__all__ = ["FreeEnergyAlignment"]


class FreeEnergyAlignment(Objective):
    r"""Free energy alignment (EADA): target rows whose free energy exceeds that of the source rows come down to it.

    Parameters
    ----------
    trade_off : float, default=0.01
        Weight of the loss; the published code has .0005 for VisDA.
    beta : float, default=1.0
        Inverse temperature of the free energy :math:`-\frac{1}{\beta} \ln \sum_c e^{\beta z_c}` of logits z.
    momentum : float in [0, 1) or "random", default=0.9
        Weight of the past in the bound, the moving average of the mean free energy of source rows, per step.
        ``"random"``: drawn from U(0, 1) at every step, as in the published code.

    See Also
    --------
    skada_active.deep.functional.free_energy_alignment_loss : The loss as a function.

    Notes
    -----
    The bound begins with the source rows of the first step, lies in a buffer, and goes on with the network. Steps
    without source rows neither move it nor count. The labelled loss is the cross-entropy, which is the negative
    log-likelihood of the energy model for ``beta=1``.

    References
    ----------
    .. [1] Xie et al., "Active Learning for Domain Adaptation: An Energy-Based Approach", AAAI 2022, Eq. 5 and 6.

    Examples
    --------
    >>> from skada_active.deep import AdaptationClassifier, FreeEnergyAlignment
    >>> AdaptationClassifier(FreeEnergyAlignment(momentum="random")).objective
    FreeEnergyAlignment(momentum='random')
    """

    reads_source: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left"), StrOptions({"random"})],
    }

    def __init__(self, trade_off: float = 0.01, beta: float = 1.0, momentum: float | str = 0.9) -> None:
        super().__init__(trade_off)
        self.beta = beta
        self.momentum = momentum

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss, which holds the bound."""
        return _FreeEnergyAlignment(self)


class _FreeEnergyAlignment(ObjectiveTerm):
    bound: Tensor

    def __init__(self, config: FreeEnergyAlignment) -> None:
        super().__init__(config)
        self.register_buffer("bound", torch.tensor(torch.inf))  # nothing exceeds it, before there is one

    def loss(self, step: Step) -> Tensor:
        self._follow(step.logits[step.source].detach())
        step.log("free_energy_bound", self.bound.clone())
        return functional.free_energy_alignment_loss(step.logits[step.target], self.bound, self.config.beta)

    def _follow(self, logits: Tensor) -> None:
        beta, momentum = self.config.beta, self.config.momentum
        now = -(beta * logits).logsumexp(dim=1).mean() / beta
        if momentum == "random":
            momentum = float(torch.rand(()))
        # The first bound is taken as it is; no branch, which an accelerator would wait for.
        self.bound = torch.where(self.bound.isinf(), now, momentum * self.bound + (1 - momentum) * now)
