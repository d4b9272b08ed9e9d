"""One run of the loop, as a conversation: ask for rows, tell their labels, and the model is retrained."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.loop._validation import check_rounds
from skada_active.query._base import check_n_queries
from skada_active.session._core import SessionCore
from skada_active.session._validation import OPEN, check_annotator, check_answers, check_ids
from skada_active.session._view import SessionView
from skada_active.session.asking import choose_rows
from skada_active.session.state import plain_list
from skada_active.utils.fitting import split_pipeline
from skada_active.utils.threads import in_turn
from skada_active.utils.warn import warn_user

__all__ = ["AdaptationSession"]


class AdaptationSession(SessionView, SessionCore):
    """Run active domain adaptation step by step: `ask` for row numbers, `tell` their labels.

    Made by `ActiveAdaptationLoop.session`; the loop's own ``fit`` is a short driver of one. A round is: ask, answer,
    retrain. The first model is trained when the session starts, and again whenever the last open question of a round is
    answered.

    With a journal, everything that is asked and told is on disk before the call returns. Whatever happens to the
    process, a session that is started with the same data and the same journal goes on where that one stopped, with the
    same model. Only the answers count: the model is trained again from them where the copy beside the journal does not
    fit.

    Parameters
    ----------
    loop : ActiveAdaptationLoop
        Estimator, strategy and settings; copied.
    X : array-like of shape (n, ...) or dataset
        All rows; kept, not copied.
    y : ndarray of shape (n,)
        Labels; read only where `roles` says that they are known.
    roles : Roles
        Role of every row at the start.
    record : Record
        Seed, schedule, costs and annotators of the session, and what has happened so far.
    answers : ndarray of shape (n,), default=None
        Labels of all rows, for the accuracies in the history and nothing else.
    eval_set : tuple (X, y), default=None
        Held-out rows for the holdout accuracy.

    Attributes
    ----------
    estimator_, strategy_
        The model, fitted on all answers of the rounds that ended, and the strategy.
    queried_ids_ : ndarray of int64
        Row numbers of the labels bought, in order of purchase.
    query_round_ : ndarray of shape (n,), int64
        Round in which a row's label was bought; 0 known from the start (all source rows are), -1 not known.
    history_, initial_
        Entries of the rounds that ended, and of the model before any purchase, see `ActiveAdaptationLoop`.
    termination_condition_ : str or None
        Why there is nothing more to ask; None while there is.
    loop_ : ActiveAdaptationLoop
        A fitted loop that goes on with this session.

    Notes
    -----
    Threads may share a session: calls that ask or tell take turns, also while a model is trained. A network goes on
    training as a copy of itself, which takes its memory twice, so a model that was handed out never changes.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.domains import mask_target
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> loop = ActiveAdaptationLoop(LogisticRegression(), budget=10, n_rounds=2, random_state=0)
    >>> session = loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain)
    >>> ids = session.ask()
    >>> session.tell(ids, y[ids])
    >>> len(session.queried_ids_)
    5
    """

    @in_turn
    def ask(self, n_queries: int | None = None, *, annotator: str | None = None) -> NDArray[np.int64]:
        """Return row numbers to label.

        Asked again before all of them are answered, it returns those that are still open.

        Parameters
        ----------
        n_queries : int, default=None
            How many rows; ``None``: what the schedule plans for this round. Never more than the budget that is left.
        annotator : str, default=None
            Who will answer: only rows that this annotator has not answered, and those asked again because of a tie.

        Returns
        -------
        ndarray of int64
            Distinct row numbers; empty when budget or pool are used up, or when others have to answer first.

        Raises
        ------
        OSError
            If the journal cannot be written; nothing is asked then.
        """
        annotator = check_annotator(annotator)
        self._check_rows()
        self._follow()
        if not self._ledger.open_ids:
            self._open_questions(n_queries)
        return np.array(self._ledger.open_to(annotator), dtype=np.int64)

    @in_turn
    def tell(self, ids: ArrayLike, labels: ArrayLike, *, annotator: str | None = None) -> None:
        """Take answers; when nothing is open any more, the round ends and the model is retrained.

        Parameters
        ----------
        ids : array-like of int
            Rows that are answered: all or some of those asked about.
        labels : array-like
            Their labels. A missing one (-1, NaN or None, by the type of `y`) is an abstention, see `abstain`.
        annotator : str, default=None
            Whose answers these are; needed where several annotators answer for a row. A row is settled by the majority
            when as many have answered as the session asks for; a tie is asked again, of anybody.

        Raises
        ------
        ValueError
            If a row is not an open question or comes twice, or the labels are too few, too many, of another type or of
            a class that the model does not know. Nothing is taken then.
        OSError
            If the journal cannot be written. Nothing is taken then.
        RuntimeError
            If the model cannot be trained on the answers. They are taken all the same.
        """
        self._check_rows()
        annotator = check_annotator(annotator, self._ledger.n_annotators)
        ids, labels = self._check_answers(ids, labels, self._ledger.open_ids, OPEN)
        open_to = set(self._ledger.open_to(annotator))
        answered = [row for row in ids.tolist() if row not in open_to]
        if answered:
            raise ValueError(
                f"ids holds row {answered[0]}, which {annotator} has answered; change the answer by "
                f"correct(ids, labels, annotator={annotator!r})."
            )
        if len(ids):
            self._take("tell", ids=ids.tolist(), labels=plain_list(labels), annotator=annotator)
            self._follow()

    def abstain(self, ids: ArrayLike, *, annotator: str | None = None) -> None:
        """Take it that nobody can label some rows: it costs nothing, and other rows take their place in the round.

        They are not asked about again, unless `readmit` says so.

        Parameters
        ----------
        ids : array-like of int
            Rows among those asked about.
        annotator : str, default=None
            Who abstains, as in `tell`; with several annotators the others decide.

        Raises
        ------
        ValueError, OSError
            As `tell`.
        """
        n_ids = np.size(ids)
        self.tell(ids, np.full(n_ids, None) if n_ids else [], annotator=annotator)

    @in_turn
    def readmit(self, ids: ArrayLike) -> None:
        """Let rows that somebody abstained on be asked about again.

        Parameters
        ----------
        ids : array-like of int
            Rows that were abstained on.

        Raises
        ------
        ValueError
            If nobody abstained on a row.
        """
        ids = check_ids(ids, self._ledger.abstained, "a row that was abstained on", self._ledger.state_of)
        if len(ids):
            self._take("readmit", ids=ids.tolist())

    @in_turn
    def correct(self, ids: ArrayLike, labels: ArrayLike, *, annotator: str | None = None) -> None:
        """Replace answers; the model becomes the one that the corrected answers give.

        The journal keeps both. A round that ended is trained again, and so are those after it, with the rows that were
        asked then; a network that goes on training after each round is trained again from its start.

        Parameters
        ----------
        ids : array-like of int
            Rows that were answered.
        labels : array-like
            Their labels; no missing ones, for a label that was bought is not given back.
        annotator : str, default=None
            Whose answers are replaced. ``None``: the label itself is set, whatever the annotators said.

        Raises
        ------
        ValueError
            If a row was not answered, the labels are not as in `tell`, or the answers to a row would be a tie.
        OSError
            If the journal cannot be written. Nothing is changed then.
        RuntimeError
            If the model cannot be trained on the corrected answers. They are taken all the same.
        """
        self._check_rows()
        among, what = self._ledger.answered_by(annotator), "a row whose label is settled"
        if annotator is not None:
            annotator, what = check_annotator(annotator), f"a row that {annotator} answered"
        ids, labels = self._check_answers(ids, labels, among, what)
        labels = plain_list(labels)
        if None in labels:
            raise ValueError(f"labels misses the label of row {ids[labels.index(None)]}; a correction needs a label.")
        tied = self._ledger.ties_after(ids.tolist(), labels, annotator)
        if tied:
            raise ValueError(
                f"row {tied[0]} would have no majority any more; set its label by correct(ids, labels) without an "
                "annotator."
            )
        changed = [pair for pair in zip(ids.tolist(), labels, strict=True) if self._ledger.differs(*pair, annotator)]
        if changed:
            rows, labels = map(list, zip(*changed, strict=True))
            self._take("correct", ids=rows, labels=labels, annotator=annotator)
            self._follow()

    @in_turn
    def extend(self, rounds: list[int]) -> None:
        """Add rounds to the schedule: more budget for a session that goes on.

        Parameters
        ----------
        rounds : list of int
            What each new round may spend.

        Raises
        ------
        ValueError
            If `rounds` is no list of integers >= 0.
        OSError
            If the journal cannot be written. Nothing is added then.
        """
        self._take("extend", rounds=check_rounds(rounds))

    def _open_questions(self, n_queries: int | None) -> None:
        ledger = self._ledger
        current = ledger.round
        if current is None:
            current = ledger.next_round(None if n_queries is None else self._check_n_queries(n_queries))
        n_wanted = ledger.n_wanted(current)
        if not n_wanted:
            return
        start = time.perf_counter()
        seeds, model = self._seeds(current.number)[1:], self._model.estimator_
        ids, utilities = choose_rows(self.strategy_, model, self.X, ledger, current, n_wanted, seeds=seeds)
        self._take(
            "ask",
            round=current.number,
            size=current.size,
            amount=current.amount,
            ids=ids.tolist(),
            utilities=None if np.isnan(utilities).all() else utilities.tolist(),
            seconds=time.perf_counter() - start,
        )

    def _check_n_queries(self, n_queries: int) -> int:
        n_queries = check_n_queries(n_queries)
        n_affordable = self._ledger.n_affordable
        if n_queries > n_affordable > 0 and n_affordable < len(self.roles.candidates):
            warn_user(
                f"n_queries={n_queries} exceeds the {n_affordable} label(s) left of the budget of {self.budget}; "
                "extend the session's budget to ask for more.",
            )
        return n_queries

    def _check_answers(
        self, ids: ArrayLike, labels: ArrayLike, among: list[int], what: str
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        # What is answered from labels that were given beforehand holds no slip of the pen.
        learns = self._loop.new_classes == "learn" or self.answers is not None
        classes = None if learns else split_pipeline(self._model.estimator_)[1].classes_
        kinds = self._ledger.label_kinds
        state_of = self._ledger.state_of
        return check_answers(ids, labels, among, self.y, what=what, state_of=state_of, kinds=kinds, classes=classes)
