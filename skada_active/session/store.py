"""What a session starts from, and what has happened since: in memory, or in a journal."""

from __future__ import annotations

from numbers import Integral
from typing import Any
from uuid import uuid4

from numpy.typing import NDArray

from skada_active.domains import Roles
from skada_active.io._description import describe, differences, opaque_paths, shared_parameters, without_parameters
from skada_active.io._storage import digest_of
from skada_active.io.fingerprint import check_fingerprint, fingerprint
from skada_active.io.journal import Journal, JournalError
from skada_active.loop._validation import estimator_of, strategy_of
from skada_active.session._checkpoint import remove_checkpoint, restore_checkpoint, save_checkpoint
from skada_active.session.state import Ledger
from skada_active.session.trainer import SessionModel
from skada_active.utils.versions import package_versions
from skada_active.utils.warn import warn_user

__all__ = ["JournalRecord", "Record"]

_FORMAT = 1
#: Parameters, of any part, that may change from one day to the next: they do not say what is trained.
_FREE = frozenset({"device", "n_jobs", "new_classes", "verbose"})
#: Parameters of the loop that the record holds as what they come to.
_IN_RECORD = frozenset({"budget", "n_rounds", "random_state"})


class Record:
    """Keep the settings and the events of a session in memory.

    Parameters
    ----------
    seed : int
        Seed of everything random.
    rounds : list of int
        What each round may spend.
    costs : ndarray of shape (n,), default=None
        Cost of every row's label; ``None``: 1 each.
    n_annotators : int, default=1
        Answers that settle a row.
    events : list of dict, default=()
        What has happened so far.
    """

    #: Folder of the record, None in memory.
    folder: Any = None

    def __init__(
        self,
        seed: int,
        rounds: list[int],
        costs: NDArray[Any] | None = None,
        n_annotators: int = 1,
        events: Any = (),
    ) -> None:
        self.seed, self.rounds, self.costs, self.n_annotators = seed, rounds, costs, n_annotators
        self._events = list(events)

    def __len__(self) -> int:
        return len(self._events)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What has happened so far."""
        return list(self._events)

    def since(self, n_events: int) -> list[dict[str, Any]]:
        """Return what has happened after the first `n_events`."""
        return self._events[n_events:]

    def append(self, event: dict[str, Any]) -> None:
        """Take an event; nothing is taken where this raises."""
        self._events.append(event)

    def restore(self, model: SessionModel, ledger: Ledger) -> None:
        """Give the model what is left of its training."""

    def save(self, model: SessionModel) -> None:
        """Keep the trained model."""

    def close(self) -> None:
        """Take no more events."""


class JournalRecord(Record):
    """Keep the settings and the events of a session in a journal, and the trained model beside it.

    Parameters
    ----------
    folder : str or path
        Folder of the journal. An empty or new one begins a session, any other one goes on with it.
    loop : ActiveAdaptationLoop
        Estimator, strategy and settings; those of the journal must be the same.
    X, y, roles
        The data; those of the journal must be the same.
    record : Record
        Seed and settings of a session that begins.

    Raises
    ------
    BlockingIOError
        If another session has the folder open.
    JournalError
        If the journal is damaged.
    ValueError
        If the data or the settings are not those of the journal.
    """

    def __init__(self, folder: Any, loop: Any, X: Any, y: NDArray[Any], roles: Roles, record: Record) -> None:
        self.journal = Journal(folder)
        self.folder = self.journal.folder
        try:
            start = self._begin_or_check(loop, X, y, roles, record)
        except BaseException:
            self.journal.close()
            raise
        self.session = start["session"]
        self.seed, self.rounds = start["seed"], list(start["rounds"])
        self.costs, self.n_annotators = record.costs, record.n_annotators

    def __len__(self) -> int:
        return len(self.journal) - 1  # without the start

    @property
    def events(self) -> list[dict[str, Any]]:
        """What has happened so far."""
        return self.since(0)

    def since(self, n_events: int) -> list[dict[str, Any]]:
        """Return what has happened after the first `n_events`."""
        return self.journal.since(n_events + 1)

    def append(self, event: dict[str, Any]) -> None:
        """Take an event: it is on disk when this returns."""
        self.journal.append(event)

    def restore(self, model: SessionModel, ledger: Ledger) -> None:
        """Give the model what is beside the journal, if it fits."""
        restore_checkpoint(self.folder, self.session, model, ledger)

    def save(self, model: SessionModel) -> None:
        """Write the trained model beside the journal."""
        if self.journal.is_open:
            save_checkpoint(self.folder, self.session, model)

    def close(self) -> None:
        """Close the journal, so that another session may open it."""
        self.journal.close()

    def _begin_or_check(self, loop: Any, X: Any, y: NDArray[Any], roles: Roles, record: Record) -> dict[str, Any]:
        settings = _settings(loop, record)
        if len(self.journal):
            start = self.journal.events[0]
            try:
                self._check(start, settings, X, y, roles)
            except ValueError:
                # Nothing was asked yet, so nothing binds a session that begins with other data or settings.
                if len(self.journal) > 1 or start.get("format") != _FORMAT:
                    raise
                self.journal.clear()
                remove_checkpoint(self.folder)
            else:
                return start
        start = {
            "event": "start",
            "format": _FORMAT,
            "session": uuid4().hex,
            "seed": record.seed,
            "rounds": list(record.rounds),
            "versions": package_versions(),
            "data": fingerprint(X, y, roles.domain),
            "settings": settings,
        }
        self.journal.append(start)
        _warn_of_own_state(settings)
        return start

    def _check(self, start: dict[str, Any], settings: Any, X: Any, y: NDArray[Any], roles: Roles) -> None:
        if start.get("event") != "start" or start.get("format") != _FORMAT:
            raise JournalError(
                f"{self.folder}: a journal of format {start.get('format')!r}, this version reads {_FORMAT}; go on with "
                "the version of skada_active that wrote it."
            )
        check_fingerprint(start["data"], X, y, roles.domain, what=f"the journal in {self.folder}")
        self._check_settings(start, settings)
        if start["versions"] != package_versions():
            warn_user(
                f"The session in {self.folder} began with {start['versions']}, now there is {package_versions()}: the "
                "model that is trained from its answers may differ a little from the one it had.",
            )

    def _check_settings(self, start: dict[str, Any], settings: dict[str, Any]) -> None:
        recorded = start["settings"]
        if start["versions"] != package_versions():
            # A release may add or drop a parameter; what both know has to be the same.
            recorded, settings = shared_parameters(recorded, settings), shared_parameters(settings, recorded)
        changed = differences(*({**tree, "rounds": None, "costs": None} for tree in (recorded, settings)))
        if recorded["rounds"] != settings["rounds"]:
            changed.append(f"the budget made rounds of {recorded['rounds']}, now of {settings['rounds']}")
        if recorded["costs"] != settings["costs"]:
            changed.append("costs are not those that the session began with, give the same array (None for none)")
        if changed:
            raise ValueError(
                f"The journal in {self.folder} is of a session with other settings: {'; '.join(changed)}. Use those of "
                "the journal, or begin a new folder. (To buy more labels, open it as it was and call session.extend.)"
            )


def _settings(loop: Any, record: Record) -> dict[str, Any]:
    params = {name: value for name, value in loop.get_params(deep=False).items() if name not in _IN_RECORD}
    params["estimator"], params["strategy"] = estimator_of(loop), strategy_of(loop)
    described = {name: describe(value) for name, value in sorted(params.items())}
    return {
        **without_parameters(described, _FREE),
        "random_state": int(loop.random_state) if isinstance(loop.random_state, Integral) else None,
        "rounds": list(record.rounds),
        "costs": None if record.costs is None else digest_of(record.costs.tobytes()),
        "n_annotators": record.n_annotators,
    }


def _warn_of_own_state(settings: dict[str, Any]) -> None:
    for path in opaque_paths(settings):
        warn_user(
            f"{path} has a state of its own, which no file can bring back: the session can be opened again only with "
            "an equal one. Make it in the same way each time, from a seed or a file.",
        )
