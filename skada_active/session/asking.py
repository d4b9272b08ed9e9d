"""Questions of a round: what the strategy chooses, and rows drawn at random among them that measure the model."""

from __future__ import annotations

import time
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.metrics.estimate import systematic_sample
from skada_active.query import QueryStrategy
from skada_active.session.events import Asked
from skada_active.session.state import Round, SessionState
from skada_active.session.trainer import Trainer, fit_strategy_model

__all__ = ["choose_questions", "n_audited_rows", "round_seeds", "with_audit"]


def choose_questions(
    strategy: QueryStrategy, X: Any, state: SessionState, current: Round, n_wanted: int, trainer: Trainer
) -> Asked:
    """Return the question for `n_wanted` rows: chosen by the strategy of the round, and drawn to measure the model."""
    start, settings = time.perf_counter(), trainer.settings
    _, view_seed, choice_seed = round_seeds(settings.seed, current.number)
    model, previous = _models(strategy, X, state, current, trainer)
    n_audit = n_audited_rows(settings.audit, state, current, n_wanted) if settings.audit else 0
    roles = state.askable_roles(current, model.classes_)
    given = {"random_state": view_seed, "n_initial": state.n_initial, "target_weight": settings.target_weight}
    given |= {} if previous is None else {"previous": previous}
    view = strategy.view(model, X, state.known_y, roles, **given)
    positions, utilities = strategy.choose(view, n_wanted - n_audit, random_state=choice_seed)
    ids = view.index[positions]
    audit: list[int] = []
    promoted: list[int] = []
    if settings.audit:
        askable = np.setdiff1d(roles.candidates, state.audited_ids)
        seed = np.random.SeedSequence(settings.seed, spawn_key=(current.number, 1 + len(current.utilities)))
        ids, utilities, audit, promoted = with_audit(
            state.audited_ids, askable, ids, utilities, n_audit, trainer.confidence(state), seed
        )
    fits = state.spending.affordable_mask(ids, state.left_in(current))
    return Asked(
        ids=ids[fits].tolist(),
        utilities=None if np.isnan(utilities).all() else utilities[fits].tolist(),
        size=current.size,
        amount=current.amount,
        seconds=time.perf_counter() - start,
        audit=[row for row in audit if row in ids[fits]],
        promoted=promoted,
    )


def round_seeds(seed: int, number: int) -> list[int]:
    """Return three seeds of a round, of its own, so that it does not depend on how the rounds before it went."""
    sequence = np.random.SeedSequence(seed, spawn_key=(number,))
    return [int(word) for word in sequence.generate_state(3) >> 1]


def _models(strategy: QueryStrategy, X: Any, state: SessionState, current: Round, trainer: Trainer) -> tuple[Any, Any]:
    """Return the model that a strategy reads, and that of the round before where it reads that too."""
    if strategy.estimator is None:
        return trainer.model.estimator, trainer.model.previous
    weight, previous = trainer.settings.target_weight, None
    if "previous_proba" in strategy.needs and current.number > 1:
        previous = fit_strategy_model(strategy, X, state, weight, current.number - 2)
    return fit_strategy_model(strategy, X, state, weight), previous


def n_audited_rows(audit: int | float, state: SessionState, current: Round, n_wanted: int) -> int:
    """Return how many of the `n_wanted` questions of a round are drawn at random.

    A share counts over all labels so far, so that small rounds make it up together; a count leaves every round one row
    to learn from.
    """
    n_held = len(state.audited_ids)
    if isinstance(audit, Integral):
        return max(0, min(int(audit) * current.number - n_held, n_wanted - 1))
    return max(0, min(round(audit * (len(state.bought_ids) + n_wanted)) - n_held, n_wanted))


def with_audit(
    audited: list[int],
    askable: NDArray[np.int64],
    chosen: NDArray[np.int64],
    utilities: NDArray[np.float64],
    n_audit: int,
    confidence: NDArray[np.floating[Any]],
    seed: np.random.SeedSequence,
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[int], list[int]]:
    """Return the questions of a round: what the strategy chose, and `n_audit` rows drawn at random, in random order.

    The strategy chooses as if nothing were audited. A row of its choice that was audited before serves training from
    then on, without another question, and one more row is drawn in its place: so the audited rows stay a sample of
    those that the model is not trained on, each drawn with the same probability, whatever the strategy prefers.

    Parameters
    ----------
    audited : list of int
        Rows whose labels measure the model so far.
    askable : ndarray of int64
        Rows that may be asked about.
    chosen : ndarray of shape (n_chosen,), int64
        Rows that the strategy chose, some of them perhaps audited before.
    utilities : ndarray of shape (n_chosen,)
        Their utilities.
    n_audit : int
        Rows to draw.
    confidence : ndarray of shape (n,)
        Confidence of the model in its prediction, for every row that may be asked about.
    seed : SeedSequence
        Seed of the draw and of the order.

    Returns
    -------
    ids, utilities : ndarray of shape (n_questions,)
        The questions in random order, NaN for the utilities of those that were drawn.
    audit, promoted : list of int
        Rows that were drawn; rows audited before that were chosen now.
    """
    rng = np.random.RandomState(seed.generate_state(4))
    is_promoted = np.isin(chosen, audited)
    left = np.setdiff1d(askable, chosen)
    drawn = left[systematic_sample(confidence[left], n_audit + int(is_promoted.sum()), rng)]
    ids = np.concatenate([chosen[~is_promoted], drawn])
    of_ids = np.concatenate([utilities[~is_promoted], np.full(len(drawn), np.nan)])
    order = rng.permutation(len(ids))
    return ids[order], of_ids[order], drawn.tolist(), chosen[is_promoted].tolist()
