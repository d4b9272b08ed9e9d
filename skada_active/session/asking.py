"""Choice of the rows that a round asks about."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from skada_active.domains import Roles
from skada_active.query import QueryStrategy
from skada_active.session.events import Asked
from skada_active.session.state import Round, SessionState
from skada_active.utils.fitting import split_pipeline

__all__ = ["choose_rows"]


def choose_rows(
    strategy: QueryStrategy,
    model: Any,
    X: Any,
    state: SessionState,
    current: Round,
    n_queries: int,
    *,
    view_seed: int,
    choice_seed: int,
) -> Asked:
    """Choose rows that a round can pay for together.

    Parameters
    ----------
    strategy : QueryStrategy
        Who chooses.
    model : estimator
        Fitted; what the strategy reads, unless it has an estimator of its own.
    X : array-like of shape (n, ...) or dataset
        All rows.
    state : SessionState
        What is known.
    current : Round
        The round that asks.
    n_queries : int
        How many rows, at most.
    view_seed, choice_seed : int
        Seeds of the view of the pool and of the choice.

    Returns
    -------
    Asked
        Row numbers in order of choice, and their utilities.
    """
    start = time.perf_counter()
    if strategy.estimator is not None:
        model = strategy.fit_model(X, state.y, state.roles)
    roles, left = _choosable(model, state, current), state.left_in(current)
    view = strategy.view(model, X, state.y, roles, random_state=view_seed, n_initial=state.n_initial)
    positions = strategy.choose(view, n_queries, random_state=choice_seed)
    positions = positions[state.spending.affordable_mask(view.index[positions], left)]
    utilities = strategy.chosen_utilities(view, positions)
    return Asked.now(
        ids=view.index[positions].tolist(),
        utilities=None if np.isnan(utilities).all() else utilities.tolist(),
        size=current.size,
        amount=current.amount,
        seconds=time.perf_counter() - start,
    )


def _choosable(model: Any, state: SessionState, current: Round) -> Roles:
    roles = state.roles
    affordable = state.spending.affordable(roles.candidates, state.left_in(current))
    too_expensive = np.setdiff1d(roles.candidates, affordable, assume_unique=True)
    if len(too_expensive):
        roles = roles.exclude(too_expensive)
    # A class that was answered for the first time in a round that goes on has no column in the model yet.
    labeled = roles.labeled_target
    unseen = labeled[~np.isin(state.y[labeled], split_pipeline(model)[1].classes_)]
    return roles.exclude(unseen).hide(np.isin(np.arange(len(roles)), unseen)) if len(unseen) else roles
