"""TQS: transferable queries by a committee of heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import DANN
from skada_active.query import TQS
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import ADADELTA, RecipeLoop, SupervisedKnobs

__all__ = ["TQSLoop", "tqs"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class TQSLoop(SupervisedKnobs, RecipeLoop):
    """TQS: queries by five heads, their margin, and a discriminator that the network is not trained against.

    Parameters
    ----------
    n_heads : int, default=5
        Number of heads whose disagreement is asked about, at least 2, see `AdaptationClassifier`.
    domainness : {"linear", "gaussian"} or None, default="linear"
        How distance from the source enters, see `TQS`; ``None``: not at all, as in the published code, in which the
        term is switched off.
    window : float or "auto", default=None
        Share of the pool, highest scores first, that is drawn from at random, see `TQS`.
    labeled_loss : {"s+t", "joint"}, default="joint"
        How source and labelled target rows are averaged; the paper pools them.

    Notes
    -----
    ``preset="paper"`` of `tqs` is the training of its published code, which SDM's took over: see `SDMLoop`.

    References
    ----------
    .. [1] Fu et al., "Transferable Query Selection for Active Domain Adaptation", CVPR 2021.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.TQSLoop().estimator.objective
    DANN(max_reversal=0.0)
    """

    n_heads: int | None = 5
    domainness: str | None = "linear"
    window: float | str | None = None
    labeled_loss: str = "joint"

    FUNCTION: ClassVar[str] = "tqs"
    PAPER: ClassVar[dict[str, Any]] = {**ADADELTA, "batch_size": 32}

    def _training(self) -> dict[str, Any]:
        # Without reversal the discriminator learns from the embedding, and the embedding nothing from it.
        return {"objective": None if self.domainness is None else DANN(max_reversal=0.0)}

    @property
    def strategy(self) -> TQS:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return TQS(domainness=self.domainness, window=self.window)


tqs = function_of(TQSLoop)
