"""A session that is killed, interrupted or out of room at any instant goes on as if nothing had happened.

Run as a script, this file is the other process of some of the tests.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from children import Faults, in_child, run_in_child, wait_for
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skada_active import ActiveAdaptationLoop
from skada_active.datasets import make_shifted_blobs
from skada_active.deep import AdaptationClassifier
from skada_active.deep.objectives import MCC
from skada_active.domains import mask_target
from skada_active.io import journal as journal_module
from skada_active.session import trainer as _model
from skada_active.session.events import to_json

X, Y, DOMAIN = make_shifted_blobs(40, 40, n_features=3, random_state=0)
ESTIMATORS = {
    "bayes": GaussianNB,
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "network": lambda: AdaptationClassifier(MCC(), max_epochs=1, batch_size=16, device="cpu"),
}
NAMES = ("labels.db", "labels.db-journal")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork")


@pytest.fixture
def quick(monkeypatch):
    """Flush nothing: a process that dies loses nothing that it has written."""
    monkeypatch.setattr(journal_module, "_SETTINGS", ["synchronous = OFF", *journal_module._SETTINGS[1:]])


def opened(path, estimator="bayes", seed=0):
    loop = ActiveAdaptationLoop(ESTIMATORS[estimator](), budget=2, n_rounds=1, round_epochs=1, random_state=seed)
    return loop.session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN, journal=path)


def next_call(session):
    """Return the next call of a person who knows no more than the session has on record, None at the end."""
    bought, rows = session.queried_ids_, session.open_ids[:1]
    if len(rows) and len(bought) == 1 and not len(session.abstained_ids):
        return lambda: session.abstain(rows)
    if len(rows):
        return lambda: session.tell(rows, Y[rows] if len(bought) else (Y[rows] + 1) % 3)
    if session.state.y[bought[:1]].tolist() != Y[bought[:1]].tolist():  # the first label was wrong
        return lambda: session.correct(bought[:1], Y[bought[:1]])
    if session.termination_condition_ is None:
        return lambda: session.ask(None if session.history_ else 2)
    return None if session.budget > 2 else lambda: session.extend([1])


def go_on(session, returned=lambda: None):
    """Go on with a session to its end; `returned` is called after every call that returned."""
    while (call := next_call(session)) is not None:
        call()
        returned()
    return session


def facts(session):
    """Return the events, without the time that they took."""
    events = map(json.loads, map(to_json, session.events))
    return [{key: value for key, value in e.items() if key not in ("time", "seconds")} for e in events]


def weights(estimator):
    if hasattr(estimator, "net_"):
        arrays = {name: tensor.numpy() for name, tensor in estimator.net_.module_.state_dict().items()}
    else:
        steps = estimator.steps if hasattr(estimator, "steps") else [("", estimator)]
        arrays = {f"{name}.{key}": a for name, step in steps for key, a in vars(step).items() if hasattr(a, "tobytes")}
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def outcome(session):
    rounds = [[entry["round"], entry["ids"].tolist(), entry["n_queries"]] for entry in session.history_]
    return [facts(session), session.queried_ids_.tolist(), rounds, session.remaining, weights(session.estimator_)]


def finished(path, estimator="bayes"):
    """Go on in a new session to the end; return how it began and how it ended."""
    with opened(path, estimator) as session:
        return facts(session), outcome(go_on(session))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the outcome of the session that nothing interrupts."""
    _, result = finished(tmp_path_factory.mktemp("expected") / "labels.db")
    return result


def check_whole(path, expected, n_returned):
    """Go on with a file: what returned is there, one call more at most, and the end is the expected one."""
    begun, ended = finished(path)
    assert n_returned <= len(begun) <= n_returned + 1
    assert begun == expected[0][: len(begun)]
    assert ended == expected


def test_the_person_does_all_there_is(expected):
    assert {event["event"] for event in expected[0]} == {"asked", "told", "corrected", "extended"}
    assert [None] in [event.get("labels") for event in expected[0]]
    assert len(expected[1]) == len(set(expected[1])) == 3
    assert expected[3] == 0


def files(path):
    """Return the file of a session, and the rollback file that a commit has beside it."""
    return {name: (path.parent / name).read_bytes() for name in NAMES if (path.parent / name).exists()}


