"""M3SDA: moment matching over several sources."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from torch import Tensor, nn

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective, TargetTerm
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["M3SDA"]


class M3SDA(Objective):
    """Bring the feature moments of every source, and of the target, closer to one another.

    Parameters
    ----------
    n_moments : int, default=2
        Moments 1 to `n_moments` are compared; 2 is the paper's.
    trade_off : float, default=0.01
        Weight of the loss. The k-th moment grows like the k-th power of the features, and distances like the square
        root of the width of the embedding: for 256 features of unit variance, even batches of 64 rows of one domain
        are about 7 apart. Embeddings of another scale want another weight.

    Notes
    -----
    It is made for several sources. With a single one there is no term between sources: the distance between source and
    target is left, which is valid. A source that a batch lacks is left out. Several targets are compared with every
    source, not with one another. M3SDA-beta's pairs of classifiers are not part of it.

    References
    ----------
    .. [1] Peng et al., "Moment Matching for Multi-Source Domain Adaptation", ICCV 2019, section 3.

    Examples
    --------
    >>> from skada_active.deep import M3SDA, AdaptationClassifier
    >>> AdaptationClassifier(M3SDA(n_moments=3)).objective
    M3SDA(n_moments=3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_moments": [Interval(Integral, 1, None, closed="left")],
        "trade_off": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, n_moments: int = 2, trade_off: float = 0.01) -> None:
        self.n_moments = n_moments
        self.trade_off = trade_off

    def build(self, n_features: int, n_classes: int, n_domains: int) -> nn.Module:
        """Return the module of the loss; it has no parameters."""
        return _M3SDA(self.n_moments, self.trade_off)


class _M3SDA(TargetTerm):
    def __init__(self, n_moments: int, trade_off: float) -> None:
        super().__init__()
        self.n_moments, self.trade_off = n_moments, trade_off

    def loss(self, step: Step) -> Tensor:
        if step.source.stop == 0:
            return step.logits.new_zeros(())
        sources, targets = (_by_domain(step, block) for block in (step.source, step.target))
        loss = functional.moment_matching_loss(sources, targets, n_moments=self.n_moments)
        step.log("moment_loss", loss)
        return self.trade_off * loss


def _by_domain(step: Step, block: slice) -> list[Tensor]:
    features, domain = step.features[block], step.domain[block]
    return [features[domain == position] for position in domain.unique()]
