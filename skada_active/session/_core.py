"""What a session is made of: a record of events, the ledger that they fold into, and the model that follows it."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timezone
from functools import partial
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skada_active.domains import Roles
from skada_active.loop._validation import estimator_of, strategy_of
from skada_active.session.state import Ledger
from skada_active.session.store import Record
from skada_active.session.trainer import SessionModel
from skada_active.utils.fitting import seed_estimator
from skada_active.utils.threads import in_turn
from skada_active.utils.warn import warn_user

__all__ = ["SessionCore", "TrainingError"]


class TrainingError(RuntimeError):
    """A model could not be trained on answers that are on record."""


class SessionCore:
    """Hold record, ledger and model of a session, and keep them in step; parameters as in `AdaptationSession`."""

    def __init__(
        self,
        loop: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        record: Record,
        *,
        answers: NDArray[Any] | None = None,
        eval_set: tuple[Any, Any] | None = None,
    ) -> None:
        self._turn, self._folding = RLock(), RLock()
        self._loop = clone(loop)
        self.X, self.answers, self.eval_set, self.record = X, answers, eval_set, record
        self.strategy_ = clone(strategy_of(loop))
        estimator = estimator_of(loop)
        self.strategy_.check_model(estimator if self.strategy_.estimator is None else self.strategy_.estimator)
        model_seed, scorer_seed, _ = self._seeds(0)
        template = seed_estimator(clone(estimator), model_seed)
        if self.strategy_.estimator is not None:
            self.strategy_.estimator = seed_estimator(self.strategy_.estimator, scorer_seed)
        self._begin = partial(
            Ledger, y, roles, rounds=record.rounds, costs=record.costs, n_annotators=record.n_annotators
        )
        self._n_applied: int | None = None
        self._model = SessionModel(
            template,
            X,
            round_epochs=loop.round_epochs,
            warm_start=loop.warm_start,
            answers=answers,
            eval_set=eval_set,
        )
        record.restore(self._model, self._ledger)
        try:
            self._follow()
        except TrainingError as error:
            # An answer may be to blame, and can only be corrected in a session that is open.
            warn_user(str(error))

    def _check_rows(self) -> None:
        if self.X is None:
            raise ValueError("The loop was loaded without its rows; give them: ActiveAdaptationLoop.load(folder, X=X).")

    @property
    def _ledger(self) -> Ledger:
        # Follows the record, so that a Ctrl-C between the two, or within the folding, leaves nothing behind.
        with self._folding:
            if self._n_applied is None:
                self._folded, self._n_applied = self._begin(), 0
            if self._n_applied < len(self.record):
                events, self._n_applied = self.record.since(self._n_applied), None
                for event in events:
                    self._folded.apply(event)
                self._n_applied = len(self.record)
            return self._folded

    def __copy__(self) -> SessionCore:
        return deepcopy(self)  # two that share what is known would count an answer twice

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_turn", "_folding")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._turn, self._folding = RLock(), RLock()

    def _take(self, event: str, **content: Any) -> None:
        # The one place where something becomes known: on disk first, where there is a journal.
        self.record.append({"event": event, **content, "time": datetime.now(timezone.utc).isoformat()})

    @in_turn
    def _follow(self) -> None:
        # What is interrupted is done again by the next call.
        try:
            self._model.follow(self._ledger, save=lambda: self.record.save(self._model))
        except Exception as error:
            if not len(self.record) or self._model.initial_ is None:
                raise
            raise TrainingError(
                f"The answers are on record, but the model could not be trained on them: {error} Correct what is wrong "
                "by correct(ids, labels); ask() tries again."
            ) from error

    def _seeds(self, number: int) -> list[int]:
        # Each round has seeds of its own, so that a round's choice does not depend on how the rounds before it went.
        sequence = np.random.SeedSequence(self.record.seed, spawn_key=(number,))
        return [int(seed) for seed in sequence.generate_state(3) >> 1]
