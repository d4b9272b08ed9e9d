"""What the recipes that buy labels have in common."""

from __future__ import annotations

from typing import Any

from skada_active.deep import AdaptationClassifier
from skada_active.loop import ActiveAdaptationLoop
from skada_active.query import QueryStrategy

__all__ = ["make_loop"]


def make_loop(
    estimator: AdaptationClassifier,
    strategy: QueryStrategy,
    budget: Any,
    n_rounds: int,
    round_epochs: Any,
    random_state: Any,
) -> ActiveAdaptationLoop:
    """Return the loop of a recipe."""
    return ActiveAdaptationLoop(
        estimator, strategy, budget=budget, n_rounds=n_rounds, round_epochs=round_epochs, random_state=random_state
    )
