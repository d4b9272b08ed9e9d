"""Stores of a session's events: in memory, or in a journal with the trained model as a checkpoint."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.exceptions import JournalError, UnsaveableError, UntrustedFileError
from skada_active.io.estimators import check_loadable, dumps, loads
from skada_active.io.fingerprint import check_fingerprint, fingerprint
from skada_active.io.journal import Journal
from skada_active.io.packing import missing_parameters
from skada_active.io.parameters import differences, stateful_parameters
from skada_active.metrics.scoring import BUILT_IN
from skada_active.session.events import Event, from_json, to_json
from skada_active.session.settings import SessionSettings
from skada_active.session.state import SessionState
from skada_active.session.trainer import TrainedModel, Trainer
from skada_active.utils.versions import package_versions
from skada_active.utils.warn import warn_user

__all__ = ["JournalStore", "MemoryStore"]


class MemoryStore:
    """Events in memory.

    Parameters
    ----------
    settings : SessionSettings
        Settings of the session.
    events : sequence of Event, default=()
        What has happened so far.
    model : TrainedModel, default=None
        The model that was trained from them.
    data : dict, default=None
        Fingerprint of the rows of the session, for one that is opened without them.

    Attributes
    ----------
    settings : SessionSettings
        Settings that the session has to be run with.
    path : Path or None
        File of the store, None in memory.
    """

    path: Any = None
    data: Any = None

    def __init__(self, settings: SessionSettings, events: Any = (), model: Any = None, data: Any = None) -> None:
        self.settings, self.data = settings, data
        self._events, self._model = list(events), model

    def since(self, n_events: int) -> list[Event]:
        """Return what has happened after the first `n_events`."""
        return self._events[n_events:]

    def append(self, event: Event) -> None:
        """Record an event; nothing is recorded where this raises."""
        self._events.append(event)

    def restore_model(self, trainer: Trainer, state: SessionState) -> None:
        """Give the trainer what was saved of its training; a ValueError if that does not fit the events."""
        if self._model is not None:
            trainer.restore(self._model)
            if self._model.purchases != state.purchases():
                raise ValueError("the model is not trained on the answers")

    def save_model(self, trainer: Trainer) -> None:
        """Keep the trained model."""

    def close(self) -> None:
        """Record no more events."""


class JournalStore(MemoryStore):
    """Events in a journal, on the disk before `append` returns, and the trained model as its checkpoint.

    The checkpoint shortens resuming; it is never the truth. One that cannot be read is ignored, with a warning.

    Parameters
    ----------
    path : str or path
        File of the journal. A new one begins a session, any other one goes on with its session.
    settings : SessionSettings
        Settings of the session; those of the journal must be the same. Its seed wins.
    X, y, roles
        The data; those of the journal must be the same.

    Raises
    ------
    BlockingIOError
        If another session has the file open.
    JournalError
        If the file is damaged or no journal.
    ValueError
        If the data or the settings are not those of the journal.
    """

    def __init__(self, path: Any, settings: SessionSettings, X: Any, y: NDArray[Any], roles: Roles) -> None:
        self.journal = Journal(path)
        self.path = self.journal.path
        try:
            start = self._begin_or_check(settings, X, y, roles)
        except BaseException:
            self.journal.close()
            raise
        self.settings = replace(settings, seed=start["seed"])

    def since(self, n_events: int) -> list[Event]:
        """Return what has happened after the first `n_events`."""
        lines = self.journal.since(n_events)
        try:
            return [from_json(line) for line in lines]
        except JournalError as error:
            raise JournalError(f"{self.path}: {error}") from error

    def append(self, event: Event) -> None:
        """Record an event: it is on the disk when this returns."""
        self.journal.append(to_json(event))

    def restore_model(self, trainer: Trainer, state: SessionState) -> None:
        """Give the trainer the model of the checkpoint, if it fits the events."""
        try:
            if (checkpoint := self.journal.read_checkpoint()) is None:
                return
            info = json.loads(checkpoint[0])
            now = self._info(trainer, state.purchases()[: len(info["purchases"])])
            if changed := [name for name, value in now.items() if info.get(name) != value]:
                raise ValueError(f"it was not trained with the {' and '.join(changed)} of the session")
            parts = loads(checkpoint[1])
            trainer.restore(TrainedModel.unpacked(parts, self._missing, trainer.template, info["purchases"]))
        except Exception as error:
            # Whatever is wrong with it, the journal has all that it takes to train the model again.
            reason = str(error).rstrip(".")
            warn_user(f"The model in {self.path} is not used: {reason}. It is trained again from the answers.")

    def save_model(self, trainer: Trainer) -> None:
        """Write the trained model into the journal; where that cannot be done, resuming trains again."""
        if not self.journal.is_open:
            return
        try:
            with suppress(UnsaveableError, UntrustedFileError):  # documented: such a model is trained again
                model = dumps(trainer.model.packed(self._missing))
                check_loadable(model)
                self.journal.write_checkpoint(json.dumps(self._info(trainer, trainer.model.purchases)), model)
        except Exception as error:  # the answers are recorded: nothing may stop here
            warn_user(f"The model could not be written to {self.path} ({error}). The answers are safe.")

    def _info(self, trainer: Trainer, purchases: Any) -> dict[str, Any]:
        return {
            "versions": package_versions(),
            "eval_set": trainer.eval_hash,
            "scoring": [*BUILT_IN, *(trainer.scoring.description if trainer.scoring else ())],
            "purchases": purchases,
        }

    @cached_property
    def _missing(self) -> list[str]:
        """Parameters that a checkpoint does not hold; the estimator of the settings has them."""
        return missing_parameters(self.settings.estimator)

    def close(self) -> None:
        """Close the journal, so that another session may open it."""
        self.journal.close()

    def _begin_or_check(self, settings: SessionSettings, X: Any, y: NDArray[Any], roles: Roles) -> dict[str, Any]:
        described = settings.describe()
        if self.journal.start is not None:
            start = json.loads(self.journal.start)
            try:
                self._check(start, described, X, y, roles)
                return start
            except ValueError:
                # Nothing was asked yet, so nothing binds a session that begins with other data or settings.
                if len(self.journal):
                    raise
        data = fingerprint(X, y, roles.domain)
        start = {"seed": settings.seed, "versions": package_versions(), "data": data, "settings": described}
        self.journal.begin(json.dumps(start))
        of_estimator = stateful_parameters(settings.estimator, "estimator")
        for path in [*of_estimator, *stateful_parameters(settings.strategy, "strategy")]:
            warn_user(f"{path} has a state of its own; reopen the session with an equal one, from a seed or a file.")
        return start

    def _check(self, start: dict[str, Any], described: dict[str, str], X: Any, y: NDArray[Any], roles: Roles) -> None:
        check_fingerprint(start["data"], X, y, roles.domain, what=f"the journal {self.path}")
        then, now = start["versions"], package_versions()
        # A release may add or drop a parameter; what both know has to be the same.
        if changed := differences(start["settings"], described, shared_only=then != now):
            raise ValueError(
                f"The journal {self.path} is of a session with other settings: {'; '.join(changed)}. Open it as it was "
                "(session.extend buys more labels), or start a new session in another file."
            )
        if then != now:
            warn_user(f"{self.path} began with {then}, now there is {now}: the model trained from it may differ.")
