"""CLUE: clusters weighted by uncertainty, on minimax entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import MME
from skada_active.query import CLUE
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import RecipeLoop, SupervisedKnobs

__all__ = ["CLUELoop", "clue"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class CLUELoop(SupervisedKnobs, RecipeLoop):
    """CLUE: clusters weighted by uncertainty, and minimax entropy on a cosine head.

    Parameters
    ----------
    temperature : float, default=0.1
        Temperature of the softmax whose entropy is the weight, see `CLUE`; the published code has 0.1 for DomainNet
        and 1 for digits.
    trade_off : float, default=0.1
        Weight of the minimax entropy, see `MME`.
    head : {"linear", "cosine"}, default="cosine"
        Final classifier.

    Notes
    -----
    ``preset="paper"`` of `clue` has ``source_weight=0.1``, as the published code: after the first round the source rows
    count a tenth of the labelled target rows. Its optimiser is Adam, as in the default.

    References
    ----------
    .. [1] Prabhu et al., "Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings", ICCV 2021.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.CLUELoop(temperature=1.0).strategy
    CLUE(temperature=1.0)
    """

    temperature: float = 0.1
    trade_off: float = 0.1
    head: str = "cosine"

    FUNCTION: ClassVar[str] = "clue"
    PAPER: ClassVar[dict[str, Any]] = {"source_weight": 0.1}

    def _training(self) -> dict[str, Any]:
        return {"objective": MME(trade_off=self.trade_off)}

    @property
    def strategy(self) -> CLUE:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return CLUE(temperature=self.temperature)


clue = function_of(CLUELoop)
