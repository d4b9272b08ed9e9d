"""AADA: the target rows of an adversarial classifier's discriminator, if they are uncertain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import DANN
from skada_active.query import AADA
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import ADADELTA, RecipeLoop, SupervisedKnobs

__all__ = ["AADALoop", "aada"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class AADALoop(SupervisedKnobs, RecipeLoop):
    """AADA: domain-adversarial training, and queries by what its discriminator takes for target rows.

    Parameters
    ----------
    trade_off : float, default=1.0
        Weight of the discriminator's loss, see `DANN`.
    max_reversal : float, default=1.0
        Largest coefficient of the gradient reversal, see `DANN`.
    discriminator_input : {"features", "logits", "proba"}, default="proba"
        What the domains are told apart by, see `DANN`: class probabilities, the embedding as in the paper, or logits as
        in LADA's code.
    top_fraction : float, default=None
        Share of the pool, highest scores first, that is drawn from at random; ``None``: the highest scores, see `AADA`.

    Notes
    -----
    A discriminator of a ready-made embedding tells the domains apart whatever it is trained against, and its logit then
    finds outliers: on ten pairs of domains (two seeds, see ``benchmarks/README.md``) ``"features"`` was 6.4 ± 4.2
    points below margin sampling, ``"proba"`` 1.4 ± 1.2 above.

    ``preset="paper"`` of `aada` is the training of LADA's tables, in which the method stands, see `LADA`, with
    ``discriminator_input="features"``.

    References
    ----------
    .. [1] Su et al., "Active Adversarial Domain Adaptation", WACV 2020.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.AADALoop(max_reversal=0.1).estimator.objective
    DANN(discriminator_input='proba', max_reversal=0.1)
    """

    trade_off: float = 1.0
    max_reversal: float = 1.0
    discriminator_input: str = "proba"
    top_fraction: float | None = None

    FUNCTION: ClassVar[str] = "aada"
    PAPER: ClassVar[dict[str, Any]] = {**ADADELTA, "batch_size": 32, "discriminator_input": "features"}

    def _training(self) -> dict[str, Any]:
        names = ("trade_off", "max_reversal", "discriminator_input")
        return {"objective": DANN(**{name: getattr(self, name) for name in names})}

    @property
    def strategy(self) -> AADA:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return AADA(top_fraction=self.top_fraction)


aada = function_of(AADALoop)
