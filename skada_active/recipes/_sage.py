"""SAGE: queries by the discriminator of a classifier that aligns classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import MME, TSF
from skada_active.query import SAGE
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import RecipeLoop

__all__ = ["SAGELoop", "sage"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class SAGELoop(RecipeLoop):
    """SAGE: stochastic adversarial gradients of a classifier trained with the transferability loss.

    Before the first round the classifier adapts without labels (the paper's UDA pre-training) for `max_epochs`. The
    paper evaluates on a half of the target that is never queried: see `skada_active.holdout_target`.


    Parameters
    ----------
    regularizer : {"s+t", "joint", "mme"}, default="s+t"
        How the labelled rows enter: the mean of each domain, one mean of all (S∪T), or S+T with minimax entropy
        (weight 0.1, cosine head of temperature 0.05).
    trade_off : float, default=1.0
        Weight lambda of the transferability loss.
    max_reversal : float, default=1.0
        Largest coefficient of the gradient reversal, see `TSF`.
    projection : {"pop"} or None, default="pop"
        Whether the mean gradient is projected out (positive orthogonal projection).
    diversity : {"farthest_first", "kmeans++"} or None, default="farthest_first"
        How the batch is spread out; ``None``: the longest gradients.

    Notes
    -----
    By default 20 epochs come before the first round, and 5 after each.

    The paper buys 10 rounds of 8 or 16 labels, of 16 or 128 for VisDA.

    ``preset="paper"`` of `sage` has ``budget=80`` in 10 rounds, the smallest that the paper buys, and
    ``optimizer="sgd"`` with ``lr=0.01``, the usual rate with it: the paper names the optimiser alone. It pre-trains for
    10,000 steps, which in epochs depends on the data: see `max_epochs`.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Table 1.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.SAGELoop(regularizer="mme").estimator.head
    'cosine'
    """

    regularizer: str = "s+t"
    trade_off: float = 1.0
    max_reversal: float = 1.0
    projection: str | None = "pop"
    diversity: str | None = "farthest_first"
    budget: Any = 0.1
    n_rounds: int = 10
    round_epochs: Any = 5
    max_epochs: int = 20

    FUNCTION: ClassVar[str] = "sage"
    PAPER: ClassVar[dict[str, Any]] = {"budget": 80, "optimizer": "sgd", "lr": 0.01}

    def _training(self) -> dict[str, Any]:
        if self.regularizer not in ("s+t", "joint", "mme"):
            raise ValueError(f'regularizer must be "s+t", "joint" or "mme", got {self.regularizer!r}.')
        tsf = TSF(trade_off=self.trade_off, max_reversal=self.max_reversal)
        if self.regularizer == "mme":
            return {"objective": tsf + MME(trade_off=0.1), "head": "cosine", "head_temperature": 0.05}
        return {"objective": tsf, "labeled_loss": self.regularizer}

    @property
    def strategy(self) -> SAGE:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return SAGE(projection=self.projection, diversity=self.diversity)


sage = function_of(SAGELoop)
