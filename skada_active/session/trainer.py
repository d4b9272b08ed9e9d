"""Trainer of a session: fits the estimator on the answers of the rounds that ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skada_active.domains import Roles
from skada_active.io.fingerprint import fingerprint
from skada_active.io.hashing import value_hash
from skada_active.io.packing import packed, unpacked
from skada_active.metrics.accuracy import accuracies, class_counts, known_accuracies, listed
from skada_active.metrics.scoring import Scoring
from skada_active.session.measuring import Baseline, audit_scores, pool_confidence, predictions, stability
from skada_active.session.progress import Progress
from skada_active.session.settings import SessionSettings
from skada_active.session.state import Audit, Round, SessionState
from skada_active.utils.fitting import (
    continue_fitting,
    continues_training,
    fit_estimator,
    fits_without_labels,
    is_frozen,
    seed_estimator,
    split_pipeline,
)
from skada_active.utils.warn import warn_user

__all__ = ["TrainedModel", "Trainer", "fit_strategy_model", "fit_without_new"]

logger = logging.getLogger(__name__)

_Known = tuple[NDArray[Any], Roles, NDArray[np.int64]]


class TrainedModel(NamedTuple):
    """Fitted estimator, and what it was trained on.

    Parameters
    ----------
    estimator : estimator
        Fitted. It is never changed: a network goes on training as a copy of itself. None before the first training.
    initial : dict
        Entry of the history for the model before any purchase, see `ActiveAdaptationLoop`.
    history : list of dict
        One entry per round that the estimator is trained on.
    purchases : list or None
        Rows and labels bought in each of these rounds; None: it has to be trained from the start.
    baseline : Baseline, default=None
        Predictions before any purchase, where they are audited.
    previous : estimator, default=None
        The estimator of the round before, where the strategy of the next round reads it. None before the first round,
        and after one that changed the estimator in place, since it could not be copied.
    """

    estimator: Any
    initial: dict[str, Any]
    history: list[dict[str, Any]]
    purchases: list[list[Any]] | None
    baseline: Baseline | None = None
    previous: Any = None

    def packed(self, missing: Sequence[str]) -> list[Any]:
        """Return all but the purchases for a file, the estimators without their parameters that are `missing`."""
        parts = [packed(self.estimator, missing), self.initial, self.history, self.baseline and tuple(self.baseline)]
        return parts if self.previous is None else [*parts, packed(self.previous, missing)]

    @classmethod
    def unpacked(cls, parts: Sequence[Any], missing: Sequence[str], given: Any, purchases: Any) -> TrainedModel:
        """Return the model of what `packed` returned, what is missing taken from an unfitted estimator."""
        estimator, initial, history, baseline, *before = parts
        previous = unpacked(before[0], missing, given) if before else None
        baseline = Baseline.restored(baseline)
        return cls(unpacked(estimator, missing, given), initial, history, purchases, baseline, previous)


class Trainer:
    """Train an estimator round by round, and again where a corrected answer changes a round.

    The model is a function of the session's state: the estimator trained on the rows known at the start, then after
    each round that ended. It remembers what it was trained on, so that only what changed is trained again.

    Parameters
    ----------
    settings : SessionSettings
        Estimator, epochs, warm start and weight of target rows.
    X : array-like of shape (n, ...) or dataset
        All rows.
    seed : int
        Seed of the estimator.
    y_true, eval_set, scoring
        For the accuracies and other metrics of the history, see `AdaptationSession`.
    progress : Progress, default=None
        What shows how far it is; ``None``: nothing does.

    Attributes
    ----------
    template : estimator
        The unfitted estimator with all its seeds.
    model : TrainedModel
        What was trained; replaced as a whole.
    """

    def __init__(
        self,
        settings: SessionSettings,
        X: Any,
        *,
        seed: int,
        y_true: Any = None,
        eval_set: Any = None,
        scoring: Any = None,
        progress: Progress | None = None,
    ) -> None:
        self.settings, self.X, self.y_true, self.eval_set = settings, X, y_true, eval_set
        self.template = seed_estimator(clone(settings.estimator), seed)
        self.scoring = None if scoring is None else Scoring(scoring, self.template)
        self.progress = progress
        # Replaced as a whole, so that an interruption leaves nothing half done.
        self.model = TrainedModel(None, {}, [], None)
        self._confidence: tuple[Any, Any] = None, None

    @cached_property
    def eval_hash(self) -> str | None:
        """Hash of the held-out rows that the history is measured on."""
        if self.eval_set is None:
            return None
        X, y = self.eval_set
        return value_hash(fingerprint(X, y, np.zeros(len(y), dtype=np.int64)))

    def train_to(self, state: SessionState, save: Callable[[Trainer], None]) -> None:
        """Train the model on the rounds of the state that it lacks; `save` is called after every training."""
        wanted, done = state.purchases(), self.model.purchases
        shown: Callable[[], AbstractContextManager[Any]] = nullcontext
        if self.progress is not None:
            shown = partial(self.progress.training, state, lambda: self.known_accuracies)
        # A stopping rule compares each model with the one before, which is gone where an earlier answer changes.
        needs_all = self._goes_on() or self.settings.stopping is not None
        if done is None or (done != wanted[: len(done)] and needs_all):
            with shown():
                self._train_start(state)
            save(self)
        # Trained from scratch after every round, a model needs only the rounds from the first change on.
        done = self.model.purchases or []
        n_valid = next((n for n, pair in enumerate(zip(done, wanted, strict=False)) if pair[0] != pair[1]), len(done))
        if n_valid < len(done):
            # If one round alone is trained again, the model before it is at hand; otherwise it is made on the way.
            self.model = self.model._replace(
                estimator=self.model.estimator if self.model.previous is None else self.model.previous,
                history=self.model.history[:n_valid],
                purchases=done[:n_valid],
            )
        for finished in state.closed[n_valid:]:
            with shown():
                self._train_round(state, finished, wanted[: finished.number])
            save(self)

    def restore(self, model: TrainedModel) -> None:
        """Take over a model that was trained before; a ValueError if it is no model of the template's kind."""
        if type(model.estimator) is not type(self.template):
            raise ValueError(f"it is a {type(model.estimator).__name__}, not a {type(self.template).__name__}")
        self.model = model

    @property
    def last_entry(self) -> dict[str, Any]:
        """Entry of the history for the model as it is, empty before the first training."""
        return [self.model.initial, *self.model.history][-1]

    @property
    def known_accuracies(self) -> dict[str, str]:
        """Accuracies of the model that are known, as people are shown them; none before the first training."""
        if not (entry := self.last_entry):
            return {}
        before = self.model.initial["accuracy"] if self.model.history else None
        return known_accuracies(entry["accuracy"], entry["balanced_accuracy"], before)

    def _goes_on(self) -> bool:
        return self.settings.warm_start and continues_training(self.model.estimator)

    def _train_start(self, state: SessionState) -> None:
        start, known = time.perf_counter(), state.as_of(0)
        estimator = self._fitted(known[0], known[1])
        initial = self._entry(estimator, known, state.audit(0), Round(0), time.perf_counter() - start)
        baseline = Baseline.of(estimator, self.X, known[1], self._confidence[1]) if self.settings.audit else None
        if self.settings.stopping is not None:
            initial["stability"] = None
        self.model = TrainedModel(estimator, initial, [], [], baseline)
        self._log()

    def _train_round(self, state: SessionState, finished: Round, purchases: list[list[Any]]) -> None:
        start, estimator = time.perf_counter(), self.model.estimator
        known = y, roles, _ = state.as_of(finished.number)
        audit, is_watched = state.audit(finished.number), self.settings.stopping is not None
        before = predictions(estimator, self.X, audit.pool) if is_watched else None
        if finished.teaches:
            new_class = not np.isin(y[roles.labeled_target], estimator.classes_).all()
            if new_class or not self._goes_on():
                # A new class changes the width of the head, so a network is trained from scratch; others always are.
                try:
                    estimator = self._fitted(y, roles)
                except Exception as error:
                    from_start = estimator.classes_ if fits_without_labels(estimator) else ()
                    estimator = fit_without_new(self._fitted, y, roles, state, error, from_start)
            else:
                estimator = self._copy()
                continue_fitting(estimator, self.X, y, roles, self._epochs_after(finished.number))
        entry = self._entry(estimator, known, audit, finished, time.perf_counter() - start)
        if before is not None:
            entry["stability"] = stability(before, predictions(estimator, self.X, audit.pool), audit)
        initial, baseline = self.model.initial, self.model.baseline
        if baseline is not None:
            initial = {**initial, "accuracy": {**initial["accuracy"], "audit": baseline.estimate(audit)}}
        asks_next, previous = self.settings.strategy.in_round(finished.number + 1), None
        if "previous_proba" in asks_next.needs and asks_next.estimator is None:
            # Where it was trained in place, there is no model of the round before any more.
            in_place = finished.teaches and estimator is self.model.estimator and not is_frozen(estimator)
            previous = None if in_place else self.model.estimator
        self.model = TrainedModel(estimator, initial, [*self.model.history, entry], purchases, baseline, previous)
        self._log()

    def _fitted(self, y: NDArray[Any], roles: Roles) -> Any:
        return fit_estimator(clone(self.template), self.X, y, roles, self.settings.target_weight)

    def _epochs_after(self, number: int) -> int:
        epochs = np.atleast_1d(self.settings.round_epochs)
        return int(epochs[min(number, len(epochs)) - 1])

    def _copy(self) -> Any:
        try:
            return deepcopy(self.model.estimator)
        except Exception:
            # A module that cannot be copied is trained in place: interrupted, it has to begin from the start.
            self.model = self.model._replace(purchases=None)
            return self.model.estimator

    def confidence(self, state: SessionState) -> NDArray[np.float32]:
        """Return the model's confidence in its prediction of every row (n,) that may be asked about."""
        estimator = self.model.estimator
        if self._confidence[0] is not estimator:  # it comes from a checkpoint
            self._confidence = estimator, pool_confidence(estimator, self.X, state.as_of(len(self.model.history))[1])
        return self._confidence[1]

    def _entry(
        self, estimator: Any, known: _Known, audit: Audit, finished: Round, train_seconds: float
    ) -> dict[str, Any]:
        y, roles, query_round = known
        scores = accuracies(
            estimator,
            self.X,
            roles,
            query_round,
            self.y_true,
            self.eval_set,
            self.scoring,
            not finished.number,  # it must succeed: later, labels have been bought
        )
        entry: dict[str, Any] = {
            "round": finished.number,
            "ids": np.array(finished.bought_ids, dtype=np.int64),
            "utilities": np.array([finished.utilities[row] for row in finished.bought_ids], dtype=np.float64),
            "abstained_ids": np.array(finished.abstained_ids, dtype=np.int64),
            "n_queries": int((query_round > 0).sum()),
            "class_counts": class_counts(y[roles.labeled_target]),
            "seconds": {"query": finished.query_seconds, "oracle": finished.oracle_seconds, "train": train_seconds},
            "loss": dict(getattr(split_pipeline(estimator)[1], "loss_terms_", {})),
            **scores,
        }
        if self.settings.audit:
            confidence = pool_confidence(estimator, self.X, roles)
            self._confidence = estimator, confidence
            for name, value in audit_scores(estimator, self.X, audit, confidence, self.scoring).items():
                entry[name] = {**entry.get(name, {}), **value} if isinstance(value, dict) else value
            entry["audit_ids"] = np.array([row for row in finished.bought_ids if row in finished.audit_ids], dtype=int)
        return entry

    def _log(self) -> None:
        if logger.isEnabledFor(logging.INFO):
            entry = self.last_entry
            logger.info(
                "round %d: %d label(s) bought, %d in all; accuracy: %s; seconds: %s",
                entry["round"],
                len(entry["ids"]),
                entry["n_queries"],
                listed(self.known_accuracies) or "not known",
                listed({name: f"{seconds:.1f}" for name, seconds in entry["seconds"].items()}),
            )


