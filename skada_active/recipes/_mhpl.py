"""MHPL: one purchase of rows between the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import InformationMaximization
from skada_active.query import MHPL
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import ADADELTA, RecipeLoop, SupervisedKnobs

__all__ = ["MHPLLoop", "mhpl"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class MHPLLoop(SupervisedKnobs, RecipeLoop):
    """MHPL: one purchase of rows whose near neighbours are predicted in many ways, and information maximisation.

    The paper is about the target alone, after the source. Here the source rows stay, and information maximisation is
    the unsupervised part of its training; its loss that weighs the neighbours of bought rows is left out (our reading).

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbours, see `MHPL`.
    trade_off : float, default=1.0
        Weight of the information maximisation, see `InformationMaximization`.

    Notes
    -----
    ``preset="paper"`` of `mhpl` is the training of LADA's tables, in which the method stands with five rounds: see
    `LADA`. Without it the budget is spent at once, as in its own paper, and 18 epochs follow.

    References
    ----------
    .. [1] Wang et al., "MHPL: Minimum Happy Points Learning for Active Source Free Domain Adaptation", CVPR 2023.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.MHPLLoop(n_neighbors=5).strategy
    MHPL(n_neighbors=5)
    """

    n_neighbors: int = 10
    trade_off: float = 1.0
    n_rounds: int = 1
    round_epochs: Any = 18

    FUNCTION: ClassVar[str] = "mhpl"
    PAPER: ClassVar[dict[str, Any]] = {**ADADELTA, "batch_size": 32, "n_rounds": 5}

    def _training(self) -> dict[str, Any]:
        return {"objective": InformationMaximization(trade_off=self.trade_off)}

    @property
    def strategy(self) -> MHPL:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return MHPL(n_neighbors=self.n_neighbors)


mhpl = function_of(MHPLLoop)
