"""LADA: the local context of what is asked for, and of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import AnchorSet, Objective, ObjectiveSum
from skada_active.query import LAS
from skada_active.recipes._as_recipe import as_recipe, function_of
from skada_active.recipes._base import ADADELTA, RecipeLoop, SupervisedKnobs

__all__ = ["LADA", "lada"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class LADA(SupervisedKnobs, RecipeLoop):
    """LADA: queries by local inconsistency, and a progressive anchor set around the answers.

    The ablations of the paper's Table 6 are parameters: ``oversampling=0`` (no diverse selection), ``neighbors=None``
    (no anchor set, and no augmentation), ``augmentation=None`` (no RandAugment), ``class_balanced=False``.

    Parameters
    ----------
    neighbors : {"local", "random"} or None, default="local"
        Rows that may join the anchor set: neighbours of an anchor (LAA), any target row (RAA); ``None``: no anchor set,
        training on the labelled rows alone, as the rows of the paper's tables without RAA or LAA.
    n_neighbors : int, default=10
        Number K of neighbours in the query and of the anchors; the paper takes 5 for Office-31.
    oversampling : float or "auto", default="auto"
        Ratio M of candidates beyond the budget of the round, see `LAS`.
    confidence : float, default=0.9
        Smallest predicted probability of a row that joins.
    class_balanced : bool, default=True
        Whether confident rows of frequent classes are turned away by chance.
    augmentation : callable, "auto" or None, default="auto"
        Strong augmentation that the anchors are mixed with, see `AdaptationClassifier`; ``"auto"`` is none without
        anchor set.
    objective : Objective, default=None
        Domain adaptation loss in addition, such as ``MME()`` or ``MCC()`` (the paper's Tables 1 to 3); then mostly with
        ``neighbors=None``.

    Notes
    -----
    The paper buys 5 or 10 % in 5 rounds, with 2 epochs between them.

    ``preset="paper"`` of `lada` is what the paper trained a ResNet-50 with: ``optimizer="adadelta"`` with ``lr=0.1``,
    ``batch_size=32``, ``max_epochs=10`` and ``round_epochs=(2, 2, 2, 2, 22)``, 40 epochs in all. Where there is a
    `module`, its first part learns at a tenth of that rate, as the paper's backbone did:
    ``net_params={"optimizer__param_groups": [("backbone.0.*", {"lr": 0.01})]}``, which is the pretrained network of
    `skada_active.networks.torchvision_backbone`. `n_neighbors` stays a knob: 10, and 5 for Office-31.
    ``oversampling="auto"`` is the paper's ratio, 10 for a budget of 5 % and 5 for one of 10 %; for VisDA-2017 it takes
    half of that.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Tables 1 to 6.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipe = recipes.LADA(n_neighbors=5)
    >>> recipe.strategy, recipe.estimator.anchors
    (LAS(n_neighbors=5), AnchorSet(n_neighbors=5))
    """

    neighbors: str | None = "local"
    n_neighbors: int = 10
    oversampling: float | str = "auto"
    confidence: float = 0.9
    class_balanced: bool = True
    augmentation: Any = "auto"
    objective: Objective | ObjectiveSum | None = None

    FUNCTION: ClassVar[str] = "lada"
    PAPER: ClassVar[dict[str, Any]] = {**ADADELTA, "batch_size": 32}

    def _training(self) -> dict[str, Any]:
        if self.neighbors is None:
            is_auto = isinstance(self.augmentation, str) and self.augmentation == "auto"
            return {"augmentation": None} if is_auto else {}
        anchors = AnchorSet(
            self.neighbors, self.n_neighbors, confidence=self.confidence, class_balanced=self.class_balanced
        )
        return {"anchors": anchors}

    @property
    def strategy(self) -> LAS:  # type: ignore[override]
        """The query strategy that the knobs describe, a new one each time."""
        return LAS(n_neighbors=self.n_neighbors, oversampling=self.oversampling)


lada = function_of(LADA)
