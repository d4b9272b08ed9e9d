"""CORAL: correlation alignment."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step

__all__ = ["CORAL"]


class CORAL(Objective):
    """Correlation alignment: the covariances of the features of source and target come closer to one another.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the loss; it is small for wide embeddings, and wants more there.

    See Also
    --------
    skada_active.deep.functional.coral_loss : The loss as a function.
    M3SDA : Moments of each feature by itself, means included.
    DAN : All moments, by kernels.

    Notes
    -----
    Where the means of the domains lie does not matter to it. A batch with fewer than two rows of a domain has no
    covariance and counts zero. O(n D^2) time a step.

    References
    ----------
    .. [1] Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV 2016 workshops.

    Examples
    --------
    >>> from skada_active.deep import CORAL, AdaptationClassifier
    >>> AdaptationClassifier(CORAL(trade_off=10.0)).objective
    CORAL(trade_off=10.0)
    """

    reads_source: ClassVar[bool] = True

    def loss(self, step: Step) -> Tensor:
        """Return the distance of the two covariances."""
        if min(step.n_source, step.n_target) < 2:
            return step.features.new_zeros(())
        return functional.coral_loss(step.features[step.source], step.features[step.target])
