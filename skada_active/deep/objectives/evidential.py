"""DUC's evidential losses: a Dirichlet distribution over class probabilities, and its two uncertainties."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from torch import Tensor

from skada_active.deep import functional
from skada_active.deep.objectives._base import Objective
from skada_active.deep.step import Step
from skada_active.utils._sklearn import Interval

__all__ = ["EvidentialLoss"]


class EvidentialLoss(Objective):
    r"""Evidential loss (DUC): no evidence for wrong classes on labelled rows, and less uncertainty on target rows.

    The exponentials :math:`\alpha = e^z` of the logits are read as the evidence of a Dirichlet distribution over class
    probabilities. The labelled cross-entropy, which belongs to the classifier, is its negative log-likelihood. This
    adds that logits of wrong classes stay at 0, and that target rows become less uncertain, by their distribution
    (the target is unlike what was learned) and by their data (classes overlap).

    Parameters
    ----------
    kl_weight : float, default=1.0
        Weight of the divergence from no evidence for wrong classes, of source and labelled target rows, averaged like
        the labelled cross-entropy.
    distributional_weight : float, default=1.0
        Weight of the mean distributional uncertainty of the target rows; the paper's beta.
    data_weight : float, default=0.05
        Weight of their mean data uncertainty; the paper's lambda.
    trade_off : float, default=1.0
        Weight of the whole.

    See Also
    --------
    skada_active.deep.functional.evidential_divergence : The divergence as a function.
    skada_active.deep.functional.dirichlet_uncertainties : The uncertainties as a function.
    skada_active.query.DUC : The query of the method, by the same uncertainties.

    Notes
    -----
    Steps without target rows, as in training on source rows alone, have the cross-entropy only. The uncertainties are
    logged as ``distributional_uncertainty`` and ``data_uncertainty``. The defaults of the weights are those of the
    published configuration.

    References
    ----------
    .. [1] Xie et al., "Dirichlet-based Uncertainty Calibration for Active Domain Adaptation", ICLR 2023.

    Examples
    --------
    >>> from skada_active.deep import AdaptationClassifier, EvidentialLoss
    >>> AdaptationClassifier(EvidentialLoss(data_weight=0.1)).objective
    EvidentialLoss(data_weight=0.1)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Objective._parameter_constraints,
        "kl_weight": [Interval(Real, 0, None, closed="left")],
        "distributional_weight": [Interval(Real, 0, None, closed="left")],
        "data_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        kl_weight: float = 1.0,
        distributional_weight: float = 1.0,
        data_weight: float = 0.05,
        trade_off: float = 1.0,
    ) -> None:
        super().__init__(trade_off)
        self.kl_weight = kl_weight
        self.distributional_weight = distributional_weight
        self.data_weight = data_weight

    def loss(self, step: Step) -> Tensor:
        """Return the divergence of the labelled rows plus the uncertainties of the target rows, weighted."""
        divergence = step.labeled_mean(functional.evidential_divergence(step.labeled_logits, step.known_labels))
        of_rows = functional.dirichlet_uncertainties(step.logits[step.target])
        distributional, data = (uncertainty.mean() for uncertainty in of_rows)
        step.log("distributional_uncertainty", distributional)
        step.log("data_uncertainty", data)
        return self.kl_weight * divergence + self.distributional_weight * distributional + self.data_weight * data
