"""RTN: residual transfer network."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from skada_active.deep import functional
from skada_active.deep.functional._discrepancy import KERNEL_SCALES
from skada_active.deep.objectives._base import Objective
from skada_active.deep.objectives._own_classifiers import SourceTerm
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["RTN"]

#: Standard deviation of the second layer's initial weights: the source classifier begins near the target's.
_INITIAL_SCALE = 0.01


class RTN(Objective):
    """Residual transfer network: source and target classifier differ by a residual block, their features are aligned.

    The logits of source rows are z + r(z), z those of the target classifier and r two layers with a ReLU between them.
    The maximum mean discrepancy of the outer products of features and class probabilities aligns the domains, and the
    entropy of the target rows fits the target classifier to their structure.

    Parameters
    ----------
    entropy_weight : float, default=1.0
        Weight of the entropy beside the discrepancy.
    kernel_scales : sequence of float, default=(1/8, 1/4, 1/2, 1, 2)
        Bandwidths of the Gaussian kernels, as multiples of the mean squared distance of the rows of a batch.
    trade_off : float, default=0.3
        Weight of discrepancy and entropy, lambda and gamma of the paper; the source classifier's loss counts once.

    See Also
    --------
    skada_active.deep.functional.fused_mmd : The discrepancy as a function.
    JAN : The product of the kernels of features and class probabilities.

    Notes
    -----
    The target classifier is the head of the network: it predicts, and learns labelled target rows by itself. The source
    rows leave the labelled losses, those of other objectives too, and train it through the source classifier. The class
    probabilities in the discrepancy are those of the target classifier for both domains, our reading of the paper's
    classifier layer. A step with fewer than two rows of a domain has no discrepancy, one without target rows, or
    without source rows, is a plain one.

    References
    ----------
    .. [1] Long et al., "Unsupervised Domain Adaptation with Residual Transfer Networks", NeurIPS 2016.

    Examples
    --------
    >>> from skada_active.deep import RTN, AdaptationClassifier
    >>> AdaptationClassifier(RTN(entropy_weight=0.5)).objective
    RTN(entropy_weight=0.5)
    """

    reads_source: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "kernel_scales": ["array-like"],
    }

    def __init__(
        self, entropy_weight: float = 1.0, kernel_scales: Sequence[float] = KERNEL_SCALES, trade_off: float = 0.3
    ) -> None:
        super().__init__(trade_off)
        self.entropy_weight = entropy_weight
        self.kernel_scales = kernel_scales

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the losses with its residual block."""
        return _RTN(self, n_classes)


class _RTN(SourceTerm):
    def __init__(self, config: RTN, n_classes: int) -> None:
        super().__init__(config)
        last = nn.Linear(n_classes, n_classes)
        nn.init.normal_(last.weight, std=_INITIAL_SCALE)
        nn.init.zeros_(last.bias)
        self.residual = nn.Sequential(nn.Linear(n_classes, n_classes), nn.ReLU(), last)

    def losses(self, step: Step) -> tuple[Tensor, Tensor]:
        of_target_classifier = step.logits[step.source]
        logits = of_target_classifier + self.residual(of_target_classifier)
        labeled = self.source_mean(step, F.cross_entropy(logits, step.labels[step.source], reduction="none"))
        discrepancy = self._discrepancy(step)
        entropy = -functional.minimax_entropy_loss(step.logits[step.target])
        for name, value in {"source_loss": labeled, "discrepancy": discrepancy, "entropy": entropy}.items():
            step.log(f"rtn_{name}", value)
        return labeled, discrepancy + self.config.entropy_weight * entropy

    def _discrepancy(self, step: Step) -> Tensor:
        if min(step.n_source, step.n_target) < 2:
            return step.features.new_zeros(())
        layers = step.features, step.logits.softmax(dim=1)
        blocks = [layer[block] for layer in layers for block in (step.source, step.target)]
        return functional.fused_mmd(*blocks, kernel_scales=self.config.kernel_scales)
