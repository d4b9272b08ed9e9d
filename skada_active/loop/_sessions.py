"""The sessions of a loop: begin one, go on with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skada_active.loop._start import schedule_of, start_session
from skada_active.loop._validation import check_data, check_oracle, check_reply
from skada_active.loop.oracle import ArrayOracle, Oracle
from skada_active.metrics._round_metrics import known_accuracies
from skada_active.session.session import AdaptationSession
from skada_active.utils.fitting import remember_columns
from skada_active.utils.rows import take_rows

if TYPE_CHECKING:
    from skada_active.loop.active_loop import ActiveAdaptationLoop

__all__ = ["LoopSessions"]


class LoopSessions:
    """Begin sessions and go on with them: the conversing side of a loop."""

    def session(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sample_domain: ArrayLike | None = None,
        eval_set: tuple[Any, ArrayLike] | None = None,
        journal: Any = None,
        costs: ArrayLike | None = None,
        n_annotators: int = 1,
    ) -> AdaptationSession:
        """Start a session in which somebody else asks and answers, or go on with one.

        Parameters
        ----------
        X, sample_domain, eval_set
            As in `fit`.
        y : array-like of shape (n,)
            Labels; every label that is present is known, target rows without one (-1, NaN or None) are the pool.
        journal : str or path, default=None
            Folder in which every question and answer is on disk before the call returns. A folder that has a session
            goes on with it: same data and settings, all its answers, same model. ``None``: in memory only.
        costs : array-like of shape (n,), default=None
            What the label of each row costs, above 0; the loop's budget is then an amount in whole units of cost (a
            fraction: of what the whole pool costs). A round asks for as many of the chosen rows as it can pay for.
            ``None``: 1 each, so that a budget counts labels.
        n_annotators : int, default=1
            How many annotators answer for a row. Its label is that of the majority, and costs once what `costs` says.

        Returns
        -------
        AdaptationSession
            A session whose model is trained on all answers so far.

        Raises
        ------
        BlockingIOError
            If another process, or another session of this one, has the journal open.
        JournalError
            If the journal is damaged; the message names file and line.
        ValueError
            If data or settings are not valid, or not those of the journal.
        """
        X, y, roles = check_data(self, X, y, sample_domain)
        return start_session(
            self, X, y, roles, eval_set=eval_set, journal=journal, costs=costs, n_annotators=n_annotators
        )

    def resume(
        self,
        oracle: Oracle | None = None,
        *,
        budget: Any = None,
        n_rounds: int | None = None,
        annotator: str | None = None,
    ) -> ActiveAdaptationLoop:
        """Go on where the loop stopped: with what is left of the budget, or with more.

        Parameters
        ----------
        oracle : callable, default=None
            Who answers; ``None``: the labels that `fit` was given without an oracle.
        budget : int, float or sequence, default=None
            Labels to buy on top of what is left of the budget, as in the constructor (a fraction is one of the initial
            pool); ``None``: what is left, for example after an oracle raised.
        n_rounds : int, default=None
            Number of rounds of the new budget; ``None``: the loop's.
        annotator : str, default=None
            Who the oracle is, in a session of several annotators: it is asked until the others have to answer.

        Returns
        -------
        ActiveAdaptationLoop
            The fitted loop.

        Raises
        ------
        ValueError
            If there is no `oracle` and `fit` had none of the target labels, or `n_rounds` comes without a `budget`.
        """
        check_is_fitted(self)
        session = self.session_
        if oracle is None:
            if session.answers is None:
                raise ValueError("oracle=None, but fit was given an oracle of its own; pass who answers from now on.")
            oracle = ArrayOracle(session.answers)
        check_oracle(oracle)
        if budget is None and n_rounds is not None:
            raise ValueError(f"n_rounds={n_rounds} says how a new budget is spent; give the budget too.")
        if budget is not None:
            schedule = schedule_of(budget, self.n_rounds if n_rounds is None else n_rounds)
            session.extend(schedule.rounds(session.pool_cost))
        return self._run(session, oracle, annotator)

    def _run(self, session: AdaptationSession, oracle: Oracle, annotator: str | None = None) -> ActiveAdaptationLoop:
        self._adopt(session)
        try:
            with tqdm(total=session.budget, initial=session.spent, disable=not self.verbose) as bar:
                while len(ids := session.ask(annotator=annotator)):
                    # A copy: what an oracle does to its rows must not change what is told about.
                    labels = check_reply(oracle(ids.copy(), take_rows(session.X, ids)))
                    session.tell(ids, labels, annotator=annotator)
                    bar.update(session.spent - bar.n)
                    bar.set_postfix(known_accuracies((session.history_ or [session.initial_])[-1]["accuracy"]))
        finally:
            self._adopt(session)
        return self

    def _adopt(self, session: AdaptationSession) -> ActiveAdaptationLoop:
        self.session_ = session
        self.estimator_ = session._model.estimator_
        for name in ("strategy_", "queried_ids_", "query_round_", "history_", "initial_"):
            setattr(self, name, getattr(session, name))
        self.n_queries_ = len(session.queried_ids_)
        self.termination_condition_ = session.termination_condition_
        self.classes_ = self.estimator_.classes_
        if session.X is not None:
            remember_columns(self, session.X)
        return self
