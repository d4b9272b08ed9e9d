"""LAMDA: prototypes, and the target's shares of the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import DANN, LabelMatching, Objective, ObjectiveSum
from skada_active.query import LAMDA
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import RecipeLoop, SupervisedKnobs

__all__ = ["LAMDALoop", "lamda"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class LAMDALoop(SupervisedKnobs, RecipeLoop):
    """LAMDA: prototypes of the target, and source rows weighed by the target's shares of the classes.

    Parameters
    ----------
    gamma : float, default=None
        Width of the kernel, see `LAMDA`; ``None``: one over the number of features.
    pseudo_label_threshold : float, default=0.8
        Margin of the two largest probabilities above which a prediction counts as a label, in query and training.
    matching : bool, default=True
        Whether source rows are weighed by the estimated shares of the classes, see `LabelMatching`.
    trade_off : float, default=1.0
        Weight of the domain discriminator, see `DANN`.
    max_reversal : float, default=1.0
        Largest coefficient of the gradient reversal.
    head : {"linear", "cosine"}, default="cosine"
        Final classifier.
    head_temperature : float, default=0.1
        Temperature of the cosine head.

    Notes
    -----
    ``preset="paper"`` of `lamda` has ``optimizer="sgd"`` with ``lr=0.01`` and ``batch_size=20``, as the published code,
    which buys 10 % in 5 rounds, ``budget=0.1``.

    References
    ----------
    .. [1] Hwang et al., "Combating Label Distribution Shift for Active Domain Adaptation", ECCV 2022.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.LAMDALoop(matching=False).estimator.objective
    DANN()
    """

    gamma: float | None = None
    pseudo_label_threshold: float = 0.8
    matching: bool = True
    trade_off: float = 1.0
    max_reversal: float = 1.0
    head: str = "cosine"
    head_temperature: float = 0.1

    FUNCTION: ClassVar[str] = "lamda"
    PAPER: ClassVar[dict[str, Any]] = {"budget": 0.1, "optimizer": "sgd", "lr": 0.01, "batch_size": 20}

    def _training(self) -> dict[str, Any]:
        objective: Objective | ObjectiveSum = DANN(trade_off=self.trade_off, max_reversal=self.max_reversal)
        if self.matching:
            objective = LabelMatching(pseudo_label_threshold=self.pseudo_label_threshold) + objective
        return {"objective": objective}

    @property
    def strategy(self) -> LAMDA:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return LAMDA(gamma=self.gamma, pseudo_label_threshold=self.pseudo_label_threshold)


lamda = function_of(LAMDALoop)
