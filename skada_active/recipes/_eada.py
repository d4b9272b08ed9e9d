"""EADA: energies in the query and in the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import FreeEnergyAlignment
from skada_active.query import EADA
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import ADADELTA, RecipeLoop, SupervisedKnobs

__all__ = ["EADALoop", "eada"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class EADALoop(SupervisedKnobs, RecipeLoop):
    """EADA: queries by energies, and target rows whose free energy is aligned with that of the source.

    Parameters
    ----------
    trade_off : float, default=0.01
        Weight of the alignment, see `FreeEnergyAlignment`; the paper has 0.0005 for VisDA-2017.
    first_stage : float, default=0.5
        Share of the initial pool, highest free energy first, that the margin of energies chooses from.
    beta : float, default=1.0
        Inverse temperature of the free energy, in training and in the query.

    Notes
    -----
    ``preset="paper"`` of `eada` has ``labeled_loss="s+t"``, which is the default, and the training of LADA's tables.

    References
    ----------
    .. [1] Xie et al., "Active Learning for Domain Adaptation: An Energy-Based Approach", AAAI 2022.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.EADALoop(first_stage=0.2).strategy
    EADA(first_stage=0.2)
    """

    trade_off: float = 0.01
    first_stage: float = 0.5
    beta: float = 1.0

    FUNCTION: ClassVar[str] = "eada"
    PAPER: ClassVar[dict[str, Any]] = {**ADADELTA, "batch_size": 32}

    def _training(self) -> dict[str, Any]:
        return {"objective": FreeEnergyAlignment(trade_off=self.trade_off, beta=self.beta)}

    @property
    def strategy(self) -> EADA:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return EADA(first_stage=self.first_stage, beta=self.beta)


eada = function_of(EADALoop)
