"""M3SDA: moment matching over several sources."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["M3SDA"]


class M3SDA(Objective):
    """Moment matching: the feature moments of every source, and of the target, come closer to one another.

    Parameters
    ----------
    n_moments : int, default=2
        Moments 1 to `n_moments` are compared; 2 is the paper's.
    trade_off : float, default=0.01
        Weight of the loss. The k-th moment grows like the k-th power of the features, and distances like the square
        root of the width of the embedding: for 256 features of unit variance, even batches of 64 rows of one domain
        are about 7 apart. Embeddings of another scale want another weight.

    See Also
    --------
    skada_active.deep.functional.moment_matching_loss : The loss as a function.
    DANN : Adversarial alignment, with one discriminator per source.
    skada_active.query.GALA : A query for several sources.

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

    reads_source: ClassVar[bool] = True
    needs_source = True
    loss_name: ClassVar[str | None] = "moment_loss"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "n_moments": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, n_moments: int = 2, trade_off: float = 0.01) -> None:
        super().__init__(trade_off)
        self.n_moments = n_moments

    def loss(self, step: Step) -> Tensor:
        """Return the distance between the feature moments of all domains in the batch."""
        sources, targets = (_by_domain(step, block) for block in (step.source, step.target))
        return functional.moment_matching_loss(sources, targets, n_moments=self.n_moments)


def _by_domain(step: Step, block: slice) -> list[Tensor]:
    features, domain = step.features[block], step.domain[block]
    return [features[domain == position] for position in domain.unique()]
