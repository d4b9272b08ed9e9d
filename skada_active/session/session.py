"""Labelling session: ask for rows, tell their labels, and the model is retrained."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from skada_active.domains import Roles
from skada_active.exceptions import TrainingError
from skada_active.labels import labels_to_list
from skada_active.metrics.estimate import AccuracyEstimate
from skada_active.query._base import check_n_queries
from skada_active.session._validation import check_annotator, check_answers, check_ids, check_rounds
from skada_active.session.answers import LabelReader, answers_in
from skada_active.session.asking import choose_questions, round_seeds
from skada_active.session.events import Corrected, Event, Extended, Readmitted, Told
from skada_active.session.progress import Progress
from skada_active.session.questions import question_columns
from skada_active.session.state import SessionState
from skada_active.session.status import SessionStatus
from skada_active.session.store import MemoryStore
from skada_active.session.trainer import Trainer
from skada_active.utils.fitting import keeps_grad_mode, seed_estimator
from skada_active.utils.warn import warn_user

__all__ = ["AdaptationSession"]

_SHOWN_FAULTS = 50


class AdaptationSession:
    """Active domain adaptation step by step: `ask` for row numbers, `tell` their labels.

    Made by `ActiveAdaptationLoop.session`; the loop's own ``fit`` is a short driver of one. A round is: ask, answer,
    retrain. The first model is trained when the session starts, and again whenever the last open question of a round is
    answered.

    With a journal, everything that is asked and told is on the disk before the call returns. Whatever happens to the
    process, a session that is started with the same data and the same journal goes on where that one stopped, with the
    same model. Only the answers count: the model is trained again from them where its checkpoint does not fit.

    Parameters
    ----------
    store : MemoryStore
        Settings and events of the session so far.
    X : array-like of shape (n, ...) or dataset
        All rows; kept, not copied. ``None``: a session that was loaded without its rows, which predicts only.
    y : ndarray of shape (n,)
        Labels; read only where `roles` says that they are known.
    roles : Roles
        Role of every row at the start.
    y_true : ndarray of shape (n,), default=None
        Labels of all rows, for the accuracies in the history and nothing else.
    eval_set : tuple (X, y), default=None
        Held-out rows for the holdout accuracy.
    scoring : str, callable, list, tuple, set or dict, default=None
        Further metrics of the history, see `ActiveAdaptationLoop`.
    progress : Progress, default=None
        Progress bar; ``None``: nothing is shown.
    make_loop : callable, default=None
        Returns the fitted loop of a session, for `loop_`.

    Attributes
    ----------
    state : SessionState
        What is known: labels, roles, rounds, spending.
    settings : SessionSettings
        What the session is run with.
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

    @keeps_grad_mode
    def __init__(
        self,
        store: MemoryStore,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        *,
        y_true: NDArray[Any] | None = None,
        eval_set: tuple[Any, NDArray[Any]] | None = None,
        scoring: Any = None,
        progress: Progress | None = None,
        make_loop: Callable[[AdaptationSession], Any] | None = None,
    ) -> None:
        self._call_lock, self._state_lock = RLock(), RLock()
        self.store, self.settings = store, store.settings
        self.X, self.y_true, self.eval_set = X, y_true, eval_set
        self._make_loop = make_loop
        # Answers from labels that were given beforehand cannot be slips of the pen.
        self._learns = store.settings.new_classes == "learn" or y_true is not None
        settings = self.settings
        self._initial_state = partial(
            SessionState, y, roles, rounds=settings.rounds, costs=settings.costs, n_annotators=settings.n_annotators
        )
        self._state, self._n_applied, self._is_applying = self._initial_state(), 0, False
        self.strategy_ = clone(self.settings.strategy)
        own = self.strategy_.estimator
        self.strategy_.check_model(self.settings.estimator if own is None else own)
        model_seed, strategy_seed, _ = round_seeds(settings.seed, 0)
        if own is not None:
            self.strategy_.estimator = seed_estimator(own, strategy_seed)
        known = {"y_true": y_true, "eval_set": eval_set, "scoring": scoring, "progress": progress}
        self.trainer = Trainer(self.settings, X, seed=model_seed, **known)
        store.restore_model(self.trainer, self.state)
        try:
            self._train_to_state()
        except TrainingError as error:
            if not self.trainer.model.initial:
                raise
            # An answer may be to blame, and can only be corrected in a session that is open.
            warn_user(str(error))

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
        with self._call_lock:
            annotator = check_annotator(annotator)
            self._check_rows()
            self._train_to_state()
            if not self.state.open_ids and self._why_to_stop() is None:
                self._open_questions(n_queries)
            state = self.state
            rows = state.open_ids
            if annotator is not None:
                rows = [row for row in rows if state.is_open_to(row, annotator)]
            return np.array(rows, dtype=np.int64)

    def tell(self, ids: ArrayLike, labels: ArrayLike, *, annotator: str | None = None) -> None:
        """Record answers; when nothing is open any more, the round ends and the model is retrained.

        Parameters
        ----------
        ids : array-like of int
            Rows that are answered: all or some of those asked about.
        labels : array-like
            Their labels. A missing one (-1, NaN or None, by the type of `y`) is an abstention, see `abstain`. A pandas
            Series goes by its index: that of `ids`, the ids themselves in any order, the names of these rows in `X`, or
            0, 1, 2, ... for the order of `ids`; any other one is refused.
        annotator : str, default=None
            Whose answers these are; needed where several annotators answer for a row. A row gets the label of the
            majority when as many have answered as the session asks for; a tie is asked again, of anybody.

        Raises
        ------
        ValueError
            If a row is not an open question or is repeated, or the labels are too few, too many, of another type or of
            a class that the model does not know. Nothing is recorded then.
        OSError
            If the journal cannot be written. Nothing is recorded then.
        TrainingError
            If the model cannot be trained on the answers. They are recorded all the same.
        """
        with self._call_lock:
            self._check_rows()
            state = self.state
            annotator = check_annotator(annotator, state.n_annotators)
            rows, answers = self._check_answers(
                ids, labels, state.round.open_ids if state.round else (), "an open question"
            )
            answered = [] if annotator is None else [row for row in rows if not state.is_open_to(row, annotator)]
            if answered:
                raise ValueError(
                    f"ids holds row {answered[0]}, which {annotator} has answered; change the answer by "
                    f"correct(ids, labels, annotator={annotator!r})."
                )
            if rows:
                self.store.append(Told(ids=rows, labels=answers, annotator=annotator))
                if self.state.round is None:
                    self._train_to_state()

    def questions(self, *, annotator: str | None = None) -> Any:
        """Return the open questions as a table to be filled in, for `tell_table`.

        Parameters
        ----------
        annotator : str, default=None
            Only questions that this annotator has not answered, as in `ask`.

        Returns
        -------
        pandas.DataFrame
            One row per open question, in order of choice: ``id``; ``index``, its name in a DataFrame `X`, or the path
            of its file in `ImageFiles`; the columns of `X` (``x0``, ``x1``, ... of an array, ``x0`` of a list of texts;
            none of images, sparse matrices and datasets); ``prediction`` of the model and its ``probability``;
            ``utility``, ``round`` and an empty ``label``. A column of `X` that has one of these names gets ``x_``
            before it. It asks nothing: `ask` does.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("questions() returns a pandas DataFrame; install it: pip install pandas.") from error
        with self._call_lock:
            annotator = check_annotator(annotator)
            self._check_rows()
            estimator, state = self.estimator_, self.state
            ids = [row for row in state.open_ids if state.is_open_to(row, annotator)]
            return DataFrame(question_columns(self.X, ids, estimator, state.round))

    def tell_table(self, table: Any, *, annotator: str | None = None, skip: str = "skip") -> int:
        """Record the answers in a table that `questions` made and somebody filled in, perhaps as a spreadsheet.

        Of the columns ``id`` and ``label`` are read. A blank label is no answer yet. A number is compared with the
        classes by its value, so that ``"1"``, ``1`` and ``1.0`` are one label; text has to be the class as it is
        written. Rows may be missing, in another order, or answered before in the same way.

        Parameters
        ----------
        table : DataFrame, mapping of columns, list of records or structured array
            The table, for example ``pandas.read_csv("questions.csv")``.
        annotator : str, default=None
            Whose answers these are, as in `tell`.
        skip : str, default="skip"
            What stands in the place of a label where a row cannot be labelled, see `abstain`; in any case of letters.

        Returns
        -------
        int
            How many answers were recorded.

        Raises
        ------
        ValueError
            If the table lacks a column or `skip` is a class: nothing is recorded then. If single cells are wrong (no
            class, no open question, two answers to a row): all others are recorded, and the message names every one.
        OSError, TrainingError
            As `tell`.
        """
        with self._call_lock:
            self._check_rows()
            annotator = check_annotator(annotator, self.state.n_annotators)
            classes = self.trainer.model.estimator.classes_
            reader = LabelReader(np.asarray(classes).tolist(), skip, learns=self._learns)
            answers, wrong = answers_in(table, self.state, reader, annotator)
            if answers:
                labels = np.empty(len(answers), dtype=object)
                labels[:] = list(answers.values())
                try:
                    self.tell(list(answers), labels, annotator=annotator)
                except TrainingError as error:
                    if not wrong:
                        raise
                    raise TrainingError(f"{error}\n{_report(wrong, len(answers))}") from error
            if wrong:
                raise ValueError(_report(wrong, len(answers)))
            return len(answers)

    def abstain(self, ids: ArrayLike, *, annotator: str | None = None) -> None:
        """Record that rows cannot be labelled: it costs nothing, and other rows take their place in the round.

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
        with self._call_lock:
            state = self.state
            rows = check_ids(ids, state.abstained_ids.tolist(), "a row that was abstained on", state.describe_row)
            if rows:
                self.store.append(Readmitted(ids=rows))

    def correct(self, ids: ArrayLike, labels: ArrayLike, *, annotator: str | None = None) -> None:
        """Replace answers; the model becomes the one that the corrected answers give.

        The journal keeps both. A round that ended is trained again, and so are those after it, with the rows that were
        asked then; a network that goes on training after each round is trained again from its start.

        Parameters
        ----------
        ids : array-like of int
            Rows that were answered.
        labels : array-like
            Their labels, as in `tell`; no missing ones, for a label that was bought is not given back.
        annotator : str, default=None
            Whose answers are replaced. ``None``: the label itself is set, whatever the annotators said.

        Raises
        ------
        ValueError
            If a row was not answered, the labels are not as in `tell`, or the answers to a row would be a tie.
        OSError
            If the journal cannot be written. Nothing is changed then.
        TrainingError
            If the model cannot be trained on the corrected answers. They are recorded all the same.
        """
        with self._call_lock:
            self._check_rows()
            state, what = self.state, "a row that has a label"
            if annotator is not None:
                annotator, what = check_annotator(annotator), f"a row that {annotator} answered"
            rows, answers = self._check_answers(ids, labels, state.correctable_ids(annotator), what)
            if None in answers:
                raise ValueError(f"labels has no label for row {rows[answers.index(None)]}; a correction needs one.")
            tied = state.ties_after(rows, answers, annotator)
            if tied:
                raise ValueError(
                    f"row {tied[0]} would have no majority any more; set its label by correct(ids, labels) without an "
                    "annotator."
                )
            pairs = zip(rows, answers, strict=True)
            changed = {row: answer for row, answer in pairs if state.is_new_answer(row, answer, annotator)}
            if changed:
                self.store.append(Corrected(ids=list(changed), labels=list(changed.values()), annotator=annotator))
                self._train_to_state()

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
        with self._call_lock:
            self.store.append(Extended(rounds=check_rounds(rounds)))

    @property
    def state(self) -> SessionState:
        """State of the session: labels, roles, rounds and spending as they are now. It is read only."""
        # Recorded events are applied when the state is read, so that a Ctrl-C in between leaves nothing half done.
        with self._state_lock:
            if self._is_applying:  # interrupted within an event
                self._state, self._n_applied = self._initial_state(), 0
            events = self.store.since(self._n_applied)
            if events:
                self._is_applying = True
                for event in events:
                    self._state.apply(event)
                self._n_applied += len(events)
            self._is_applying = False
            return self._state

    @property
    def events(self) -> list[Event]:
        """Events since the start, in order: questions, answers, corrections, readmissions, extensions."""
        return self.store.since(0)

    def answers(self) -> NDArray[Any]:
        """Return the answers as a table: one entry per row and annotator, as they are now, in order of time.

        Returns
        -------
        ndarray of shape (n_answers,)
            Structured array with the fields ``id``, ``label`` (None: an abstention), ``round``, ``annotator`` (None
            where nobody was named) and ``time`` (ISO format). ``pandas.DataFrame(session.answers())`` shows it.
        """
        state = self.state
        latest: dict[tuple[int, str | None], str] = {}
        for event in self.events:
            if isinstance(event, Told):
                latest |= {(row, event.annotator): event.time.isoformat() for row in event.ids}
        rounds = [*state.closed, *([] if state.round is None else [state.round])]
        asked_in = {row: asked.number for asked in rounds for row in asked.utilities}
        table = [
            (row, label, asked_in[row], annotator, latest[row, annotator])
            for row, votes in state.votes.items()
            for annotator, label in votes.items()
        ]
        table.sort(key=lambda entry: entry[-1])
        fields = [("id", np.int64), ("label", object), ("round", np.int64), ("annotator", object), ("time", object)]
        return np.array(table, dtype=fields)

    @property
    def estimator_(self) -> Any:
        """The model, fitted on all answers of the rounds that ended; trained first where that was interrupted."""
        self._train_to_state()
        return self.trainer.model.estimator

    @property
    def initial_(self) -> dict[str, Any]:
        """The entry of the history for the model before any purchase."""
        self._train_to_state()
        return self.trainer.model.initial

    @property
    def history_(self) -> list[dict[str, Any]]:
        """One entry per round that ended, see `ActiveAdaptationLoop`."""
        self._train_to_state()
        return list(self.trainer.model.history)

    @property
    def queried_ids_(self) -> NDArray[np.int64]:
        """Row numbers of the labels bought, in order of purchase, shape (n_labels,)."""
        return np.array(self.state.bought_ids, dtype=np.int64)

    @property
    def query_round_(self) -> NDArray[np.int64]:
        """Round in which a row's label was bought, shape (n,): 0 known from the start, -1 not known."""
        return self.state.query_round.copy()

    @property
    def open_ids(self) -> NDArray[np.int64]:
        """Row numbers asked about that have no label yet, in order of choice."""
        return np.array(self.state.open_ids, dtype=np.int64)

    @property
    def abstained_ids(self) -> NDArray[np.int64]:
        """Row numbers that nobody could label and that are not asked about again, ascending."""
        return self.state.abstained_ids

    @property
    def budget(self) -> int:
        """Labels that may be bought in all; with costs, what they may cost together."""
        return self.state.budget

    @property
    def spent(self) -> int | float:
        """Labels bought so far; with costs, what they cost."""
        return self.state.spent

    @property
    def remaining(self) -> int | float:
        """Labels that may still be bought; with costs, what may still be spent."""
        return self.state.remaining

    @property
    def termination_condition_(self) -> str | None:
        """Why there is nothing more to ask: ``"budget"``, ``"pool"``, ``"no_target"`` or ``"stopped"``; else None.

        The last one says that the stopping rule holds; `stopping_reason_` has it in words.
        """
        return self.state.termination_condition or (None if self._why_to_stop() is None else "stopped")

    @property
    def stopping_reason_(self) -> str | None:
        """Why the stopping rule ends the session, or what it would take where something else does; else None."""
        if (rule := self.settings.stopping) is None or self.termination_condition_ is None:
            return None
        return self._why_to_stop() or rule.outlook([self.trainer.model.initial, *self.trainer.model.history])

    @property
    def accuracy_(self) -> AccuracyEstimate:
        """Accuracy on the target rows that the model is not trained on, by the audited ones, with its interval."""
        if not self.settings.audit:
            raise AttributeError(
                "accuracy_ is measured on audited rows, and audit=0 buys none; set audit=0.2, for example, or estimate "
                "it without labels by skada_active.metrics.label_free_accuracy."
            )
        self._train_to_state()
        return self.trainer.last_entry["accuracy"]["audit"]

    @property
    def loop_(self) -> Any:
        """A fitted loop that goes on with this session: ``resume``, ``predict``, ``save``."""
        if self._make_loop is None:
            raise AttributeError(
                "loop_ exists in sessions that a loop made; use ActiveAdaptationLoop.from_session(session)."
            )
        return self._make_loop(self)

    def status(self) -> SessionStatus:
        """Return what was asked, answered and spent; it prints as text and shows as a table in a notebook."""
        with self._state_lock:
            known = self.trainer.known_accuracies
            ended = self.termination_condition_, self.stopping_reason_
            return SessionStatus.from_state(self.state, self.store.path, known, *ended)

    def close(self) -> None:
        """Close the journal, so that another process may open it; without a journal there is nothing to close."""
        with self._call_lock:
            self.store.close()

    def __enter__(self) -> AdaptationSession:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __copy__(self) -> AdaptationSession:
        return deepcopy(self)  # two that share what is known would count an answer twice

    def __getstate__(self) -> dict[str, Any]:
        hidden = ("_call_lock", "_state_lock", "_state")  # the events tell the state again
        return {name: value for name, value in vars(self).items() if name not in hidden}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._call_lock, self._state_lock = RLock(), RLock()
        self._is_applying = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}\n{self.status()}"

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()

    def _why_to_stop(self) -> str | None:
        rule, model, state = self.settings.stopping, self.trainer.model, self.state
        # More budget is a wish for at least one more round.
        if rule is None or state.open_ids or len(state.closed) <= state.n_before_extension:
            return None
        return rule.check([model.initial, *model.history]) if len(model.history) == len(state.closed) else None

    def _check_rows(self) -> None:
        if self.X is None:
            raise ValueError("The loop was loaded without its rows; give them: ActiveAdaptationLoop.load(path, X=X).")

    @keeps_grad_mode
    def _train_to_state(self) -> None:
        with self._call_lock:
            # What is interrupted is done again by the next call.
            try:
                self.trainer.train_to(self.state, save=self.store.save_model)
            except Exception as error:
                if not self._n_applied or not self.trainer.model.initial:
                    raise
                if isinstance(error, TrainingError):  # which says what is wrong with the model
                    raise TrainingError(f"The answers are recorded, and state.y holds them. {error}") from error
                raise TrainingError(
                    f"The answers are recorded, but the model could not be trained on them: {error} Correct what is "
                    "wrong by correct(ids, labels); ask() tries again."
                ) from error

    @keeps_grad_mode
    def _open_questions(self, n_queries: int | None) -> None:
        state = self.state
        current = state.round or state.next_round(None if n_queries is None else self._check_n_queries(n_queries))
        if n_wanted := state.n_wanted(current):
            strategy = self.strategy_.in_round(current.number)
            self.store.append(choose_questions(strategy, self.X, state, current, n_wanted, self.trainer))

    def _check_n_queries(self, n_queries: int) -> int:
        n_queries, n_affordable = check_n_queries(n_queries), self.state.n_affordable
        if n_queries > n_affordable > 0 and n_affordable < len(self.state.roles.candidates):
            warn_user(
                f"n_queries={n_queries} exceeds the {n_affordable} label(s) left of the budget of {self.budget}; "
                "extend the session's budget to ask for more."
            )
        return n_queries

    def _check_answers(self, ids: ArrayLike, labels: ArrayLike, among: Any, what: str) -> tuple[list[int], list[Any]]:
        rows, answers = check_answers(
            ids,
            labels,
            among,
            self.state.y,
            what=what,
            describe_row=self.state.describe_row,
            kinds=self.state.label_kinds,
            classes=None if self._learns else self.trainer.model.estimator.classes_,
            index=self.X.index if hasattr(self.X, "iloc") else None,
        )
        return rows, labels_to_list(answers)


def _report(wrong: list[str], n_recorded: int) -> str:
    shown = "\n".join(wrong[:_SHOWN_FAULTS])
    more = f"\n... and {len(wrong) - _SHOWN_FAULTS} more" if len(wrong) > _SHOWN_FAULTS else ""
    return (
        f"table: {n_recorded} answer(s) were recorded, {len(wrong)} were not. Put them right and tell the table again; "
        f"what is recorded is not counted twice.\n{shown}{more}"
    )
