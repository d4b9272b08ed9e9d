"""A labelling session in a child process, and somebody who answers: what the crash test kills."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skada_active.io.journal as journals
import skada_active.loop._start as start
import skada_active.session.store as records
import skada_active.session.trainer as models
from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.deep import AdaptationClassifier
from skada_active.deep.objectives import MCC
from skada_active.domains import mask_target

ESTIMATORS: dict[str, Callable[[], Any]] = {
    "AdaptationClassifier": lambda: AdaptationClassifier(MCC(), max_epochs=2, batch_size=16, device="cpu"),
    "Pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
}
BUDGET, MORE = [4, 5, 4], [3]
#: Seconds that a child rests before and after a flush, a rename and half a line.
REST = 0.0003
DATA = make_shifted_blobs(60, 60, n_features=3, random_state=0)
Send = Callable[[Any], None]


def open_session(estimator: str, random_state: int | None, folder: Path) -> Any:
    X, y, sample_domain = DATA
    loop = ActiveAdaptationLoop(ESTIMATORS[estimator](), budget=BUDGET, round_epochs=2, random_state=random_state)
    return loop.session(X, mask_target(y, sample_domain), sample_domain=sample_domain, journal=folder)


def events_of(session_events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in session_events if event["event"] == kind]


def rows_of(events: list[dict[str, Any]], kind: str) -> set[int]:
    return {row for event in events_of(events, kind) for row in event["ids"]}


def due_corrections(session: Any) -> list[int]:
    """Return the slips that somebody notices now: some at once, some when a later round has been asked about."""
    asked = max((event["round"] for event in events_of(session.events, "ask")), default=0)
    slips = [row for row in session.queried_ids_.tolist() if row % 3 == 0]
    corrected = rows_of(session.events, "correct")
    return [r for r in slips if r not in corrected and (r % 2 == 0 or session.query_round_[r] < asked)]


def answer(session: Any, row: int) -> int:
    """Return the label of a row: none at first for some rows, a wrong one for some, which is corrected later."""
    label = int(DATA[1][row])
    if row % 7 == 3 and row not in rows_of(session.events, "readmit"):
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
    if not events_of(session.events, "extend"):
        return lambda: session.extend(MORE)
    if len(session.abstained_ids) and not events_of(session.events, "readmit"):
        return lambda: session.readmit(session.abstained_ids[:1])
    return None


def run_session(estimator: str, random_state: int | None, folder: Path, report: Send) -> dict[str, Any]:
    """Go on with a session to its end, and return what came of it."""
    session = open_session(estimator, random_state, folder)
    while (call := next_call(session)) is not None:
        call()
        report({"returned": session.events[-1]["event"]})
    return {
        "events": [comparable(event) for event in session.events],
        "ids": session.queried_ids_.tolist(),
        "rounds": [[entry["round"], entry["ids"].tolist()] for entry in [session.initial_, *session.history_]],
        "remaining": session.remaining,
        "weights": weights_of(session.estimator_),
    }


def comparable(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event without the time that it took."""
    return {key: value for key, value in event.items() if key not in ("time", "seconds", "digest")}


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


class SlowFile:
    """Write in two halves, with a rest between them."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> int:
        """Write the first half, and say so: the caller writes the rest."""
        n_written = self._file.write(data[: len(data) // 2 or 1])
        time.sleep(REST)
        return n_written


def announced(function: Callable[..., Any], place: str | None, report: Send, rest: float = 0.0) -> Callable[..., Any]:
    """Return the function, which then reports that it is entered and left, and rests before and after."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if place:
            report({"enter": place})
        time.sleep(rest)
        result = function(*args, **kwargs)
        time.sleep(rest)
        if place:
            report({"leave": place})
        return result

    return call


def announce(report: Send) -> None:
    """Let the package report where it is, and take its time there."""
    journals.Journal.append = announced(journals.Journal.append, "append", report)
    records.save_checkpoint = announced(records.save_checkpoint, "checkpoint", report)
    models.fit_estimator = announced(models.fit_estimator, "training", report)
    models.continue_fitting = announced(models.continue_fitting, "training", report)
    os.replace = announced(os.replace, "rename", report, REST)
    os.fsync = announced(os.fsync, None, report, REST)
    open_file = journals._open_file
    journals._open_file = lambda path: SlowFile(open_file(path))


def fix_seed(seed: int) -> None:
    """Let a session that begins with ``random_state=None`` have the seed of the one that it is compared with."""
    start.check_rng = lambda random_state: np.random.RandomState(seed)
