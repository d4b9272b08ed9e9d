"""Baseline that the papers compare themselves with: training on the labelled rows alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skada_active.deep import AnchorSet, Objective, ObjectiveSum
from skada_active.query import MarginSampling, QueryStrategy
from skada_active.recipes._as_recipe import as_recipe, configured
from skada_active.recipes._base import ADADELTA, RecipeLoop, SupervisedKnobs

__all__ = ["Baseline", "baseline"]


@as_recipe
@dataclass(kw_only=True, eq=False, repr=False)
class Baseline(SupervisedKnobs, RecipeLoop):
    """Baseline: a query strategy with training on the labelled rows alone.

    Parameters
    ----------
    query : QueryStrategy, default=None
        The query strategy, such as ``RandomSampling()``; ``None``: `MarginSampling`.
    objective : Objective, default=None
        Domain adaptation loss in addition, such as ``MCC()``.
    anchors : AnchorSet, default=None
        Confident target rows in addition, see `AdaptationClassifier`.

    Notes
    -----
    ``preset="paper"`` of `baseline` is what LADA's tables were trained with, the same for every query: see `LADA`.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Tables 1 to 3, "ft w/ CE loss".

    Examples
    --------
    >>> from skada_active import recipes
    >>> from skada_active.query import BADGE
    >>> recipes.Baseline(query=BADGE(), budget=20).strategy
    BADGE()
    """

    query: QueryStrategy | None = None
    objective: Objective | ObjectiveSum | None = None
    anchors: AnchorSet | None = None

    FUNCTION: ClassVar[str] = "baseline"
    PAPER: ClassVar[dict[str, Any]] = {**ADADELTA, "batch_size": 32}

    @property
    def strategy(self) -> QueryStrategy:  # type: ignore[override]
        """The query strategy: `query`, or margin sampling."""
        return MarginSampling() if self.query is None else self.query


def baseline(query: QueryStrategy, *, preset: str = "default", **knobs: Any) -> Baseline:
    """Return a query strategy with training on the labelled rows alone, as the papers' baselines.

    Parameters
    ----------
    query : QueryStrategy
        The query strategy, such as ``RandomSampling()``.
    preset : {"default", "paper"}, default="default"
        ``"paper"``: what the papers published for knobs that are not given; see the notes of `Baseline`.
    **knobs
        Further parameters of `Baseline`.

    Returns
    -------
    Baseline
        Not fitted.

    Raises
    ------
    TypeError
        If `query` is no strategy, or there is no such knob; the error names the one that is meant.
    ValueError
        If `preset` is unknown.

    Examples
    --------
    >>> from skada_active import recipes
    >>> from skada_active.query import MarginSampling
    >>> recipes.baseline(MarginSampling(), budget=20).strategy
    MarginSampling()
    """
    if not isinstance(query, QueryStrategy):
        raise TypeError(f"query must be a query strategy such as MarginSampling(), got {query!r}.")
    return configured(Baseline, preset, {"query": query, **knobs})
