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
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
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
from skada_active.io.journal import Journal
from skada_active.session import trainer as _model

X, Y, DOMAIN = make_shifted_blobs(40, 40, n_features=3, random_state=0)
ESTIMATORS = {
    "bayes": GaussianNB,
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "network": lambda: AdaptationClassifier(MCC(), max_epochs=1, batch_size=16, device="cpu"),
}
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork")


def opened(folder, estimator="bayes", seed=0):
    loop = ActiveAdaptationLoop(ESTIMATORS[estimator](), budget=2, n_rounds=1, round_epochs=1, random_state=seed)
    with warnings.catch_warnings():
        for text in ("incomplete", "written anew", "trained again from the journal"):  # as kills leave it
            warnings.filterwarnings("ignore", f"(?s).*{text}")
        return loop.session(X, mask_target(Y, DOMAIN), sample_domain=DOMAIN, journal=folder)


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
    return [{key: value for key, value in e.items() if key not in ("time", "seconds")} for e in session.events]


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


def finished(folder, estimator="bayes"):
    """Go on in a new session to the end; return how it began and how it ended."""
    with opened(folder, estimator) as session:
        return facts(session), outcome(go_on(session))


class Disk:
    """Count the steps that reach the disk, and let `at` happen before, in the middle and after each of them.

    Nothing is flushed: a process that dies loses nothing that it has written.
    """

    def __init__(self, monkeypatch, at):
        self.n_steps, self.at, self.monkeypatch = 0, at, monkeypatch
        monkeypatch.setattr(os, "fsync", self.step(lambda descriptor: None))
        for name in ("replace", "ftruncate"):
            monkeypatch.setattr(os, name, self.step(getattr(os, name)))
        for name in ("write_bytes", "write_text"):
            monkeypatch.setattr(Path, name, self.step(getattr(Path, name), half=self.write_half(getattr(Path, name))))
        open_file = journal_module._open_file
        monkeypatch.setattr(journal_module, "_open_file", lambda path: DiskFile(open_file(path), self))

    def write_half(self, write):
        return lambda path, data, **options: write(path, data[: len(data) // 2], **options)

    def step(self, function, half=None):
        def step(*args, **kwargs):
            if sys._getframe(1).f_globals["__name__"].startswith("filelock"):
                return function(*args, **kwargs)  # the lock's file holds nothing
            self.n_steps += 1
            number = self.n_steps
            self.at(number, "before")
            if half is not None:
                half(*args, **kwargs)
                self.at(number, "middle")
            result = function(*args, **kwargs)
            self.at(number, "after")
            return result

        return step


class DiskFile:
    def __init__(self, file, disk):
        self.file = file
        self.write = disk.step(file.write, half=self.write_half)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write_half(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.seek(-(len(data) // 2), os.SEEK_CUR)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the outcome of the session that nothing interrupts."""
    _, result = finished(tmp_path_factory.mktemp("expected") / "journal")
    return result


def check_whole(folder, expected, n_returned):
    """Go on in a folder: what returned is there, one call more at most, and the end is the expected one."""
    begun, ended = finished(folder)
    assert n_returned <= len(begun) <= n_returned + 1
    assert begun == expected[0][: len(begun)]
    assert ended == expected


def test_the_person_does_all_there_is(expected):
    assert {event["event"] for event in expected[0]} == {"ask", "tell", "correct", "extend"}
    assert [None] in [event.get("labels") for event in expected[0]]
    assert len(expected[1]) == len(set(expected[1])) == 3
    assert expected[3] == 0


def test_what_is_on_disk_at_any_step_is_enough_to_go_on(tmp_path, monkeypatch, expected):
    folder, copies, n_returned = tmp_path / "journal", [], [0]

    def copy(number, moment):
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}
        if not copies or (files, n_returned[0]) != copies[-1]:
            copies.append((files, n_returned[0]))

    def count():
        n_returned[0] += 1

    Disk(monkeypatch, copy)
    with opened(folder) as session:
        assert outcome(go_on(session, count)) == expected
    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    assert len(copies) > 60
    for number, (files, n) in enumerate(copies):
        copy = tmp_path / str(number)
        copy.mkdir()
        for name, content in files.items():
            (copy / name).write_bytes(content)
        check_whole(copy, expected, n)


def in_child(work):
    """Run `work(report)` in a fork, report bytes through a pipe; return the pid and the reading end."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads of this process take no part in the child
        child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        work(lambda text: os.write(writing, text))
        status = 0
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(status)


def wait_for(child, reading):
    """Return how a child ended, and what it has reported."""
    with os.fdopen(reading, "rb") as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


@needs_fork
@pytest.mark.parametrize("moment", ["before", "middle", "after"])
def test_a_process_that_dies_at_a_step_is_followed_by_one_that_goes_on(tmp_path, monkeypatch, expected, moment):
    def die(number, now, at=10**9):
        if number >= at and now == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def work(report, folder, at):
        Disk(monkeypatch, lambda number, now: die(number, now, at))
        go_on(opened(folder), lambda: report(b"."))

    n_deaths = 0
    for at in range(1, 500, 11):
        folder = tmp_path / str(at)
        status, reported = wait_for(*in_child(lambda report, folder=folder, at=at: work(report, folder, at)))
        if status == 0:
            break
        assert status == -signal.SIGKILL, reported.decode()
        check_whole(folder, expected, len(reported))
        n_deaths += 1
    assert n_deaths > 3


def test_a_loss_of_power_takes_nothing_that_returned(tmp_path, monkeypatch, expected):
    # A file that was not flushed may come back as it was at its last flush, whatever became of the other one.
    folder, flushed, states, n_returned = tmp_path / "journal", {}, [], [0]
    names = ("journal.jsonl", "journal.tail")

    def contents():
        return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}

    def fsync(descriptor):
        states.append((dict(flushed), contents(), n_returned[0]))
        number = os.fstat(descriptor).st_ino
        flushed.update({n: c for n, c in contents().items() if (folder / n).stat().st_ino == number})
        states.append((dict(flushed), contents(), n_returned[0]))

    monkeypatch.setattr(os, "fsync", fsync)

    def count():
        n_returned[0] += 1

    with opened(folder) as session:
        go_on(session, count)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for number, (old, new, n) in enumerate(states):
        for choice in range(4):
            copy = tmp_path / f"{number}-{choice}"
            copy.mkdir()
            for place, name in enumerate(names):
                (copy / name).write_bytes((new if choice >> place & 1 else old).get(name, b""))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Journal(copy) as journal:
                    assert n <= max(0, len(journal) - 1) <= n + 1


class Fault:
    """Raise at one step, or from one step on until it is repaired."""

    def __init__(self, error, number, is_lasting):
        self.error, self.number, self.is_lasting = error, number, is_lasting
        self.moment = ("before", "middle", "after")[number % 3]
        self.has_struck = self.is_repaired = False

    def __call__(self, number, moment):
        strikes = number == self.number and moment in (self.moment, "after")
        if not self.is_repaired and (self.is_lasting if self.has_struck else strikes):
            self.has_struck = True
            raise self.error


def strike(fault, folder, monkeypatch):
    """Run a session until a fault stops it; return session, number of calls that returned, error, and warnings."""
    session, returned, error = None, [], None
    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Disk(patch, fault)
        try:
            session = opened(folder)
            go_on(session, lambda: returned.append(1))
        except (OSError, KeyboardInterrupt) as stopped:
            error = stopped
        fault.is_repaired = True
    return session, len(returned), error, [str(warning.message) for warning in caught]


FAULTS = {
    "full for a moment": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), False),
    "full": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), True),
    "interrupted": (KeyboardInterrupt(), False),
}


@pytest.mark.parametrize(("error", "is_lasting"), FAULTS.values(), ids=FAULTS)
def test_after_a_fault_at_any_step_the_session_goes_on(tmp_path, monkeypatch, expected, error, is_lasting):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for number in range(1, 500):
        folder, fault = tmp_path / str(number), Fault(error, number, is_lasting)
        session, n_returned, stopped, texts = strike(fault, folder, monkeypatch)
        if not fault.has_struck:
            break
        if isinstance(error, OSError):
            assert (stopped is not None) or any("The answers are safe" in text for text in texts)
        copy = shutil.copytree(folder, tmp_path / f"{number}-killed", ignore=shutil.ignore_patterns("*.lock"))
        if session is not None:
            if isinstance(stopped, OSError):
                assert stopped.errno == errno.ENOSPC
                assert "was taken, what came before is safe. Make room" in str(stopped)
                assert len(session.events) == n_returned
            assert outcome(go_on(session)) == expected
            session.close()
        check_whole(copy, expected, n_returned)
        assert finished(folder)[1] == expected
    assert number > 40


@needs_fork
@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_where_files_may_not_grow_nothing_is_taken_until_they_may(tmp_path, expected):
    import resource

    def limit(n_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))

    def work(report):
        folder, n_refused, n_warned = tmp_path / "journal", 0, 0
        session = opened(folder)
        while (call := next_call(session)) is not None:
            size, taken = (folder / "journal.jsonl").stat().st_size, facts(session)
            limit(size + 30)
            with pytest.raises(OSError, match=r"nothing of this .* was taken") as caught:
                call()
            assert caught.value.errno == errno.EFBIG
            assert facts(session) == taken
            assert (folder / "journal.jsonl").stat().st_size == size
            n_refused += 1
            limit(size + 400)  # enough for the line, too little for the model
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                call()
            n_warned += any("The answers are safe" in str(warning.message) for warning in found)
            limit(resource.RLIM_INFINITY)
        assert outcome(session) == expected
        session.close()
        assert finished(folder)[1] == expected
        assert n_refused == len(expected[0])
        assert n_warned > 0

    status, reported = wait_for(*in_child(work))
    assert status == 0, reported.decode()


@needs_fork
def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    def hold(report):
        with opened(tmp_path):
            report(b"open")
            time.sleep(600)

    child, reading = in_child(hold)
    assert os.read(reading, 100) == b"open"
    with pytest.raises(BlockingIOError, match="is open in another process"):
        opened(tmp_path)
    os.kill(child, signal.SIGKILL)
    assert wait_for(child, reading)[0] == -signal.SIGKILL
    with opened(tmp_path) as session:
        assert session.events == []


@needs_fork
def test_a_fork_cannot_write_to_the_journal_that_its_parent_has_open(tmp_path):
    def write(report):
        with pytest.raises(BlockingIOError, match="forked from"):
            session.ask()
        session.close()

    def open_again(report):
        with pytest.raises(BlockingIOError, match="another process"):
            opened(tmp_path)

    with opened(tmp_path) as session:
        for work in (write, open_again):
            status, reported = wait_for(*in_child(work))
            assert status == 0, reported.decode()
        go_on(session)
    with opened(tmp_path) as session:
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


def half_way(folder, estimator):
    """Return a session in which a round has ended and a question is to be asked."""
    session = opened(folder, estimator, seed=None)
    while not session.history_:
        next_call(session)()
    session.extend([3])
    return session


def kill_at_random(folder, estimator, n_kills):
    """Kill sessions at random instants, and go on with them; return how often, and the first that differs."""

    def run(report, journal):
        go_on(opened(journal, estimator), lambda: report(b"."))

    rng, (_, expected) = np.random.default_rng(), finished(folder / "expected", estimator)
    start = time.monotonic()
    finished(folder / "timed", estimator)  # the first one took longer: it loaded what the children need not load
    seconds, number, n_killed = time.monotonic() - start, 0, 0
    while n_killed < n_kills:
        number, status, n_returned = number + 1, 1, 0
        while status:
            child, reading = in_child(lambda report, at=number: run(report, folder / str(at)))
            time.sleep(rng.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            status, reported = wait_for(child, reading)
            n_killed += status != 0
            n_returned += len(reported)
            if reported.strip(b"."):
                return n_killed, reported.decode()
        begun, ended = finished(folder / str(number), estimator)
        if ended != expected or len(begun) < n_returned:
            return n_killed, [ended, expected]
    return n_killed, None


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Return what this process would be asked next, what another one is, and how the kills there went."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    sessions = {name: half_way(here / name, name) for name in ("network", "pipeline")}
    for name in sessions:
        shutil.copytree(here / name, there / name, ignore=shutil.ignore_patterns("*.lock"))
    process = subprocess.run([sys.executable, __file__, there], capture_output=True, text=True, timeout=300)
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
    assert n_kills >= 10
    assert differing is None


def main(folder):
    asked = {}
    for name in ("network", "pipeline"):
        with opened(folder / name, name, seed=None) as session:
            asked[name] = [session.ask().tolist(), weights(session.estimator_)]
    kills = kill_at_random(folder, "network", 10) if hasattr(os, "fork") else None
    print(json.dumps({"asked": asked, "kills": kills}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
