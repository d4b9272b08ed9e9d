"""LADA: the local context of what is asked for, and of the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from skada_active.deep import AdaptationClassifier, AnchorSet, Objective, ObjectiveSum
from skada_active.loop import ActiveAdaptationLoop, BudgetSchedule
from skada_active.query import LAS
from skada_active.utils.random import RandomStateLike

__all__ = ["lada"]


def lada(
    *,
    neighbors: str | None = "local",
    n_neighbors: int = 10,
    oversampling: float | str = "auto",
    confidence: float = 0.9,
    class_balanced: bool = True,
    augmentation: Callable[..., Any] | str | None = "auto",
    objective: Objective | ObjectiveSum | None = None,
    budget: float | Sequence[float] | BudgetSchedule = 0.05,
    n_rounds: int = 5,
    round_epochs: int | Sequence[int] = 2,
    random_state: RandomStateLike = None,
    **params: Any,
) -> ActiveAdaptationLoop:
    """Return LADA: queries by local inconsistency, and a progressive anchor set around the answers.

    The ablations of the paper's Table 6 are parameters: ``oversampling=0`` (no diverse selection), ``neighbors=None``
    (no anchor augmentation), ``augmentation=None`` (no RandAugment), ``class_balanced=False``.

    Parameters
    ----------
    neighbors : {"local", "random"} or None, default="local"
        Rows that may join the anchor set: neighbours of an anchor (LAA), any target row (RAA); ``None``: no anchor set,
        training on the labelled rows alone.
    n_neighbors : int, default=10
        Number K of neighbours in the query and of the anchors; the paper takes 5 for Office-31.
    oversampling : float or "auto", default="auto"
        Ratio M of candidates beyond the budget of the round, see `LAS`.
    confidence : float, default=0.9
        Smallest predicted probability of a row that joins.
    class_balanced : bool, default=True
        Whether confident rows of frequent classes are turned away by chance.
    augmentation : callable, "auto" or None, default="auto"
        Strong augmentation that the anchors are mixed with, see `AdaptationClassifier`.
    objective : Objective, default=None
        Domain adaptation loss in addition, such as ``MME()`` or ``MCC()`` (the paper's Tables 1 to 3); then mostly with
        ``neighbors=None``.
    budget, n_rounds, round_epochs, random_state
        Parameters of the `ActiveAdaptationLoop`. The paper buys 5 or 10 % in 5 rounds, with 2 epochs between them.
    **params
        Further parameters of the `AdaptationClassifier`, such as `module`, `max_epochs` (before the first round) or
        `lr`.

    Returns
    -------
    ActiveAdaptationLoop
        Not fitted.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Tables 1 to 6.

    Examples
    --------
    >>> from skada_active import recipes
    >>> recipes.lada(n_neighbors=5).strategy
    LAS(n_neighbors=5)
    """
    anchors = None
    if neighbors is not None:
        anchors = AnchorSet(neighbors, n_neighbors, confidence=confidence, class_balanced=class_balanced)
    estimator = AdaptationClassifier(objective, anchors=anchors, augmentation=augmentation, **params)
    strategy = LAS(n_neighbors=n_neighbors, oversampling=oversampling)
    return ActiveAdaptationLoop(
        estimator, strategy, budget=budget, n_rounds=n_rounds, round_epochs=round_epochs, random_state=random_state
    )