def test_what_is_on_disk_at_any_step_is_enough_to_go_on(tmp_path, monkeypatch, quick, expected):
    path, copies, n_returned = tmp_path / "labels.db", [], [0]

    def copy(number, moment):
        state = files(path), n_returned[0]
        if not copies or state != copies[-1]:
            copies.append(state)

    def count():
        n_returned[0] += 1

    with monkeypatch.context() as patch:
        Faults(patch, copy)
        with opened(path) as session:
            assert outcome(go_on(session, count)) == expected
    assert len(copies) > 40
    for number, (content, n) in enumerate(copies[::3]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in content.items():
            (folder / name).write_bytes(data)
        check_whole(folder / "labels.db", expected, n)


@needs_fork
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_dies_at_a_step_is_followed_by_one_that_goes_on(tmp_path, monkeypatch, expected, moment):
    def work(report, path, at):
        def die(number, now):
            if number >= at and now == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        Faults(monkeypatch, die)
        go_on(opened(path), lambda: report(b"."))

    n_deaths = 0
    for at in range(1, 1000, 17):
        path = tmp_path / f"{at}.db"
        status, reported = wait_for(*in_child(lambda report, path=path, at=at: work(report, path, at)))
        if status == 0:
            break
        assert status == -signal.SIGKILL, reported.decode()
        check_whole(path, expected, len(reported))
        n_deaths += 1
    assert n_deaths > 3


class Fault:
    """Raise at one statement, or from one on until it is repaired."""

    def __init__(self, make_error, number, is_lasting):
        self.make_error, self.number, self.is_lasting = make_error, number, is_lasting
        self.moment = "after" if make_error is KeyboardInterrupt and number % 2 else "before"
        self.has_struck = self.is_repaired = False

    def __call__(self, number, moment):
        strikes = number == self.number and moment == self.moment
        if not self.is_repaired and (strikes or (self.has_struck and self.is_lasting)):
            self.has_struck = True
            raise self.make_error()


def strike(fault, path, monkeypatch):
    """Run a session until a fault stops it; return session, number of calls that returned, error, and warnings."""
    session, returned, error = None, [], None
    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Faults(patch, fault)
        try:
            session = opened(path)
            go_on(session, lambda: returned.append(1))
        except (OSError, KeyboardInterrupt) as stopped:
            error = stopped.with_traceback(None)
        fault.is_repaired = True
    return session, len(returned), error, [str(warning.message) for warning in caught]


def full():
    return sqlite3.OperationalError("database or disk is full")


FAULTS = {"full for a moment": (full, False), "full": (full, True), "interrupted": (KeyboardInterrupt, False)}


@pytest.mark.parametrize(("make_error", "is_lasting"), FAULTS.values(), ids=FAULTS)
def test_after_a_fault_at_any_step_the_session_goes_on(tmp_path, monkeypatch, quick, expected, make_error, is_lasting):
    n_noticed = 0
    for number in range(1, 1000, 5):
        path, fault = tmp_path / f"{number}.db", Fault(make_error, number, is_lasting)
        session, n_returned, stopped, texts = strike(fault, path, monkeypatch)
        if not fault.has_struck:
            break
        copy = tmp_path / f"{number}-killed.db"
        if path.exists():
            shutil.copy(path, copy)
        assert all("The answers are safe" in text or "trained again from the answers" in text for text in texts)
        n_noticed += stopped is not None or len(texts) > 0
        if session is not None:
            if isinstance(stopped, OSError):
                assert stopped.errno == errno.ENOSPC
                assert "Make room on the disk" in str(stopped)
                assert len(session.events) == n_returned
            assert outcome(go_on(session)) == expected
            session.close()
        check_whole(copy, expected, n_returned)
        assert finished(path)[1] == expected
    assert number > 100
    assert n_noticed > number // 10


@needs_fork
@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_where_files_may_not_grow_nothing_is_taken_until_they_may(tmp_path, expected):
    import resource

    def limit(n_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))

    def work(report):
        path, n_refused = tmp_path / "labels.db", 0
        session = opened(path)
        while (call := next_call(session)) is not None:
            content, taken = path.read_bytes(), facts(session)
            limit(6000)  # too little for the rollback file
            with pytest.raises(OSError, match=r"nothing of this answer was recorded"):
                call()
            limit(resource.RLIM_INFINITY)
            assert facts(session) == taken
            assert path.read_bytes()[96:] == content[96:]
            n_refused += 1
            call()
        assert outcome(session) == expected
        session.close()
        assert finished(path)[1] == expected
        assert n_refused == len(expected[0])

    run_in_child(work)


@needs_fork
def test_answers_are_taken_where_there_is_no_room_for_the_model(tmp_path, expected, monkeypatch):
    def fail(journal, info, model):
        raise OSError(errno.ENOSPC, "database or disk is full")

    monkeypatch.setattr("skada_active.io.journal.Journal.write_checkpoint", fail)
    with pytest.warns(UserWarning, match="The answers are safe"):
        begun, ended = finished(tmp_path / "labels.db")
    assert (begun, ended) == ([], expected)
    monkeypatch.undo()
    assert finished(tmp_path / "labels.db") == (expected[0], expected)


@needs_fork
def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    def hold(report):
        with opened(tmp_path / "labels.db"):
            report(b"open")
            time.sleep(600)

    child, reading = in_child(hold)
    assert os.read(reading, 100) == b"open"
    with pytest.raises(BlockingIOError, match="is open in another process"):
        opened(tmp_path / "labels.db")
    os.kill(child, signal.SIGKILL)
    assert wait_for(child, reading)[0] == -signal.SIGKILL
    with opened(tmp_path / "labels.db") as session:
        assert session.events == []


