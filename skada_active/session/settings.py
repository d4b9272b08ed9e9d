"""Settings of a session: everything but the data that its model and its questions depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.io.hashing import array_hash
from skada_active.io.parameters import describe_parameters
from skada_active.query import QueryStrategy

__all__ = ["SessionSettings"]


@dataclass(frozen=True)
class SessionSettings:
    """Settings of a session, frozen; `ActiveAdaptationLoop.session` makes them.

    Parameters
    ----------
    estimator : estimator
        Unfitted classifier.
    strategy : QueryStrategy
        Query strategy.
    seed : int
        Seed of everything random.
    rounds : sequence of int
        What each round may spend.
    costs : ndarray of shape (n,), default=None
        Cost of every row's label; ``None``: 1 each.
    n_annotators : int, default=1
        Annotators that answer for a row.
    round_epochs : int or sequence of int, default=5
        Epochs of the training after each round; the last entry of a sequence stands for all later rounds.
    warm_start : bool, default=True
        Whether to go on training after a round, where the estimator can.
    audit : int or float, default=0.0
        Labels per round, or their share of all labels, that measure the model and never train it.
    stopping : StoppingRule, default=None
        When more labels are not worth it, see `ActiveAdaptationLoop`.
    new_classes : {"refuse", "learn"}, default="refuse"
        What an answer of a class that the model does not know means, see `ActiveAdaptationLoop`.
    target_weight : "balanced", float or None, default="balanced"
        How a labelled target row counts in estimators that are not domain-aware, see `ActiveAdaptationLoop`.
    given_seed : int, default=None
        The seed that the user chose; ``None``: `seed` was drawn.
    """

    estimator: Any
    strategy: QueryStrategy
    seed: int
    rounds: Sequence[int]
    costs: NDArray[np.float64] | None = None
    n_annotators: int = 1
    round_epochs: int | Sequence[int] = 5
    warm_start: bool = True
    audit: int | float = 0.0
    stopping: Any = None
    new_classes: str = "refuse"
    target_weight: str | float | None = "balanced"
    given_seed: int | None = None

    def describe(self) -> dict[str, str]:
        """Return the settings that a session has to keep from one opening to the next, a text per parameter path.

        What may change is left out: ``device``, ``n_jobs`` and ``verbose`` of any part, `new_classes` and `stopping`.
        """
        weight = self.target_weight
        return {
            **describe_parameters(self.estimator, "estimator"),
            **describe_parameters(self.strategy, "strategy"),
            "round_epochs": repr(np.asarray(self.round_epochs).tolist()),
            "warm_start": repr(self.warm_start),
            "audit": repr(self.audit),
            "target_weight": repr(weight if isinstance(weight, str | None) else float(weight)),
            "random_state": repr(self.given_seed),
            "n_annotators": repr(self.n_annotators),
            "rounds": repr(list(self.rounds)),
            "costs": "None" if self.costs is None else f"an array with the hash {array_hash(self.costs)[:8]}",
        }
