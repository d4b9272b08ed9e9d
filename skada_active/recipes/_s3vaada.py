"""S3VAADA: virtual adversarial queries and training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import DANN, VAT
from skada_active.query import S3VAADA
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import RecipeLoop, SupervisedKnobs

__all__ = ["VAADALoop", "s3vaada"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class VAADALoop(SupervisedKnobs, RecipeLoop):
    """S3VAADA: a submodular choice of rows that a small step would flip, and virtual adversarial training (VAADA).

    Parameters
    ----------
    alpha : float, default=0.5
        Weight of the virtual adversarial divergence in the choice, see `S3VAADA`.
    beta : float, default=0.3
        Weight of the diversity; the rest of 1 is that of the representativeness.
    max_pool : int, default=5000
        Most rows that are chosen from, drawn at random from a larger pool.
    epsilon : float or "auto", default="auto"
        Length of the adversarial step in training and in the query, see `VAT`.
    domain_weight : float, default=0.01
        Weight of the domain discriminator, see `DANN`.

    Notes
    -----
    ``preset="paper"`` of `s3vaada` has ``optimizer="sgd"`` with ``lr=0.01`` and ``batch_size=36``, as the published
    code.

    References
    ----------
    .. [1] Rangwani et al., "S3VAADA: Submodular Subset Selection for Virtual Adversarial Active Domain Adaptation",
       ICCV 2021.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.VAADALoop(alpha=0.3).strategy
    S3VAADA(alpha=0.3)
    """

    alpha: float = 0.5
    beta: float = 0.3
    max_pool: int = 5000
    epsilon: float | str = "auto"
    domain_weight: float = 0.01

    FUNCTION: ClassVar[str] = "s3vaada"
    PAPER: ClassVar[dict[str, Any]] = {"optimizer": "sgd", "lr": 0.01, "batch_size": 36, "weight_decay": 5e-4}

    def _training(self) -> dict[str, Any]:
        return {"objective": VAT(epsilon=self.epsilon) + DANN(trade_off=self.domain_weight)}

    @property
    def strategy(self) -> S3VAADA:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return S3VAADA(alpha=self.alpha, beta=self.beta, max_pool=self.max_pool)


s3vaada = function_of(VAADALoop)
