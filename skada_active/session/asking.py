"""Choose the rows that a round asks about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.query._base import QueryStrategy
from skada_active.session._round import Round
from skada_active.session.state import Ledger
from skada_active.utils.fitting import split_pipeline

__all__ = ["choose_rows"]


def choose_rows(
    strategy: QueryStrategy, model: Any, X: Any, ledger: Ledger, current: Round, n_queries: int, *, seeds: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return row numbers in order of choice, and their utilities.

    Parameters
    ----------
    strategy : QueryStrategy
        Who chooses.
    model : estimator
        Fitted; what the strategy reads, unless it has an estimator of its own.
    X : array-like of shape (n, ...) or dataset
        All rows.
    ledger : Ledger
        What is known.
    current : Round
        The round that asks; it has to be able to pay for the rows together.
    n_queries : int
        How many rows, at most.
    seeds : list of two int
        Of the view and of the choice.

    Returns
    -------
    ids : ndarray of int64
    utilities : ndarray of float64
    """
    if strategy.estimator is not None:
        model = strategy.fit_model(X, ledger.y, ledger.roles)
    roles = _choosable(model, ledger, current)
    view = strategy.view(model, X, ledger.y, roles, random_state=seeds[0], n_initial=ledger.n_initial)
    positions, utilities = strategy.choose(view, n_queries, random_state=seeds[1])
    fits = ledger.fitting(current, view.index[positions])
    return view.index[positions[fits]], utilities[fits]


def _choosable(model: Any, ledger: Ledger, current: Round) -> Roles:
    roles = ledger.roles
    dear = np.setdiff1d(roles.candidates, ledger.affordable_in(current), assume_unique=True)
    if len(dear):
        roles = roles.exclude(dear)
    # A class that was answered for the first time in a round that goes on has no column in the model yet.
    labeled = roles.labeled_target
    unseen = labeled[~np.isin(ledger.y[labeled], split_pipeline(model)[1].classes_)]
    return roles.exclude(unseen).hide(np.isin(np.arange(len(roles)), unseen)) if len(unseen) else roles
