"""DAN and JAN: maximum mean discrepancies under Gaussian kernels of many widths."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.functional._discrepancy import KERNEL_SCALES
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["DAN", "JAN"]


class DAN(Objective):
    """Deep adaptation network: the maximum mean discrepancy of the features of source and target, many kernels.

    Parameters
    ----------
    kernel_scales : sequence of float, default=(1/8, 1/4, 1/2, 1, 2)
        Bandwidths of the Gaussian kernels, as multiples of the mean squared distance of the rows of a batch.
    trade_off : float, default=1.0
        Weight of the loss.

    See Also
    --------
    skada_active.deep.functional.multi_kernel_mmd : The loss as a function.
    JAN : Features and class probabilities together.

    Notes
    -----
    The paper compares several layers of an image network; here it is the embedding, which all networks have. A batch
    with fewer than two rows of a domain counts zero. O(n^2 D) time, O(n^2) memory a step.

    References
    ----------
    .. [1] Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015.

    Examples
    --------
    >>> from skada_active.deep import DAN, AdaptationClassifier
    >>> AdaptationClassifier(DAN(kernel_scales=(0.5, 1.0))).objective
    DAN(kernel_scales=(0.5, 1.0))
    """

    reads_source: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "kernel_scales": ["array-like"],
    }

    def __init__(self, kernel_scales: Sequence[float] = KERNEL_SCALES, trade_off: float = 1.0) -> None:
        super().__init__(trade_off)
        self.kernel_scales = kernel_scales

    def loss(self, step: Step) -> Tensor:
        """Return the discrepancy of the features."""
        if min(step.n_source, step.n_target) < 2:
            return step.features.new_zeros(())
        source, target = step.features[step.source], step.features[step.target]
        return functional.multi_kernel_mmd(source, target, kernel_scales=self.kernel_scales)


class JAN(Objective):
    """Joint adaptation network: the maximum mean discrepancy of features and class probabilities together.

    Parameters
    ----------
    kernel_scales : sequence of float, default=(1/8, 1/4, 1/2, 1, 2)
        Bandwidths of the kernels of the features, as in `DAN`.
    proba_bandwidth : float, default=0.92
        Bandwidth of the one kernel of the class probabilities.
    trade_off : float, default=1.0
        Weight of the loss.

    See Also
    --------
    skada_active.deep.functional.joint_mmd : The loss as a function.
    DAN : The features alone.

    Notes
    -----
    The gradient reaches the classifier, too. A batch with fewer than two rows of a domain counts zero.
    O(n^2 (D + C)) time, O(n^2) memory a step.

    References
    ----------
    .. [1] Long et al., "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017.

    Examples
    --------
    >>> from skada_active.deep import JAN, AdaptationClassifier
    >>> AdaptationClassifier(JAN(proba_bandwidth=0.5)).objective
    JAN(proba_bandwidth=0.5)
    """

    reads_source: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "kernel_scales": ["array-like"],
        "proba_bandwidth": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self, kernel_scales: Sequence[float] = KERNEL_SCALES, proba_bandwidth: float = 0.92, trade_off: float = 1.0
    ) -> None:
        super().__init__(trade_off)
        self.kernel_scales = kernel_scales
        self.proba_bandwidth = proba_bandwidth

    def loss(self, step: Step) -> Tensor:
        """Return the joint discrepancy of features and class probabilities."""
        if min(step.n_source, step.n_target) < 2:
            return step.features.new_zeros(())
        layers = step.features, step.logits.softmax(dim=1)
        return functional.joint_mmd(
            [layer[step.source] for layer in layers],
            [layer[step.target] for layer in layers],
            kernel_scales=self.kernel_scales,
            proba_bandwidth=self.proba_bandwidth,
        )
