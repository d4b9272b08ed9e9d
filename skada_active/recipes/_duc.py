"""DUC: a Dirichlet distribution over class probabilities in the query and in the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import EvidentialLoss
from skada_active.query import DUC
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import ADADELTA, RecipeLoop, SupervisedKnobs

__all__ = ["DUCLoop", "duc"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class DUCLoop(SupervisedKnobs, RecipeLoop):
    """DUC: queries by the uncertainties of a Dirichlet distribution, and evidential training that lowers them.

    Parameters
    ----------
    kl_weight : float, default=1.0
        Weight of the evidence for wrong classes, see `EvidentialLoss`.
    distributional_weight : float, default=1.0
        Weight of the distributional uncertainty of target rows; the paper's beta.
    data_weight : float, default=0.05
        Weight of their data uncertainty; the paper's lambda.
    first_stage : float, default=10
        How many rows, highest distributional uncertainty first, data uncertainty chooses from for each that is bought;
        the paper's kappa.

    Notes
    -----
    ``preset="paper"`` of `duc` has ``labeled_loss="s+t"``, which is the default, and the training of `eada`: that of
    the paper is not known here.

    References
    ----------
    .. [1] Xie et al., "Dirichlet-based Uncertainty Calibration for Active Domain Adaptation", ICLR 2023.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.DUCLoop(first_stage=5).strategy
    DUC(first_stage=5)
    """

    kl_weight: float = 1.0
    distributional_weight: float = 1.0
    data_weight: float = 0.05
    first_stage: float = 10

    FUNCTION: ClassVar[str] = "duc"
    PAPER: ClassVar[dict[str, Any]] = {**ADADELTA, "batch_size": 32}

    def _training(self) -> dict[str, Any]:
        weights = {name: getattr(self, name) for name in ("kl_weight", "distributional_weight", "data_weight")}
        return {"objective": EvidentialLoss(**weights)}

    @property
    def strategy(self) -> DUC:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return DUC(first_stage=self.first_stage)


duc = function_of(DUCLoop)
