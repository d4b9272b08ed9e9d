"""The model of a session: what the rounds that ended make of the estimator."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from skada_active.io._storage import digest_of
from skada_active.io.fingerprint import fingerprint
from skada_active.metrics._round_metrics import accuracies, class_counts
from skada_active.session._round import Round
from skada_active.session.state import Ledger
from skada_active.utils.fitting import continue_fitting, continues_training, fit_estimator, split_pipeline

__all__ = ["SessionModel"]


class _Trained(NamedTuple):
    estimator: Any
    initial: dict[str, Any] | None
    history: list[dict[str, Any]]
    keys: list[str] | None


class SessionModel:
    """Train an estimator round by round, and again where a corrected answer changes a round.

    The model is a function of the ledger: the estimator trained on the rows known at the start, then after each round
    that ended. What was trained on is remembered by a key per round, so only what changed is trained.

    Parameters
    ----------
    template : estimator
        Unfitted estimator with all its seeds.
    X : array-like of shape (n, ...) or dataset
        All rows.
    round_epochs : int or sequence of int
        Epochs of the training after each round.
    warm_start : bool
        Whether to go on training after a round, where the estimator can.
    answers, eval_set
        For the accuracies of the history, see `AdaptationSession`.

    Attributes
    ----------
    estimator_
        The fitted estimator. It is never changed: a network goes on training as a copy of itself.
    initial_, history_
        Entries of the history, see `ActiveAdaptationLoop`.
    keys : list of str or None
        Keys of the rounds that the estimator is trained on; None where it has to be trained from the start.
    """

    def __init__(
        self, template: Any, X: Any, *, round_epochs: Any, warm_start: bool, answers: Any = None, eval_set: Any = None
    ) -> None:
        self.template, self.X = template, X
        self.round_epochs, self.warm_start = round_epochs, warm_start
        self.answers, self.eval_set = answers, eval_set
        # Replaced as a whole, so that an interruption leaves nothing half done.
        self._trained = _Trained(None, None, [], None)

    @property
    def estimator_(self) -> Any:
        """The fitted estimator."""
        return self._trained.estimator

    @property
    def initial_(self) -> dict[str, Any] | None:
        """The entry of the history for the model before any purchase; None before the first training."""
        return self._trained.initial

    @property
    def history_(self) -> list[dict[str, Any]]:
        """One entry per round that the model is trained on."""
        return list(self._trained.history)

    @property
    def keys(self) -> list[str] | None:
        """Keys of the rounds that the estimator is trained on."""
        return self._trained.keys

    @cached_property
    def eval_digest(self) -> str | None:
        """Digest of the held-out rows that the history is measured on."""
        if self.eval_set is None:
            return None
        X, y = self.eval_set
        return digest_of(json.dumps(fingerprint(X, y, np.zeros(len(y), dtype=np.int64))).encode())

    def follow(self, ledger: Ledger, save: Callable[[], None] | None = None) -> None:
        """Train what the ledger has and the model has not; `save` is called after every training."""
        wanted = ledger.round_keys()
        if self.keys is None or (self.keys != wanted[: len(self.keys)] and self._goes_on()):
            self._start(ledger)
            if save is not None:
                save()
        # Trained anew after every round, a model needs only the rounds from the first change on.
        n_valid = _n_equal(self.keys, wanted)
        if n_valid < len(self.keys):
            history = self._trained.history[:n_valid]
            self._trained = self._trained._replace(history=history, keys=self.keys[:n_valid])
        for finished in ledger.closed[n_valid:]:
            self._train(ledger, finished, wanted[: finished.number])
            if save is not None:
                save()

    def restore(self, estimator: Any, initial: dict[str, Any], history: list[dict[str, Any]], keys: list[str]) -> None:
        """Take over a model that was trained before."""
        self._trained = _Trained(estimator, initial, history, keys)

    def _goes_on(self) -> bool:
        return self.warm_start and continues_training(self.estimator_)

    def _start(self, ledger: Ledger) -> None:
        start = time.perf_counter()
        known = ledger.as_of(0)
        estimator = fit_estimator(clone(self.template), self.X, *known[:2])
        initial = self._record(estimator, known, Round(0), time.perf_counter() - start)
        self._trained = _Trained(estimator, initial, [], [])

    def _train(self, ledger: Ledger, finished: Round, keys: list[str]) -> None:
        start, estimator = time.perf_counter(), self.estimator_
        known = y, roles, _ = ledger.as_of(finished.number)
        if finished.bought_ids:
            new_class = not np.isin(y[finished.bought_ids], split_pipeline(estimator)[1].classes_).all()
            if new_class or not self._goes_on():
                # A new class changes the width of the head, so a network is trained anew; others always are.
                estimator = fit_estimator(clone(self.template), self.X, y, roles)
            else:
                estimator = self._copy()
                continue_fitting(estimator, self.X, y, roles, self._epochs(finished.number))
        entry = self._record(estimator, known, finished, time.perf_counter() - start)
        self._trained = _Trained(estimator, self.initial_, [*self._trained.history, entry], keys)

    def _copy(self) -> Any:
        try:
            return deepcopy(self.estimator_)
        except Exception:
            # A module that cannot be copied is trained in place: interrupted, it has to begin from the start.
            self._trained = self._trained._replace(keys=None)
            return self.estimator_

    def _epochs(self, number: int) -> int:
        epochs = self.round_epochs
        return int(epochs[min(number, len(epochs)) - 1] if np.ndim(epochs) else epochs)

    def _record(self, estimator: Any, known: tuple[Any, ...], finished: Round, train_seconds: float) -> dict[str, Any]:
        y, roles, query_round = known
        return {
            "round": finished.number,
            "ids": np.array(finished.bought_ids, dtype=np.int64),
            "utilities": np.array([finished.utilities[row] for row in finished.bought_ids], dtype=np.float64),
            "abstained_ids": np.array(finished.abstained_ids, dtype=np.int64),
            "n_queries": int((query_round > 0).sum()),
            "class_counts": class_counts(y[roles.labeled_target]),
            "seconds": {"query": finished.query_seconds, "oracle": finished.oracle_seconds, "train": train_seconds},
            "loss": dict(getattr(split_pipeline(estimator)[1], "loss_terms_", {})),
            "accuracy": accuracies(estimator, self.X, roles, query_round, self.answers, self.eval_set),
        }


def _n_equal(keys: list[str], wanted: list[str]) -> int:
    return next((n for n, pair in enumerate(zip(keys, wanted, strict=False)) if pair[0] != pair[1]), len(keys))