def fit_strategy_model(
    strategy: Any, X: Any, state: SessionState, target_weight: Any = None, number: int | None = None
) -> Any:
    """Return a strategy's own estimator, fitted on what is known now, or was at the end of a round."""
    y, roles = (state.y, state.roles) if number is None else state.as_of(number)[:2]
    fit = partial(strategy.fit_model, X, target_weight=target_weight)
    try:
        return fit(y, roles)
    except Exception as error:
        return fit_without_new(fit, y, roles, state, error)


def fit_without_new(
    fit: Callable[[NDArray[Any], Roles], Any],
    y: NDArray[Any],
    roles: Roles,
    state: SessionState,
    error: Exception,
    from_start: Sequence[Any] = (),
) -> Any:
    """Return what `fit` makes of labels without the rarest classes that are new since the start, as few as will do.

    Not new are those of the labels at the start, and those that a model which came trained knows, `from_start`.

    An estimator that fails, with `error`, on a class of which few labels have been bought learns from the other answers
    until it has enough of them. It depends on what is known alone, so that a replay leaves out the same.
    """
    labels = y[roles.labeled_target]
    known = [*state.y[state.initial_roles.labeled].tolist(), *np.asarray(from_start).tolist()]
    counts = class_counts(labels[[label not in known for label in labels.tolist()]])
    left_out = sorted(counts, key=lambda label: counts[label])
    for n_classes in range(1, 1 + len(left_out) * (not isinstance(error, MemoryError | OSError))):
        try:
            estimator = fit(y, roles.hide(np.isin(y, left_out[:n_classes])))
        except Exception:  # not these alone
            continue
        warn_user(
            f"{type(estimator).__name__} could not be trained with the new class "
            f"{', '.join(f'{label!r} ({counts[label]} label(s))' for label in left_out[:n_classes])}: {error} It is "
            "trained without these labels, their rows count as wrong, and the next round tries again with more of "
            "them. If that is too late, choose an estimator that learns a class from so few; if the answer was a slip, "
            "change it by correct(ids, labels)."
        )
        return estimator
    raise error
