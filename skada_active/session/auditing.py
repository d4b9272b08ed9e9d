"""Audit of a session: which questions of a round measure the model, drawn at random among all others."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skada_active.metrics.estimate import systematic_sample
from skada_active.session.state import Round, SessionState

__all__ = ["n_audited_rows", "with_audit"]


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
