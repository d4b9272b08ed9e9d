"""One run of the loop, as a conversation: ask for rows, tell their labels, and the model is retrained."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from skada_active._fitting import continue_fitting, continues_training, fit_estimator, seed_estimator
from skada_active._readers import split_pipeline
from skada_active.domains import Roles, is_missing, mask_labels
from skada_active.loop._answers import check_answers
from skada_active.loop._report import accuracies, class_counts
from skada_active.loop._round import Round
from skada_active.query._base import QueryStrategy, check_n_queries

__all__ = ["AdaptationSession"]


class AdaptationSession:
    """Run active domain adaptation step by step: `ask` for row numbers, `tell` their labels.

    Made by `ActiveAdaptationLoop.session`; the loop's own ``fit`` is a short driver of one. A round is: ask, answer,
    retrain. The first model is trained when the session starts, and again whenever the last open question of a round is
    answered.

    Parameters
    ----------
    estimator : estimator
        Unfitted classifier; cloned.
    strategy : QueryStrategy
        Query strategy; cloned.
    X : array-like of shape (n, ...) or dataset
        All rows; kept, not copied.
    y : ndarray of shape (n,)
        Labels; read only where `roles` says that they are known.
    roles : Roles
        Role of every row at the start.
    rounds : list of int
        Labels that each round may buy.
    round_epochs : int or sequence of int
        Epochs of the retraining after each round.
    warm_start : bool
        Whether to go on training after a round, where the estimator can.
    seed : int
        Seed of everything random.
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
    history_ : list of dict
        One entry per round that ended, see `ActiveAdaptationLoop`.
    initial_ : dict
        The same entry for the model before any purchase.

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

    def __init__(
        self,
        estimator: Any,
        strategy: QueryStrategy,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        *,
        rounds: list[int],
        round_epochs: Any,
        warm_start: bool,
        seed: int,
        answers: NDArray[Any] | None = None,
        eval_set: tuple[Any, Any] | None = None,
    ) -> None:
        self.X, self.roles, self.rounds = X, roles, list(rounds)
        self.y = mask_labels(y, ~roles.is_labeled)
        self.round_epochs, self.warm_start, self.seed = round_epochs, warm_start, seed
        self.answers, self.eval_set = answers, eval_set
        self.strategy_ = clone(strategy)
        model_seed, scorer_seed, _ = self._seeds(0)
        self._template = seed_estimator(clone(estimator), model_seed)
        if self.strategy_.estimator is not None:
            self.strategy_.estimator = seed_estimator(self.strategy_.estimator, scorer_seed)
        self.n_initial = len(roles.candidates)
        self.query_round_ = np.where(roles.is_labeled, 0, -1)
        self.events: list[dict[str, Any]] = []
        self.history_: list[dict[str, Any]] = []
        self._bought: list[int] = []
        self._round: Round | None = None
        self.strategy_.check_model(estimator if strategy.estimator is None else strategy.estimator)
        start = time.perf_counter()
        self.estimator_ = fit_estimator(clone(self._template), X, self.y, roles)
        self.initial_ = self._record(Round(0), time.perf_counter() - start)

    @property
    def queried_ids_(self) -> NDArray[np.int64]:
        """Row numbers of the labels bought, in order of purchase."""
        return np.array(self._bought, dtype=np.int64)

    @property
    def budget(self) -> int:
        """Labels that may be bought in all."""
        return sum(self.rounds)

    @property
    def remaining(self) -> int:
        """Labels that may still be bought."""
        return self.budget - len(self._bought)

    @property
    def open_ids(self) -> NDArray[np.int64]:
        """Row numbers asked about and not answered yet, in order of choice."""
        return np.array([] if self._round is None else self._round.open_ids, dtype=np.int64)

    @property
    def termination_condition_(self) -> str | None:
        """Why there is nothing more to ask: ``"budget"``, ``"pool"`` or ``"no_target"``; None while there is."""
        if len(self.open_ids):
            return None
        if not len(self.roles.target):
            return "no_target"
        if not len(self.roles.candidates):
            return "pool"
        return "budget" if self.remaining <= 0 else None

    def ask(self, n_queries: int | None = None) -> NDArray[np.int64]:
        """Return row numbers to label.

        Asked again before all of them are answered, it returns those that are still open.

        Parameters
        ----------
        n_queries : int, default=None
            How many rows; ``None``: what the schedule plans for this round. Never more than the budget that is left.

        Returns
        -------
        ndarray of int64
            Distinct row numbers; empty when budget or pool are used up.
        """
        if len(self.open_ids):
            return self.open_ids
        if self._round is not None and not self._n_wanted():
            self._close_round()  # its retraining was interrupted
        if self._round is None:
            self._round = Round(len(self.history_) + 1, self._round_size(n_queries))
        if self._n_wanted():
            self._choose(self._n_wanted())
        else:
            self._round = None
        return self.open_ids

    def tell(self, ids: ArrayLike, labels: ArrayLike) -> None:
        """Take answers; when nothing is open any more, the round ends and the model is retrained.

        Parameters
        ----------
        ids : array-like of int
            Rows that are answered: all or some of those asked about.
        labels : array-like
            Their labels. A missing one (-1, NaN or None) is an abstention: it costs nothing, the row is not asked about
            again, and another row takes its place in the round. A label that the model has not seen becomes a new
            class.

        Raises
        ------
        ValueError
            If a row was not asked about or comes twice, or the labels are too few, too many or of another type. Nothing
            is taken then.
        """
        ids, labels = check_answers(ids, labels, self.open_ids, self.y)
        if not len(ids):
            return
        self._apply({"round": self._round.number, "ids": ids, "labels": labels})
        if not len(self.open_ids) and not self._n_wanted():
            self._close_round()

    def extend(self, rounds: list[int]) -> None:
        """Add rounds to the schedule: more budget for a session that goes on."""
        self.rounds += rounds

    def _apply(self, event: dict[str, Any]) -> None:
        # The one place where an answer becomes known: a durable record of answers hooks in here.
        self.events.append(event)
        ids, labels = event["ids"], event["labels"]
        abstained = is_missing(labels)
        bought = ids[~abstained]
        self.y[bought] = labels[~abstained]
        self.roles = self.roles.reveal(bought).exclude(ids[abstained])
        self.query_round_[bought] = event["round"]
        self._bought += bought.tolist()
        self._round.answer(bought, ids[abstained])

    def _choose(self, n_queries: int) -> None:
        start = time.perf_counter()
        view_seed, choice_seed = self._seeds(self._round.number)[1:]
        model = self.estimator_
        if self.strategy_.estimator is not None:
            model = self.strategy_.fit_model(self.X, self.y, self.roles)
        roles = self._roles_known_to(model)
        view = self.strategy_.view(model, self.X, self.y, roles, random_state=view_seed, n_initial=self.n_initial)
        positions = self.strategy_.choose(view, n_queries, random_state=choice_seed)
        utilities = self.strategy_.chosen_utilities(view, positions)
        self._round.ask(view.index[positions], utilities, time.perf_counter() - start)

    def _round_size(self, n_queries: int | None) -> int:
        if n_queries is None:
            bought = len(self._bought)
            return next((int(end) - bought for end in np.cumsum(self.rounds) if end > bought), 0)
        n_queries = check_n_queries(n_queries)
        if n_queries > self.remaining:
            warnings.warn(
                f"n_queries={n_queries} exceeds the {self.remaining} label(s) left of the budget of {self.budget}; "
                "extend the session's budget to ask for more.",
                UserWarning,
                stacklevel=3,
            )
        return n_queries

    def _roles_known_to(self, model: Any) -> Roles:
        # A class that was answered for the first time in a round that goes on has no column in the model yet.
        labeled = self.roles.labeled_target
        unseen = labeled[~np.isin(self.y[labeled], split_pipeline(model)[1].classes_)]
        return self.roles.exclude(unseen).hide(np.isin(np.arange(len(self.y)), unseen)) if len(unseen) else self.roles

    def _n_wanted(self) -> int:
        # Rows that the round still has to ask about: at its start, and in place of those somebody abstained on.
        return max(0, min(self._round.missing, self.remaining, len(self.roles.candidates)))

    def _close_round(self) -> None:
        # The round stays open until its model is trained: if that is interrupted, `ask` does it again.
        if self._round.bought_ids or self._round.abstained_ids:
            start = time.perf_counter()
            if self._round.bought_ids:
                self._retrain(self._round.number, self.y[self._round.bought_ids])
            self.history_.append(self._record(self._round, time.perf_counter() - start))
        self._round = None

    def _retrain(self, number: int, labels: NDArray[Any]) -> None:
        new_class = not np.isin(labels, split_pipeline(self.estimator_)[1].classes_).all()
        if self.warm_start and not new_class and continues_training(self.estimator_):
            epochs = self.round_epochs
            if np.ndim(epochs):
                epochs = epochs[min(number, len(epochs)) - 1]
            continue_fitting(self.estimator_, self.X, self.y, self.roles, int(epochs))
        else:
            # A new class changes the width of the head, so a network is trained anew; others always are.
            self.estimator_ = fit_estimator(clone(self._template), self.X, self.y, self.roles)

    def _record(self, finished: Round, train_seconds: float) -> dict[str, Any]:
        return {
            "round": finished.number,
            "ids": np.array(finished.bought_ids, dtype=np.int64),
            "utilities": np.array([finished.utilities[row] for row in finished.bought_ids], dtype=np.float64),
            "abstained_ids": np.array(finished.abstained_ids, dtype=np.int64),
            "n_queries": len(self._bought),
            "class_counts": class_counts(self.y[self.roles.labeled_target]),
            "seconds": {"query": finished.query_seconds, "oracle": finished.oracle_seconds, "train": train_seconds},
            "loss": dict(getattr(split_pipeline(self.estimator_)[1], "loss_terms_", {})),
            "accuracy": accuracies(self.estimator_, self.X, self.roles, self.query_round_, self.answers, self.eval_set),
        }

    def _seeds(self, number: int) -> list[int]:
        # Each round has seeds of its own, so that a round's choice does not depend on how the rounds before it went.
        sequence = np.random.SeedSequence(self.seed, spawn_key=(number,))
        return [int(seed) for seed in sequence.generate_state(3) >> 1]