@needs_fork
def test_a_fork_cannot_write_to_the_journal_that_its_parent_has_open(tmp_path):
    def write(report):
        with pytest.raises(ValueError, match="A fork closes it"):
            session.ask()
        session.close()

    def open_again(report):
        with pytest.raises(BlockingIOError, match="another process"):
            opened(tmp_path / "labels.db")

    with opened(tmp_path / "labels.db") as session:
        for work in (write, open_again):
            run_in_child(work)
        go_on(session)
    with opened(tmp_path / "labels.db") as session:
        assert next_call(session) is None


class GoesOn(GaussianNB):
    """Count the epochs of training after the first fit."""

    def fit(self, X, y, sample_domain=None):
        self.n_epochs_ = 0
        return super().fit(X[y >= 0], y[y >= 0])

    def partial_fit(self, X, y, sample_domain=None, epochs=1):
        n_epochs = self.n_epochs_ + epochs
        self.fit(X, y)
        self.n_epochs_ = n_epochs
        return self


@pytest.fixture
def interrupt(monkeypatch):
    """Return a function that lets the next model be interrupted when it is trained and not yet on record."""

    def stop(*args):
        _model.accuracies = whole
        raise KeyboardInterrupt

    whole = _model.accuracies
    monkeypatch.setattr(_model, "accuracies", whole)
    return lambda: monkeypatch.setattr(_model, "accuracies", stop)


def test_a_model_with_a_new_class_that_is_interrupted_is_not_trained_twice(interrupt):
    rows = (DOMAIN < 0) | (Y < 2)
    loop = ActiveAdaptationLoop(GoesOn(), budget=[40], new_classes="learn", random_state=0)
    session = loop.session(X[rows], mask_target(Y[rows], DOMAIN[rows]), sample_domain=DOMAIN[rows])
    ids = session.ask()
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        session.tell(ids, Y[rows][ids])
    session.ask()
    assert session.estimator_.n_epochs_ == 0
    assert len(session.history_) == 1


def test_a_correction_that_is_interrupted_and_taken_back_leaves_the_model_as_it_was(interrupt):
    loop = ActiveAdaptationLoop(GoesOn(), budget=[2], random_state=0)
    session = loop.session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN)
    ids = session.ask()
    session.tell(ids, Y[ids])
    before = weights(session.estimator_)
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        session.correct(ids[:1], (Y[ids[:1]] + 1) % 3)
    session.correct(ids[:1], Y[ids[:1]])
    assert (session.estimator_.n_epochs_, weights(session.estimator_)) == (5, before)
    assert len(session.history_) == 1


def half_way(path, estimator):
    """Return a session in which a round has ended and a question is to be asked."""
    session = opened(path, estimator, seed=None)
    while not session.history_:
        next_call(session)()
    session.extend([3])
    return session


def kill_at_random(folder, estimator, n_kills):
    """Kill sessions at random instants, and go on with them; return how often, and the first that differs."""

    def run(report, journal):
        go_on(opened(journal, estimator), lambda: report(b"."))

    rng, (_, expected) = np.random.default_rng(), finished(folder / "expected.db", estimator)
    start = time.monotonic()
    finished(folder / "timed.db", estimator)  # the first one took longer: it loaded what the children need not load
    seconds, number, n_killed = time.monotonic() - start, 0, 0
    while n_killed < n_kills:
        number, status, n_returned = number + 1, 1, 0
        while status:
            child, reading = in_child(lambda report, at=number: run(report, folder / f"{at}.db"))
            time.sleep(rng.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            status, reported = wait_for(child, reading)
            n_killed += status != 0
            n_returned += len(reported)
            if reported.strip(b"."):
                return n_killed, reported.decode()
        begun, ended = finished(folder / f"{number}.db", estimator)
        if ended != expected or len(begun) < n_returned:
            return n_killed, [ended, expected]
    return n_killed, None


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Return what this process would be asked next, what another one is, and how the kills there went."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    sessions = {name: half_way(here / f"{name}.db", name) for name in ("network", "pipeline")}
    for name in sessions:
        shutil.copy(here / f"{name}.db", there)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(
        [sys.executable, __file__, there], capture_output=True, text=True, timeout=300, env=environment
    )
    assert process.returncode == 0, process.stderr
    own = {name: [session.ask().tolist(), weights(session.estimator_)] for name, session in sessions.items()}
    return own, json.loads(process.stdout)


@pytest.mark.parametrize("estimator", ["network", "pipeline"])
def test_another_process_has_the_same_model_and_asks_about_the_same_rows(elsewhere, estimator):
    own, other = elsewhere
    assert other["asked"][estimator] == own[estimator]
    assert len(own[estimator][0]) == 3


@needs_fork
def test_networks_that_are_killed_at_random_instants_end_alike(elsewhere):
    n_kills, differing = elsewhere[1]["kills"]
    assert n_kills >= 6
    assert differing is None


def main(folder):
    asked = {}
    for name in ("network", "pipeline"):
        with opened(folder / f"{name}.db", name, seed=None) as session:
            asked[name] = [session.ask().tolist(), weights(session.estimator_)]
    kills = kill_at_random(folder, "network", 6) if hasattr(os, "fork") else None
    print(json.dumps({"asked": asked, "kills": kills}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
