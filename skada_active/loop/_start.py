"""Start a session from the parameters of a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.domains import Roles
from skada_active.loop._validation import check_annotators, check_costs, check_eval_set
from skada_active.loop.budget import BudgetSchedule
from skada_active.session.session import AdaptationSession
from skada_active.session.state import pool_cost
from skada_active.session.store import JournalRecord, Record
from skada_active.utils.random import check_rng

__all__ = ["schedule_of", "start_session"]


def start_session(
    loop: Any,
    X: Any,
    y: NDArray[Any],
    roles: Roles,
    *,
    answers: NDArray[Any] | None = None,
    eval_set: Any = None,
    journal: Any = None,
    costs: ArrayLike | None = None,
    n_annotators: int = 1,
) -> AdaptationSession:
    """Return a session of the loop on checked data, see `ActiveAdaptationLoop.session`."""
    eval_set, costs, n_annotators = check_eval_set(eval_set), check_costs(costs, len(y)), check_annotators(n_annotators)
    record = Record(
        seed=int(check_rng(loop.random_state).randint(np.iinfo(np.int32).max)),
        rounds=schedule_of(loop.budget, loop.n_rounds).rounds(
            len(roles.candidates) if costs is None else pool_cost(costs, roles)
        ),
        costs=costs,
        n_annotators=n_annotators,
    )
    if journal is not None:
        record = JournalRecord(journal, loop, X, y, roles, record)
    try:
        return AdaptationSession(loop, X, y, roles, record, answers=answers, eval_set=eval_set)
    except BaseException:
        record.close()
        raise


def schedule_of(budget: Any, n_rounds: int) -> BudgetSchedule:
    """Return the schedule that a budget means."""
    return budget if isinstance(budget, BudgetSchedule) else BudgetSchedule(budget, n_rounds)
