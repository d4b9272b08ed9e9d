"""AFN and BSP: losses on the size of the features."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["AFN", "BSP"]


class AFN(Objective):
    """Adaptive feature norm: the features of source and target rows grow longer, step by step.

    Parameters
    ----------
    delta : float, default=1.0
        Step by which the norms are to grow.
    trade_off : float, default=0.05
        Weight of the loss.

    See Also
    --------
    skada_active.deep.functional.adaptive_feature_norm : The loss of a domain as a function.

    Notes
    -----
    A step without source rows lengthens the target rows alone. The loss itself stays at ``delta`` squared per domain;
    its gradient lengthens the rows. With ``head="cosine"``, which reads directions alone, it changes little.

    References
    ----------
    .. [1] Xu et al., "Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised Domain
       Adaptation", ICCV 2019.

    Examples
    --------
    >>> from skada_active.deep import AFN, AdaptationClassifier
    >>> AdaptationClassifier(AFN(delta=0.5)).objective
    AFN(delta=0.5)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "delta": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, delta: float = 1.0, trade_off: float = 0.05) -> None:
        super().__init__(trade_off)
        self.delta = delta

    def loss(self, step: Step) -> Tensor:
        """Return the losses of the target rows and, where there are any, of the source rows."""
        loss = functional.adaptive_feature_norm(step.features[step.target], self.delta)
        if step.n_source:
            loss = loss + functional.adaptive_feature_norm(step.features[step.source], self.delta)
        return loss


class BSP(Objective):
    """Batch spectral penalty: no few directions dominate the features; used beside an adversarial loss.

    Parameters
    ----------
    k : int, default=1
        How many of the largest singular values of each domain are penalised.
    trade_off : float, default=2e-4
        Weight of the loss, which grows with the batch.

    See Also
    --------
    skada_active.deep.functional.batch_spectral_penalty : The loss as a function.

    Notes
    -----
    The paper adds it to DANN and CDAN: ``DANN() + BSP()``. O(n D min(n, D)) time a step.

    References
    ----------
    .. [1] Chen et al., "Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain
       Adaptation", ICML 2019.

    Examples
    --------
    >>> from skada_active.deep import BSP, DANN, AdaptationClassifier
    >>> AdaptationClassifier(DANN() + BSP(k=2)).objective.objectives[1][1]
    BSP(k=2)
    """

    reads_source: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "k": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, k: int = 1, trade_off: float = 2e-4) -> None:
        super().__init__(trade_off)
        self.k = k

    def loss(self, step: Step) -> Tensor:
        """Return the sum of the squares of the largest singular values of both domains, as many as there are."""
        source, target = step.features[step.source], step.features[step.target]
        try:
            return functional.batch_spectral_penalty(source, target, min(self.k, *source.shape, *target.shape))
        except torch.linalg.LinAlgError:
            # Features that are not finite have no singular values; training says so by a loss that is not, either.
            return step.features.sum() * torch.nan
