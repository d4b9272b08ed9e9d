"""A labelling session in a child process, and somebody who answers: what the crash test kills."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skada_active.io.journal as journals
import skada_active.loop.active_loop as loops
import skada_active.session.trainer as trainers
from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.deep import AdaptationClassifier
from skada_active.deep.objectives import MCC
from skada_active.domains import mask_target
from skada_active.session.events import to_json

ESTIMATORS: dict[str, Callable[[], Any]] = {
    "AdaptationClassifier": lambda: AdaptationClassifier(MCC(), max_epochs=2, batch_size=16, device="cpu"),
    "Pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
}
BUDGET, MORE = [4, 5, 4], [3]
#: Seconds that a child rests before and after every statement to SQLite.
REST = 0.0003
DATA = make_shifted_blobs(60, 60, n_features=3, random_state=0)
Send = Callable[[Any], None]


def open_session(estimator: str, random_state: int | None, path: Path) -> Any:
    X, y, sample_domain = DATA
    loop = ActiveAdaptationLoop(ESTIMATORS[estimator](), budget=BUDGET, round_epochs=2, random_state=random_state)
    return loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, journal=path)


def events_of(session: Any, kind: str = "") -> list[dict[str, Any]]:
    """Return the events of a session, or those of a kind, as they are recorded."""
    events = [json.loads(to_json(event)) for event in session.events]
    return [event for event in events if kind in ("", event["event"])]


def rows_of(session: Any, kind: str) -> set[int]:
    return {row for event in events_of(session, kind) for row in event["ids"]}


def due_corrections(session: Any) -> list[int]:
    """Return the slips that somebody notices now: some at once, some when a later round has been asked about."""
    asked = len(session.history_) + bool(session.open_ids.size)
    slips = [row for row in session.queried_ids_.tolist() if row % 3 == 0]
    corrected = rows_of(session, "corrected")
    return [r for r in slips if r not in corrected and (r % 2 == 0 or session.query_round_[r] < asked)]


def answer(session: Any, row: int) -> int:
    """Return the label of a row: none at first for some rows, a wrong one for some, which is corrected later."""
    label = int(DATA[1][row])
    if row % 7 == 3 and row not in rows_of(session, "readmitted"):
        return -1
    return (label + 1) % 3 if row % 3 == 0 else label


def next_call(session: Any) -> Callable[[], Any] | None:
    """Return the next call of somebody who knows no more than what the session has on record."""
    due = due_corrections(session)
    if due:
        return lambda: session.correct(due[:1], DATA[1][due[:1]])
    rows = session.open_ids.tolist()[:2]
    if rows and answer(session, rows[0]) == -1:
        return lambda: session.abstain(rows[:1])
    if rows:
        return lambda: session.tell(rows, [answer(session, row) for row in rows])
    if session.termination_condition_ is None:
        n_rounds = len(session.history_)
        return lambda: session.ask(3 if n_rounds == 1 else None)
    if not events_of(session, "extended"):
        return lambda: session.extend(MORE)
    if len(session.abstained_ids) and not events_of(session, "readmitted"):
        return lambda: session.readmit(session.abstained_ids[:1])
    return None


def run_session(estimator: str, random_state: int | None, path: Path, report: Send) -> dict[str, Any]:
    """Go on with a session to its end, and return what came of it."""
    session = open_session(estimator, random_state, path)
    while (call := next_call(session)) is not None:
        call()
        report({"returned": len(session.events)})
    return {
        "events": [comparable(event) for event in events_of(session)],
        "ids": session.queried_ids_.tolist(),
        "rounds": [[entry["round"], entry["ids"].tolist()] for entry in [session.initial_, *session.history_]],
        "remaining": session.remaining,
        "weights": weights_of(session.estimator_),
    }


def comparable(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event without the time that it took."""
    return {key: value for key, value in event.items() if key not in ("time", "seconds")}


def weights_of(estimator: Any) -> str:
    if hasattr(estimator, "net_"):
        arrays = {name: tensor.numpy() for name, tensor in estimator.net_.module_.state_dict().items()}
    else:
        arrays = {
            f"{name}.{key}": value
            for name, step in estimator.steps
            for key, value in vars(step).items()
            if isinstance(value, np.ndarray)
        }
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


class SlowConnection:
    """Let a connection rest before and after every statement, and report what is committed."""

    def __init__(self, connection: Any, report: Send) -> None:
        vars(self).update(
            connection=connection, commit=announced(lambda: connection.execute("COMMIT"), "commit", report)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.connection, name, value)

    def execute(self, statement: str, *values: Any) -> Any:
        """Execute a statement, slowly."""
        time.sleep(REST)
        result = self.commit() if statement == "COMMIT" else self.connection.execute(statement, *values)
        time.sleep(REST)
        return result


def announced(function: Callable[..., Any], place: str, report: Send) -> Callable[..., Any]:
    """Return the function, which then reports that it is entered and left."""

    def call(*args: Any, **kwargs: Any) -> Any:
        report({"enter": place})
        result = function(*args, **kwargs)
        report({"leave": place})
        return result

    return call


def announce(report: Send) -> None:
    """Let the package report where it is, and take its time there."""
    journal, connect = journals.Journal, sqlite3.connect
    journal.append = announced(journal.append, "append", report)  # type: ignore[method-assign]
    journal.write_checkpoint = announced(journal.write_checkpoint, "checkpoint", report)  # type: ignore[method-assign]
    trainers.fit_estimator = announced(trainers.fit_estimator, "training", report)
    trainers.continue_fitting = announced(trainers.continue_fitting, "training", report)
    sqlite3.connect = lambda *args, **kwargs: SlowConnection(connect(*args, **kwargs), report)  # type: ignore


def fix_seed(seed: int) -> None:
    """Let a session that begins with ``random_state=None`` have the seed of the one that it is compared with."""
    settings = loops.SessionSettings
    loops.SessionSettings = lambda **content: settings(**content | {"seed": seed})  # type: ignore
